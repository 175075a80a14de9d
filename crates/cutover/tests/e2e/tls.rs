//! TLS from `cutover.toml` on: a rollout under clients over TLS, a proxy that dies, one that is taken
//! over, and certificates that cannot be used.
//!
//! The API over TLS is not tried here, but in `api`.

use std::time::Duration;

use rustix::process::Signal;

use crate::tls_client::{Asking, Identity, Kept};
use crate::traffic::get;
use crate::world::{World, beside, free_port, patient_config, said, signal, wait_for};

/// A world that listens for TLS too, with certificates `shop` and `other`; the port of it.
fn world(instances: u16) -> (World, u16) {
    let port = free_port();
    let tls = format!(
        "tls_listen = [\"127.0.0.1:{port}\"]\n\
         certificates = [\n  \
           {{ chain = \"shop.crt\", key = \"shop.key\" }},\n  \
           {{ chain = \"other.crt\", key = \"other.key\" }},\n]\n\
         answer_begins = \"300ms\"\ndrain_timeout"
    );
    (World::new(&patient_config(instances).replacen("drain_timeout", &tls, 1)), port)
}

/// The same, serving v1.
pub(crate) fn live(instances: u16) -> (World, u16, Identity) {
    let (mut world, port) = world(instances);
    let shop = Identity::write(world.path(), "shop", "shop.test");
    Identity::write(world.path(), "other", "other.test");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    (world, port, shop)
}

/// A new connection is served with the version.
pub(crate) fn serves(port: u16, identity: &Identity, version: &str) {
    let (status, body) = Kept::connect(port, identity).unwrap().get("/version").unwrap();
    assert!(status == 200 && body.contains(version), "{status}: {body}");
}

/// Kills the proxy as a crash would.
fn kill_proxy(world: &World) {
    let killed = world.parts("proxy")[0];
    signal(killed, Signal::KILL);
    wait_for("a new proxy runs", 5, || {
        let proxies = world.parts("proxy");
        (!proxies.is_empty() && proxies != [killed]).then_some(())
    });
}

#[test]
fn clients_over_tls_go_from_v1_to_v2_on_the_connections_they_have() {
    let _turn = beside();
    let (world, port, shop) = live(2);
    let clients = [Asking::one_by_one(port, &shop), Asking::several(port, &shop)];
    world.expect(0, &["deploy", "demo", "v2"]);
    for client in clients {
        client.more();
        let versions = client.end();
        let (first, last) = (versions.first().unwrap(), versions.last().unwrap());
        assert_eq!((first.as_str(), last.as_str()), ("v1", "v2"));
        assert!(versions.is_sorted(), "back to v1 after v2: {versions:?}");
        assert!(versions.len() > 100, "only {}", versions.len());
    }
    let listen = world.status().unwrap()["listen"].to_string();
    assert!(listen.contains(&format!("127.0.0.1:{port} (TLS)")), "{listen}");
}

#[test]
fn a_killed_proxy_serves_tls_again() {
    let _turn = beside();
    let (world, port, shop) = live(1);
    kill_proxy(&world);
    serves(port, &shop, "v1");
    let several = Asking::several(port, &shop);
    several.more();
    assert!(several.end().iter().all(|version| version == "v1"));
    // What was configured holds for the new one too.
    let late = Kept::connect(port, &shop).unwrap().get("/slow?ms=3000").unwrap();
    assert_eq!(late.0, 504, "{}", late.1);

    // Certificates that became unusable keep out only who needs them, and only until one is mended.
    let [key, other] = ["shop.key", "other.key"].map(|name| world.path().join(name));
    let good = std::fs::read(&key).unwrap();
    std::fs::write(&key, "").unwrap();
    std::fs::write(&other, "").unwrap();
    kill_proxy(&world);
    assert!(get(world.port, "x", "/version").unwrap().starts_with("HTTP/1.1 200"));
    assert!(Kept::within(Duration::from_millis(100), port, &shop).is_err());
    wait_for("it says why", 5, || world.said().contains("shop.key cannot be read").then_some(()));
    // The server goes on hearing what it is told meanwhile.
    let refused = said(&world.expect(2, &["reload", "--yes"]));
    assert!(refused.contains("other.key cannot be read"), "{refused}");
    std::fs::write(&key, good).unwrap();
    serves(port, &shop, "v1");
    assert!(
        world.said().contains("other.key cannot be read: no private key is in it; it is left out")
    );
}

/// Nobody who does not need it is kept out by it, whoever of the two died.
#[test]
fn one_certificate_that_expires_takes_nobody_else_down() {
    let _turn = beside();
    let (mut world, port, shop) = live(1);
    let past = Identity::valid(world.path(), "other", "other.test", (2001, 2002));
    let at_its_own_door = |world: &World, words: usize| {
        wait_for("its name is served, too", 10, || {
            let refused = Kept::connect(port, &past).err()?.to_string();
            assert!(refused.contains("xpired"), "not shown: {refused}");
            Some(())
        });
        let said = world.said();
        let told = said.matches("other.crt has expired; it is shown all the same").count();
        assert!(told >= words, "said {told} times: {said}");
    };
    kill_proxy(&world);
    serves(port, &shop, "v1");
    at_its_own_door(&world, 1);
    world.kill_up();
    world.up();
    serves(port, &shop, "v1");
    at_its_own_door(&world, 2);
    // As after a reboot: neither is there.
    world.kill_up();
    signal(world.parts("proxy")[0], Signal::KILL);
    std::fs::remove_file(world.path().join("other.key")).unwrap();
    world.up();
    serves(port, &shop, "v1");
    assert!(get(world.port, "x", "/version").unwrap().starts_with("HTTP/1.1 200"));
    assert!(world.said().contains("other.key cannot be read"), "{}", world.said());
    // What a person asks for is judged as strictly as ever.
    let refused = said(&world.expect(2, &["reload", "--yes"]));
    assert!(refused.contains("other.key cannot be read"), "{refused}");
}

