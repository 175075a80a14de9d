//! What runs instances: one trait, and the slice that names every driver.
//!
//! A platform brings the instances of an app to what is wanted of them. It does not decide how many
//! there should be or when they end, and it routes nothing.

pub mod discovered;
mod driver;
mod files;
mod fleet;
mod health;
mod mixed;
pub mod process;

use std::path::Path;
use std::sync::Arc;

use model::Fault;

pub use driver::{Platform, PlatformCapabilities};
pub use fleet::{
    Condition, Discovered, FleetHave, FleetWant, InstanceHave, Leave, ReleaseHave, ReleaseWant,
};
pub use mixed::Mixed;

/// A driver by its name: help, completion and reference documents come from here.
#[derive(Clone, Copy, Debug)]
pub struct PlatformEntry {
    /// The name in configuration files.
    pub name: &'static str,
    /// One line for help.
    pub summary: &'static str,
    /// Opens it on a state directory of Cutover.
    pub open: fn(&Path) -> Result<Arc<dyn Platform>, Fault>,
}

/// Every platform.
pub const PLATFORMS: &[PlatformEntry] = &[
    PlatformEntry {
        name: "process",
        summary: "local processes on loopback ports",
        open: |state| Ok(Arc::new(process::Process::open(state)?)),
    },
    PlatformEntry {
        name: "discovered",
        summary: "instances that somebody else starts, found in Consul or by DNS",
        open: |state| Ok(Arc::new(discovered::Discovery::open(state)?)),
    },
];
