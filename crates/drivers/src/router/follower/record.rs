//! What is on record of an app in Consul: what is wanted, what the follower was last seen to carry, and
//! whether it is the same. One key, so that a controller that comes back goes on where the last one was. What Consul names
//! now is not here but in `seen`.

use model::{AppName, Fault, Kind, Routes};
use serde::{Deserialize, Serialize};

use crate::router::consul::Consul;

/// The record of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Newest fencing epoch seen.
    pub(super) epoch: u64,
    /// Grows with each publication.
    pub(super) generation: u64,
    /// What is wanted.
    pub(super) routes: Option<Routes>,
    /// What the follower was last seen to carry.
    pub(super) carried: Option<Routes>,
    /// It was seen to carry what is wanted, and nothing was changed at Consul since.
    pub(super) followed: bool,
    /// When an instance was last taken out of Consul's answers, ms since 1970.
    pub(super) left_ms: Option<u64>,
}

impl Record {
    /// Reads it; there is none before the first publication.
    pub(super) async fn read(consul: &Consul, app: &AppName) -> Result<Self, Fault> {
        let Some(noted) = consul.noted(app).await? else {
            return Ok(Self { followed: true, ..Self::default() });
        };
        serde_json::from_value(noted).map_err(|error| {
            let what =
                format!("what Consul has at the key `cutover/{app}/routes` is no record: {error}");
            Fault::new(Kind::Environment, what).help("remove the key: the routes are written anew")
        })
    }

    /// Replaces it.
    pub(super) async fn write(&self, consul: &Consul, app: &AppName) -> Result<(), Fault> {
        let value = serde_json::to_value(self)
            .map_err(|error| Fault::internal(format!("a record cannot be written: {error}")))?;
        consul.note(app, &value).await
    }
}
