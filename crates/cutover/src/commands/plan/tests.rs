//! The plan as people see it, word by word.
//!
//! How a plan is found out is not tried here: `server::planning` has its own tests.

use model::{AppName, Phase};

use super::text;
use crate::server::planned::{
    ChangePlanned, Compared, Driver, Finds, FirstPlanned, PhasePlanned, Planned, ProbePlanned,
    RouterPlanned, UsersPlanned,
};

fn phase(phase: Phase, ms: u64, candidate: u16, finds: Option<Finds>) -> PhasePlanned {
    let traffic = [("v1", 10_000 - candidate), ("v2", candidate)];
    let traffic = traffic.into_iter().filter(|(_, points)| *points > 0);
    let traffic = traffic.map(|(version, points)| (version.to_owned(), points)).collect();
    let limit_ms = (ms > 0).then_some(ms);
    PhasePlanned { phase, limit_ms, traffic, finds, judges: Vec::new(), changes: Vec::new() }
}

/// The same, in which the drivers do something.
fn does(phase: PhasePlanned, by: Driver, words: &[&str]) -> PhasePlanned {
    let change = |words: &&str| ChangePlanned { by, words: (*words).to_owned() };
    PhasePlanned { changes: words.iter().map(change).collect(), ..phase }
}

fn canary() -> Planned {
    let finds = |answers, all_failing_ms, floor| Some(Finds { answers, all_failing_ms, floor });
    Planned {
        app: AppName::new("shop").unwrap(),
        from: Some("v1".into()),
        to: "v2".into(),
        strategy: "canary, 1.00%, 5.00% then everything".into(),
        instances: 2,
        router: RouterPlanned {
            name: "HAProxy".into(),
            drain: "timed".into(),
            change: "atomic".into(),
            finest_weight: 1,
            header_rules: true,
            evidence: "counters".into(),
        },
        degrades: vec!["a drain is timed".into()],
        first: FirstPlanned {
            platform: vec!["start shop-2-1 on port 40001".into(), "start shop-2-2".into()],
            router: vec![],
            waiting: vec![],
        },
        probe: Some(ProbePlanned {
            rate: 50,
            lanes: vec!["keep-alive".into(), "fresh".into()],
            late_after_ms: 1_000,
            timeout_ms: 10_000,
            max_errors: 3,
            max_error_share: 100,
        }),
        compared: vec![Compared {
            share: 500,
            errors: 3,
            requests: 9_012,
            requests_ms: Some(180_240),
            slow_requests: Some(48_765),
            slow_ms: Some(975_300),
        }],
        users: Some(UsersPlanned { per_second: 50.02, counted_ms: Some(120_000) }),
        unforeseen: None,
        judged: Vec::new(),
        measured: Vec::new(),
        handover: "the app is told to end".into(),
        hooks: vec!["before switch: smoke".into()],
        kept: vec!["v1 runs on for 10m".into()],
        phases: vec![
            does(
                phase(Phase::Starting, 60_000, 0, None),
                Driver::Platform,
                &["start shop-2-1 (v2) on a free port", "start shop-2-2 (v2) on a free port"],
            ),
            phase(Phase::Previewing, 15_000, 0, None),
            phase(Phase::Arming, 3_000, 0, None),
            does(
                phase(Phase::Shifting, 15_000, 100, None),
                Driver::Router,
                &["route shop (generation 5): v1 99.00% on 2, v2 1.00% on 2"],
            ),
            phase(Phase::Baking, 4_000, 100, finds(2, None, None)),
            phase(Phase::Shifting, 15_000, 500, None),
            phase(Phase::Baking, 10_000, 500, finds(25, Some(1_200), Some(2_519))),
            phase(Phase::Shifting, 15_000, 10_000, None),
            phase(Phase::Baking, 10_000, 10_000, finds(500, Some(60), Some(211))),
            phase(Phase::Draining, 30_000, 10_000, None),
            phase(Phase::HandingOver, 30_000, 10_000, None),
            phase(Phase::Stopping, 15_000, 10_000, None),
            phase(Phase::Promoted, 0, 10_000, None),
        ],
    }
}

const CANARY: &str = "\
shop: v1 -> v2, canary, 1.00%, 5.00% then everything, 2 instances
nothing was done; `cutover deploy shop v2` does it

router   HAProxy: drain timed, change atomic, finest share 0.01%, rules by header and cookie, \
evidence counters
prober   50/s over keep-alive, fresh; late after 1s, failed after 10s
aborts   at 3 errors that are more than 1.00% of the answers

degrades
  a drain is timed

