//! What runs: releases, their instances, and what a platform sees of them.
//!
//! A release is frozen at deploy: a rollback runs exactly what ran. How an instance is started is
//! the platform driver's affair.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::name::{AppName, Version};
use crate::secret::{Owner, Variable};
use crate::source::Source;

/// Number of a release within its app, growing by one with each deploy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ReleaseId(pub u32);

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A version of an app frozen at deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The app it belongs to.
    pub app: AppName,
    /// Its number within the app.
    pub id: ReleaseId,
    /// The version as the user named it.
    pub version: Version,
    /// Program and arguments; `{version}` is already filled in, `{port}` and `{instance}` are not.
    pub command: Vec<String>,
    /// Working directory, absolute.
    pub directory: String,
    /// Additional environment. Secrets are named and known by a digest; their values are not here.
    pub environment: BTreeMap<String, Variable>,
    /// The health check its instances must pass.
    pub health: HealthCheck,
    /// How long an instance may take to end after SIGTERM before it is killed, ms.
    pub stop_timeout_ms: u64,
    /// Where its instances are found, when somebody else starts and ends them; then there is no command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

impl Release {
    /// Whose a secret in the variable `name` is.
    pub fn owner<'a>(&'a self, name: &'a str) -> Owner<'a> {
        Owner { app: &self.app, release: self.id.0, name }
    }
}

/// How an instance shows that it can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Path asked with GET; 2xx passes. `None` means that an accepted connection passes.
    pub path: Option<String>,
    /// A program and its arguments, as those of a release: status 0 within the time passes, and nothing
    /// else is asked. Empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Pause between checks, ms.
    pub interval_ms: u64,
    /// Longest a check may take, ms.
    pub timeout_ms: u64,
    /// Consecutive passes before an instance counts as ready.
    pub rise: u32,
    /// Consecutive failures before a ready instance counts as not ready.
    pub fall: u32,
}

/// Id of an instance, unique within a state directory: `APP-RELEASE-N`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One running copy of a release, as a router needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What should be true of all instances of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// They run, and are started again when they die.
    Running,
    /// They have been told to end (SIGTERM) and are not started again; nobody kills them.
    Terminating,
    /// They are gone: told to end, then killed when their stop timeout is over.
    Gone,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_none_of_them(count: &u32) -> bool {
    *count == 0
}

/// What a platform sees of one release. Counts are of instances now, except where said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSeen {
    /// Processes (containers, pods) that exist, whatever their state.
    pub existing: u16,
    /// Of those: passed their health check `rise` times and did not fall since.
    pub ready: u16,
    /// Instances that ended without having been told to, since the release was first started.
    pub crashes: u32,
    /// Of those: ended before they ran, since they could not be started.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub unstarted: u32,
    /// Why instances are not ready, in words for people: last check results, log tail, likely cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<String>,
}
