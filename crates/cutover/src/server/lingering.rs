//! What instances that are out of the routes still have open, by name, once that lasts for long.
//!
//! The router is asked now and then, and again right before a deadline, so that whoever is cut is known.
//! How long anything may take, and what follows, is decided elsewhere.

use std::time::Duration;

use drivers::router::{Open, RoutesHave};
use model::{Fault, InstanceId, Offenders, PoolState};
use tokio::time::Instant;

use super::active::Active;
use super::tools::Tools;

/// From then on it is long.
const LONG: Duration = Duration::from_secs(3);
/// Pause between two questions.
const AGAIN: Duration = Duration::from_secs(5);
/// The same shortly before a deadline.
const AGAIN_SOON: Duration = Duration::from_millis(250);
/// How long "shortly" is, ms: a few looks.
const SOON_MS: u64 = 300;

/// Of one app.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    /// When something was first seen open.
    since: Option<Instant>,
    asked: Option<Instant>,
    told: Offenders,
}

impl Lingering {
    /// What was told last; nothing while nothing lasts.
    pub(super) const fn told(&self) -> &Offenders {
        &self.told
    }

    /// Asks who it is, if it is time to, and tells the machine of a rollout.
    pub(super) async fn look(
        &mut self,
        tools: &Tools,
        active: Option<&mut Active>,
        routes: &RoutesHave,
    ) -> Result<(), Fault> {
        let instances = leaving(routes);
        if instances.is_empty() {
            *self = Self::default();
            return Ok(());
        }
        let left_ms = active.as_ref().and_then(|active| active.wake_in_ms());
        let soon = left_ms.is_some_and(|ms| ms < SOON_MS);
        let now = Instant::now();
        if !self.is_time(soon, now) {
            return Ok(());
        }
        self.asked = Some(now);
        match tools.router.offenders(&routes.app, &instances).await {
            Ok(told) => self.told = told,
            // It is told for people, and nothing waits for it.
            Err(fault) => tracing::debug!(%fault, "what is open cannot be named"),
        }
        match active {
            Some(active) => active.saw_lingering(&self.told, soon),
            None => Ok(()),
        }
    }

    fn is_time(&mut self, soon: bool, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let pause = if soon { AGAIN_SOON } else { AGAIN };
        let again = self.asked.is_none_or(|asked| now.duration_since(asked) >= pause);
        again && (soon || now.duration_since(since) >= LONG)
    }
}

/// Instances that get nothing new and have something open.
fn leaving(routes: &RoutesHave) -> Vec<InstanceId> {
    let pools = routes.routes.iter().flat_map(|routes| &routes.pools);
    let serving = pools.filter(|pool| pool.state == PoolState::Serving);
    let serving: Vec<_> = serving.flat_map(|pool| &pool.instances).map(|one| &one.id).collect();
    let leaves = |(id, open): &(&InstanceId, &Open)| {
        open.requests + open.tunnels > 0 && !serving.contains(id)
    };
    routes.instances.iter().filter(leaves).map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drivers::router::Open;
    use model::{
        AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Spread,
        Version, Weight,
    };
    use tokio::time::Instant;

    use super::{Lingering, leaving};
    use crate::server::sight::unseen;

    #[test]
    fn who_gets_nothing_new_and_has_something_open_leaves() {
        let pool = |release: u32, state| Pool {
            release: ReleaseId(release),
            version: Version::new(format!("v{release}")).unwrap(),
            weight: Weight::NONE,
            state,
            instances: vec![Instance {
                id: InstanceId(format!("demo-{release}-1")),
                address: "127.0.0.1:1".parse().unwrap(),
            }],
        };
        let app = AppName::new("demo").unwrap();
        let mut seen = unseen(&app);
        for (release, requests, tunnels) in [(1, 1, 0), (2, 1, 0), (3, 0, 0), (4, 0, 1)] {
            let id = InstanceId(format!("demo-{release}-1"));
            seen.instances.insert(id, Open { requests, tunnels });
        }
        seen.routes = Some(Routes {
            app,
            generation: Generation(1),
            hosts: Vec::new(),
            path_prefix: "/".into(),
            pools: vec![pool(1, PoolState::Retiring), pool(2, PoolState::Serving)],
            rules: Vec::new(),
            hold: None,
            hand_over: None,
            spread: Spread::default(),
        });
        assert_eq!(leaving(&seen), ["demo-1-1", "demo-4-1"].map(|id| InstanceId(id.into())));
    }

    #[test]
    fn it_is_asked_when_it_lasts_and_before_a_deadline() {
        let (mut lingering, start) = (Lingering::default(), Instant::now());
        let mut asked = Vec::new();
        for (ms, soon) in [
            (0, false),
            (100, true),
            (200, true),
            (400, true),
            (3_200, false),
            (5_500, false),
            (9_000, false),
            (10_500, false),
        ] {
            let now = start + Duration::from_millis(ms);
            if lingering.is_time(soon, now) {
                lingering.asked = Some(now);
                asked.push(ms);
            }
        }
        assert_eq!(asked, [100, 400, 5_500, 10_500]);
    }
}
