//! An app whose server stops: its rollout ends where it stands, then nothing of it runs.
//!
//! Users are seen off by the server, instances by the controller; here is only what is to be true.

use model::{Fault, Outcome, Verdict};

use super::Standing;
use crate::server::active::Active;
use crate::server::desired::Desired;
use crate::server::ending::Finished;

impl Standing {
    /// Ends an open rollout where it stands: it must not go on while users are seen off. What
    /// should be true stays as it is now.
    pub(in crate::server) fn halt(&mut self) -> Result<Option<(Active, Finished)>, Fault> {
        if self.halted.is_none() {
            self.halted = Some(self.desired());
        }
        // Whoever asked finds that nobody waits for the word.
        self.promise = None;
        let Some(active) = self.active.take() else { return Ok(None) };
        let is_final = active.machine().promotion_is_final();
        let stands = is_final || self.tools.stages.halt(&active, &self.tools.store)?;
        let (outcome, users_on) = if stands {
            (Outcome::Promoted, Some(active.run().start.candidate.id))
        } else {
            (Outcome::Aborted, self.stable.as_ref().map(|release| release.id))
        };
        self.tools.store.end(active.run(), outcome, users_on)?;
        // Nobody sees to the end what was being watched.
        let probing = active.run().start.settings.probing;
        let verdict = probing.then_some(Verdict::Inconclusive);
        Ok(Some((active, Finished { outcome, verdict, report: false })))
    }

    /// The server stops: nothing should run any more.
    pub(in crate::server) fn stop(&mut self) -> Result<(), Fault> {
        self.halted = Some(Desired::nothing());
        if self.kept.take().is_some() {
            self.tools.store.let_go(&self.app, "the server was stopped")?;
        }
        Ok(())
    }
}
