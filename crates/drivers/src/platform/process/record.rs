//! What is remembered of a release's processes: one record per release.
//!
//! All instances of a release stand in one record, so that counting a crash and dropping the
//! instance is one atomic write. Times are ms of CLOCK_BOOTTIME and mean nothing after a reboot;
//! neither do the processes, so nobody asks. This file does no IO.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use model::{InstanceId, Release};
use serde::{Deserialize, Serialize};

use super::procfs::Identity;

/// First pause before a crashed instance is started again, ms; it doubles with each crash in a row.
const BACK_OFF_FIRST_MS: u64 = 100;
/// Longest pause, ms.
const BACK_OFF_MOST_MS: u64 = 10_000;
/// An instance that lived so long breaks the row of crashes, ms.
const LIVED_WELL_MS: u64 = 30_000;

/// A release and its instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The release as it was first started.
    pub(super) release: Release,
    /// The last number given to an instance.
    pub(super) last_number: u32,
    /// Instances that ended without having been told to.
    pub(super) crashes: u32,
    /// Of those: could not be started.
    #[serde(default)]
    pub(super) unstarted: u32,
    /// Crashes since one last lived well.
    pub(super) in_a_row: u32,
    /// No start before this; 0 when there is none.
    pub(super) not_before_ms: u64,
    /// The boot that `not_before_ms` belongs to.
    pub(super) boot: String,
    /// How the last crash came about, in words.
    pub(super) last_crash: Vec<String>,
    /// The instances, in the order of their numbers.
    pub(super) instances: Vec<Entry>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its number within the release.
    pub(super) number: u32,
    /// Its port.
    pub(super) port: u16,
    /// Where it is reached; `None` is 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<IpAddr>,
    /// When its start was decided.
    pub(super) begun_ms: u64,
    /// Its process; `None` between the decision to start it and the news that it was.
    pub(super) process: Option<Identity>,
    /// It was ready at some time.
    pub(super) ready_before: bool,
    /// When it was last judged, it was not: it has to pass again first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unready: bool,
    /// When it was told to end, or began to be.
    pub(super) told_at_ms: Option<u64>,
    /// When it was last about to be told, until it is known that it was; see `told`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) telling_ms: Option<u64>,
    /// It was killed.
    pub(super) killed: bool,
}

impl Entry {
    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host.unwrap_or(Ipv4Addr::LOCALHOST.into()), self.port)
    }
}

impl Record {
    /// A release that never ran (or was forgotten after `last_number` instances).
    pub(super) fn new(release: Release, last_number: u32, boot: String) -> Self {
        Self {
            release,
            last_number,
            crashes: 0,
            unstarted: 0,
            in_a_row: 0,
            not_before_ms: 0,
            boot,
            last_crash: Vec::new(),
            instances: Vec::new(),
        }
    }

    /// Id of one of its instances.
    pub(super) fn id(&self, number: u32) -> InstanceId {
        InstanceId(format!("{}-{}-{number}", self.release.app, self.release.id.0))
    }

    /// The instance with this number.
    pub(super) fn entry(&mut self, number: u32) -> Option<&mut Entry> {
        self.instances.iter_mut().find(|entry| entry.number == number)
    }

    /// Drops an instance.
    pub(super) fn drop_entry(&mut self, number: u32) {
        self.instances.retain(|entry| entry.number != number);
    }

    /// Counts a crash at `now_ms` after `lived_ms` and sets the back-off.
    pub(super) fn count_crash(&mut self, now_ms: u64, lived_ms: u64, words: Vec<String>) {
        let row = if lived_ms >= LIVED_WELL_MS { 0 } else { self.in_a_row };
        self.in_a_row = row.saturating_add(1);
        self.crashes = self.crashes.saturating_add(1);
        self.not_before_ms = now_ms + back_off_ms(self.in_a_row);
        self.last_crash = words;
    }
}

/// 100 ms after the first crash in a row, doubled with each further one, at most 10 s.
fn back_off_ms(in_a_row: u32) -> u64 {
    let doublings = in_a_row.saturating_sub(1).min(16);
    (BACK_OFF_FIRST_MS << doublings).min(BACK_OFF_MOST_MS)
}

/// CLOCK_BOOTTIME, ms: it runs on while the machine sleeps and nobody can set it.
pub(super) fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since = Duration::try_from(now).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::back_off_ms;

    #[test]
    fn back_off_doubles_to_ten_seconds() {
        let pauses: Vec<_> = [1, 2, 3, 7, 8, 1000].map(back_off_ms).into();
        assert_eq!(pauses, [100, 200, 400, 6400, 10_000, 10_000]);
    }
}
