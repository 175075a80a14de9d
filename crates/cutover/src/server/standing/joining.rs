//! An app whose rollout goes together with others: what it offers, and what it does because of them.
//!
//! Where the others are is read from `stages`; what follows from that the machine says.

use std::sync::Arc;

use model::{Fault, Kind, Release};
use rollout::Aim;

use super::Standing;
use crate::server::active::Active;
use crate::server::again;
use crate::server::begin::{Shipped, keep, start_of};
use crate::server::orders::{Again, Offer, Shipping};
use crate::store::Run;

impl Standing {
    /// Refuses what one app cannot do by itself while it goes together with others.
    pub(super) fn alone(&self) -> Result<(), Fault> {
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
        let start = start_of(&self.config, stable, (&release, Shipped { aim, warm }));
        let original_routes = store.committed_routes(app)?;
        Ok((Offer { start, original_routes, degrades }, release))
    }

    /// Takes up a rollout that has just been begun together with others.
    pub(in crate::server) fn join(&mut self, release: Release, run: Run) {
        self.began(release, Active::begin(Arc::clone(&self.tools.store), run));
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
