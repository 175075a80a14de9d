//! What every controller of a server works with. No behaviour.

use std::sync::Arc;

use drivers::platform::Platform;
use drivers::platform::process::Surroundings;
use drivers::router::Router;

use tokio::sync::watch;

use super::children::Children;
use super::layout::Layout;
use super::stages::Stages;
use crate::store::Store;

/// What a controller works with; the same for every app of a server.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) store: Arc<Store>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) router: Arc<dyn Router>,
    /// What the router is called, for people.
    pub(super) carrier: &'static str,
    /// A failure that it counts is one that a user met.
    pub(super) exact: bool,
    pub(super) layout: Layout,
    /// How far rollouts are that go together with others.
    pub(super) stages: Arc<Stages>,
    /// Runs of each app whose files are kept.
    pub(super) keep: u32,
    /// What programs of an app are started from.
    pub(super) surroundings: Arc<Surroundings>,
    /// How the prober is started.
    pub(super) children: Children,
    /// Fencing epoch of this server.
    pub(super) epoch: u64,
    /// Counts the routers started: a new one has no routes and waits for them.
    pub(super) router_started: watch::Receiver<u64>,
    /// True when users are being seen off: nothing new may be sent to anybody.
    pub(super) users_leave: watch::Receiver<bool>,
    /// Where the prober finds the router in plain text, `127.0.0.1:8080`.
    pub(super) entrance: String,
}
