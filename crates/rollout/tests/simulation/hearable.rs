//! Everything that a machine can hear, as it may be now: what is true, what is late, what is a lie, and what
//! operators press. One of each kind at least; a kind of event that is missing does not compile.

use model::{
    Barrier, Counted, Counter, Event, FleetSeen, InstanceId, Measured, Offenders, ReleaseId,
    Successor, Tally, Tick, Version, Weight,
};
use rollout::Rollout;

use crate::plan::{CANDIDATE, STABLE};
use crate::quiet;

/// How many kinds there are.
pub(crate) const KINDS: u8 = 26;

/// The number of a kind.
pub(crate) const fn kind(event: &Event) -> u8 {
    match event {
        Event::Tick => 0,
        Event::Fleet { .. } => 1,
        Event::RoutesSettled { .. } => 2,
        Event::Open { .. } => 3,
        Event::Leaving { .. } => 4,
        Event::Movable { .. } => 5,
        Event::Lingering(_) => 6,
        Event::Preview { .. } => 7,
        Event::Armed => 8,
        Event::ProberLost => 9,
        Event::Window(_) => 10,
        Event::Thresholds { .. } => 11,
        Event::Units { .. } => 12,
        Event::HookEnded { .. } => 13,
        Event::Measured { .. } => 14,
        Event::BarrierOpened { .. } => 15,
        Event::Deserted { .. } => 16,
        Event::AbortAsked { .. } => 17,
        Event::PauseAsked { .. } => 18,
        Event::ResumeAsked => 19,
        Event::PromoteAsked { .. } => 20,
        Event::WeightAsked { .. } => 21,
        Event::SupersedeAsked { .. } => 22,
        Event::Resumed => 23,
        Event::Surveyed { .. } => 24,
        Event::Counters { .. } => 25,
    }
}

/// What may be heard now; what routers count is of that second. [`Event::Tick`] is told when the machine wants to
/// be woken.
pub(crate) fn hearable(machine: &Rollout, at_s: u64) -> Vec<Event> {
    let mut all = vec![Event::Tick, Event::Resumed, Event::Armed, Event::ProberLost];
    all.extend(fleets(machine));
    all.extend(routes(machine));
    all.extend(leaving(machine));
    all.extend(judged(machine, at_s));
    all.extend(others(machine));
    all.extend(pressed());
    all
}

fn fleets(machine: &Rollout) -> Vec<Event> {
    let (wants, usual) = (machine.wants(), machine.start().instances);
    let fleet = |release, existing, ready, crashes| {
        let trouble = vec!["GET /healthz: 503".to_owned()];
        Event::Fleet {
            release,
            seen: FleetSeen { existing, ready, crashes, unstarted: 0, trouble },
        }
    };
    let of = |release| {
        let well = quiet::fleet(&wants, release);
        [well, fleet(release, usual, 0, 0), fleet(release, 0, 0, 0)]
    };
    let mut all = vec![fleet(CANDIDATE, usual, usual, 1)];
    all.extend([STABLE, CANDIDATE].into_iter().flat_map(of));
    all
}

fn routes(machine: &Rollout) -> Vec<Event> {
    let mut all = vec![
        Event::RoutesSettled { pools: machine.wants().pools },
        Event::RoutesSettled { pools: Vec::new() },
        Event::Lingering(Offenders { oldest: Vec::new(), more: 2 }),
    ];
    for release in [STABLE, CANDIDATE] {
        let open = |requests, tunnels| Event::Open { release, requests, tunnels };
        all.extend([open(0, 0), open(1, 0), open(0, 1)]);
    }
    all
}

fn leaving(machine: &Rollout) -> Vec<Event> {
    let wants = machine.wants();
    let of = |release, names: &[&str], requests| Event::Leaving {
        release,
        instances: names.iter().map(|name| InstanceId((*name).to_owned())).collect(),
        requests,
        tunnels: 0,
    };
    let release = wants.leave.as_ref().map_or(STABLE, |leave| leave.release);
    let mut all = vec![of(release, &["0"], 1), of(release, &[], 0), of(release, &["other"], 0)];
    all.extend(wants.leave.as_ref().map(|leave| quiet::leaving(machine, leave)));
    let release = wants.hand_over.as_ref().map_or(STABLE, |want| want.release);
    all.extend([0, 2].map(|sockets| Event::Movable { release, sockets }));
    all
}

fn judged(machine: &Rollout, at_s: u64) -> Vec<Event> {
    let asked = u64::from(machine.wants().preview.unwrap_or(1));
    let preview = |ok, failed: bool| {
        let failed = failed.then_some((model::Class::BadStatus, 1)).into_iter().collect();
        Event::Preview { tally: Tally { ok, failed }, failures: Vec::new() }
    };
    let counted = |errors| Counted { units: 50, errors, slow: Vec::new() };
    let units = |candidate, stable| Event::Units {
        at_s,
        tick: Tick { candidate: counted(candidate), stable: counted(stable) },
    };
    let metric = machine.measures().next().map_or("queue".to_owned(), |it| it.name.clone());
    let measured = |found| Event::Measured { metric: metric.clone(), found, words: String::new() };
    let name = machine.wants().hook.unwrap_or_default();
    let hook = |passed| Event::HookEnded { name: name.clone(), passed, words: String::new() };
    let mut all = vec![preview(asked, false), preview(asked, true)];
    all.extend([units(0, 0), units(50, 0), units(50, 50)]);
    all.extend([0, u64::MAX].map(|until_ms| Event::Surveyed { until_ms }));
    let requests = 50 * at_s;
    let all_failed = Counter { release: Some(CANDIDATE), requests, failed: requests };
    all.push(Event::Counters { counters: [("7/a".to_owned(), all_failed)].into(), until_ms: 0 });
    all.extend([0, 10].map(|failures| Event::Window(quiet::window(failures))));
    all.extend([Measured::Within, Measured::Beyond, Measured::Unknown].map(measured));
    all.extend([hook(true), hook(false), Event::Thresholds { thresholds: Vec::new() }]);
    all
}

fn others(machine: &Rollout) -> Vec<Event> {
    let here = machine.awaits().unwrap_or(Barrier::Ready);
    let app = machine.start().app.clone();
    let opened = |barrier| Event::BarrierOpened { barrier };
    vec![opened(here), opened(Barrier::Final), Event::Deserted { app, why: "503".to_owned() }]
}

fn pressed() -> Vec<Event> {
    let reason = || "pressed".to_owned();
    let by = Successor {
        release: ReleaseId(3),
        version: Version::new("v3").unwrap(),
        run: "later".to_owned(),
        rollback: false,
    };
    vec![
        Event::AbortAsked { reason: reason() },
        Event::PauseAsked { reason: reason() },
        Event::ResumeAsked,
        Event::PromoteAsked { full: false },
        Event::PromoteAsked { full: true },
        Event::WeightAsked { weight: Weight::new(1_000).unwrap() },
        Event::SupersedeAsked { by },
    ]
}
