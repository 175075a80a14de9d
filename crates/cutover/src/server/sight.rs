//! What looks at platform and router mean together. Pure.
//!
//! Nobody is looked at here: that is done in `controller`.

use drivers::platform::{FleetHave, FleetWant};
use drivers::router::{Open, RoutesHave};
use model::{AppName, ReleaseId};
use rollout::HandOverWant;

use super::active::Leaving;

/// Those of a rollout that make room, as far as they are out of the routes. Nobody is picked while
/// it is not certain who is there.
pub(super) fn leaving(want: &FleetWant, fleet: &FleetHave, routes: &RoutesHave) -> Option<Leaving> {
    let release = want.releases.iter().find(|release| release.leave.is_some())?;
    let instances = fleet.picked(release);
    let carried = instances.iter().any(|id| routes.routed(id));
    if fleet.unrecorded(release.release.id) || carried {
        return None;
    }
    let mut open = Open::default();
    for one in instances.iter().filter_map(|id| routes.instances.get(id)) {
        open.requests += one.requests;
        open.tunnels += one.tunnels;
    }
    Some(Leaving { release: release.release.id, instances, open })
}

/// How many WebSockets a router could still move that was seen to know of it.
pub(super) fn movable(wanted: &HandOverWant, routes: &RoutesHave) -> Option<(ReleaseId, u64)> {
    let hand_over = routes.routes.as_ref()?.hand_over.as_ref()?;
    let left = hand_over.instances.iter().filter_map(|id| routes.sockets.get(id)).sum();
    Some((wanted.release, left))
}

/// A router that could not be looked at.
pub(super) fn unseen(app: &AppName) -> RoutesHave {
    RoutesHave::nothing(app.clone())
}
