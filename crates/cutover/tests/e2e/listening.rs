//! Where users come in: a free port that the kernel picks, an address that is taken out of the file.
//!
//! Edits of the file under a running server are in `reload`.

use crate::traffic::get;
use crate::world::{World, beside, free_port, patient_config, said, wait_for};

#[test]
fn a_free_port_is_named_and_the_prober_finds_it_also_after_a_take_over() {
    let _turn = beside();
    let mut world = World::new(&patient_config(1).replace("127.0.0.1:PORT", "127.0.0.1:0"));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    world.kill_up();
    world.up();
    let status = world.status().unwrap();
    let listen = status["listen"][0].as_str().unwrap().to_owned();
    assert!(world.said().contains(&format!("serving demo on {listen}")), "{}", world.said());
    world.port = listen.rsplit_once(':').unwrap().1.parse().unwrap();
    let answer = get(world.port, "x", "/version").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Whether the prober sends enough on a busy machine is for other tests; it reaches the router.
    let output = world.run(&["deploy", "demo", "v2"]);
    let report = world.report();
    assert_eq!(report["failed"], 0, "{}", said(&output));
    assert!(report["sent"].as_u64() > Some(0), "{}", said(&output));
}

#[test]
fn an_address_that_is_no_longer_configured_is_named_while_it_stays_open() {
    let _turn = beside();
    let mut world = World::patient(1);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    world.kill_up();
    let path = world.path().join("cutover.toml");
    let (old, new) = (format!("127.0.0.1:{}", world.port), format!("127.0.0.1:{}", free_port()));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&old, &new)).unwrap();
    world.up();
    let said = world.said();
    assert!(said.contains(&format!("{old} is no longer in `listen`")), "{said}");
    for address in [old, new] {
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        let served = || get(port, "x", "/version").ok();
        let answer = wait_for("it is served", 10, served);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
