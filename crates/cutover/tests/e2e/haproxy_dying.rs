//! A candidate that dies behind HAProxy: what its users meet, and what becomes of the rollout.
//!
//! HAProxy sends no request across releases, so what a dead candidate had taken is lost with it; what
//! must not be is anything after that.

use rustix::process::Signal;

use crate::haproxy_bed::{Real, programs};
use crate::traffic::{Deploy, get};
use crate::world::{World, patient_config, signal, turn};

/// Most requests that a candidate may cost which dies under 100 requests a second. HAProxy's own checks
/// would take 1.5 s to notice, that is 150.
const COST: u64 = 40;

/// Kills every instance of the candidate, as running out of memory does.
fn kill_candidate(world: &World) {
    let of_candidate = |(id, _): &(String, u32)| id.starts_with("demo-2-");
    let pids: Vec<u32> =
        world.running().into_iter().filter(of_candidate).map(|(_, pid)| pid).collect();
    assert!(!pids.is_empty(), "no candidate runs");
    for pid in pids {
        signal(pid, Signal::KILL);
    }
}

#[test]
fn a_candidate_that_dies_right_after_the_switch_behind_haproxy_is_left_at_once() {
    let _turn = turn();
    for program in programs() {
        let real = Real::live(&program, &patient_config(2));
        let mut deploy = Deploy::start(&real.world, "demo", "v2");
        deploy.reach("baking");
        kill_candidate(&real.world);
        let shipped = deploy.end();
        let (report, said) = (&shipped.report, &shipped.said);
        assert_eq!((shipped.code, &report["outcome"]), (Some(4), &"aborted".into()), "{said}");
        let failed = report["failed"].as_u64().unwrap();
        println!("{}: {failed} of {} failed: {}", program.display(), report["sent"], shipped.why());
        assert!(failed <= COST, "{failed} failed: {}", shipped.why());
        assert!(get(real.world.port, "x", "/version").unwrap().contains("v1"), "{said}");
        let left = real.world.running();
        assert!(
            left.len() == 2 && left.iter().all(|(id, _)| id.starts_with("demo-1-")),
            "{left:?}"
        );
    }
}

#[test]
fn a_candidate_that_dies_before_the_switch_behind_haproxy_costs_nothing() {
    let _turn = turn();
    for program in programs() {
        let real = Real::live(&program, &patient_config(2));
        let mut deploy = Deploy::start(&real.world, "demo", "v2");
        deploy.reach("arming");
        kill_candidate(&real.world);
        let shipped = deploy.end();
        let (report, said) = (&shipped.report, &shipped.said);
        assert_eq!((shipped.code, &report["outcome"]), (Some(4), &"aborted".into()), "{said}");
        assert_eq!(report["failed"], 0, "{}", shipped.why());
        assert!(report["sent"].as_u64().unwrap() > 30, "{said}");
        assert!(get(real.world.port, "x", "/version").unwrap().contains("v1"), "{said}");
    }
}