if all goes well
  starting      within 1m    v1 100.00%           v2 passes its health checks
    - start shop-2-1, shop-2-2 (v2) on a free port
  previewing    within 15s                        v2 is asked before users are
  arming        within 3s                         the prober gets ready
  shifting      within 15s   v1 99.00%, v2 1.00%  until it is seen in effect
    - route shop (generation 5): v1 99.00% on 2, v2 1.00% on 2
  baking        for 4s                            2 answers of v2: finds nothing; raise the rate, \
the share or the time
  shifting      within 15s   v1 95.00%, v2 5.00%  until it is seen in effect
  baking        for 10s                           25 answers of v2: errors of 25.19% are found, all \
failing after 1s200ms
  shifting      within 15s   v2 100.00%           until it is seen in effect
  baking        for 10s                           500 answers of v2: errors of 2.11% are found, all \
failing after 60ms
  draining      within 30s                        until no new request came for the longest one's time
  handing-over  within 30s                        if tunnels are open: the app is told to end
  stopping      within 15s                        what is left is ended
  promoted

while both versions have a share, a failure that names no version (refused, reset) counts against \
neither

hooks
  before switch: smoke

kept
  v1 runs on for 10m

compared with v1 by what users meet, every second, at 50 requests a second (theirs of the last 2m)
  share    errors of v2, none of v1    1 % errors against 0.1 %    twice as many over v1's p99
  5.00%    3                           9,000 requests, 3m          49,000 requests, 16m15s
";

#[test]
fn a_canary_reads_like_this() {
    let said = text(&canary());
    assert_eq!(said, CANARY, "{said}");
}

#[test]
fn a_first_deploy_without_a_prober_reads_like_this() {
    let mut first = canary();
    first.from = None;
    first.strategy = "the first deploy: nobody is on it yet".into();
    (first.instances, first.probe) = (1, None);
    first.degrades.clear();
    first.compared.clear();
    first.kept.clear();
    first.hooks.clear();
    first.first = FirstPlanned::default();
    first.phases =
        vec![phase(Phase::Baking, 2_000, 10_000, None), phase(Phase::Promoted, 0, 10_000, None)];
    let said = text(&first);
    let wanted = "prober   none: what only clients see (refused, reset, cut) is not found, and there is no \
         verdict\ndegrades nothing\n\nif all goes well\n  \
         baking        for 2s       v2 100.00%           nobody judges it but the health checks\n  \
         promoted\n";
    assert!(
        said.starts_with("shop: v2, the first deploy: nobody is on it yet, 1 instance\n"),
        "{said}"
    );
    assert!(said.ends_with(wanted), "{said}");
}

/// Without a prober, and with one that asks nothing: a phase is not said to be judged by nobody while the limits
/// that hold in it stand below.
#[test]
fn who_judges_without_the_prober_is_said() {
    let mut planned = canary();
    planned.judged = vec!["more than 1 % of v2's requests failing ends it".into()];
    for phase in &mut planned.phases {
        phase.finds = None;
        if phase.phase == Phase::Baking {
            phase.judges = vec!["users' requests".into(), "the metric late".into()];
        }
    }
    let (by, nobody) =
        ("judged by users' requests, the metric late, health checks", "nobody judges");
    let sockets = "; the prober has only sockets, which stay where they are\n";
    let count = |planned: &Planned, words: &str| text(planned).matches(words).count();
    if let Some(probe) = &mut planned.probe {
        probe.lanes = vec!["websocket".into()];
    }
    assert_eq!((count(&planned, &format!("{by}{sockets}")), count(&planned, nobody)), (3, 0));
    planned.probe = None;
    assert_eq!((count(&planned, &format!("{by}\n")), count(&planned, nobody)), (3, 0));
    assert_eq!(count(&planned, "names no version"), 0, "{}", text(&planned));
    for phase in &mut planned.phases {
        phase.judges.clear();
    }
    assert_eq!(count(&planned, nobody), 3);
}

#[test]
fn what_is_not_known_is_said() {
    let mut found = canary();
    found.unforeseen = Some("what comes of `follow v2` is not known".into());
    found.users = Some(UsersPlanned { per_second: 33.3, counted_ms: None });
    let said = text(&found);
    assert!(said.contains("\n\nwhat comes of `follow v2` is not known\n"), "{said}");
    let rate = "; times if they send the prober's 33 a second: how many come is not known yet\n";
    assert!(said.contains(rate), "{said}");
}

#[test]
fn a_hundred_batches_do_not_fill_the_screen() {
    let mut long = canary();
    long.phases = (0..100).map(|_| phase(Phase::Shifting, 1_000, 5_000, None)).collect();
    let said = text(&long);
    assert!(said.contains("... 84 more like these ...") && said.lines().count() < 50, "{said}");
}
