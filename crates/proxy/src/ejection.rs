//! What is known of one instance that fails: failures in a row, and until when it is left out.
//!
//! Words that threads change without waiting for each other, and that cost a request nothing but a
//! look at them while all is well. Times are ms of a clock that the caller keeps. What a failure is,
//! and how many of a pool may be left out, is judged in `outlier`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use model::Outliers;

use crate::counters::Count;

/// One instance's.
#[derive(Debug, Default)]
pub(crate) struct Ejection {
    /// Failures in a row.
    row: AtomicU32,
    /// It is left out until then; 0 when it is not.
    until: AtomicU64,
    /// When the last one ended, or will.
    over: AtomicU64,
    /// Ejections in succession.
    number: AtomicU32,
    /// How often it was left out.
    count: Count,
}

impl Ejection {
    /// It answered as it should.
    pub(crate) fn passed(&self) {
        if self.row.load(Ordering::Relaxed) != 0 {
            self.row.store(0, Ordering::Relaxed);
        }
    }

    /// It failed once more; true when that is once too often. One that was left out is on probation:
    /// until it has answered once, the next failure is too often.
    pub(crate) fn failed(&self, rule: &Outliers) -> bool {
        let row = self.row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        rule.failures > 0 && row >= rule.failures
    }

    /// Leaves it out from now on, unless it is already, or unless `may`, asked while others see it left
    /// out, says no. Says for how long, ms.
    pub(crate) fn eject(
        &self,
        rule: &Outliers,
        now: u64,
        may: impl FnOnce() -> bool,
    ) -> Option<u64> {
        let healthy = now.saturating_sub(self.over.load(Ordering::SeqCst));
        let forgiven = u32::try_from(healthy / rule.eject_ms.max(1)).unwrap_or(u32::MAX);
        let number = self.number.load(Ordering::SeqCst).saturating_sub(forgiven).saturating_add(1);
        let lasts = rule.lasts_ms(number).max(1);
        let until = now.saturating_add(lasts).max(1);
        self.until.compare_exchange(0, until, Ordering::SeqCst, Ordering::SeqCst).ok()?;
        if !may() {
            self.back(until);
            return None;
        }
        // It grows no further once it lasts as long as it may.
        let grown = number == 1 || lasts > rule.lasts_ms(number - 1);
        self.number.store(if grown { number } else { number - 1 }, Ordering::SeqCst);
        self.over.store(until, Ordering::SeqCst);
        self.count.up();
        Some(lasts)
    }

    /// Leaves it out until then at least, for what its requests do not show.
    pub(crate) fn hold(&self, until: u64) {
        self.until.fetch_max(until.max(1), Ordering::SeqCst);
    }

    /// True while it was never left out, or is back: no clock is asked.
    pub(crate) fn is_none(&self) -> bool {
        self.until.load(Ordering::Relaxed) == 0
    }

    /// For how long it is still left out, ms.
    pub(crate) fn left(&self, now: u64) -> u64 {
        let until = self.until.load(Ordering::SeqCst);
        let left = until.saturating_sub(now);
        if until != 0 && left == 0 {
            self.back(until);
        }
        left
    }

    /// It is not left out any more, unless it is for another time.
    fn back(&self, until: u64) {
        let _other = self.until.compare_exchange(until, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// How often it was left out so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }
}

#[cfg(test)]
mod tests {
    use model::Outliers;

    use super::Ejection;

    const RULE: Outliers =
        Outliers { failures: 3, errors: false, eject_ms: 10, eject_most_ms: 25, share: 50 };

    #[test]
    fn failures_in_a_row_are_too_many_and_one_after_a_return() {
        let one = Ejection::default();
        let too_often = |results: &str| {
            let step = |c| if c == '+' { one.passed() } else { assert!(c == '-') };
            results.chars().map(|c| (step(c), c == '-' && one.failed(&RULE)).1).collect::<Vec<_>>()
        };
        assert_eq!(too_often("--+--"), [false; 5]);
        assert_eq!(too_often("--"), [true, true]);
        assert_eq!(too_often("+--"), [false; 3]);
        let off = Outliers { failures: 0, ..RULE };
        assert!((0..9).all(|_| !one.failed(&off)));
    }

    #[test]
    fn ejections_grow_and_are_forgiven() {
        let one = Ejection::default();
        let mut now = 1_000;
        for (pause, lasts) in [(0, 10), (0, 20), (0, 25), (0, 25), (10, 25), (25, 20), (999, 10)] {
            now += pause;
            assert_eq!(one.left(now), 0);
            assert_eq!(one.eject(&RULE, now, || true), Some(lasts), "after a pause of {pause}");
            assert_eq!(one.eject(&RULE, now, || true), None, "it is left out already");
            assert!(!one.is_none() && one.left(now + lasts - 1) == 1);
            now += lasts;
        }
        assert_eq!(one.count(), 7);
    }

    #[test]
    fn what_may_not_be_is_undone() {
        let one = Ejection::default();
        assert_eq!(
            one.eject(&RULE, 5, || {
                assert!(!one.is_none());
                false
            }),
            None
        );
        assert!(one.is_none() && one.count() == 0);
        assert_eq!(one.eject(&RULE, 5, || true), Some(10), "that was none");
    }
}
