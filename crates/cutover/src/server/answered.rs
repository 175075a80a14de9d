//! What the router's counters say of users' requests, where it does not tell of single ones, brought to the machine
//! once a second.
//!
//! They are told as they stand, so a controller that comes back goes on from what the machine was told last: what
//! was counted meanwhile is neither missed nor counted twice. What a counter that is gone said after it was last heard
//! is lost. Nothing is judged here.

use std::time::Duration;

use drivers::router::RoutesHave;
use model::{Counters, Event, Fault, Phase};
use tokio::time::Instant;

use super::active::Active;

/// How often they are told.
const TICK: Duration = Duration::from_secs(1);

/// What was heard of the counters and is not told yet.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// What they say, as far as they were heard since the last time, and when the last look began, ms.
    heard: Option<(Counters, u64)>,
    next: Option<Instant>,
}

impl Answered {
    /// Takes a look that began then.
    pub(super) fn looked(&mut self, active: &Active, begun_ms: u64, have: &RoutesHave) {
        if !wanted(active) {
            return;
        }
        // One that was heard a moment ago may have ended with its last word.
        let (counters, until_ms) = self.heard.get_or_insert_default();
        let answered = have.answered.iter().map(|(source, counter)| (source.clone(), *counter));
        counters.extend(answered);
        *until_ms = begun_ms;
    }

    /// Tells the machine, when it is time to.
    pub(super) fn tell(&mut self, active: &mut Active) -> Result<(), Fault> {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return Ok(());
        }
        let Some((counters, until_ms)) = self.heard.take() else { return Ok(()) };
        self.next = Some(now + TICK);
        active.tell(&Event::Counters { counters, until_ms }).map(drop)
    }
}

/// True as long as the rollout is judged by them, or will be.
fn wanted(active: &Active) -> bool {
    let start = &active.run().start;
    let by_counters = start.settings.analysis.is_some_and(|analysis| analysis.rules.counters);
    let begun = active.entered().iter().any(|entered| entered.phase == Phase::Shifting);
    by_counters && start.stable.is_some() && (!begun || active.judges_windows())
}
