//! Slow start: an instance that joins others gets its share little by little.
//!
//! What counts is how long each has had a share in comparison with the one that has had it for longest:
//! in a pool whose instances are all new nobody is held back. Computed when routes are published, so
//! that a request only compares times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::gate::Gate;

/// Per mille of its share that an instance has from the first moment on.
const LEAST: u128 = 100;
const WHOLE: u32 = 1_000;

/// The instances of a pool while not all of them have had a share for long.
#[derive(Debug)]
pub(crate) struct Ramp {
    /// Since when each has had a share, in the order of the pool's gates.
    since: Vec<Instant>,
    oldest: Instant,
    /// All have their whole share from then on.
    over: Instant,
    length: Duration,
}

impl Ramp {
    /// That of a pool with a weight; `None` when all have their whole share.
    pub(crate) fn of(gates: &[Arc<Gate>], length: Duration) -> Option<Self> {
        if length.is_zero() {
            return None;
        }
        let since: Vec<Instant> = gates.iter().map(|gate| gate.shares()).collect();
        Self::since(since, length, Instant::now())
    }

    /// The same for instances that have had a share since then.
    pub(crate) fn since(since: Vec<Instant>, length: Duration, now: Instant) -> Option<Self> {
        let (oldest, newest) = (*since.iter().min()?, *since.iter().max()?);
        let over = newest.checked_add(length)?;
        (over > now && newest > oldest).then_some(Self { since, oldest, over, length })
    }

    /// True while somebody does not have its whole share.
    pub(crate) fn lasts(&self, now: Instant) -> bool {
        now < self.over
    }

    /// True if the instance at that place takes one request that was drawn for it: by chance, as often
    /// as its share has grown.
    pub(crate) fn takes(&self, at: usize, now: Instant) -> bool {
        let share = self.share(at, now);
        share >= WHOLE || fastrand::u32(..WHOLE) < share
    }

    /// Per mille of its whole share.
    fn share(&self, at: usize, now: Instant) -> u32 {
        let grown = |since: Instant| {
            let for_ms = now.saturating_duration_since(since).as_millis();
            (for_ms * u128::from(WHOLE) / self.length.as_millis().max(1))
                .clamp(LEAST, u128::from(WHOLE))
        };
        let since = self.since.get(at).copied().unwrap_or(self.oldest);
        let share = grown(since) * u128::from(WHOLE) / grown(self.oldest);
        u32::try_from(share).unwrap_or(WHOLE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Ramp;

    const TEN: Duration = Duration::from_secs(10);

    /// The share of the second of two instances, each with that many seconds behind it.
    fn share(ages: [u64; 2]) -> u32 {
        let now = Instant::now() + Duration::from_hours(1);
        let since = ages.map(|age| now.checked_sub(Duration::from_secs(age)).unwrap());
        Ramp::since(since.to_vec(), TEN, now).map_or(1_000, |ramp| {
            assert!(ramp.lasts(now) && !ramp.lasts(now + TEN));
            assert_eq!(ramp.share(0, now), 1_000);
            ramp.share(1, now)
        })
    }

    #[test]
    fn who_joins_others_grows_into_its_share() {
        for (ages, wanted) in [
            ([100, 0], 100),
            ([100, 1], 100),
            ([100, 5], 500),
            ([100, 9], 900),
            ([100, 10], 1_000),
            ([100, 50], 1_000),
            // The other is not old either.
            ([8, 4], 500),
            ([2, 1], 500),
        ] {
            assert_eq!(share(ages), wanted, "{ages:?}");
        }
    }

    #[test]
    fn nobody_is_held_back_where_all_are_new() {
        for ages in [[0, 0], [3, 3], [1, 0]] {
            assert_eq!(share(ages), 1_000, "{ages:?}");
        }
        assert!(Ramp::of(&[], TEN).is_none());
    }
}