#[test]
fn sessions_resume_at_the_proxy_that_an_upgrade_brings() {
    let _turn = beside();
    let (world, port, shop) = live(1);
    let client = shop.remembers();
    let connect = || Kept::remembering(&client, Duration::from_secs(20), (port, &shop)).unwrap();
    for (resumed, when) in [(false, "at first"), (true, "at the same proxy")] {
        let mut kept = connect();
        assert_eq!(kept.get("/version").unwrap().0, 200);
        assert_eq!(kept.resumed(), resumed, "{when}");
    }
    let before = world.parts("proxy");
    world.expect(0, &["upgrade"]);
    // Until it is gone, either may answer.
    wait_for("the old proxy is gone", 20, || {
        let now = world.parts("proxy");
        (now.len() == 1 && now != before).then_some(())
    });
    let mut kept = connect();
    assert!(kept.get("/version").unwrap().1.contains("v1"));
    assert!(kept.resumed(), "the keys of its tickets travelled");
}

#[test]
fn a_proxy_that_is_taken_over_keeps_its_clients_and_takes_up_renewed_certificates() {
    let _turn = beside();
    let (mut world, port, shop) = live(1);
    let proxy = world.parts("proxy");
    let clients = [Asking::one_by_one(port, &shop), Asking::several(port, &shop)];
    world.kill_up();
    let renewed = Identity::write(world.path(), "shop", "shop.test");
    serves(port, &shop, "v1");
    world.up();
    serves(port, &renewed, "v1");
    assert!(Kept::connect(port, &shop).is_err(), "the old certificate is shown");
    for client in clients {
        client.more();
        client.end();
    }

    // What a proxy that lives cannot change is refused, and it goes on.
    world.kill_up();
    let file = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let plain = format!("127.0.0.1:{}\"", world.port);
    let swapped = text.replace(&plain, "SWAP").replace(&format!("127.0.0.1:{port}\""), &plain);
    std::fs::write(&file, swapped.replace("SWAP", &format!("127.0.0.1:{port}\""))).unwrap();
    let refused = said(&world.expect(2, &["up"]));
    assert!(refused.contains("the proxy that runs listens on 127.0.0.1:"), "{refused}");
    assert_eq!(world.parts("proxy"), proxy);
    serves(port, &renewed, "v1");
    std::fs::write(&file, text).unwrap();
    world.up();
    assert_eq!(world.parts("proxy"), proxy, "the proxy is another one");
}

#[test]
fn certificates_that_cannot_be_used_are_refused_with_their_line() {
    let _turn = beside();
    let (world, _) = world(1);
    let folder = world.path();
    Identity::write(folder, "shop", "shop.test");
    Identity::write(folder, "other", "other.test");
    world.expect(0, &["config", "check"]);
    Identity::valid(folder, "past", "shop.test", (2001, 2002));
    Identity::valid(folder, "ahead", "shop.test", (3001, 3002));
    std::fs::write(folder.join("empty"), "").unwrap();
    std::fs::write(folder.join("large"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let file = folder.join("cutover.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let line = 1 + good.lines().position(|line| line.contains("other.crt")).unwrap();
    for (chain, key, words) in [
        ("other.crt", "shop.key", "shop.key does not belong to the certificate"),
        ("past.crt", "past.key", "past.crt has expired"),
        ("ahead.crt", "ahead.key", "ahead.crt is not valid yet"),
        ("gone.crt", "other.key", "gone.crt cannot be read"),
        ("other.crt", "gone.key", "gone.key cannot be read"),
        ("empty", "other.key", "empty holds no certificate"),
        ("other.crt", "other.crt", "other.crt cannot be read: no private key is in it"),
        (".", "other.key", "cannot be read: not a file"),
        ("/dev/zero", "other.key", "/dev/zero cannot be read: not a file"),
        ("large", "other.key", "larger than 1 MiB"),
    ] {
        let text = good.replace("other.crt", chain).replace("other.key", key);
        std::fs::write(&file, text).unwrap();
        let told = said(&world.expect(2, &["config", "check"]));
        assert!(told.contains(words), "`{words}` is missing: {told}");
        assert!(told.contains(&format!("cutover.toml:{line}:")), "line {line}: {told}");
        assert!(told.contains("help:"), "{told}");
    }
    world.assert_nothing_runs();
    // It is the business of the server and of `config check`: other commands do not need the files.
    let told = said(&world.expect(2, &["status"]));
    assert!(told.contains("no server is running"), "{told}");
}
