//! Which app a request belongs to, among several: by host, wildcard and path; and those of no app.
//!
//! Which release of an app it goes to is in `rules` and `cohorts`.

use model::admin::{Reply, Request};
use model::{AppName, Generation, InstanceId, Routes};

use crate::authority::{Identity, connect, listen};
use crate::backend::Backend;
use crate::client::{Answer, Client};
use crate::stage::{Stage, pool, routes};

/// An app of that name in front of a backend of that name.
fn app(name: &str, hosts: &[&str], prefix: &str, backend: &Backend) -> Request {
    let mut pool = pool(1, 10_000, &[backend]);
    pool.instances[0].id = InstanceId(format!("{name}-1-1"));
    let routes = Routes {
        app: AppName::new(name).unwrap(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        path_prefix: prefix.into(),
        ..routes(1, vec![pool])
    };
    Request::Publish { epoch: 1, expected: Generation(0), routes }
}

fn ask(client: &mut Client, host: &str, path: &str) -> Answer {
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.answer().unwrap()
}

const APPS: [(&str, &[&str], &str); 5] = [
    ("shop", &["shop.test", "*.shop.test"], "/"),
    ("cart", &["shop.test"], "/cart"),
    ("deep", &["*.a.shop.test"], "/"),
    ("wide", &["*.test"], "/only"),
    ("own", &["own.shop.test"], "/own"),
];

#[test]
fn the_most_specific_host_wins_then_the_longest_prefix() {
    let backends = APPS.map(|(name, ..)| Backend::named(name));
    let mut stage = Stage::bare();
    for ((name, hosts, prefix), backend) in APPS.iter().zip(&backends) {
        stage.admin.done(&app(name, hosts, prefix, backend));
    }
    let mut client = stage.client();
    for (host, path, name) in [
        ("shop.test", "/", "shop"),
        ("SHOP.test:8080", "/cart", "cart"),
        ("shop.test.", "/cart/1?x", "cart"),
        ("shop.test", "/cartography", "shop"),
        ("b.shop.test", "/cart", "shop"),
        ("b.a.shop.test", "/", "deep"),
        ("c.b.a.shop.test.:80", "/", "deep"),
        ("a.shop.test", "/", "shop"),
        ("own.shop.test", "/own/x", "own"),
        ("own.shop.test", "/", "shop"),
        ("else.test", "/only", "wide"),
    ] {
        assert_eq!(ask(&mut client, host, path).body, name, "{host}{path}");
    }
    for (host, path) in [("else.test", "/"), ("test", "/only"), ("shop.example", "/")] {
        let refused = ask(&mut client, host, path);
        assert_eq!(refused.status, 404, "{host}{path}: {}", refused.body);
    }
}

#[test]
fn a_host_of_no_app_is_misdirected_over_tls_and_a_path_of_none_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::named("shop");
    let mut stage = Stage::bare();
    stage.admin.done(&app("shop", &["shop.test"], "/shop", &backend));
    let identity = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    let pairs = vec![identity.pair.clone()];
    assert_eq!(stage.admin.ask(&Request::Certify { pairs, forgiving: false }), Reply::Done);
    let address = listen(&mut stage);
    let mut client = connect(address, &identity.trusted(&[]), "shop.test").unwrap();
    for (host, path, status) in
        [("shop.test", "/shop", 200), ("other.test", "/shop", 421), ("shop.test", "/", 404)]
    {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().unwrap().status, status, "{host}{path}");
    }
}

#[test]
fn one_host_and_prefix_has_one_app_and_names_must_be_names() {
    let backend = Backend::named("one");
    let mut stage = Stage::bare();
    stage.admin.done(&app("one", &["*.test"], "/x", &backend));
    let fault = stage.admin.refused(&app("two", &["a.test", "*.test"], "/x/", &backend));
    assert!(fault.what.contains("both claim *.test"), "{fault}");
    for odd in ["*", "*.", "a.*.test", "*a.test", "A.test", "a.test:80", ""] {
        stage.admin.refused(&app("two", &[odd], "/", &backend));
    }
    stage.admin.done(&app("two", &["a.test", "*.b.test"], "/x/", &backend));
}
