//! Tells that requests go to instances that fail their checks, because too few others pass.
//!
//! That they do is decided where routes are composed (`desired`), with the same figures. Nothing is routed
//! here.

use drivers::platform::FleetHave;
use drivers::router::RoutesHave;
use model::{AppName, InstanceId, Pool, PoolState, ReleaseId, Weight};

/// Instances that fail their checks and get requests all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// Their names.
    pub(super) instances: Vec<InstanceId>,
    /// Why, in words.
    pub(super) words: String,
}

/// What was said of one app.
#[derive(Debug, Default)]
pub(super) struct FailOpen {
    said: Option<String>,
}

impl FailOpen {
    /// Those of releases with traffic, if there are any; logged when it begins, changes and ends.
    pub(super) fn told(
        &mut self,
        app: &AppName,
        (fleet, routes): (&FleetHave, &RoutesHave),
        fail_open: impl Fn(ReleaseId) -> u32,
    ) -> Option<Opened> {
        let pools = routes.routes.iter().flat_map(|routes| &routes.pools);
        let carrying =
            pools.filter(|pool| pool.state == PoolState::Serving && pool.weight > Weight::NONE);
        let opened = carrying.filter_map(|pool| of_pool(pool, fleet, fail_open(pool.release)));
        let now = opened.reduce(Opened::and);
        let words = now.as_ref().map(|now| &now.words);
        match (&self.said, words) {
            (before, Some(words)) if before.as_ref() != Some(words) => {
                tracing::warn!(%app, "{words}");
            }
            (Some(_), None) => {
                tracing::info!(%app, "only those that pass their checks get requests");
            }
            _ => {}
        }
        self.said = words.cloned();
        now
    }
}

impl Opened {
    fn and(mut self, other: Self) -> Self {
        self.instances.extend(other.instances);
        self.words = format!("{}; {}", self.words, other.words);
        self
    }
}

fn of_pool(pool: &Pool, fleet: &FleetHave, fail_open: u32) -> Option<Opened> {
    let release = pool.release;
    let serving = fleet.serving_open(release, &[], fail_open);
    let failing = fleet.failing(release).filter(|id| serving.iter().any(|one| one.id == **id));
    let instances: Vec<_> = failing.cloned().collect();
    let all = fleet.of(release).filter(|one| one.stays() && one.ready_before).count();
    let (count, version) = (instances.len(), &pool.version);
    let words = format!(
        "{count} of {all} instances of {version} fail their checks: too few pass, so all get requests"
    );
    (count > 0).then_some(Opened { instances, words })
}

#[cfg(test)]
mod tests {
    use drivers::platform::Condition;
    use model::{AppName, Generation, Pool, PoolState, ReleaseId, Routes, Spread, Version, Weight};

    use super::FailOpen;
    use crate::server::desired::tests::fleet;
    use crate::server::sight::unseen;

    #[test]
    fn it_is_told_while_failing_instances_get_requests() {
        use Condition::{Ready, Unready};
        let app = AppName::new("demo").unwrap();
        let pool = Pool {
            release: ReleaseId(1),
            version: Version::new("v1").unwrap(),
            weight: Weight::ALL,
            state: PoolState::Serving,
            instances: Vec::new(),
        };
        let mut routes = unseen(&app);
        routes.routes = Some(Routes {
            app: app.clone(),
            generation: Generation(1),
            hosts: Vec::new(),
            path_prefix: "/".into(),
            pools: vec![pool],
            rules: Vec::new(),
            hold: None,
            hand_over: None,
            spread: Spread::default(),
        });
        let mut told = FailOpen::default();
        for (conditions, words) in [
            (&[Ready, Ready, Ready][..], None),
            (&[Ready, Ready, Unready], None),
            (&[Ready, Unready, Unready], Some("2 of 3 instances of v1 fail")),
            (&[Unready, Unready, Unready], Some("3 of 3 instances of v1 fail")),
            (&[Ready, Ready, Ready], None),
        ] {
            let open = told.told(&app, (&fleet(conditions), &routes), |_| 50);
            assert_eq!(told.said, open.as_ref().map(|open| open.words.clone()));
            let said = told.said.as_deref().unwrap_or_default();
            assert!(
                said.starts_with(words.unwrap_or_default()) && words.is_none() == said.is_empty()
            );
        }
    }
}
