//! Edits of the file under a running server: shown, taken up whole without loss, or refused whole.
//!
//! Another binary is in `upgrade`, fewer instances in `scale`.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::tls::{live, serves};
use crate::tls_client::{Asking, Identity, Kept};
use crate::traffic::get;
use crate::world::{World, beside, free_port, said, signal, wait_for};

/// The file of a world, and what is in it.
fn file(world: &World) -> (PathBuf, String) {
    let path = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

fn status(world: &World, host: &str) -> String {
    get(world.port, host, "/version").unwrap()[9..12].to_owned()
}

#[test]
fn hosts_certificates_and_listeners_are_taken_up_under_traffic() {
    let _turn = beside();
    let (world, port, shop) = live(1);
    let (path, text) = file(&world);
    let (proxy, instances) = (world.parts("proxy"), world.running());
    let clients = [Asking::one_by_one(port, &shop), Asking::several(port, &shop)];
    let renewed = Identity::write(world.path(), "shop", "shop.test");
    serves(port, &shop, "v1");
    let added = free_port();
    let plain = format!("listen = [\"127.0.0.1:{}\"", world.port);
    let edited = text.replacen(&plain, &format!("{plain}, \"127.0.0.1:{added}\""), 1).replacen(
        "instances = 1",
        "instances = 1\nhosts = [\"x\", \"*.shop.test\"]",
        1,
    );
    assert!(edited.contains("shop.test") && edited.contains(&added.to_string()));
    std::fs::write(&path, &edited).unwrap();

    // Nobody can be asked here, so it is only shown.
    let shown = said(&world.expect(2, &["reload"]));
    for words in ["app.demo hosts: [] -> [\"x\", \"*.shop.test\"]", "--yes", "read again: 2"] {
        assert!(shown.contains(words), "`{words}` is missing: {shown}");
    }
    assert_eq!(status(&world, "else"), "200");
    serves(port, &shop, "v1");

    let done = said(&world.expect(0, &["reload", "--yes"]));
    assert!(done.contains("in effect: 2 changes, 2 certificates"), "{done}");
    for (host, wanted) in [("x", "200"), ("a.shop.test", "200"), ("else", "404")] {
        assert_eq!(status(&world, host), wanted, "{host}");
    }
    assert!(get(added, "x", "/version").unwrap().contains("200 OK"));
    serves(port, &renewed, "v1");
    assert!(Kept::connect(port, &shop).is_err(), "the old certificate is shown");
    for client in clients {
        client.more();
        client.end();
    }
    assert_eq!((world.parts("proxy"), world.running()), (proxy, instances));
    let again = said(&world.expect(0, &["reload", "--yes"]));
    assert!(again.contains("in effect: 0 changes"), "{again}");
}

#[test]
fn what_cannot_be_taken_up_is_refused_whole_and_a_crash_takes_up_all() {
    let _turn = beside();
    let (mut world, port, shop) = live(1);
    let (path, text) = file(&world);
    let server = u32::try_from(world.status().unwrap()["pid"].as_u64().unwrap()).unwrap();
    let hosts = text.replacen("instances = 1", "instances = 1\nhosts = [\"x\"]", 1);
    let taken = format!("listen = [\"127.0.0.1:{}\"", world.port);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap();
    let threads = hosts.replacen("[proxy]", "[proxy]\nthreads = 7", 1);
    let broken = hosts.replacen("other.key", "shop.key", 1);
    let used = hosts.replacen(&taken, &format!("{taken}, \"{busy}\""), 1);
    let typo = hosts.replacen("instances", "instancs", 1);
    for (edited, words) in [
        (threads.clone(), "a proxy has its threads from its start on"),
        (broken, "shop.key does not belong to the certificate"),
        (used, "cannot be listened on"),
        (typo, "did you mean `instances`?"),
    ] {
        std::fs::write(&path, edited).unwrap();
        let told = said(&world.expect(2, &["reload", "--yes"]));
        assert!(told.contains(words), "`{words}` is missing: {told}");
        assert_eq!(status(&world, "else"), "200", "{words}");
        serves(port, &shop, "v1");
    }

    // SIGHUP asks nobody: it does nothing by halves either.
    let gone = hosts.replacen("other.key", "gone.key", 1);
    for (edited, words) in [(gone, "gone.key cannot be read"), (threads, "threads: ")] {
        std::fs::write(&path, edited).unwrap();
        signal(server, Signal::HUP);
        wait_for("it says why", 10, || world.said().contains(words).then_some(()));
        assert_eq!(status(&world, "else"), "200", "{words}");
    }
    std::fs::write(&path, &hosts).unwrap();
    signal(server, Signal::HUP);
    wait_for("the hosts are in effect", 10, || (status(&world, "else") == "404").then_some(()));
    serves(port, &shop, "v1");

    // The file is the record: whoever starts next takes up the whole of it.
    std::fs::write(&path, &text).unwrap();
    world.kill_up();
    world.up();
    wait_for("every host is served", 10, || (status(&world, "else") == "200").then_some(()));
}

#[test]
fn config_check_names_a_port_that_another_program_has_while_the_server_runs() {
    let _turn = beside();
    let (world, port, shop) = live(1);
    let (path, text) = file(&world);
    let parts = (world.parts("proxy"), world.running());
    world.expect(0, &["config", "check"]);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap();
    let [listen, metrics, api] = [
        text.replacen("listen = [", &format!("listen = [\"{busy}\", "), 1),
        text.replacen("[proxy]", &format!("[proxy]\nmetrics = \"{busy}\""), 1),
        format!(
            "[api]\nlisten = \"{busy}\"\nchain = \"shop.crt\"\nkey = \"shop.key\"\n\
             token = {{ from = \"TOKEN\" }}\n{text}"
        ),
    ];
    for (key, edited) in [("listen", listen), ("metrics", metrics), ("api", api)] {
        std::fs::write(&path, &edited).unwrap();
        let line = 1 + edited.lines().position(|line| line.contains(&busy.to_string())).unwrap();
        let told = said(&world.expect(2, &["config", "check"]));
        let what = format!("another program listens on `{busy}`");
        for words in [&what, &format!("cutover.toml:{line}:"), "^^^", "help: end it"] {
            assert!(told.contains(words), "{key}: `{words}` is missing: {told}");
        }
        assert_eq!(told.matches("error:").count(), 2, "{key}: and nothing else: {told}");
    }
    // A free one, beside those that the server has.
    let free =
        text.replacen("listen = [", &format!("listen = [\"127.0.0.1:{}\", ", free_port()), 1);
    std::fs::write(&path, free).unwrap();
    world.expect(0, &["config", "check"]);
    assert_eq!((world.parts("proxy"), world.running()), parts);
    serves(port, &shop, "v1");
}
