//! What Cutover keeps of an app beside its configuration, and what the workers were told.
//!
//! Text in a file that is replaced as a whole; that it is in effect is seen elsewhere.

use std::fs;
use std::io;
use std::path::Path;

use model::{Fault, Instance, ReleaseId, Routes};
use serde::{Deserialize, Serialize};

use super::master::Process;
use crate::router::moment::Moment;
use crate::router::replace::replace;

/// The record of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Newest fencing epoch seen.
    pub(super) epoch: u64,
    /// Grows with each configuration that is written.
    pub(super) generation: u64,
    /// The routes that the configuration stands for.
    pub(super) routes: Option<Routes>,
    /// What was carried when it was written.
    pub(super) before: Option<Routes>,
    /// Instances that are out of the routes; something may be open on them.
    pub(super) left: Vec<Left>,
    /// The last reload.
    pub(super) told: Option<Told>,
    /// How long a worker that ends may still take requests on kept connections, ms.
    pub(super) kept_ms: u64,
}

/// An instance that is out of the routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) release: ReleaseId,
    pub(super) instance: Instance,
}

/// A reload that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Workers of then, those that ended too: they run what was before.
    pub(super) workers: Vec<Process>,
    /// When.
    #[serde(default)]
    pub(super) at: Moment,
}

impl Record {
    /// Reads it; there is none before the first publication.
    pub(super) fn read(path: &Path) -> Result<Self, Fault> {
        let unfit = |error: &dyn std::fmt::Display| {
            Fault::environment(format!("cannot read `{}`: {error}", path.display())).help(
                "let Cutover read it; if it is broken, remove it: the routes are written anew",
            )
        };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| unfit(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unfit(&error)),
        }
    }

    /// Replaces it.
    pub(super) fn write(&self, path: &Path) -> Result<(), Fault> {
        let text = serde_json::to_string(self)
            .map_err(|error| Fault::internal(format!("a record cannot be written: {error}")))?;
        replace(path, &text)
    }

    /// Everybody who is not carried any more by these routes. Of those who were not before, only those
    /// that are `open`.
    pub(super) fn left_by(
        &self,
        routes: Option<&Routes>,
        open: impl Fn(&Instance) -> bool,
    ) -> Vec<Left> {
        let stays = |left: &Left| {
            let mut pools = routes.iter().flat_map(|routes| &routes.pools);
            pools
                .any(|pool| pool.release == left.release && pool.instances.contains(&left.instance))
        };
        let of = |routes: &Option<Routes>| -> Vec<Left> {
            let pools = routes.iter().flat_map(|routes| &routes.pools);
            let instances = pools.flat_map(|pool| {
                let left = |one: &Instance| Left { release: pool.release, instance: one.clone() };
                pool.instances.iter().map(left)
            });
            instances.collect()
        };
        let mut left = self.left.clone();
        left.retain(|one| open(&one.instance));
        for one in of(&self.before).into_iter().chain(of(&self.routes)) {
            if !left.contains(&one) {
                left.push(one);
            }
        }
        left.retain(|one| !stays(one));
        left
    }
}
