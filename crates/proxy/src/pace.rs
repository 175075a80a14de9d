//! How slowly a body may come, or over HTTP/2 be taken: it may stand still for so long, and on the average it moves at
//! a least rate once its client was waited for long enough.
//!
//! Only time in which the client is waited for counts: an instance that is slow costs its client nothing.
//! Nothing is read or written here, and what follows for the request is decided elsewhere.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::limits;
use crate::settings::Patience;
use crate::wire::{self, Stuck};

/// Why a body does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    /// The client is gone.
    Gone,
    /// It stood still for too long.
    Silent,
    /// It drips.
    Drips,
}

impl From<Slow> for Stuck {
    fn from(slow: Slow) -> Self {
        match slow {
            Slow::Gone => Self::Gone,
            Slow::Silent | Slow::Drips => Self::Late,
        }
    }
}

/// One body's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    silence: Duration,
    rate: u64,
    grace: Duration,
    waited: Duration,
    came: u64,
}

impl Pace {
    /// Of a body of which nothing was waited for yet.
    pub(crate) const fn of(patience: &Patience) -> Self {
        let Patience { body, rate, grace, .. } = *patience;
        Self { silence: body, rate, grace, waited: Duration::ZERO, came: 0 }
    }

    /// Of an answer of which nothing was taken yet, and which may stand still for so long.
    pub(crate) const fn of_answer(patience: &Patience, silence: Duration) -> Self {
        Self { silence, ..Self::of(patience) }
    }

    /// It may drip.
    pub(crate) const fn at_any_rate(self) -> Self {
        Self { rate: 0, ..self }
    }

    /// It may stand still for so long, at most.
    pub(crate) fn until(self, most: Duration) -> Self {
        Self { silence: self.silence.min(most), ..self }
    }

    /// So much of it has come, or was taken.
    pub(crate) const fn came(&mut self, bytes: usize) {
        self.came = self.came.saturating_add(bytes as u64);
    }

    /// For how long its average allows it to stand still.
    fn left(&self) -> Duration {
        match self.came.saturating_mul(1_000).checked_div(self.rate) {
            None => Duration::MAX,
            Some(ms) => Duration::from_millis(ms).max(self.grace).saturating_sub(self.waited),
        }
    }

    /// Waits for more of it, or for room for more. Where it drips and is excused, it is given its time anew.
    pub(crate) async fn wait<T>(
        &mut self,
        excused: impl Fn() -> bool,
        more: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Slow> {
        let mut more = pin!(more);
        // Who is not waited for costs no look at the clock.
        if let Some(more) = wire::at_once(more.as_mut()).await {
            return more.map_err(|_| Slow::Gone);
        }
        let (began, mut since) = (Instant::now(), Instant::now());
        loop {
            let silent = match self.silence {
                Duration::MAX => Duration::MAX,
                silence => silence.saturating_sub(began.elapsed()),
            };
            let left = self.left();
            let waited = wire::within(silent.min(left), more.as_mut()).await;
            self.waited += since.elapsed();
            match waited {
                Ok(more) => return Ok(more),
                Err(Stuck::Gone) => return Err(Slow::Gone),
                Err(Stuck::Late) if silent <= left => return Err(Slow::Silent),
                Err(Stuck::Late) if !excused() => return Err(Slow::Drips),
                Err(Stuck::Late) => (self.waited, since) = (Duration::ZERO, Instant::now()),
            }
        }
    }
}

/// Streams of one connection that their instances hold back: what they have sent ahead is missing in the window of
/// the others, which may then be unable to send.
#[derive(Debug, Default)]
pub(crate) struct Jam {
    now: Cell<u32>,
    last: Cell<Option<Instant>>,
}

impl Jam {
    /// Something is on its way to an instance, for as long as this lives.
    pub(crate) fn sending(&self) -> Sending<'_> {
        self.now.set(self.now.get() + 1);
        Sending { jam: self, began: Instant::now() }
    }

    /// True when some stream was held back within this time.
    pub(crate) fn within(&self, time: Duration) -> bool {
        self.now.get() > 0 || self.last.get().is_some_and(|last| last.elapsed() < time)
    }
}

/// See [`Jam::sending`].
pub(crate) struct Sending<'a> {
    jam: &'a Jam,
    began: Instant,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.jam.now.set(self.jam.now.get().saturating_sub(1));
        if self.began.elapsed() >= limits::JAMMED {
            self.jam.last.set(Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Jam, Pace};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_comes_earns_time_beyond_the_grace() {
        let zero = Duration::ZERO;
        let pace = |rate, waited, came| Pace {
            silence: Duration::MAX,
            rate,
            grace: 10 * SECOND,
            waited,
            came,
        };
        for (rate, waited, came, left) in [
            (240, zero, 0, 10 * SECOND),
            (240, 4 * SECOND, 10, 6 * SECOND),
            (240, 11 * SECOND, 10, zero),
            (240, 11 * SECOND, 240 * 11, zero),
            (240, 11 * SECOND, 240 * 12, SECOND),
            (240, 11 * SECOND, u64::MAX, Duration::from_millis(u64::MAX / 240 - 11_000)),
            (0, 1_000 * SECOND, 1, Duration::MAX),
        ] {
            assert_eq!(pace(rate, waited, came).left(), left, "{rate} {waited:?} {came}");
        }
    }

    #[test]
    fn streams_are_excused_while_another_one_is_held_back_and_not_for_what_is_sent_at_once() {
        let jam = Jam::default();
        drop(jam.sending());
        assert!(!jam.within(SECOND), "it was not held back");
        let sending = jam.sending();
        assert!(jam.within(Duration::ZERO));
        drop(sending);
        let mut long = jam.sending();
        long.began -= SECOND;
        drop(long);
        assert!(jam.within(1_000 * SECOND) && !jam.within(Duration::ZERO));
    }
}
