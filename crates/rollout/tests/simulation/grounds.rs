//! The rollouts from which short sequences of events begin: each strategy, and what changes its way.
//!
//! No chance is in them; what happens on them is in `sequences`.

use model::{AppName, Call, Farewell, Hold, Hook, Moment, OnFailure, Pace, Version, Weight};
use rollout::{
    Aim, Analysis, Metric, Named, Other, Settings, Start, Strategy, Together, Unmeasured,
    hooks_of_steps,
};

use crate::plan::{CANDIDATE, STABLE};

/// Each by its name, and the strategy that it counts as.
#[expect(clippy::too_many_lines, reason = "a list")]
pub(crate) fn grounds() -> Vec<(&'static str, &'static str, Start)> {
    let canary = |steps: &[u16]| {
        let weight = |points: &u16| Weight::new(*points).unwrap();
        Strategy::Canary {
            steps: steps.iter().map(weight).collect(),
            step_ms: 1_000,
            counts: Vec::new(),
        }
    };
    let hold = Hold { wait_ms: 60_000, requests: 100, bytes: 1 << 20 };
    let (rolling, recreate) =
        (Strategy::Rolling { batch: 1, surge: 0 }, Strategy::Recreate { hold });
    let all = [
        ("blue-green", "blue-green", of(Strategy::BlueGreen, |_| {})),
        ("the first deploy", "blue-green", of(Strategy::BlueGreen, |start| start.stable = None)),
        ("blue-green with hooks", "blue-green", of(Strategy::BlueGreen, hooked)),
        (
            "the way home",
            "blue-green",
            of(Strategy::BlueGreen, |start| {
                start.settings.return_home = true;
            }),
        ),
        (
            "blue-green that keeps",
            "blue-green",
            of(Strategy::BlueGreen, |start| {
                (start.settings.keep_old_ms, start.settings.handover) = (60_000, Some(pace()));
            }),
        ),
        (
            "a rollback",
            "blue-green",
            of(Strategy::BlueGreen, |start| {
                start.settings.aim = Aim::Rollback;
            }),
        ),
        ("blue-green in a group", "blue-green", of(Strategy::BlueGreen, join)),
        ("a canary", "canary", of(canary(&[2_500]), judged)),
        ("a canary with hooks at its steps", "canary", of(canary(&[2_500]), hooked_at_steps)),
        (
            "a canary that begins unseen",
            "canary",
            of(canary(&[0]), |start| {
                start.settings.pause_after = vec![Weight::NONE];
            }),
        ),
        (
            "a canary that goes home",
            "canary",
            of(canary(&[10_000]), |start| start.settings.return_home = true),
        ),
        (
            "a canary by instances",
            "canary",
            of(canary(&[2_500]), |start| {
                if let Strategy::Canary { counts, .. } = &mut start.settings.strategy {
                    counts.push(1);
                }
            }),
        ),
        (
            "going back by instances",
            "canary",
            of(canary(&[2_500]), |start| {
                start.settings.aim = Aim::Rollback;
                if let Strategy::Canary { counts, .. } = &mut start.settings.strategy {
                    counts.push(1);
                }
            }),
        ),
        ("a canary in a group", "canary", of(canary(&[2_500]), join)),
        ("rolling", "rolling", of(rolling.clone(), |_| {})),
        (
            "rolling, and sockets are moved",
            "rolling",
            of(rolling.clone(), |start| {
                start.settings.handover = Some(pace());
            }),
        ),
        (
            "rolling back",
            "rolling",
            of(rolling.clone(), |start| {
                start.settings.aim = Aim::Rollback;
            }),
        ),
        ("rolling with a surge", "rolling", of(Strategy::Rolling { batch: 1, surge: 1 }, |_| {})),
        ("rolling in a group", "rolling", of(rolling, join)),
        ("recreate", "recreate", of(recreate.clone(), |start| start.instances = 1)),
        (
            "recreating what ran before",
            "recreate",
            of(recreate.clone(), |start| {
                start.instances = 1;
                start.settings.aim = Aim::Rollback;
            }),
        ),
        (
            "recreate in a group",
            "recreate",
            of(recreate, |start| {
                start.instances = 1;
                join(start);
            }),
        ),
    ];
    all.into()
}

/// v2 after v1, two instances, watched by a prober.
fn of(strategy: Strategy, change: impl FnOnce(&mut Start)) -> Start {
    let named = |id, version: &str| Named { id, version: Version::new(version).unwrap() };
    let settings = Settings { strategy, preview_requests: 1, ..Settings::default() };
    let mut start = Start {
        app: AppName::new("shop").unwrap(),
        stable: Some(named(STABLE, "v1")),
        candidate: named(CANDIDATE, "v2"),
        instances: 2,
        settings,
    };
    change(&mut start);
    start
}

const fn pace() -> Pace {
    Pace { farewell: Farewell::Close, per_second: 10, at_once: 10 }
}

fn join(start: &mut Start) {
    let (app, version) = (AppName::new("credit").unwrap(), Version::new("v2").unwrap());
    let others = vec![Other { app, version, run: "r1".to_owned() }];
    let name = AppName::new("both").unwrap();
    start.settings.together = Some(Together { name, others, wait_ms: 600_000 });
}

fn judged(start: &mut Start) {
    start.settings.analysis = Some(Analysis::default());
    let (name, unmeasured) = ("queue".to_owned(), Unmeasured::Pause);
    let metric = Metric { name, failures: 1, unmeasured, at: Vec::new(), patience_ms: 2_000 };
    start.settings.metrics = vec![metric];
}

/// One before each step, and one after the first.
fn hooked_at_steps(start: &mut Start) {
    hooked(start);
    let hook = |moment: Moment, step| {
        let mut hook = start.settings.hooks[0].clone();
        (hook.name, hook.moment, hook.step) = (moment.to_string(), moment, step);
        hook
    };
    let hooks = vec![hook(Moment::BeforeStep, None), hook(Moment::AfterStep, Some(1))];
    start.settings.hooks = hooks_of_steps(start, hooks);
}

/// One at each moment; what a failure means differs from one to the next.
fn hooked(start: &mut Start) {
    let means = [OnFailure::Abort, OnFailure::Pause, OnFailure::Continue];
    let hook = |(moment, on_failure): (Moment, OnFailure)| Hook {
        name: moment.to_string(),
        moment,
        step: None,
        call: Call::Program(vec!["call".to_owned()]),
        timeout_ms: 3_000,
        retries: 0,
        on_failure,
        once: false,
        rollback: true,
    };
    let moments = Moment::ALL.into_iter().filter(|moment| !moment.is_of_steps());
    start.settings.hooks = moments.zip(means.into_iter().cycle()).map(hook).collect();
}
