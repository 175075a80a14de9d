//! A drain by time, where a router counts requests and tunnels together.
//!
//! When no new request came to a release for as long as the longest one lasts, whatever is open there
//! is a tunnel. The same holds for an instance that has been out of the routes for as long. It asks
//! nobody, and touches nothing of a router that counts them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drivers::router::{Drain, Open, RoutesHave};
use model::{InstanceId, PoolState, ReleaseId, Routes};
use tokio::time::Instant;

/// What stood still since when, from look to look.
#[derive(Debug, Default)]
pub(super) struct Timed {
    releases: BTreeMap<ReleaseId, Still>,
    instances: BTreeMap<InstanceId, Still>,
}

/// A figure, and when it last was another one.
#[derive(Clone, Copy, Debug)]
struct Still {
    figure: u64,
    since: Instant,
}

impl Timed {
    /// Says of a look, taken `now`, what of the open ones are tunnels.
    pub(super) fn read(
        &mut self,
        have: &mut RoutesHave,
        (drain, longest): (Drain, Duration),
        now: Instant,
    ) {
        if drain != Drain::Timed {
            *self = Self::default();
            return;
        }
        let mut still = BTreeMap::new();
        for (release, open) in &mut have.open {
            // Another process begins its counters anew, which is another figure too.
            let one = match have.totals.get(release) {
                Some(seen) => at_rest(self.releases.get(release), seen.requests, now),
                // Nobody counts: whoever may be given requests is never at rest.
                None if serves(have.routes.as_ref(), *release) => Still { figure: 0, since: now },
                None => at_rest(self.releases.get(release), 0, now),
            };
            taken_for_tunnels(open, one, now, longest);
            still.insert(*release, one);
        }
        self.releases = still;
        let pools = have.routes.iter().flat_map(|routes| &routes.pools);
        let routed: BTreeSet<&InstanceId> =
            pools.flat_map(|pool| &pool.instances).map(|one| &one.id).collect();
        let mut still = BTreeMap::new();
        for (id, open) in have.instances.iter_mut().filter(|(id, _)| !routed.contains(id)) {
            let all = open.requests + open.tunnels;
            // Fewer is what is expected of it; more was a request.
            let before = self.instances.get(id).filter(|before| before.figure >= all);
            let since = before.map_or(now, |before| before.since);
            let one = Still { figure: all, since };
            taken_for_tunnels(open, one, now, longest);
            still.insert(id.clone(), one);
        }
        self.instances = still;
    }
}

/// True of a release that the routes may give requests.
fn serves(routes: Option<&Routes>, release: ReleaseId) -> bool {
    let mut pools = routes.iter().flat_map(|routes| &routes.pools);
    pools.any(|pool| pool.release == release && pool.state == PoolState::Serving)
}

fn at_rest(before: Option<&Still>, figure: u64, now: Instant) -> Still {
    match before {
        Some(before) if before.figure == figure => *before,
        _ => Still { figure, since: now },
    }
}

fn taken_for_tunnels(open: &mut Open, still: Still, now: Instant, longest: Duration) {
    if now.duration_since(still.since) >= longest {
        *open = Open { requests: 0, tunnels: open.tunnels + open.requests };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drivers::router::{Drain, Open};
    use model::admin::ReleaseSeen;
    use model::{
        AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Version,
        Weight,
    };

    use super::Timed;
    use crate::server::sight::unseen;
    use tokio::time::Instant;

    const LONGEST: Duration = Duration::from_secs(10);

    struct World {
        timed: Timed,
        drain: Drain,
        routed: bool,
        /// The router counts requests.
        counts: bool,
        state: PoolState,
        now: Instant,
    }

    impl World {
        fn new(drain: Drain) -> Self {
            let (timed, now) = (Timed::default(), Instant::now());
            Self { timed, drain, routed: false, counts: true, state: PoolState::Serving, now }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        /// A look: `total` requests so far, `open` now; what is taken for requests of them.
        fn look(&mut self, total: u64, open: u64) -> (u64, u64) {
            let mut have = unseen(&AppName::new("shop").unwrap());
            let (release, id) = (ReleaseId(1), InstanceId("shop-1-1".into()));
            let now = Open { requests: open, tunnels: 0 };
            have.open.insert(release, now);
            have.instances.insert(id.clone(), now);
            let seen = ReleaseSeen { release, requests: total, ..ReleaseSeen::default() };
            if self.counts {
                have.totals.insert(release, seen);
            }
            let instances = if self.routed {
                vec![Instance { id: id.clone(), address: ([127, 0, 0, 1], 1).into() }]
            } else {
                vec![]
            };
            let (version, state) = (Version::new("v1").unwrap(), self.state);
            let pool = Pool { release, version, weight: Weight::ALL, state, instances };
            have.routes = Some(Routes {
                app: have.app.clone(),
                generation: Generation(1),
                hosts: vec![],
                path_prefix: "/".into(),
                pools: vec![pool],
                rules: vec![],
                hold: None,
                hand_over: None,
                spread: model::Spread::default(),
            });
            self.timed.read(&mut have, (self.drain, LONGEST), self.now);
            let (of_release, of_instance) = (have.open[&release], have.instances[&id]);
            for one in [of_release, of_instance] {
                assert_eq!(one.requests + one.tunnels, open, "nothing is made up");
            }
            (of_release.requests, of_instance.requests)
        }
    }

    #[test]
    fn what_is_open_is_a_tunnel_when_nothing_new_came_for_long_enough() {
        let mut world = World::new(Drain::Timed);
        assert_eq!(world.look(100, 5), (5, 5));
        world.pass(9);
        assert_eq!(world.look(100, 5), (5, 5));
        // One more began: it may last as long again.
        assert_eq!(world.look(101, 6), (6, 6));
        world.pass(9);
        assert_eq!(world.look(101, 3), (3, 3));
        world.pass(1);
        assert_eq!(world.look(101, 3), (0, 0));
        // Tunnels that end are no news; a request is.
        assert_eq!(world.look(101, 2), (0, 0));
        assert_eq!(world.look(102, 3), (3, 3));
    }

    #[test]
    fn an_instance_in_the_routes_is_never_at_rest() {
        let mut world = World::new(Drain::Timed);
        world.routed = true;
        world.look(100, 5);
        world.pass(60);
        assert_eq!(world.look(100, 5), (0, 5));
        world.routed = false;
        assert_eq!(world.look(100, 5), (0, 5), "its time begins when it left");
        world.pass(10);
        assert_eq!(world.look(100, 5), (0, 0));
    }

    #[test]
    fn without_counts_the_time_begins_when_nothing_new_may_come() {
        let mut world = World::new(Drain::Timed);
        world.counts = false;
        world.look(0, 5);
        world.pass(60);
        assert_eq!(world.look(0, 5).0, 5);
        world.state = PoolState::Retiring;
        assert_eq!(world.look(0, 5).0, 5);
        world.pass(9);
        assert_eq!(world.look(0, 5).0, 5);
        world.pass(1);
        assert_eq!(world.look(0, 5).0, 0);
    }

    #[test]
    fn a_router_that_counts_them_apart_is_believed() {
        let mut world = World::new(Drain::Counted);
        world.look(100, 5);
        world.pass(60);
        assert_eq!(world.look(100, 5), (5, 5));
    }
}
