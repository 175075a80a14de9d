//! Two platforms as one: releases that are started here, and releases whose instances are found.
//!
//! Each release stays with the platform that it was frozen for, so an app can go from one to the other in a
//! rollout. Only what belongs to whom is decided here.

use std::sync::Arc;

use async_trait::async_trait;
use model::{AppName, Change, Fault, Plan, ReleaseId};

use super::discovered::Discovery;
use super::driver::{Platform, PlatformCapabilities};
use super::fleet::{FleetHave, FleetWant};

/// Bits of a change's number that are the first platform's.
const HALF: u32 = 32;

/// What starts instances, and what finds them.
#[derive(Debug)]
pub struct Mixed {
    starts: Arc<dyn Platform>,
    finds: Discovery,
}

impl Mixed {
    /// The two together.
    pub fn new(starts: Arc<dyn Platform>, finds: Discovery) -> Self {
        Self { starts, finds }
    }
}

#[async_trait]
impl Platform for Mixed {
    async fn look(&self, app: &AppName) -> Result<FleetHave, Fault> {
        let mut have = self.starts.look(app).await?;
        let found = self.finds.look(app).await?;
        have.change = (found.change << HALF) | (have.change & u64::from(u32::MAX));
        have.instances.extend(found.instances);
        have.instances.sort_by_key(|one| one.release);
        have.releases.extend(found.releases);
        have.releases.sort_by_key(|one| one.release.id);
        Ok(have)
    }

    fn plan(&self, want: &FleetWant, have: &FleetHave) -> Plan {
        let found = |id: ReleaseId| have.release(id).is_some_and(|of| of.release.source.is_some());
        let part = |finds: bool| {
            let mut part =
                FleetHave { instances: Vec::new(), releases: Vec::new(), ..have.clone() };
            part.instances
                .extend(have.instances.iter().filter(|i| found(i.release) == finds).cloned());
            let releases = have.releases.iter().filter(|of| of.release.source.is_some() == finds);
            part.releases.extend(releases.cloned());
            let mut wanted = FleetWant { app: want.app.clone(), releases: Vec::new() };
            let releases = want.releases.iter().filter(|of| of.release.source.is_some() == finds);
            wanted.releases.extend(releases.cloned());
            (wanted, part)
        };
        let ((starts, here), (finds, there)) = (part(false), part(true));
        let mut plan = self.starts.plan(&starts, &here);
        let found = self.finds.plan(&finds, &there);
        plan.changes.extend(found.changes);
        plan.waiting.extend(found.waiting);
        plan
    }

    fn foretell(&self, change: &Change, have: &FleetHave) -> Option<FleetHave> {
        let finds = Discovery::plans(change);
        if finds { self.finds.foretell(change, have) } else { self.starts.foretell(change, have) }
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        let finds = Discovery::plans(change);
        let platform: &dyn Platform = if finds { &self.finds } else { &*self.starts };
        platform.act(change, epoch).await
    }

    fn can(&self) -> PlatformCapabilities {
        self.starts.can()
    }

    async fn changed(&self, since: u64) {
        tokio::select! {
            () = self.starts.changed(since & u64::from(u32::MAX)) => {}
            () = self.finds.changed(since >> HALF) => {}
        }
    }
}
