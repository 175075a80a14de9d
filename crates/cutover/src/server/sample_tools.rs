//! What a controller works with, as tests want it: a real journal in a directory, and nothing that runs.

use std::path::Path;
use std::sync::Arc;

use drivers::platform::process::{Process, Surroundings};
use drivers::router::proxy::Proxy;
use model::{AppName, FleetSeen, ReleaseId, Version};
use rollout::{Named, Settings, Start};
use tokio::sync::watch;

use super::active::Active;
use super::children::Children;
use super::layout::Layout;
use super::tools::Tools;
use crate::clock;
use crate::store::{NewRun, Store};

/// Tools with their state in a directory; nobody serves there.
pub(super) fn tools(at: &Path) -> Tools {
    Tools {
        store: Arc::new(Store::open(at).unwrap()),
        platform: Arc::new(Process::open(at).unwrap()),
        router: Arc::new(Proxy::new(&at.join("proxy.sock"))),
        carrier: "the proxy",
        exact: true,
        layout: Layout::at(at).unwrap(),
        stages: Arc::default(),
        keep: 1,
        surroundings: Arc::new(Surroundings::own()),
        children: Children::default(),
        epoch: 1,
        router_started: watch::channel(0).1,
        users_leave: watch::channel(false).1,
        entrance: String::new(),
    }
}

/// A rollout of a shop from v1 (release 1) to v2 (release 2), whose instances are ready.
pub(super) fn shipping(tools: &Tools, settings: Settings) -> Active {
    let named =
        |id, version: &str| Named { id: ReleaseId(id), version: Version::new(version).unwrap() };
    let (stable, candidate) = (Some(named(1, "v1")), named(2, "v2"));
    let app = AppName::new("shop").unwrap();
    let run = tools.store.begin(&NewRun {
        run: "one",
        start: &Start { app, stable, candidate, instances: 1, settings },
        original_routes: None,
        boot_id: &clock::boot_id().unwrap(),
        began_mono_ns: clock::mono_ns(),
        began_unix_ms: 0,
        epoch: 1,
    });
    let mut active = Active::begin(Arc::clone(&tools.store), run.unwrap());
    let ready = FleetSeen { existing: 1, ready: 1, crashes: 0, unstarted: 0, trouble: Vec::new() };
    for release in [ReleaseId(1), ReleaseId(2)] {
        active.saw_fleet(release, ready.clone()).unwrap();
    }
    active
}
