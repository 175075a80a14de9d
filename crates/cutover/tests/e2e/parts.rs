//! The other processes killed with SIGKILL: the proxy, the prober. The death of `up` is in `crash`.

use rustix::process::Signal;

use crate::traffic::{Deploy, Users, get};
use crate::world::{World, beside, patient_config, signal, wait_for};

#[test]
fn a_killed_proxy_is_back_on_the_same_sockets_with_its_routes() {
    let _turn = beside();
    let mut world = World::patient(2);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(&world, None);
    let before = world.running();
    for _ in 0..3 {
        let killed = world.parts("proxy")[0];
        signal(killed, Signal::KILL);
        // Asked at once: it waits in the backlog of the socket that `up` holds.
        let answer = get(world.port, "x", "/version").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        wait_for("a new proxy runs", 5, || (world.parts("proxy") != [killed]).then_some(()));
    }
    assert_eq!(world.running(), before);
    let said = world.said();
    let told = said.lines().filter(|line| line.contains("what was in flight on it is lost"));
    let told: Vec<_> = told.filter(|line| line.contains("SIGKILL")).collect();
    assert_eq!(told.len(), 3, "each is told of: {said}");
    assert!(told.iter().all(|line| line.contains("tunnels")), "{told:?}");
    let report = users.end();
    let failures = report["failures"].as_array().unwrap().clone();
    // In flight when it died, at most the few that one process holds at 60 a second, three times.
    assert!(failures.len() <= 6, "{failures:?}");
    for failure in &failures {
        let class = failure["class"].as_str().unwrap();
        assert!(
            ["reset_before_bytes", "lost_in_flight", "truncated"].contains(&class),
            "{failure}"
        );
    }
}

#[test]
fn a_killed_prober_leaves_a_rollout_without_proof() {
    let _turn = beside();
    let config = patient_config(1).replace("bake = \"1500ms\"", "bake = \"4s\"");
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let told = [
        ("v2", "previewing", Signal::KILL),
        ("v3", "baking", Signal::KILL),
        // It sums up, and ends in order.
        ("v4", "baking", Signal::TERM),
    ];
    for (version, phase, sent) in told {
        let mut deploy = Deploy::start(&world, "demo", version);
        deploy.reach(phase);
        let probers = world.parts("probe");
        assert_eq!(probers.len(), 1, "{probers:?}");
        signal(probers[0], sent);
        let shipped = deploy.end();
        shipped.expect(3, "INCONCLUSIVE");
        assert_eq!(shipped.report["outcome"], "promoted");
        assert!(world.parts("probe").is_empty());
    }
}
