//! How old a client's connection is, and when it is to give way to a new one.
//!
//! It decides nothing about how that is done: `client`, `answer` and `http2` end such a connection as
//! they do when the process ends.

use std::time::{Duration, Instant};

/// The share of the limit that is put on top of it at most, by chance: connections that were opened
/// together do not all go at once.
const SPREAD: u32 = 10;

/// Of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    since: Instant,
    /// How much of the share is its own, in parts of 255.
    chance: u8,
}

impl Age {
    /// Of a connection that has just been accepted.
    pub(crate) fn begins() -> Self {
        Self { since: Instant::now(), chance: fastrand::u8(..) }
    }

    /// How much longer the connection is used under this limit; `Duration::MAX` is no limit, and costs
    /// no look at the clock.
    pub(crate) fn left(self, limit: Duration) -> Duration {
        if limit == Duration::MAX {
            return limit;
        }
        let own = limit + limit / (SPREAD * u32::from(u8::MAX)) * u32::from(self.chance);
        own.saturating_sub(self.since.elapsed())
    }

    /// True when it is to be used no longer.
    pub(crate) fn is_over(self, limit: Duration) -> bool {
        self.left(limit).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Age;

    const HOUR: Duration = Duration::from_hours(1);

    fn left(chance: u8) -> Duration {
        Age { since: Instant::now(), chance }.left(HOUR)
    }

    #[test]
    fn none_goes_early_and_not_all_go_at_once() {
        let moment = Duration::from_secs(5);
        assert!(left(0) <= HOUR && left(0) + moment > HOUR);
        let latest = HOUR + HOUR / 10;
        assert!(left(u8::MAX) <= latest && left(u8::MAX) + moment > latest);
        let mut all: Vec<_> = (0..50).map(|_| Age::begins().left(HOUR)).collect();
        all.sort_unstable();
        assert!(all[49] > all[0] + 2 * moment, "{all:?}");
    }

    #[test]
    fn without_a_limit_it_never_ends() {
        let age = Age::begins();
        assert_eq!(age.left(Duration::MAX), Duration::MAX);
        assert!(!age.is_over(Duration::MAX) && age.is_over(Duration::ZERO));
    }
}
