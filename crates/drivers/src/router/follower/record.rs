//! What is on record of an app in Consul: what is wanted, what the follower was last seen to carry, and
//! whether it is the same. One key, so that a controller that comes back goes on where the last one was. What Consul names
//! now is not here but in `seen`.

use model::{AppName, Fault, Kind, Routes};
use serde::{Deserialize, Serialize};

use crate::router::consul::{Consul, Lease, Noted};
use crate::router::moment::Moment;

/// The record of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Which controller has written it, and in which epoch of the lock.
    pub(super) holder: String,
    pub(super) lock_epoch: u64,
    /// Newest fencing epoch of that controller.
    pub(super) epoch: u64,
    /// Grows with each publication.
    pub(super) generation: u64,
    /// What is wanted.
    pub(super) routes: Option<Routes>,
    /// What the follower was last seen to carry.
    pub(super) carried: Option<Routes>,
    /// It was seen to carry what is wanted, and nothing was changed at Consul since.
    pub(super) followed: bool,
    /// When an instance was last taken out of Consul's answers.
    pub(super) left: Option<Moment>,
}

impl Record {
    /// Reads it; there is none before the first publication.
    pub(super) async fn read(consul: &Consul, app: &AppName) -> Result<(Self, Noted), Fault> {
        let noted = consul.noted(app).await?;
        let Some(what) = &noted.what else {
            return Ok((Self { followed: true, ..Self::default() }, noted));
        };
        let record = serde_json::from_value(what.clone()).map_err(|error| {
            let what =
                format!("what Consul has at the key `cutover/{app}/routes` is no record: {error}");
            Fault::new(Kind::Environment, what).help("remove the key: the routes are written anew")
        })?;
        Ok((record, noted))
    }

    /// True of one that another controller has written.
    pub(super) fn is_of_another(&self, consul: &Consul) -> bool {
        !self.holder.is_empty() && self.holder != consul.id()
    }

    /// Refuses when it was written in a later epoch of the lock than ours.
    pub(super) fn precedes(&self, lease: &Lease) -> Result<(), Fault> {
        if self.lock_epoch <= lease.epoch {
            return Ok(());
        }
        let (theirs, ours) = (self.lock_epoch, lease.epoch);
        let what = "what Consul has on record was written by a later holder of its lock".to_owned();
        let why = format!("ours is epoch {ours}, the record is of epoch {theirs}");
        Err(Fault::new(Kind::Environment, what).note(why).help(
            "stop this controller; or, if the key `cutover/APP/owner` was removed, remove \
             `cutover/APP/routes`, too: it is written anew",
        ))
    }

    /// Puts it in place of what was read.
    pub(super) async fn write(
        &self,
        consul: &Consul,
        of: (&AppName, &Lease),
        before: &Noted,
    ) -> Result<(), Fault> {
        let value = serde_json::to_value(self)
            .map_err(|error| Fault::internal(format!("a record cannot be written: {error}")))?;
        consul.note(of, (before, &value)).await
    }
}
