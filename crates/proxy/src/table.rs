//! The composed routes of all apps, immutable: which app a request belongs to.
//!
//! A table is built off the request path and swapped whole. It does not choose instances.
//!
//! An exact host comes first, then the wildcard with the longest rest, then apps for every host; among
//! the apps of a host the longest prefix wins, and when none of them covers the path the next host
//! that matches is asked. `*.example.org` is every name below `example.org`, at any depth.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{AppName, PoolState, Routes, Weight};

use crate::cohort::Membership;
use crate::counters::Lasting;
use crate::gate::Gate;
use crate::hold::Hold;
use crate::ramp::Ramp;
use crate::rules::Rules;

/// One app in a table.
#[derive(Debug)]
pub(crate) struct App {
    /// Its name.
    pub(crate) name: AppName,
    prefix: String,
    /// Serving pools with a weight.
    pub(crate) weighted: Vec<Pool>,
    /// Serving pools at weight 0: they take replays.
    pub(crate) standby: Vec<Pool>,
    /// Requests that go to a certain release.
    pub(crate) rules: Rules,
    /// How clients stay with a release.
    pub(crate) membership: Option<Membership>,
    /// What stays with it while its routes change.
    pub(crate) lasting: Arc<Lasting>,
    /// New requests wait here; then no pool takes any.
    pub(crate) hold: Option<Arc<Hold>>,
}

/// One pool that may be given requests.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Its share in basis points.
    pub(crate) weight: u32,
    /// Its instances.
    pub(crate) gates: Vec<Arc<Gate>>,
    /// Those of them that do not have their whole share yet.
    pub(crate) ramp: Option<Ramp>,
}

impl Pool {
    fn new(weight: Weight, gates: Vec<Arc<Gate>>, slow_start: Duration) -> Self {
        let weight = u32::from(weight.basis_points());
        let ramp = if weight > 0 { Ramp::of(&gates, slow_start) } else { None };
        Self { weight, gates, ramp }
    }
}

impl App {
    /// Compiles a slice; `gate` finds the gate of an instance by its id.
    pub(crate) fn compile<'g>(
        routes: &Routes,
        lasting: Arc<Lasting>,
        gate: impl Fn(&model::InstanceId) -> Option<&'g Arc<Gate>>,
    ) -> Self {
        let serving = |pool: &&model::Pool| pool.state == PoolState::Serving;
        let mut serving: Vec<_> = routes.pools.iter().filter(serving).collect();
        // Cohorts are taken from the newest on.
        serving.sort_by_key(|pool| Reverse(pool.release));
        let slow_start = Duration::from_millis(routes.spread.slow_start_ms);
        let pools = serving.into_iter().map(|pool| {
            let gates = pool.instances.iter().filter_map(|one| gate(&one.id).cloned());
            Pool::new(pool.weight, gates.collect(), slow_start)
        });
        let (weighted, standby) = pools.partition(|pool| pool.weight > 0);
        Self {
            name: routes.app.clone(),
            prefix: routes.path_prefix.trim_end_matches('/').to_owned(),
            weighted,
            standby,
            rules: Rules::compile(routes, gate),
            membership: Membership::of(routes),
            lasting,
            hold: None,
        }
    }

    /// The same, whose requests wait.
    pub(crate) fn held(self, hold: Option<Arc<Hold>>) -> Self {
        Self { hold, ..self }
    }

    /// The instances among which that one is.
    pub(crate) fn peers(&self, gate: &Gate) -> &[Arc<Gate>] {
        let has = |pool: &&Pool| pool.gates.iter().any(|one| one.serial == gate.serial);
        self.weighted.iter().chain(&self.standby).find(has).map_or(&[], |pool| &pool.gates)
    }

    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
            || (path == "*" && self.prefix.is_empty())
    }
}

/// All apps.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_name: HashMap<AppName, Arc<App>>,
    by_host: HashMap<String, Vec<Arc<App>>>,
    /// By what comes after the `*`, which begins with a dot.
    below: HashMap<String, Vec<Arc<App>>>,
    any_host: Vec<Arc<App>>,
}

/// Why no app was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrouted {
    /// No app answers for the host.
    Host,
    /// Those that answer for the host do not cover the path.
    Path,
}

