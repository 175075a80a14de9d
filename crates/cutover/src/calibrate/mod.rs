//! A/A: how often the comparison of a canary aborts a version that is the *same*, on an app's own traffic.
//!
//! Requests that were really made are dealt to two sides many times over, as a proxy would deal them, and
//! compared as a rollout does. Both sides are one version, so each abort is a false one. Errors that come
//! together (one client's burst) make it abort more often than it promises; then each must not count as
//! one. Pure: it reads no file.

mod traffic;

use model::survey::CountBy;
use model::{Counted, Threshold, Tick, latency};
use rollout::analysis::{Comparison, Rules, thresholds};

pub(crate) use traffic::Traffic;

/// How requests are dealt to the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dealt {
    /// Each by itself.
    ByRequest,
    /// A client's all to one side, as with `sticky`.
    ByClient,
}

/// What is dealt, and by which rule it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    /// How requests are dealt.
    pub(crate) dealt: Dealt,
    /// What is counted.
    pub(crate) count_by: CountBy,
    /// Share of the one side, 0 to 1.
    pub(crate) share: f64,
    /// How often.
    pub(crate) times: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborts {
    /// Aborts at a chance of 5 in 100.
    pub(crate) at_five: u32,
    /// Aborts at a chance of 1 in 100.
    pub(crate) at_one: u32,
    /// Units on average, both sides together.
    pub(crate) units: u64,
}

/// Deals the traffic so many times and counts the aborts.
pub(crate) fn aborts(traffic: &Traffic, trial: Trial) -> Aborts {
    let thresholds = thresholds(&traffic.lasted());
    let mut found = Aborts { at_five: 0, at_one: 0, units: 0 };
    for round in 0..u64::from(trial.times) {
        let comparison = one(traffic, trial, (round, &thresholds));
        found.at_five += u32::from(comparison.p() <= 0.05);
        found.at_one += u32::from(comparison.p() <= 0.01);
        let (candidate, stable) = comparison.compared();
        found.units += candidate.units + stable.units;
    }
    found.units /= u64::from(trial.times.max(1));
    found
}

/// So many aborts in so many trials are no more than `alpha` allows, by chance in 999 of 1000 cases.
pub(crate) fn allowed(aborts: u32, times: u32, alpha: f64) -> bool {
    let expected = f64::from(times) * alpha;
    f64::from(aborts) <= expected + 3.1 * (expected * (1.0 - alpha)).sqrt()
}

fn one(traffic: &Traffic, trial: Trial, (round, thresholds): (u64, &[Threshold])) -> Comparison {
    let rules = Rules { max_error_share_bp: 0, ..Rules::default() };
    let mut comparison = Comparison::new(rules, thresholds);
    // The last second in which each client was counted.
    let mut counted = vec![usize::MAX; traffic.clients];
    let mut number = 0;
    for (at, second) in traffic.seconds().enumerate() {
        let mut tick = Tick { candidate: none(thresholds), stable: none(thresholds) };
        for request in second {
            number += 1;
            if trial.count_by == CountBy::Client {
                let last = &mut counted[request.client as usize];
                if std::mem::replace(last, at) == at {
                    continue;
                }
            }
            let dealt = match trial.dealt {
                Dealt::ByRequest => number,
                Dealt::ByClient => u64::from(request.client),
            };
            let candidate = part(round, dealt) < trial.share;
            let side = if candidate { &mut tick.candidate } else { &mut tick.stable };
            side.units += 1;
            side.errors += u64::from(request.failed);
            for (slow, threshold) in side.slow.iter_mut().zip(thresholds) {
                *slow += u64::from(request.us >= threshold.us);
            }
        }
        comparison.add(&tick);
    }
    comparison
}

fn none(thresholds: &[Threshold]) -> Counted {
    Counted { slow: vec![0; thresholds.len()], ..Counted::default() }
}

/// A number from 0 to 1 that is the same each time, and another for each round.
fn part(round: u64, dealt: u64) -> f64 {
    let mut bits = scrambled(scrambled(round ^ 0x5851_f42d_4c95_7f2d) ^ dealt);
    bits >>= 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// The end of splitmix64.
const fn scrambled(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Traffic {
    /// How long requests took, in the buckets of the model.
    fn lasted(&self) -> Vec<(u16, u64)> {
        let mut met = vec![0; latency::BUCKETS];
        for request in self.seconds().flatten() {
            met[latency::bucket(request.us)] += 1;
        }
        (0..).zip(met).filter(|(_, n)| *n > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use model::survey::CountBy;

    use super::{Dealt, Traffic, Trial, aborts, allowed};

    /// Ten minutes of 200 clients; each second five of them fail `burst` times in a row.
    fn traffic(burst: u32) -> Traffic {
        let mut log = String::new();
        for second in 0..600 {
            for client in 0..20_u32 {
                let (times, status) = if client < 2 { (burst, 500) } else { (1, 200) };
                let client = (second * 7 + client * 10) % 200;
                for _ in 0..times {
                    let _ = writeln!(
                        log,
                        "{{\"time\":\"2026-01-01T00:{:02}:{:02}.000Z\",\"client\":\"10.0.0.{client}\",\
                         \"status\":{status},\"last_byte_ms\":1.5,\"app\":\"shop\",\"error\":\"\"}}",
                        second / 60,
                        second % 60
                    );
                }
            }
        }
        Traffic::read(log.as_bytes(), None).unwrap()
    }

    fn tried(burst: u32, dealt: Dealt, count_by: CountBy) -> (u32, bool) {
        let trial = Trial { dealt, count_by, share: 0.1, times: 60 };
        let found = aborts(&traffic(burst), trial);
        (found.at_five, allowed(found.at_five, 60, 0.05))
    }

    #[test]
    fn bursts_of_one_client_abort_too_often_unless_they_count_once() {
        let (each, allowed) = tried(8, Dealt::ByClient, CountBy::Request);
        assert!(!allowed && each > 8, "{each} of 60");
        let (once, allowed) = tried(8, Dealt::ByClient, CountBy::Client);
        assert!(allowed, "{once} of 60");
    }

    #[test]
    fn errors_that_come_alone_may_each_count() {
        for dealt in [Dealt::ByRequest, Dealt::ByClient] {
            let (found, allowed) = tried(1, dealt, CountBy::Request);
            assert!(allowed, "{dealt:?}: {found} of 60");
        }
    }
}
