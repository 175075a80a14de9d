//! An app whose rollout goes together with others: what it offers, and what it does because of them.
//!
//! Where the others are is read from `stages`; what follows from that the machine says. It waits for
//! nobody: the loop of `controller` does.

use std::future::pending;
use std::sync::Arc;
use std::task::Poll;

use model::{Fault, Kind, Release};
use rollout::Aim;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::Standing;
use crate::server::active::Active;
use crate::server::again;
use crate::server::begin::{Shipped, keep, start_of};
use crate::server::orders::{Again, Offer, Shipping};
use crate::store::Run;

/// An offer to ship a release together with others. What it was made of stays as it is until the word
/// comes, or nobody is there any more who could give it.
#[derive(Debug)]
pub(super) struct Promise {
    release: Release,
    word: oneshot::Receiver<Run>,
}

impl Standing {
    /// Refuses what one app cannot do by itself while it goes together with others, or is about to.
    pub(super) fn alone(&self) -> Result<(), Fault> {
        if let Some(promise) = &self.promise {
            let (app, version) = (&self.app, &promise.release.version);
            let what = format!("{app} is about to go to {version} together with others");
            let help = "`cutover status` shows in a moment whether it does";
            return Err(Fault::new(Kind::Conflict, what).help(help));
        }
        let together =
            self.active.iter().find_map(|active| active.run().start.settings.together.as_ref());
        let Some(together) = together else { return Ok(()) };
        let others: Vec<&str> = together.others.iter().map(|other| other.app.as_str()).collect();
        let (app, name) = (&self.app, &together.name);
        let what =
            format!("{app} is being rolled out together with {} ({name})", others.join(", "));
        let help =
            format!("wait for it, or `cutover abort {name}` first, which takes all of them back");
        Err(Fault::new(Kind::Conflict, what).help(help))
    }

    /// What it takes to ship a release together with others; the release is kept, nothing has begun.
    pub(in crate::server) fn offer(
        &self,
        what: &Shipping,
        degrades: Vec<String>,
    ) -> Result<(Offer, Release), Fault> {
        self.alone()?;
        self.may_deploy()?;
        let (store, app, stable) = (&self.tools.store, &self.app, self.stable.as_ref());
        let (release, aim) = match what {
            Shipping::Version(version) => {
                (keep(&self.tools, (app, &self.config), version)?, Aim::Deploy)
            }
            Shipping::Again(Again::Retry) => again::retry(store, app, stable)?,
            Shipping::Again(Again::Rollback(to)) => {
                (again::rollback(store, app, stable, to.as_ref())?, Aim::Rollback)
            }
        };
        let warm = self.kept.as_ref().is_some_and(|kept| kept.release.id == release.id);
        let evidence = self.tools.router.can().evidence;
        let start = start_of(&self.config, stable, (&release, Shipped { aim, warm }), evidence);
        let original_routes = store.committed_routes(app)?;
        Ok((Offer { start, original_routes, degrades }, release))
    }

    /// Stands by an offer until the word comes.
    pub(in crate::server) fn promise(&mut self, release: Release, word: oneshot::Receiver<Run>) {
        self.promise = Some(Promise { release, word });
    }

    /// Resolves when there is an answer to what was promised, and never without a promise: the run that was
    /// begun, or nothing.
    pub(in crate::server) async fn word(&mut self) -> Option<Run> {
        match &mut self.promise {
            Some(promise) => (&mut promise.word).await.ok(),
            None => pending().await,
        }
    }

    /// The same, if there is an answer already.
    pub(in crate::server) fn word_now(&mut self) -> Poll<Option<Run>> {
        match self.promise.as_mut().map(|promise| promise.word.try_recv()) {
            Some(Ok(run)) => Poll::Ready(Some(run)),
            Some(Err(TryRecvError::Closed)) => Poll::Ready(None),
            Some(Err(TryRecvError::Empty)) | None => Poll::Pending,
        }
    }

    /// Takes up the rollout that has just been begun together with others, or is bound to nothing any more.
    pub(in crate::server) fn join(&mut self, run: Option<Run>) {
        let promise = self.promise.take();
        if let (Some(promise), Some(run)) = (promise, run) {
            self.began(promise.release, Active::begin(Arc::clone(&self.tools.store), run));
        }
    }

    /// Says how far it is, and has the machine told what follows from how far the others are.
    pub(in crate::server) fn heed(&mut self) -> Result<(), Fault> {
        let Some(active) = &mut self.active else { return Ok(()) };
        loop {
            self.tools.stages.say(active);
            let Some(event) = self.tools.stages.ruling(active, &self.tools.store)? else {
                return Ok(());
            };
            active.tell(&event)?;
        }
    }
}

#[cfg(test)]
#[path = "joining_tests.rs"]
mod tests;