impl Table {
    /// Composes a table of apps and the hosts of each; no hosts means every host.
    pub(crate) fn compose<'a>(apps: impl Iterator<Item = (Arc<App>, &'a [String])>) -> Self {
        let mut table = Self::default();
        for (app, hosts) in apps {
            for host in hosts {
                let place = match host.strip_prefix('*') {
                    Some(rest) => table.below.entry(rest.to_owned()),
                    None => table.by_host.entry(host.clone()),
                };
                insert(place.or_default(), &app);
            }
            if hosts.is_empty() {
                insert(&mut table.any_host, &app);
            }
            table.by_name.insert(app.name.clone(), app);
        }
        table
    }

    /// The app by name: for a request that was routed already and must pick again.
    pub(crate) fn named(&self, name: &AppName) -> Option<&Arc<App>> {
        self.by_name.get(name)
    }

    /// The app of a request.
    pub(crate) fn find(&self, host: &str, target: &str) -> Result<&Arc<App>, Unrouted> {
        if self.by_host.is_empty() && self.below.is_empty() {
            let missing = if self.any_host.is_empty() { Unrouted::Host } else { Unrouted::Path };
            return covering(&self.any_host, target).ok_or(missing);
        }
        let name = without_port(host);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find_named(&name.to_ascii_lowercase(), target);
        }
        self.find_named(name, target)
    }

    /// The same for a name in lower case.
    fn find_named(&self, name: &str, target: &str) -> Result<&Arc<App>, Unrouted> {
        let mut missing = Unrouted::Host;
        let exact = self.by_host.get(name);
        let any = (!self.any_host.is_empty()).then_some(&self.any_host);
        for apps in exact.into_iter().chain(self.above(name)).chain(any) {
            match covering(apps, target) {
                Some(app) => return Ok(app),
                None => missing = Unrouted::Path,
            }
        }
        Err(missing)
    }

    /// The wildcards that stand for a name, the longest rest first.
    fn above<'t, 'n>(
        &'t self,
        name: &'n str,
    ) -> impl Iterator<Item = &'t Vec<Arc<App>>> + use<'t, 'n> {
        let name = if self.below.is_empty() { "" } else { name };
        // A wildcard stands for one character at least.
        let dots = name.bytes().enumerate().filter(|(at, byte)| *at > 0 && *byte == b'.');
        dots.filter_map(move |(dot, _)| self.below.get(&name[dot..]))
    }
}

/// The first that covers the target: they are in the order of their prefixes.
fn covering<'t>(apps: &'t [Arc<App>], target: &str) -> Option<&'t Arc<App>> {
    apps.iter().find(|app| app.covers(target))
}

/// Keeps the longest prefix first.
fn insert(apps: &mut Vec<Arc<App>>, app: &Arc<App>) {
    let at = apps.partition_point(|other| other.prefix.len() >= app.prefix.len());
    apps.insert(at, Arc::clone(app));
}

fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{AppName, Generation, Routes, Spread};

    use super::{App, Table, Unrouted};

    fn table(apps: &[(&str, &[&str], &str)]) -> Table {
        let slices: Vec<Routes> = apps
            .iter()
            .map(|(name, hosts, prefix)| Routes {
                app: AppName::new(*name).unwrap(),
                generation: Generation(1),
                hosts: hosts.iter().map(ToString::to_string).collect(),
                path_prefix: (*prefix).into(),
                pools: Vec::new(),
                rules: Vec::new(),
                hold: None,
                hand_over: None,
                spread: Spread::default(),
            })
            .collect();
        let compiled = slices.iter().map(|slice| {
            (Arc::new(App::compile(slice, Arc::default(), |_| None)), slice.hosts.as_slice())
        });
        Table::compose(compiled)
    }

    #[test]
    fn hosts_come_first_then_the_longest_prefix_on_a_segment_boundary() {
        let table = table(&[
            ("any", &[], "/"),
            ("deep", &[], "/api/v2/"),
            ("api", &[], "/api"),
            ("shop", &["shop.test", "[::1]"], "/"),
            ("cart", &["shop.test"], "/cart"),
        ]);
        let found = |host: &str, target: &str| {
            table.find(host, target).map_or("none", |app| app.name.as_str()).to_owned()
        };
        for (host, target, app) in [
            ("x.test", "/", "any"),
            ("x.test", "/apis", "any"),
            ("x.test", "/api", "api"),
            ("x.test", "/api?x", "api"),
            ("x.test", "/api/v2", "deep"),
            ("x.test", "/api/v20", "api"),
            ("SHOP.test:8080", "/api/v2", "shop"),
            ("shop.test.", "/cart/1", "cart"),
            ("[::1]:80", "/", "shop"),
            ("", "*", "any"),
        ] {
            assert_eq!(found(host, target), app, "{host}{target}");
        }
    }

    #[test]
    fn of_several_hosts_that_match_the_most_specific_wins() {
        let table = table(&[
            ("wide", &["*.test"], "/"),
            ("near", &["*.shop.test"], "/"),
            ("near-api", &["*.shop.test"], "/api"),
            ("own", &["a.shop.test"], "/own"),
            ("bare", &["shop.test"], "/"),
        ]);
        for (host, target, app) in [
            ("a.shop.test", "/own/1", "own"),
            ("a.shop.test", "/ownership", "near"),
            ("a.shop.test", "/api/x", "near-api"),
            ("b.a.SHOP.test.:80", "/", "near"),
            ("shop.test", "/", "bare"),
            ("other.test", "/api", "wide"),
            ("test", "/", "none"),
            (".shop.test", "/", "wide"),
            (".test", "/", "none"),
            ("ashop.test", "/", "wide"),
            ("[::1]:80", "/", "none"),
            ("", "/", "none"),
        ] {
            let found = table.find(host, target).map_or("none", |app| app.name.as_str());
            assert_eq!(found, app, "{host}{target}");
        }
    }

    #[test]
    fn nothing_matches_a_table_without_a_fitting_app() {
        let table = table(&[("api", &["a.test"], "/api")]);
        assert_eq!(table.find("b.test", "/api").unwrap_err(), Unrouted::Host);
        assert_eq!(table.find("a.test", "/").unwrap_err(), Unrouted::Path);
        let any = self::table(&[("api", &[], "/api")]);
        assert_eq!(any.find("b.test", "/").unwrap_err(), Unrouted::Path);
        assert_eq!(Table::default().find("b.test", "/").unwrap_err(), Unrouted::Host);
    }
}
