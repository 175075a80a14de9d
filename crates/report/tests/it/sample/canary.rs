//! A canary in random shares, and what can be odd about one. What the report must say of it is in `shares`.

use model::{Lane, Outcome, Phase, Weight};
use report::{Input, PhaseSpan, ShareSpan};

use super::{SWITCH_US, jitter, never_ready, pass, phases};

/// When each share is asked for, us, and the share.
pub(crate) const STEPS: [(i64, u16); 4] =
    [(5_000_000, 500), (9_000_000, 2_500), (13_000_000, 5_000), (17_000_000, 10_000)];
/// How long the router takes to carry a share.
pub(crate) const SETTLES_US: i64 = 60_000;
/// How long after the last command the old version still answers.
const OLD_FOR_US: i64 = 9_000;

/// The one share of a blue-green deploy.
pub(crate) fn at_once() -> Vec<ShareSpan> {
    let from_us = SWITCH_US.cast_signed();
    vec![ShareSpan {
        share: Weight::ALL,
        from_us,
        settled_us: Some(from_us + 78_000),
        to_us: 30_000_000,
        counted: None,
    }]
}

/// The spans of shares asked for one after the other.
pub(crate) fn spans(steps: &[(i64, u16)], end_us: i64) -> Vec<ShareSpan> {
    let ends = steps.iter().skip(1).map(|(at, _)| *at).chain([end_us]);
    let spans = steps.iter().zip(ends).map(|((from_us, bp), to_us)| ShareSpan {
        share: Weight::new(*bp).unwrap(),
        from_us: *from_us,
        settled_us: Some(from_us + SETTLES_US),
        to_us,
        counted: None,
    });
    spans.collect()
}

/// 5, 25, 50 per cent and all, as asked for.
pub(crate) fn canary() -> Input {
    shared(&STEPS)
}

/// The router gives other shares than it was asked for: `given` are in the order of `STEPS`.
pub(crate) fn given(given: [u16; 4]) -> Input {
    let mut steps = STEPS;
    for (step, bp) in steps.iter_mut().zip(given) {
        step.1 = bp;
    }
    shared(&steps)
}

/// The second share was judged bad: users went back to v1.
pub(crate) fn gave_up() -> Input {
    let back = 12_000_000;
    let mut input = shared(&[STEPS[0], STEPS[1], (back, 0)]);
    input.outcome = Outcome::Aborted;
    input.ending_note = Some("1.2 % of the requests to v2 failed, and 1.0 % may".to_owned());
    input.shares = spans(&STEPS[..2], back);
    let mut marks = marks(&STEPS[..2]);
    marks.extend([
        (Phase::RollingBack, back),
        (Phase::DrainingCandidate, back + 200_000),
        (Phase::StoppingCandidate, back + 400_000),
        (Phase::Aborted, back + 900_000),
    ]);
    input.phases = phases(&marks, 30_000_000);
    let stayed = never_ready();
    for (a, old) in input.attempts.iter_mut().zip(stayed.attempts) {
        if a.lane == Lane::Websocket {
            *a = old;
        }
    }
    input.connections = stayed.connections;
    input
}

/// Five instances replaced one by one.
pub(crate) fn rolling() -> Input {
    let turns: Vec<(i64, u16)> =
        (1..=5).map(|i| (1_500_000 + i64::from(i) * 3_000_000, i * 2_000)).collect();
    let mut input = shared(&turns);
    input.shares = spans(&turns, 30_000_000);
    let mut marks = vec![(Phase::Starting, -500_000)];
    for (from, _) in &turns {
        marks.extend([
            (Phase::Draining, from - 2_500_000),
            (Phase::HandingOver, from - 2_400_000),
            (Phase::Stopping, from - 1_700_000),
            (Phase::Starting, from - 1_500_000),
            (Phase::Previewing, from - 900_000),
            (Phase::Arming, from - 200_000),
            (Phase::Shifting, *from),
            (Phase::Baking, from + SETTLES_US),
        ]);
    }
    marks.push((Phase::Promoted, 18_000_000));
    input.phases = phases(&marks, 30_000_000);
    input
}

fn shared(steps: &[(i64, u16)]) -> Input {
    let mut input = pass();
    input.shares = spans(&STEPS, 30_000_000);
    input.phases = promoted();
    for a in input.attempts.iter_mut().filter(|a| a.lane != Lane::Websocket) {
        let sent = a.sent_us.cast_signed();
        let delay = |bp: u16| if bp == 10_000 { OLD_FOR_US } else { SETTLES_US / 2 };
        let now = steps.iter().rev().find(|(from, bp)| from + delay(*bp) <= sent);
        let new = jitter(a.id ^ 0x00c0_ffee, 10_000) < now.map_or(0, |(_, bp)| u64::from(*bp));
        a.version = Some(if new { "v2" } else { "v1" }.to_owned());
        a.instance = Some(if new { "demo-2-1" } else { "demo-1-1" }.to_owned());
    }
    input
}

fn promoted() -> Vec<PhaseSpan> {
    let mut marks = marks(&STEPS);
    marks.extend([
        (Phase::Draining, 18_500_000),
        (Phase::HandingOver, 18_900_000),
        (Phase::Stopping, 21_500_000),
        (Phase::Promoted, 23_000_000),
    ]);
    phases(&marks, 30_000_000)
}

fn marks(steps: &[(i64, u16)]) -> Vec<(Phase, i64)> {
    let mut marks = vec![
        (Phase::Starting, -1_500_000),
        (Phase::Previewing, 2_000_000),
        (Phase::Arming, 4_500_000),
    ];
    for (from, _) in steps {
        marks.extend([(Phase::Shifting, *from), (Phase::Baking, from + SETTLES_US)]);
    }
    marks
}
