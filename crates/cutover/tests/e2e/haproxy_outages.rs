//! HAProxy killed, reloaded and restarted in the middle of each phase of a rollout: the rollout ends,
//! users are served, and the report tells what the outage cost from what the rollout cost, which is
//! nothing.
//!
//! A sample of the pairs by default (`CUTOVER_SEED` chooses it), all of them with `CUTOVER_FULL=1`; the
//! versions on the test bed take turns.

use crate::haproxy_bed::{Real, programs};
use crate::traffic::{Deploy, Shipped, Users, get};
use crate::world::{patient_config, turn};

const PHASES: [&str; 8] = [
    "starting",
    "previewing",
    "arming",
    "shifting",
    "baking",
    "draining",
    "handing-over",
    "stopping",
];

/// What somebody does to HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// SIGKILL to all of it, and a start.
    Kill,
    /// SIGUSR2, as an administrator does.
    Reload,
    /// SIGTERM to the master, its end, and a start.
    Restart,
}

impl Deed {
    fn done_to(self, real: &mut Real) {
        match self {
            Self::Kill => real.crash(),
            Self::Reload => return real.reload(),
            Self::Restart => real.end(),
        }
        real.start();
    }
}

/// The pairs of this run: all, or four that the seed chooses.
fn pairs() -> Vec<(&'static str, Deed)> {
    let deeds = [Deed::Kill, Deed::Reload, Deed::Restart];
    let all = PHASES.into_iter().flat_map(|phase| deeds.map(|deed| (phase, deed)));
    let mut all: Vec<_> = all.collect();
    if std::env::var_os("CUTOVER_FULL").is_none() {
        let day = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
        let seed = std::env::var("CUTOVER_SEED").ok().and_then(|text| text.parse().ok());
        let seed = usize::try_from(seed.unwrap_or(day)).unwrap();
        println!("CUTOVER_SEED={seed}");
        // Coprime to the number of pairs: different phases and different deeds.
        all = (0..4).map(|at| all[(seed + at * 7) % all.len()]).collect();
    }
    all
}

#[test]
fn whatever_is_done_to_haproxy_in_any_phase_the_rollout_costs_nothing() {
    let _turn = turn();
    let programs = programs();
    let pairs = pairs();
    for (number, program) in programs.iter().enumerate() {
        let mut real = Real::live(program, &patient_config(1));
        let mine = pairs.iter().skip(number).step_by(programs.len());
        for (at, (phase, deed)) in mine.enumerate() {
            let version = format!("v{}", at + 2);
            let mut deploy = Deploy::start(&real.world, "demo", &version);
            deploy.reach(phase);
            deed.done_to(&mut real);
            let shipped = deploy.end();
            println!("{deed:?} in {phase}: {:?} {}", shipped.code, shipped.report["outages"]);
            judge(&shipped, *deed, phase);
            let promoted = shipped.report["outcome"] == "promoted";
            let stable = real.world.status().unwrap()["apps"][0]["stable"].clone();
            assert_eq!(stable == version.as_str(), promoted, "{deed:?} in {phase}: {stable}");
            let users = Users::of(&real.world, None);
            let answer = get(real.world.port, "x", "/version").unwrap();
            assert!(answer.contains(stable.as_str().unwrap()), "{deed:?} in {phase}: {answer}");
            users.expect_pass();
        }
    }
}

/// Nothing failed but what the outage cost.
fn judge(shipped: &Shipped, deed: Deed, phase: &str) {
    let (report, said) = (&shipped.report, &shipped.said);
    if deed == Deed::Reload {
        return shipped.expect(0, "PASS");
    }
    assert!(matches!(shipped.code, Some(0 | 1 | 4)), "{deed:?} in {phase}: {said}");
    let outages = report["outages"].as_array().unwrap();
    let cost: u64 = outages.iter().map(|outage| outage["failed"].as_u64().unwrap()).sum();
    let failures = &report["failures"];
    assert_eq!(report["failed"], cost, "{deed:?} in {phase}: {outages:?} {failures} {said}");
    if cost > 0 {
        let facts = report["facts"].to_string();
        assert!(facts.contains("the rollout itself cost no request"), "{facts}");
    }
}
