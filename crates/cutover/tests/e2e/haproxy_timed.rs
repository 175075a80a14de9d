//! A HAProxy that sends upgrades where requests go: nobody tells them apart, so a drain is timed.
//!
//! Where they are told apart, the drain is in `haproxy`.

use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Kind};
use crate::haproxy_bed::{Real, programs};
use crate::plan::plan;
use crate::traffic::Deploy;
use crate::world::{patient_config, said, turn};

/// The longest request of this app.
const LONGEST: Duration = Duration::from_millis(1_500);

#[test]
fn without_a_backend_for_upgrades_a_drain_ends_when_nothing_new_came_for_long_enough() {
    let _turn = turn();
    for program in programs() {
        let config = patient_config(2)
            .replace("bake = \"1500ms\"", "bake = \"100ms\"\nlongest_request = \"1500ms\"");
        let mut real = Real::of(&program, &config);
        real.world.expect(0, &["haproxy", "install"]);
        without_backends_for_upgrades(&real);
        real.start();
        real.world.up();
        real.world.expect(0, &["deploy", "demo", "v1"]);
        let text = said(&real.world.expect(2, &["haproxy", "check"]));
        assert!(text.contains("so a drain is timed") && text.contains("longest_request"), "{text}");
        let planned = plan(&real.world, "v2");
        assert_eq!(planned["router"]["drain"], "timed", "{planned}");
        let degrades = planned["degrades"].to_string();
        assert!(
            degrades.contains("a drain is timed: when no new request came for 1s500ms"),
            "{planned}"
        );
        let crowd = Crowd::of(&real.world, &[Kind::Socket; 3]);
        let mut deploy = Deploy::start(&real.world, "demo", "v2");
        deploy.reach("shifting");
        let shifted = Instant::now();
        deploy.reach("draining");
        crowd.mark();
        let began = Instant::now();
        deploy.reach("handing-over");
        // Not before nobody can be asking v1 any more, and long before its deadline of 30 s.
        let (since, took) = (shifted.elapsed(), began.elapsed());
        assert!(since + Duration::from_millis(100) > LONGEST && took < 6 * LONGEST, "{since:?}");
        crowd.mark();
        let shipped = deploy.end();
        let tallies = crowd.expect_nothing_lost();
        assert!(tallies.iter().all(|tally| tally.reconnects == 1), "{tallies:?}");
        shipped.expect(0, "PASS");
        assert!(
            shipped.said.contains("a drain is timed"),
            "a deploy says so too: {}",
            shipped.said
        );
    }
}

/// What somebody may have who wrote the configuration himself.
fn without_backends_for_upgrades(real: &Real) {
    let edit = |name: &str, change: &dyn Fn(&str) -> String| {
        let text = std::fs::read_to_string(real.file(name)).unwrap();
        std::fs::write(real.file(name), change(&text)).unwrap();
    };
    edit("cutover-demo.cfg", &|text| {
        let sections = text.split("\nbackend ").filter(|one| !one.contains("_ws from"));
        sections.collect::<Vec<_>>().join("\nbackend ")
    });
    edit("00-cutover.cfg", &|text| {
        let lines = text.lines().filter(|line| !line.contains("_ws\""));
        lines.collect::<Vec<_>>().join("\n") + "\n"
    });
}
