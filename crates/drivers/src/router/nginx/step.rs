//! What a change of this driver does, as it travels in its payload. Whether it still holds is judged
//! elsewhere (`router/fenced`).

use model::{AppName, Instance, Routes};
use serde::{Deserialize, Serialize};

use crate::router::fenced::Fenced;

/// One step. Each relies on the generation it was planned on.
#[expect(clippy::large_enum_variant, reason = "one at a time, and soon text")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Asks instances whether they can serve.
    Check { app: AppName, generation: u64, instances: Vec<Instance> },
    /// Writes the configuration, has it tested, and reloads nginx.
    Publish { app: AppName, generation: u64, next: u64, routes: Option<Routes> },
    /// Reloads nginx once more.
    Reload { app: AppName, generation: u64 },
    /// Says why what is wanted cannot be carried; changes nothing.
    Refuse { app: AppName, generation: u64, why: String, help: String },
}

impl Fenced for Step {
    const DRIVER: &'static str = "nginx";

    fn relies_on(&self) -> (&AppName, u64) {
        match self {
            Self::Check { app, generation, .. }
            | Self::Publish { app, generation, .. }
            | Self::Reload { app, generation }
            | Self::Refuse { app, generation, .. } => (app, *generation),
        }
    }
}

impl Step {
    /// True when nginx is reloaded by it.
    pub(super) const fn reloads(&self) -> bool {
        matches!(self, Self::Publish { .. } | Self::Reload { .. })
    }
}
