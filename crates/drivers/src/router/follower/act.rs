//! Takes one step: on the record first, then at Consul. One controller at a time does so. Which step, `plan`
//! says; whether it was followed is not waited for here.

use std::net::SocketAddr;

use model::{Fault, Instance, InstanceId, Kind, ReleaseId, Version};
use tokio::sync::Mutex;

use super::AppSetup;
use super::record::Record;
use super::seen::group;
use super::sight::{Sight, now_ms};
use super::step::Step;
use crate::router::consul::Consul;
use crate::router::fenced::{Fenced as _, OnRecord};

/// Everything an act works on.
pub(super) struct Acting<'a> {
    pub(super) consul: &'a Consul,
    pub(super) setup: &'a AppSetup,
    pub(super) entrances: &'a [SocketAddr],
    pub(super) sight: &'a Mutex<Sight>,
}

impl Acting<'_> {
    /// Takes a step that has been read.
    pub(super) async fn take(&self, (step, words): (Step, &str), epoch: u64) -> Result<(), Fault> {
        let app = &self.setup.name;
        let record = Record::read(self.consul, app).await?;
        let found = OnRecord { generation: record.generation, epoch: record.epoch };
        step.still_holds(words, found, epoch)?;
        if let Step::Refuse { why, help, .. } = step {
            let what = format!("whoever follows Consul cannot carry {why}");
            return Err(Fault::new(Kind::Config, what).help(help));
        }
        self.consul.hold(app).await?;
        let record = Record { epoch, ..record };
        match step {
            Step::Publish { routes, .. } => {
                let generation = record.generation.saturating_add(1);
                self.write(Record { generation, routes, followed: false, ..record }).await
            }
            Step::Register { release, version, instance, .. } => {
                self.register(record, (release, &version), &instance).await
            }
            Step::Restore { group, id, .. } => {
                self.write(Record { followed: false, ..record }).await?;
                self.part((&group, &id), false).await
            }
            Step::Leave { group, id, .. } => self.leave(record, (&group, &id)).await,
            Step::Note { .. } => {
                let carried = record.routes.clone();
                self.write(Record { carried, followed: true, ..record }).await
            }
            Step::Remove { group, id, .. } => self.consul.remove(app, &group, &id).await,
            Step::Refuse { .. } => Ok(()),
        }
    }

    async fn write(&self, record: Record) -> Result<(), Fault> {
        record.write(self.consul, &self.setup.name).await
    }

    async fn register(
        &self,
        record: Record,
        (release, version): (ReleaseId, &Version),
        instance: &Instance,
    ) -> Result<(), Fault> {
        self.write(Record { followed: false, ..record }).await?;
        let of = (group(release), version);
        let done = self.consul.register(&self.setup.name, (&of.0, of.1), instance).await;
        self.sight.lock().await.changed();
        done
    }

    /// Connections are kept across it, so that a server of the follower that ends is seen to.
    async fn leave(&self, record: Record, of: (&str, &InstanceId)) -> Result<(), Fault> {
        let at = (record.generation, self.entrances);
        self.sight.lock().await.hold_on(at, self.setup).await;
        self.write(Record { followed: false, left_ms: Some(now_ms()), ..record }).await?;
        self.part(of, true).await
    }

    async fn part(&self, of: (&str, &InstanceId), parted: bool) -> Result<(), Fault> {
        let done = self.consul.part(&self.setup.name, of, parted).await;
        self.sight.lock().await.changed();
        done
    }
}
