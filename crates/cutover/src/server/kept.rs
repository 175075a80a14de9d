//! The release that users left and that still runs: users can be back on it at once, for a while.
//!
//! It is in no pool. That it goes when its time is over needs nobody's decision: it is no longer wanted
//! then, and `departing` sees it off.

use std::time::Duration;

use model::{AppName, Fault, Release, RunState};
use serde::{Deserialize, Serialize};

use super::active::Active;
use super::desired::Desired;
use crate::clock;
use crate::store::{self, Store};

/// A release that is kept running.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) release: Release,
    until_mono_ns: u64,
}

/// It, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptStatus {
    /// Its version.
    pub(crate) version: String,
    /// How much longer, ms; `None` where only changes are told.
    pub(crate) left_ms: Option<u64>,
}

/// What the rollout that was promoted keeps, if it keeps something: a row for the journal.
pub(super) fn of(active: &Active) -> Result<Option<store::Kept>, Fault> {
    let start = &active.run().start;
    let keeps = active.machine().keeps_stable();
    let Some(stable) = start.stable.as_ref().filter(|_| keeps) else { return Ok(None) };
    let ms = start.settings.keep_old_ms;
    let until_mono_ns = clock::mono_ns().saturating_add(ms.saturating_mul(1_000_000));
    Ok(Some(store::Kept { release: stable.id, boot_id: clock::boot_id()?, until_mono_ns }))
}

impl Kept {
    /// What an app keeps now.
    pub(super) fn load(store: &Store, app: &AppName) -> Result<Option<Self>, Fault> {
        let Some(kept) = store.kept(app)? else { return Ok(None) };
        if kept.boot_id != clock::boot_id()? || kept.until_mono_ns <= clock::mono_ns() {
            return Ok(None);
        }
        let release = store.release(app, kept.release)?;
        Ok(Some(Self { release, until_mono_ns: kept.until_mono_ns }))
    }

    /// How much longer.
    pub(super) fn left(&self) -> Duration {
        Duration::from_nanos(self.until_mono_ns.saturating_sub(clock::mono_ns()))
    }

    /// For `status`.
    pub(super) fn status(&self) -> KeptStatus {
        let left = u64::try_from(self.left().as_millis()).unwrap_or(u64::MAX);
        KeptStatus { version: self.release.version.to_string(), left_ms: Some(left) }
    }

    /// Beside what is wanted anyway: as many as usual run, and nothing is routed to them.
    pub(super) fn beside(&self, mut desired: Desired, instances: u16) -> Desired {
        desired.fleet.push((self.release.id, instances, RunState::Running));
        desired.fleet.sort_by_key(|(release, _, _)| *release);
        desired
    }
}
