//! The composed routes of all apps, immutable: which app a request belongs to.
//!
//! A table is built off the request path and swapped whole. It does not choose instances.

use std::collections::HashMap;
use std::sync::Arc;

use model::{AppName, PoolState, Routes};

use crate::counters::Lasting;
use crate::gate::Gate;
use crate::hold::Hold;
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
}

impl App {
    /// Compiles a slice; `gate` finds the gate of an instance by its id.
    pub(crate) fn compile<'g>(
        routes: &Routes,
        lasting: Arc<Lasting>,
        gate: impl Fn(&model::InstanceId) -> Option<&'g Arc<Gate>>,
    ) -> Self {
        let serving = routes.pools.iter().filter(|pool| pool.state == PoolState::Serving);
        let pools = serving.map(|pool| Pool {
            weight: u32::from(pool.weight.basis_points()),
            gates: pool.instances.iter().filter_map(|one| gate(&one.id).cloned()).collect(),
        });
        let (weighted, standby) = pools.partition(|pool| pool.weight > 0);
        Self {
            name: routes.app.clone(),
            prefix: routes.path_prefix.trim_end_matches('/').to_owned(),
            weighted,
            standby,
            rules: Rules::compile(routes, gate),
            lasting,
            hold: None,
        }
    }

    /// The same, whose requests wait.
    pub(crate) fn held(self, hold: Option<Arc<Hold>>) -> Self {
        Self { hold, ..self }
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
    any_host: Vec<Arc<App>>,
}

impl Table {
    /// Composes a table of apps and the hosts of each; no hosts means every host.
    pub(crate) fn compose<'a>(apps: impl Iterator<Item = (Arc<App>, &'a [String])>) -> Self {
        let mut table = Self::default();
        for (app, hosts) in apps {
            for host in hosts {
                insert(table.by_host.entry(host.clone()).or_default(), &app);
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

    /// The app of a request. An app that names the host comes before those for every host; among
    /// them the longest prefix wins.
    pub(crate) fn find(&self, host: &str, target: &str) -> Option<&Arc<App>> {
        let exact = if self.by_host.is_empty() {
            None
        } else {
            let name = without_port(host);
            match self.by_host.get(name) {
                None if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                    self.by_host.get(&name.to_ascii_lowercase())
                }
                found => found,
            }
        };
        let covering = |apps: &'_ Vec<Arc<App>>| apps.iter().position(|app| app.covers(target));
        exact
            .and_then(|apps| covering(apps).map(|at| &apps[at]))
            .or_else(|| covering(&self.any_host).map(|at| &self.any_host[at]))
    }
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

    use model::{AppName, Generation, Routes};

    use super::{App, Table};

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
            table.find(host, target).map_or("", |app| app.name.as_str()).to_owned()
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
    fn nothing_matches_a_table_without_a_fitting_app() {
        let table = table(&[("api", &["a.test"], "/api")]);
        assert!(table.find("b.test", "/api").is_none());
        assert!(table.find("a.test", "/").is_none());
    }
}
