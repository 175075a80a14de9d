//! Carries out the drivers' plans for one app, each change framed by the journal.
//!
//! What should be is handed in; what the drivers plan is done, nothing else.

use std::sync::Arc;

use drivers::platform::{FleetHave, FleetWant};
use drivers::router::RoutesHave;
use futures_util::future::BoxFuture;
use model::{Change, Fault, Kind, Plan, Routes};

use super::active::Active;
use super::bus::Stage;
use super::steering::seen_off;
use super::tools::Tools;
use super::voice::Voice;
use crate::store::Entry;

/// Moves the platform toward `want`. True when something was done.
pub(super) async fn fleet(
    tools: &Tools,
    (active, voice): (Option<&Active>, &Voice),
    want: &FleetWant,
    have: &FleetHave,
) -> Result<bool, Fault> {
    let plan = tools.platform.plan(want, have);
    carry_out(tools.epoch, (active, voice), &plan, |change, epoch| {
        let (platform, change) = (Arc::clone(&tools.platform), change.clone());
        Box::pin(async move { platform.act(&change, epoch).await })
    })
    .await?;
    Ok(!plan.changes.is_empty())
}

/// How far a router is from what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It carries what is wanted.
    Settled,
    /// Something was changed: look again.
    Changed,
    /// Something must be waited for, in words; none where the next look shows what.
    Waiting(String),
}

/// Moves the router toward `want`.
pub(super) async fn routes(
    tools: &Tools,
    (active, voice): (Option<&Active>, &Voice),
    want: &Routes,
    have: &RoutesHave,
) -> Result<Way, Fault> {
    let nobody = tools.users_leave.borrow().then(|| seen_off(want));
    let plan = tools.router.plan(Some(nobody.as_ref().unwrap_or(want)), have);
    if plan.settled() {
        return Ok(Way::Settled);
    }
    let done = carry_out(tools.epoch, (active, voice), &plan, |change, epoch| {
        let (router, change) = (Arc::clone(&tools.router), change.clone());
        Box::pin(async move { router.act(&change, epoch).await })
    })
    .await;
    match done {
        // Not as it was planned on any more, such as after a reload by somebody else: the next look
        // shows how it is now. Only a newer controller is somebody's trouble.
        Err(fault) if fault.kind == Kind::Conflict && have.epoch <= tools.epoch => {
            return Ok(Way::Waiting(String::new()));
        }
        done => done?,
    }
    let waiting = plan.changes.is_empty();
    Ok(if waiting { Way::Waiting(plan.waiting.join(", ")) } else { Way::Changed })
}

/// One change after the other, each told before and after, and noted while a rollout is under way.
async fn carry_out<F>(
    epoch: u64,
    (active, voice): (Option<&Active>, &Voice),
    plan: &Plan,
    perform: F,
) -> Result<(), Fault>
where
    F: Fn(&Change, u64) -> BoxFuture<'static, Result<(), Fault>>,
{
    let now_ms = || active.map_or(0, |active| active.clock().now_ms());
    for change in &plan.changes {
        if let Some(active) = active {
            active.note(&Entry::Intent(&change.words))?;
        }
        voice.change(now_ms(), Stage::Begins, change.words.clone());
        let done = perform(change, epoch).await;
        let (stage, text) = match &done {
            Ok(()) => (Stage::Done, change.words.clone()),
            Err(fault) => (Stage::Failed, format!("{}: {fault}", change.words)),
        };
        if let Some(active) = active {
            let failed = if stage == Stage::Failed { "failed: " } else { "" };
            active.note(&Entry::Done(&format!("{failed}{text}")))?;
        }
        voice.change(now_ms(), stage, text);
        done?;
    }
    Ok(())
}
