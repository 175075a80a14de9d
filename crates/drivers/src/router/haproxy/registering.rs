//! Steps about single instances where HAProxy takes them from Consul: they are done there.
//!
//! That HAProxy has followed is seen by the next look, never waited for by a clock.

use model::{AppName, Fault};

use super::step::Step;
use crate::router::consul::Consul;

/// Takes a step, if it is about an instance; true when that was all.
pub(super) async fn take(consul: &Consul, app: &AppName, step: &Step) -> Result<bool, Fault> {
    match step {
        Step::Add { slot, version, instance, .. } => {
            consul.register(app, (slot.letter(), version), instance).await?;
        }
        Step::Recheck { slot, id, .. } => consul.part(app, (slot.letter(), id), false).await?,
        Step::Leave { slot, id, .. } => consul.part(app, (slot.letter(), id), true).await?,
        Step::Remove { slot, id, .. } => consul.remove(app, slot.letter(), id).await?,
        Step::Reweigh { .. } | Step::Publish { .. } | Step::Refuse { .. } => return Ok(false),
    }
    Ok(true)
}
