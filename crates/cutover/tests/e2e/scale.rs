//! Instances taken away without a rollout: `instances` lowered in the file.
//!
//! Other edits of the file are in `reload`.

use crate::crowd::{Crowd, REQUESTS};
use crate::traffic::get;
use crate::world::{World, abrupt_config, beside, wait_for};

#[test]
fn lowering_the_number_of_instances_costs_no_request() {
    let _turn = beside();
    let mut world = World::new(&abrupt_config(3));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let crowd = Crowd::of(&world, &REQUESTS);
    // Least open requests first: one of these is on each instance, and outlives the change.
    let (port, slow) = (world.port, "/slow?ms=4000");
    let slow: Vec<_> = (0..6).map(|_| std::thread::spawn(move || get(port, "x", slow))).collect();
    let file = world.path().join("cutover.toml");
    let text = abrupt_config(1).replace("PORT", &world.port.to_string());
    std::fs::write(file, text.replace("CUTOVER", crate::world::CUTOVER)).unwrap();
    world.kill_up();
    crowd.mark();
    world.up();
    wait_for("one instance is left", 30, || (world.running().len() == 1).then_some(()));
    crowd.mark();
    for answer in slow {
        let answer = answer.join().unwrap().expect("an open request is answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    crowd.expect_nothing_lost();
    let status = world.status().unwrap();
    assert_eq!(status["apps"][0]["coarse"], "Healthy", "{status}");
}
