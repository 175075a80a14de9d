//! Which variables of our own environment are secrets, and whose.
//!
//! Names only: the values are looked up where a release is frozen and where an instance is started.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppName, Call, Source};

use super::asked::{Asked, Login};
use super::shape::{Config, EnvironmentValue, TokenPlace};

/// Every process needs these, whatever an app calls them: they are no secrets.
const COMMON: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "TERM", "PWD"];

impl Config {
    /// The variables that apps name with `from`, with those apps: nobody else gets them.
    pub(crate) fn secrets(&self) -> BTreeMap<String, BTreeSet<AppName>> {
        let mut secrets: BTreeMap<String, BTreeSet<AppName>> = BTreeMap::new();
        for place in self.tokens() {
            if let TokenPlace::Variable(name) = place {
                // Ours alone.
                secrets.entry(name.clone()).or_default();
            }
        }
        let hooks = self.apps.values().flat_map(|app| &app.hooks);
        let called = hooks.filter_map(|hook| match &hook.call {
            Call::Post(post) => Some(post),
            Call::Program(_) => None,
        });
        let told = self.notify.iter().map(|one| &one.to);
        for from in called.chain(told).filter_map(|post| post.token_from.as_ref()) {
            secrets.entry(from.clone()).or_default();
        }
        for (name, app) in &self.apps {
            for value in app.environment.values() {
                let EnvironmentValue::From(from) = value else { continue };
                if !COMMON.contains(&from.as_str()) && !from.starts_with("LC_") {
                    secrets.entry(from.clone()).or_default().insert(name.clone());
                }
            }
        }
        secrets
    }

    /// Where the tokens are: of the API, and those that a Consul or a Prometheus wants to be shown.
    fn tokens(&self) -> impl Iterator<Item = &TokenPlace> {
        let api = self.api.as_ref().map(|api| &api.token);
        let router = self.router.consul().and_then(|consul| consul.token.as_ref());
        let found = self.apps.values().filter_map(|app| match app.source.as_ref()? {
            Source::Consul(catalog) => catalog.token.as_ref(),
            Source::Dns(_) => None,
        });
        let metrics = self.apps.values().flat_map(|app| &app.rollout.metrics);
        let asked = metrics.filter_map(|metric| match &metric.asked {
            Asked::Prometheus(whom) => whom.login.as_ref().map(Login::place),
            Asked::Command(_) => None,
        });
        api.into_iter().chain(router).chain(found).chain(asked)
    }
}
