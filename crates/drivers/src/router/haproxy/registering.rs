//! Steps about single instances where HAProxy takes them from Consul: they are done there.
//!
//! That HAProxy has followed is seen by the next look, never waited for by a clock. HAProxy itself is told
//! only what DNS cannot tell it: to leave an address that it has from a file, when DNS has no answer at all
//! for it, and to take up a place again that it was told to leave.

use model::{AppName, Fault};

use super::step::Step;
use crate::router::consul::Consul;

/// What is left to be told to HAProxy about the servers of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The step is not about one.
    All,
    Nothing,
    /// This state.
    State(&'static str),
}

/// Takes a step at Consul, if it is about an instance.
pub(super) async fn take(
    consul: &Consul,
    app: &AppName,
    (step, overdue): (&Step, bool),
) -> Result<Rest, Fault> {
    match step {
        Step::Add { slot, version, instance, .. } => {
            consul.register(app, (slot.letter(), version), instance).await?;
        }
        Step::Recheck { slot, id, .. } => {
            consul.part(app, (slot.letter(), id), false).await?;
            return Ok(Rest::State("ready"));
        }
        Step::Leave { slot, id, .. } => {
            consul.part(app, (slot.letter(), id), true).await?;
            return Ok(if overdue { Rest::State("maint") } else { Rest::Nothing });
        }
        Step::Remove { slot, id, .. } => consul.remove(app, slot.letter(), id).await?,
        Step::Reweigh { .. } | Step::Publish { .. } | Step::Refuse { .. } => return Ok(Rest::All),
    }
    Ok(Rest::Nothing)
}
