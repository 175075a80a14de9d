//! What is to follow the rollout under way, asked for once more. Nothing is begun here, and nothing is told.

use model::{Fault, Release};

use super::{Ordered, Standing};

impl Standing {
    /// The run that waits already to ship the very same: whoever asks for it again gets that one, and both
    /// hear of its end. A release of the same version that is another one, since its settings are, is not the same.
    pub(super) fn joined(
        &self,
        release: &Release,
        rollback: bool,
    ) -> Result<Option<Ordered>, Fault> {
        let next = self.active.as_ref().and_then(|active| active.machine().successor());
        let Some(next) = next.filter(|next| next.rollback == rollback) else { return Ok(None) };
        let waiting = self.tools.store.release(&self.app, next.release)?;
        let same = Release { id: waiting.id, ..release.clone() } == waiting;
        Ok(same.then(|| {
            let (version, run) = (&next.version, next.run.clone());
            let first = format!("{version} was asked for already, and follows as run {run}");
            Ordered { run, first: Some(first) }
        }))
    }
}
