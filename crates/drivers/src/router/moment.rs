//! A moment that is put on record, and how long ago it was, also for a controller that comes back.
//!
//! It counts from the start of the machine, time asleep too, and goes with the id of that start: a wall clock
//! that jumps changes nothing, and a moment of another start or of another machine is none here. Nobody waits.

use std::fs;
use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment of this start of the machine, or of another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::router) struct Moment {
    /// The id of that start; empty where it is not known.
    boot: String,
    /// Ms since then.
    boot_ms: u64,
}

impl Moment {
    /// This one.
    pub(in crate::router) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
        Self { boot: boot().to_owned(), boot_ms: seconds * 1_000 + nanoseconds / 1_000_000 }
    }

    /// How long ago it was, ms; `None` of one that is not of this start.
    pub(in crate::router) fn ago_ms(&self) -> Option<u64> {
        self.before(&Self::now())
    }

    /// One that was so long ago.
    #[cfg(test)]
    pub(in crate::router) fn earlier(ms: u64) -> Self {
        let now = Self::now();
        Self { boot_ms: now.boot_ms.saturating_sub(ms), ..now }
    }

    /// How long before another one it was, ms.
    fn before(&self, later: &Self) -> Option<u64> {
        let same = !self.boot.is_empty() && self.boot == later.boot;
        // A container may have a time of its own: what is to come there was never here.
        later.boot_ms.checked_sub(self.boot_ms).filter(|_| same)
    }
}

/// The id of this start of the machine.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    BOOT.get_or_init(|| read().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn only_a_moment_of_this_start_is_so_long_ago() {
        let at = |boot: &str, boot_ms| Moment { boot: boot.to_owned(), boot_ms };
        let now = at("this", 5_000);
        assert_eq!(at("this", 1_500).before(&now), Some(3_500));
        assert_eq!(now.before(&now), Some(0));
        assert_eq!(at("other", 1_500).before(&now), None, "the machine was started since");
        assert_eq!(at("this", 5_001).before(&now), None, "it is to come");
        assert_eq!(at("", 1_500).before(&at("", 2_000)), None, "nobody knows which start");
    }

    /// Neither since 1970, as the wall clock does, nor without the time asleep.
    #[test]
    fn it_counts_from_the_start_of_the_machine() {
        let uptime_ms = || {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            let (seconds, hundredths) = text.split(' ').next().unwrap().split_once('.').unwrap();
            seconds.parse::<u64>().unwrap() * 1_000 + hundredths.parse::<u64>().unwrap() * 10
        };
        let before = uptime_ms();
        let now = Moment::now();
        let after = uptime_ms();
        assert!((before..after + 10).contains(&now.boot_ms), "{before} {now:?} {after}");
    }

    #[test]
    fn it_is_read_by_whoever_comes_back() {
        let text = serde_json::to_string(&Moment::now()).unwrap();
        let read: Moment = serde_json::from_str(&text).unwrap();
        assert!(read.ago_ms().is_some_and(|ms| ms < 60_000), "{text}");
        assert_eq!(Moment::default().ago_ms(), None);
    }
}
