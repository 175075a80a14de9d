//! What a change of this driver does, as it travels in its payload. Whether it still holds is judged
//! elsewhere (`router/fenced`).

use model::{AppName, Instance, InstanceId, ReleaseId, Routes, Version};
use serde::{Deserialize, Serialize};

use crate::router::fenced::Fenced;

/// One step. Each relies on the generation it was planned on.
#[expect(clippy::large_enum_variant, reason = "one at a time, and soon text")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Puts on record what is wanted.
    Publish { app: AppName, generation: u64, routes: Option<Routes> },
    /// Registers an instance.
    Register {
        app: AppName,
        generation: u64,
        release: ReleaseId,
        version: Version,
        instance: Instance,
    },
    /// Ends its maintenance.
    Restore { app: AppName, generation: u64, group: String, id: InstanceId },
    /// Puts it into maintenance: no follower gets it any more.
    Leave { app: AppName, generation: u64, group: String, id: InstanceId },
    /// Puts on record that the follower was seen to carry what is wanted.
    Note { app: AppName, generation: u64 },
    /// Removes one that gets nothing and has nothing open.
    Remove { app: AppName, generation: u64, group: String, id: InstanceId },
    /// Says why what is wanted cannot be carried; changes nothing.
    Refuse { app: AppName, generation: u64, why: String, help: String },
}

impl Fenced for Step {
    const DRIVER: &'static str = "Consul";

    fn relies_on(&self) -> (&AppName, u64) {
        match self {
            Self::Publish { app, generation, .. }
            | Self::Register { app, generation, .. }
            | Self::Restore { app, generation, .. }
            | Self::Leave { app, generation, .. }
            | Self::Note { app, generation }
            | Self::Remove { app, generation, .. }
            | Self::Refuse { app, generation, .. } => (app, *generation),
        }
    }
}
