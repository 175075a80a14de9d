//! The clocks of this machine.
//!
//! Everything that is measured or journaled uses CLOCK_MONOTONIC, which all processes of one boot share;
//! the wall clock is for people only and may jump. Nobody waits here: timers belong to those who have a
//! deadline.

use model::Fault;
use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC, ns.
pub(crate) fn mono_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// The wall clock, ms since 1970.
pub(crate) fn unix_ms() -> u64 {
    nanoseconds(ClockId::Realtime) / 1_000_000
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The id of this boot: a monotonic stamp of another boot means nothing in this one.
pub(crate) fn boot_id() -> Result<String, Fault> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .map_err(|e| Fault::environment(format!("the boot id cannot be read: {e}")))
}

/// Time of a rollout: ms since it began, never decreasing, also over a restart or a reboot.
#[derive(Clone, Debug)]
pub(crate) struct RolloutClock {
    began_mono_ns: u64,
    /// Added to what the monotonic clock says; not 0 after a reboot.
    offset_ms: u64,
}

impl RolloutClock {
    /// The clock of a rollout that began at `began_mono_ns`, in this boot or in an earlier one, and whose
    /// last journaled event is of `last_ms`. Where the monotonic clock says less than that it is another
    /// one (a container of another time), and counts on from there.
    pub(crate) fn resume(began_mono_ns: u64, same_boot: bool, last_ms: u64) -> Self {
        let journaled = began_mono_ns.saturating_add(last_ms.saturating_mul(1_000_000));
        if same_boot && mono_ns() >= journaled {
            return Self { began_mono_ns, offset_ms: 0 };
        }
        Self { began_mono_ns: mono_ns(), offset_ms: last_ms }
    }

    /// ms since the rollout began.
    pub(crate) fn now_ms(&self) -> u64 {
        self.offset_ms + mono_ns().saturating_sub(self.began_mono_ns) / 1_000_000
    }

    /// A moment of CLOCK_MONOTONIC, ns, in ms since the rollout began; 0 where it was before that.
    pub(crate) fn ms_of(&self, mono_ns: u64) -> u64 {
        (self.offset_ms + mono_ns / 1_000_000)
            .saturating_sub(self.began_mono_ns.div_ceil(1_000_000))
    }

    /// When a moment of the rollout was, or will be, on CLOCK_MONOTONIC, ns (negative: before boot).
    pub(crate) fn mono_ns_of(&self, at_ms: u64) -> i64 {
        let ms =
            i64::try_from(at_ms).unwrap_or(i64::MAX) - i64::try_from(self.offset_ms).unwrap_or(0);
        i64::try_from(self.began_mono_ns)
            .unwrap_or(i64::MAX)
            .saturating_add(ms.saturating_mul(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::{RolloutClock, mono_ns};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rollout_counts_on_in_the_same_boot_also_while_nobody_looked() {
        let clock = RolloutClock::resume(mono_ns() - 60 * SECOND, true, 1_000);
        assert!((60_000..90_000).contains(&clock.now_ms()), "{clock:?}");
    }

    #[test]
    fn time_never_goes_back_after_a_reboot_or_on_another_clock() {
        // A boot ago; and a clock that is hours behind the one that the rollout began by.
        for (began, same_boot) in [(mono_ns() / 2, false), (mono_ns() + 7_200 * SECOND, true)] {
            let clock = RolloutClock::resume(began, same_boot, 5_000);
            assert!((5_000..35_000).contains(&clock.now_ms()), "{clock:?}");
            let began = clock.mono_ns_of(0);
            let now = i64::try_from(mono_ns()).unwrap();
            assert!(began < now && clock.mono_ns_of(5_000) <= now, "{clock:?}");
            let later = u64::try_from(clock.mono_ns_of(7_000)).unwrap();
            assert!((6_999..=7_000).contains(&clock.ms_of(later)), "{clock:?}");
            assert_eq!(clock.ms_of(0), 0, "{clock:?}");
        }
    }
}
