//! When each attempt is meant to be sent, and on which lane: pure arithmetic, no clock.
//!
//! Deadline i is i·10⁹/rate nanoseconds after the start, computed from i alone, so that no error
//! adds up. Lanes take turns by smooth weighted round robin: a lane with a share of one half gets
//! every second turn, not bursts of its own.

use std::time::Duration;

use model::Lane;

const NS_PER_S: u128 = 1_000_000_000;

/// Units that the shares of the lanes are counted in.
const WHOLE: f64 = 1_000_000.0;

/// Nanoseconds from the start to deadline `i` at `rate` attempts per second (at least 1).
pub(crate) fn offset_ns(i: u64, rate: u32) -> u64 {
    let ns = u128::from(i) * NS_PER_S / u128::from(rate.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// How many deadlines lie before the end of `duration`.
pub(crate) fn deadlines_within(duration: Duration, rate: u32) -> u64 {
    let count = (duration.as_nanos() * u128::from(rate)).div_ceil(NS_PER_S);
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    lanes: Vec<Turn>,
}

#[derive(Clone, Debug)]
struct Turn {
    lane: Lane,
    weight: i64,
    credit: i64,
}

impl Turns {
    /// Turns for lanes with these shares (of any sum); there must be at least one.
    pub(crate) fn new(shares: &[(Lane, f64)]) -> Self {
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        #[expect(clippy::cast_possible_truncation, reason = "a share of a million fits")]
        let weight = |share: f64| ((share / sum * WHOLE).round() as i64).max(1);
        let turn = |&(lane, share): &(Lane, f64)| Turn { lane, weight: weight(share), credit: 0 };
        Self { lanes: shares.iter().map(turn).collect() }
    }

    /// The lane of the next attempt: `due` out of its turn, which it gives back later, or whose turn it
    /// is; `None` when there is no lane.
    pub(crate) fn next(&mut self, due: Option<Lane>) -> Option<Lane> {
        let total: i64 = self.lanes.iter().map(|turn| turn.weight).sum();
        for turn in &mut self.lanes {
            turn.credit += turn.weight;
        }
        let waits = self.lanes.iter().position(|turn| Some(turn.lane) == due);
        let next = match waits {
            Some(at) => self.lanes.get_mut(at)?,
            // The first of the richest: `max_by_key` would take the last.
            None => self.lanes.iter_mut().rev().max_by_key(|turn| turn.credit)?,
        };
        next.credit -= total;
        Some(next.lane)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::Lane;

    use super::{Turns, deadlines_within, offset_ns};

    #[test]
    fn deadlines_never_drift() {
        for rate in [1, 3, 7, 333, 999, 1_000, 20_000] {
            let hour = u64::from(rate) * 3_600;
            assert_eq!(offset_ns(hour, rate), 3_600_000_000_000, "at {rate}/s");
            let step = 1_000_000_000 / u64::from(rate);
            for i in 0..1_000 {
                let gap = offset_ns(i + 1, rate) - offset_ns(i, rate);
                assert!(gap == step || gap == step + 1, "gap {gap} after {i} at {rate}/s");
            }
        }
        assert_eq!(offset_ns(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn a_duration_holds_rate_times_seconds_deadlines() {
        assert_eq!(deadlines_within(Duration::from_secs(10), 200), 2_000);
        assert_eq!(deadlines_within(Duration::from_millis(1), 200), 1);
        assert_eq!(deadlines_within(Duration::ZERO, 200), 0);
    }

    #[test]
    fn lanes_interleave_evenly_and_in_proportion() {
        let shares = [(Lane::KeepAlive, 0.5), (Lane::Fresh, 0.25), (Lane::Websocket, 0.25)];
        let mut turns = Turns::new(&shares);
        let order: Vec<Lane> = (0..4_000).filter_map(|_| turns.next(None)).collect();
        for (lane, share) in shares {
            let share_of_4 = order.chunks(4).map(|four| count(four, lane));
            let expected = if share > 0.4 { 2 } else { 1 };
            assert!(share_of_4.clone().all(|n| n == expected), "{lane:?} came in bursts");
        }
        assert!(!order.windows(3).any(|three| count(three, Lane::KeepAlive) == 3));
    }

    #[test]
    fn odd_shares_come_out_right_in_the_long_run() {
        let mut turns = Turns::new(&[(Lane::KeepAlive, 0.7), (Lane::Fresh, 0.3)]);
        let order: Vec<Lane> = (0..1_000).filter_map(|_| turns.next(None)).collect();
        assert_eq!(count(&order, Lane::Fresh), 300);
    }

    #[test]
    fn a_turn_that_is_taken_early_is_given_back() {
        let mut turns = Turns::new(&[(Lane::KeepAlive, 0.9), (Lane::Upload, 0.1)]);
        assert_eq!(turns.next(Some(Lane::Upload)), Some(Lane::Upload));
        assert_eq!(turns.next(Some(Lane::Upload)), Some(Lane::Upload));
        let order: Vec<Lane> = (2..100).filter_map(|_| turns.next(None)).collect();
        assert_eq!(count(&order, Lane::Upload), 8);
        assert_eq!(count(&order[..12], Lane::Upload), 0);
        assert_eq!(turns.next(Some(Lane::Events)), Some(Lane::KeepAlive), "no such lane");
    }

    fn count(order: &[Lane], lane: Lane) -> usize {
        order.iter().filter(|&&l| l == lane).count()
    }
}
