//! Takes one step: on the record first, then at Consul. One controller at a time does so. Which step, `plan`
//! says; whether it was followed is not waited for here.

use std::net::SocketAddr;

use model::{Fault, Instance, InstanceId, Kind, ReleaseId, Version};
use tokio::sync::Mutex;

use super::AppSetup;
use super::record::Record;
use super::seen::group;
use super::sight::Sight;
use super::step::Step;
use crate::router::consul::{Consul, Lease, Noted};
use crate::router::fenced::{Fenced as _, OnRecord};
use crate::router::moment::Moment;

/// Everything an act works on.
pub(super) struct Acting<'a> {
    pub(super) consul: &'a Consul,
    pub(super) setup: &'a AppSetup,
    pub(super) entrances: &'a [SocketAddr],
    pub(super) sight: &'a Mutex<Sight>,
}

/// What a step relies on: the lock, and the record as it was read.
struct Ground {
    lease: Lease,
    noted: Noted,
}

impl Acting<'_> {
    /// Takes a step that has been read.
    pub(super) async fn take(&self, (step, words): (Step, &str), epoch: u64) -> Result<(), Fault> {
        let app = &self.setup.name;
        let (record, noted) = Record::read(self.consul, app).await?;
        // Each controller counts epochs of its own; of two of them the lock's decides.
        let newest = if record.is_of_another(self.consul) { 0 } else { record.epoch };
        let found = OnRecord { generation: record.generation, epoch: newest };
        step.still_holds(words, found, epoch)?;
        if let Step::Refuse { why, help, .. } = step {
            let what = format!("whoever follows Consul cannot carry {why}");
            return Err(Fault::new(Kind::Config, what).help(help));
        }
        let lease = self.consul.hold(app).await?;
        record.precedes(&lease)?;
        let (holder, lock_epoch) = (self.consul.id().to_owned(), lease.epoch);
        let record = Record { holder, lock_epoch, epoch, ..record };
        let on = &Ground { lease, noted };
        match step {
            Step::Publish { routes, .. } => {
                let generation = record.generation.saturating_add(1);
                self.write(on, Record { generation, routes, followed: false, ..record }).await
            }
            Step::Register { release, version, instance, .. } => {
                self.write(on, Record { followed: false, ..record }).await?;
                self.register((release, &version), &instance).await
            }
            Step::Restore { group, id, .. } => {
                self.write(on, Record { followed: false, ..record }).await?;
                self.part((&group, &id), false).await
            }
            Step::Leave { group, id, .. } => self.leave(on, record, (&group, &id)).await,
            Step::Note { .. } => {
                let carried = record.routes.clone();
                self.write(on, Record { carried, followed: true, ..record }).await
            }
            Step::Remove { group, id, .. } => self.consul.remove(app, &group, &id).await,
            Step::Refuse { .. } => Ok(()),
        }
    }

    async fn write(&self, on: &Ground, record: Record) -> Result<(), Fault> {
        record.write(self.consul, (&self.setup.name, &on.lease), &on.noted).await
    }

    async fn register(
        &self,
        (release, version): (ReleaseId, &Version),
        instance: &Instance,
    ) -> Result<(), Fault> {
        let of = (group(release), version);
        let done = self.consul.register(&self.setup.name, (&of.0, of.1), instance).await;
        self.sight.lock().await.changed();
        done
    }

    /// Connections are kept across it, so that a server of the follower that ends is seen to.
    async fn leave(
        &self,
        on: &Ground,
        record: Record,
        of: (&str, &InstanceId),
    ) -> Result<(), Fault> {
        let at = (record.generation, self.entrances);
        self.sight.lock().await.hold_on(at, self.setup).await;
        self.write(on, Record { followed: false, left: Some(Moment::now()), ..record }).await?;
        self.part(of, true).await
    }

    async fn part(&self, of: (&str, &InstanceId), parted: bool) -> Result<(), Fault> {
        let done = self.consul.part(&self.setup.name, of, parted).await;
        self.sight.lock().await.changed();
        done
    }
}
