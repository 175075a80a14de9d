//! What a change of this driver does, as it travels in its payload. Whether it still holds is judged
//! elsewhere (`router/fenced`).

use model::{AppName, Instance, InstanceId, Version};
use serde::{Deserialize, Serialize};

use super::record::{Record, Slot};
use crate::router::fenced::Fenced;

/// One step. Each relies on the generation it was planned on.
#[expect(clippy::large_enum_variant, reason = "one at a time, and soon text")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Adds an instance that gets nothing yet and is checked.
    Add { app: AppName, generation: u64, slot: Slot, version: Version, instance: Instance },
    /// Takes an instance out of maintenance: it gets nothing yet and is checked.
    Recheck { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Gives an instance its weight back.
    Reweigh { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Puts servers of the new record to work, writes its files, replaces the map.
    Publish { app: AppName, generation: u64, record: Record, ready: Vec<(Slot, InstanceId)> },
    /// Puts an instance that is in no pool into maintenance; what is open on it finishes.
    Leave { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Deletes an instance in maintenance with nothing open.
    Remove { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Says why what is wanted cannot be carried; changes nothing.
    Refuse { app: AppName, generation: u64, why: String, help: String },
}

impl Fenced for Step {
    const DRIVER: &'static str = "HAProxy";

    fn relies_on(&self) -> (&AppName, u64) {
        match self {
            Self::Add { app, generation, .. }
            | Self::Recheck { app, generation, .. }
            | Self::Reweigh { app, generation, .. }
            | Self::Publish { app, generation, .. }
            | Self::Leave { app, generation, .. }
            | Self::Remove { app, generation, .. }
            | Self::Refuse { app, generation, .. } => (app, *generation),
        }
    }
}
