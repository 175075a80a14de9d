//! Times in which nothing answered, from any version: on any lane, or on any but the sockets.
//!
//! A silence tells a path that stood still from a version that was slow. It does not say why the
//! path stood still.

use model::{Attempt, Lane};

use crate::axis::{axis, between};
use crate::run::Run;

/// Nothing answered from here to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    /// Whether sockets were silent, too.
    pub(crate) sockets: bool,
}

/// At a low rate a pause between answers is no silence: this many intervals must pass.
const INTERVALS: u64 = 5;

/// Silences of at least half the limit for late answers: of everything first, then of requests
/// while sockets went on.
pub(crate) fn silences(run: &Run<'_>) -> Vec<Silence> {
    let all = run.sent.iter().copied();
    let requests = all.clone().filter(|a| a.lane != Lane::Websocket);
    let mut out = among(run, all, true);
    out.extend(among(run, requests, false));
    out
}

fn among<'a>(
    run: &Run<'_>,
    attempts: impl Iterator<Item = &'a Attempt> + Clone,
    sockets: bool,
) -> Vec<Silence> {
    let header = &run.input.header;
    let interval = 1_000_000 / u64::from(header.rate.max(1));
    let least = (header.late_after_us / 2).max(interval * INTERVALS).max(1);
    let answered = attempts.clone().filter(|a| a.first_byte_us > 0);
    let mut at: Vec<i64> = answered.map(|a| axis(a.done_us)).collect();
    at.push(run.from_us);
    // Beyond the last send nothing is expected, so the wait for one slow answer is no silence.
    at.extend(attempts.last().map(|a| axis(a.intended_us)));
    at.sort_unstable();
    let pairs = at.windows(2).filter_map(|pair| match pair {
        [from, to] if between(*from, *to) >= least => {
            Some(Silence { from_us: *from, to_us: *to, sockets })
        }
        _ => None,
    });
    pairs.collect()
}

impl Silence {
    /// How long.
    pub(crate) fn length_us(self) -> u64 {
        between(self.from_us, self.to_us)
    }

    /// True when the attempt was open in it.
    pub(crate) fn held(self, attempt: &Attempt) -> bool {
        (self.sockets || attempt.lane != Lane::Websocket)
            && axis(attempt.intended_us) < self.to_us
            && axis(attempt.done_us) > self.from_us
    }
}
