//! Canary and rolling behind Cutover's own proxy: nothing lost, shares kept, no instance too many.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::traffic::{Deploy, Users};
use crate::world::{World, patient_config, turn};

/// A patient world with another strategy.
fn world(instances: u16, strategy: &str) -> World {
    let config = patient_config(instances).replace("bake = \"1500ms\"", strategy);
    World::new(&config.replace("rate = 100", "rate = 200"))
}

/// Ships v2 over v1 under users of its own, who must lose nothing; answers the report.
fn ship(world: &mut World, mut watch: impl FnMut(&World)) -> Value {
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::start(world.port);
    let mut deploy = Deploy::start(world, "demo", "v2");
    while !deploy.has_ended() {
        watch(world);
    }
    let shipped = deploy.end();
    users.assert_nothing_lost();
    assert_eq!(shipped.code, Some(0), "{}", shipped.said);
    assert_eq!(shipped.report["failed"], 0);
    shipped.report
}
