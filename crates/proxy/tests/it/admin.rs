//! The admin socket: fencing, descriptors, and a proxy that does not need its clients.
//!
//! What a proxy does while nobody speaks to it is in `sentry`.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use model::admin::{Reply, Request};
use model::{AppName, Generation, Kind};

use crate::backend::Backend;
use crate::client::Client;
use crate::stage::{Admin, Stage, pool, routes};

fn publish(epoch: u64, expected: u64, generation: u64) -> Request {
    let expected = Generation(expected);
    Request::Publish { epoch, expected, routes: routes(generation, vec![pool(1, 10_000, &[])]) }
}

/// R30: of two controllers the one with the older claim changes nothing.
#[test]
fn r30_routes_are_fenced_by_epoch_and_generation() {
    let mut stage = Stage::bare();
    let mut other = Admin::to(&stage.socket);
    other.done(&publish(5, 0, 1));
    let old = stage.admin.refused(&publish(4, 1, 2));
    assert_eq!(old.kind, Kind::Conflict);
    assert!(old.what.contains("epoch 4"), "{old}");
    for (expected, generation) in [(0, 1), (2, 3), (1, 1), (1, 0)] {
        let fault = stage.admin.refused(&publish(5, expected, generation));
        assert_eq!(fault.kind, Kind::Conflict, "{expected} {generation}");
    }
    let app = AppName::new("demo").unwrap();
    stage.admin.refused(&Request::Withdraw { epoch: 4, app: app.clone() });
    let seen = stage.admin.look();
    assert_eq!((seen.epoch, seen.apps[0].routes.generation), (5, Generation(1)));
    stage.admin.done(&publish(6, 1, 7));
    other.refused(&publish(5, 7, 8));
    stage.admin.done(&Request::Withdraw { epoch: 6, app });
    assert!(stage.admin.look().apps.is_empty());
}

#[test]
fn routes_that_cannot_be_carried_are_refused() {
    let mut stage = Stage::bare();
    let backend = Backend::named("app");
    let with = |change: &dyn Fn(&mut model::Routes)| {
        let mut routes = routes(1, vec![pool(1, 10_000, &[&backend])]);
        change(&mut routes);
        Request::Publish { epoch: 1, expected: Generation(0), routes }
    };
    stage.admin.refused(&with(&|routes| routes.path_prefix = "api".into()));
    stage.admin.refused(&with(&|routes| routes.hosts.push("Shop.test".into())));
    stage.admin.refused(&with(&|routes| routes.hosts.push("shop.test:80".into())));
    stage.admin.refused(&with(&|routes| routes.pools[0].instances[0].id.0 = "a\r\nb".into()));
    stage.admin.refused(&with(&|routes| {
        let again = routes.pools[0].clone();
        routes.pools.push(again);
    }));
    stage.admin.done(&with(&|_| {}));
    let twin = stage.admin.refused(&with(&|routes| routes.app = AppName::new("twin").unwrap()));
    assert!(twin.what.contains("`demo` and `twin`"), "{twin}");
}

#[test]
fn listeners_are_handed_over_and_back() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = second.local_addr().unwrap();
    assert_eq!(stage.admin.hand_over(address, &second), Reply::Done);
    assert!(matches!(stage.admin.hand_over(address, &second), Reply::Refused(_)));
    assert!(matches!(stage.admin.ask(&Request::Listen { address }), Reply::Refused(_)));
    let other: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let wrong = Client::to(stage.address).stream;
    assert!(matches!(stage.admin.hand_over(other, &wrong), Reply::Refused(_)));
    drop(second);
    assert_eq!(Client::to(address).get("/").unwrap().body, "app");
    let (addresses, descriptors) = stage.admin.listeners();
    assert_eq!(addresses, [stage.address, address]);
    for (address, descriptor) in addresses.iter().zip(descriptors) {
        let listener = TcpListener::from(descriptor);
        assert_eq!(listener.local_addr().unwrap(), *address);
    }
    assert_eq!(stage.admin.look().listening, addresses);
    assert_eq!(
        Client::to(address).get("/").unwrap().body,
        "app",
        "closing a duplicate is harmless"
    );
}

#[test]
fn the_proxy_serves_when_its_admin_clients_are_gone() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    let mut gone = Admin::to(&stage.socket);
    gone.done(&publish(1, 1, 2));
    drop(gone);
    let socket = stage.socket.clone();
    drop(std::mem::replace(&mut stage.admin, Admin::to(&socket)));
    assert_eq!(client.get("/").unwrap().status, 503);
    stage.admin.done(&Request::Publish {
        epoch: 1,
        expected: Generation(2),
        routes: routes(3, vec![pool(1, 10_000, &[&backend])]),
    });
    assert_eq!(client.get("/").unwrap().body, "app");
}

#[test]
fn the_socket_is_private_and_belongs_to_one_proxy() {
    let mut stage = Stage::bare();
    let mode = std::fs::metadata(&stage.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let options =
        proxy::Options { admin_socket: stage.socket.clone(), threads: 1, allow_faults: false };
    let fault = proxy::serve(options).unwrap_err();
    assert_eq!(fault.kind, Kind::Conflict, "{fault}");
    assert_eq!(stage.admin.look().listening, [stage.address], "the living one was not disturbed");
    let file = stage.socket.with_file_name("file");
    std::fs::write(&file, "mine").unwrap();
    let options = proxy::Options { admin_socket: file.clone(), threads: 1, allow_faults: false };
    proxy::serve(options).unwrap_err();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
}

#[test]
fn garbage_is_refused_and_does_not_end_the_conversation() {
    let mut stage = Stage::bare();
    for garbage in ["", "{", "[]", "{\"op\":\"fly\"}", "{\"op\":\"stop\"}"] {
        let mut admin = Admin::to(&stage.socket);
        assert!(matches!(admin.say(garbage), Reply::Refused(_)), "{garbage}");
        assert!(matches!(admin.ask(&Request::Look), Reply::Seen(_)));
    }
    assert_eq!(stage.admin.look().listening.len(), 1);
}

/// A proxy can be tried before it has listeners: one connection, accepted elsewhere.
#[test]
fn a_connection_that_was_accepted_elsewhere_is_served() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::to(listener.local_addr().unwrap());
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(stage.admin.ask_with(&Request::Serve, &accepted), Reply::Done);
    drop((accepted, listener));
    for _ in 0..2 {
        assert_eq!(client.get("/").unwrap().body, "app");
    }
    assert_eq!(stage.admin.look().connections, 1);
    let odd = TcpListener::bind("127.0.0.1:0").unwrap();
    let Reply::Refused(fault) = stage.admin.ask_with(&Request::Serve, &odd) else { panic!() };
    assert_eq!(fault.kind, Kind::Usage);
    assert!(stage.admin.refused(&Request::Serve).what.contains("no descriptor"));
}
