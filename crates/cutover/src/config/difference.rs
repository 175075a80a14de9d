//! What differs between the configuration a server runs with and the file as it is now: what a reload
//! would change, and what it cannot. Pure.
//!
//! It changes nothing: the server does (`server::reload`).

use std::collections::BTreeMap;
use std::fmt::Debug;

use model::AppName;

use super::limits;
use super::shape::{ApiConfig, AppConfig, Config, ProxyConfig, RolloutConfig};

/// What a reload is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What it would change, in words.
    pub(crate) changes: Vec<String>,
    /// What it cannot change, in words, each with the reason.
    pub(crate) refused: Vec<String>,
    /// The apps it would change.
    pub(crate) apps: Vec<AppName>,
}

impl Difference {
    /// Between what runs and what is wanted.
    pub(crate) fn between(runs: &Config, wanted: &Config) -> Self {
        let mut difference = Self::default();
        difference.server(runs, wanted);
        difference.proxy(&runs.proxy, &wanted.proxy);
        for name in runs.apps.keys().filter(|name| !wanted.apps.contains_key(*name)) {
            difference.refuse(
                &format!("[app.{name}] is gone"),
                "a running app is not taken away: `cutover down`, then `cutover up`",
            );
        }
        for (name, app) in &wanted.apps {
            match runs.apps.get(name) {
                Some(before) => difference.app(before, app),
                None => difference.refuse(
                    &format!("[app.{name}] is new"),
                    "a server takes up apps when it starts: start `cutover up` anew",
                ),
            }
        }
        difference.note("[together]", &runs.together, &wanted.together);
        difference.moved(runs, wanted);
        difference
    }

    fn refuse(&mut self, what: &str, why: &str) {
        self.refused.push(format!("{what}: {why}"));
    }

    /// What holds for the whole server.
    fn server(&mut self, runs: &Config, wanted: &Config) {
        let anew = "this takes a server that is started anew";
        if runs.state_dir != wanted.state_dir {
            self.refuse(&shown("state_dir", &runs.state_dir, &wanted.state_dir), anew);
        }
        if runs.history != wanted.history {
            self.refuse("[history] differs", anew);
        }
        self.api(runs.api.as_ref(), wanted.api.as_ref(), anew);
        if runs.notify != wanted.notify {
            self.refuse("[[notify]] differs", anew);
        }
        if runs.router != wanted.router {
            self.refuse("[router] differs", anew);
        }
        if runs.secrets() != wanted.secrets() {
            let why = "secrets are set apart when the server starts: start `cutover up` anew";
            self.refuse("the secrets in `environment` differ", why);
        }
    }

    /// Its listener stays, or there is none; what it shows and asks for may be others.
    fn api(&mut self, runs: Option<&ApiConfig>, wanted: Option<&ApiConfig>, anew: &str) {
        let (before, after) = match (runs, wanted) {
            (None, None) => return,
            (None, Some(_)) => return self.refuse("[api] is new", anew),
            (Some(_), None) => return self.refuse("[api] is gone", anew),
            (Some(before), Some(after)) => (before, after),
        };
        if before.listen != after.listen {
            self.refuse(&shown("[api] listen", &before.listen, &after.listen), anew);
        }
        self.note("[api] chain", &before.pair.chain, &after.pair.chain);
        self.note("[api] key", &before.pair.key, &after.pair.key);
        self.note("[api] token", &before.token, &after.token);
    }

    fn proxy(&mut self, runs: &ProxyConfig, wanted: &ProxyConfig) {
        if runs.threads != wanted.threads {
            let what = shown("[proxy] threads", &runs.threads, &wanted.threads);
            self.refuse(&what, "a proxy has its threads from its start on");
        }
        for (key, before, after) in [
            ("listen", &runs.listen, &wanted.listen),
            ("tls_listen", &runs.tls_listen, &wanted.tls_listen),
        ] {
            for gone in before.iter().filter(|at| !after.contains(at)) {
                let what = format!("[proxy] {key}: {gone} is gone");
                self.refuse(&what, "a proxy that runs closes no listener");
            }
            for new in after.iter().filter(|at| !before.contains(at)) {
                self.changes.push(format!("[proxy] {key}: + {new}"));
            }
        }
        let pair = |pair: &model::admin::KeyPair| pair.chain.display().to_string();
        let list = |of: &ProxyConfig| of.certificates.iter().map(pair).collect::<Vec<_>>();
        if runs.certificates != wanted.certificates {
            self.changes.push(shown("[proxy] certificates", &list(runs), &list(wanted)));
        }
        let (before, after) = (&runs.settings, &wanted.settings);
        self.note("[proxy] trusted", &before.trusted, &after.trusted);
        self.note("[proxy] answer_begins (ms)", &before.answer_begins_ms, &after.answer_begins_ms);
        let silence = (&before.answer_silence_ms, &after.answer_silence_ms);
        self.note("[proxy] answer_silence (ms)", silence.0, silence.1);
        self.note("[proxy] max_connections", &before.max_connections, &after.max_connections);
        for (key, before, after) in limits::differ(before, after) {
            self.changes.push(format!("{key}: {before} -> {after}"));
        }
        self.note("[proxy] outliers", &before.outliers, &after.outliers);
        self.note("error_pages", &before.pages, &after.pages);
        self.note("maintenance", &before.maintenance, &after.maintenance);
        self.note("[proxy] access log, metrics", &runs.observation, &wanted.observation);
        let next = "[proxy] upgrade_timeout (from the next start on)";
        self.note(next, &runs.upgrade_timeout, &wanted.upgrade_timeout);
        self.note("[proxy] drain_timeout", &runs.drain_timeout, &wanted.drain_timeout);
    }

    fn note<T: PartialEq + Debug>(&mut self, key: &str, before: &T, after: &T) {
        if before != after {
            self.changes.push(shown(key, before, after));
        }
    }

    fn app(&mut self, before: &AppConfig, after: &AppConfig) {
        let known = self.changes.len();
        let name = &after.name;
        let key = |key: &str| format!("app.{name} {key}");
        self.note(&key("hosts"), &before.hosts, &after.hosts);
        self.note(&key("path_prefix"), &before.path_prefix, &after.path_prefix);
        if before.registered != after.registered {
            let why = "what is registered at Consul is known from the start of a server on";
            self.refuse(&key("consul"), why);
        }
        self.note(&key("instances"), &before.instances, &after.instances);
        self.note(&key("slow_start"), &before.slow_start, &after.slow_start);
        let next = |key: &str| format!("app.{name} {key} (from the next deploy on)");
        let source = |of: &AppConfig| of.source.as_ref().map(ToString::to_string);
        self.note(&next("instances"), &source(before), &source(after));
        self.note(&next("command"), &before.command, &after.command);
        self.note(&next("directory"), &before.directory, &after.directory);
        self.note(&next("environment"), &before.environment, &after.environment);
        self.note(&next("stop_timeout"), &before.stop_timeout, &after.stop_timeout);
        self.note(&next("health"), &before.health, &after.health);
        // Addresses of theirs may be secrets.
        if before.hooks != after.hooks {
            self.changes.push(next("hooks"));
        }
        self.rollout(&next, (&before.rollout, &after.rollout));
        self.note(&next("probe"), &before.probe, &after.probe);
        if self.changes.len() > known {
            self.apps.push(name.clone());
        }
    }

    fn rollout(
        &mut self,
        key: &impl Fn(&str) -> String,
        (before, after): (&RolloutConfig, &RolloutConfig),
    ) {
        let rules = |of: &RolloutConfig| {
            let rule = |target: &super::Target| format!("{} to {:?}", target.mark, target.to);
            of.targets.iter().map(rule).collect::<Vec<_>>()
        };
        self.note(&key("rollout.strategy"), &before.strategy, &after.strategy);
        self.note(&key("rollout.target"), &rules(before), &rules(after));
        self.note(&key("rollout.sticky"), &before.cohorts, &after.cohorts);
        let rest = |of: &RolloutConfig| RolloutConfig {
            strategy: after.strategy.clone(),
            targets: Vec::new(),
            cohorts: None,
            ..of.clone()
        };
        if rest(before) != rest(after) {
            self.changes.push(key("rollout"));
        }
    }

    /// A host and prefix cannot go from one app to another: the two change one after the other, and in
    /// between nobody would answer, or both.
    fn moved(&mut self, runs: &Config, wanted: &Config) {
        let taken: BTreeMap<_, _> =
            runs.apps.values().flat_map(|app| claims(app).map(move |claim| (claim, app))).collect();
        for app in wanted.apps.values() {
            for claim in claims(app) {
                let Some(other) = taken.get(&claim).filter(|other| other.name != app.name) else {
                    continue;
                };
                let (host, prefix) = (claim.0.unwrap_or("every host"), claim.1);
                let what =
                    format!("{host} at `{prefix}/` goes from {} to {}", other.name, app.name);
                self.refuse(
                    &what,
                    "not between running apps: take it away first, then reload again",
                );
            }
        }
    }
}

/// The hosts and the prefix that an app answers for; `None` is every host.
fn claims(app: &AppConfig) -> impl Iterator<Item = (Option<&str>, &str)> {
    let prefix = app.path_prefix.trim_end_matches('/');
    let any = app.hosts.is_empty().then_some((None, prefix));
    app.hosts.iter().map(move |host| (Some(host.as_str()), prefix)).chain(any)
}

fn shown<T: Debug>(key: &str, before: &T, after: &T) -> String {
    format!("{key}: {before:?} -> {after:?}")
}

#[cfg(test)]
mod tests {
    use super::Difference;
    use crate::config::tests::good;

    const BASE: &str = "[proxy]\nlisten = [\"127.0.0.1:1\"]\nthreads = 2\n\
        [app.a]\ncommand = [\"a\"]\nhosts = [\"a.test\"]\n\
        [app.b]\ncommand = [\"b\"]\nhosts = [\"b.test\", \"c.test\"]\n";

    fn between(changes: &[(&str, &str)]) -> Difference {
        let mut text = BASE.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        Difference::between(&good(BASE), &good(&text))
    }

    #[test]
    fn nothing_differs_from_itself() {
        assert_eq!(between(&[]), Difference::default());
    }

    #[test]
    fn what_can_change_is_told_in_words() {
        for (from, to, words) in [
            (
                "[app.a]",
                "[proxy.limits]\nmax_body = \"1KiB\"\n[app.a]",
                "limits] max_body: 0 -> 1024",
            ),
            ("[app.b]", "[app.b.limits]\nmax_body = \"1B\"\n[app.b]", "app.b limits: none -> "),
            ("[\"127.0.0.1:1\"]", "[\"127.0.0.1:1\", \"127.0.0.1:2\"]", "listen: + 127.0.0.1:2"),
            ("threads = 2", "threads = 2\ntrusted = [\"10.0.0.0/8\"]", "[proxy] trusted"),
            ("\"a.test\"", "\"a.test\", \"*.a.test\"", "app.a hosts: [\"a.test\"] -> "),
            ("\"b.test\", ", "", "app.b hosts"),
            ("[\"b\"]", "[\"bb\"]", "app.b command (from the next deploy on)"),
            ("[app.b]", "[app.a.rollout]\nbake = \"1s\"\n[app.b]", "app.a rollout (from the next"),
        ] {
            let found = between(&[(from, to)]);
            assert!(found.refused.is_empty(), "{found:?}");
            assert!(found.changes.len() == 1 && found.changes[0].contains(words), "{found:?}");
        }
        let api = |chain, token| {
            format!(
                "[api]\nlisten = \"127.0.0.1:3\"\nchain = \"{chain}\"\nkey = \"k\"\ntoken = {token}\n{BASE}"
            )
        };
        let (variable, file) = ("{ from = \"T\" }", "{ file = \"t\" }");
        let found = Difference::between(&good(&api("c", file)), &good(&api("d", file)));
        assert!(
            found.refused.is_empty() && found.changes[0].contains("[api] chain: "),
            "{found:?}"
        );
        let found = Difference::between(&good(&api("c", file)), &good(&api("c", variable)));
        assert!(found.changes[0].contains("[api] token: "), "{found:?}");
        // The variable is a secret of its own, and those are known from the start on.
        assert_eq!(found.refused.len(), 1, "{found:?}");
        let both = between(&[("[\"a\"]", "[\"aa\"]"), ("[\"b\"]", "[\"bb\"]")]);
        assert_eq!(both.apps.len(), 2);
    }

    #[test]
    fn what_needs_a_new_start_is_refused_with_the_reason() {
        for (from, to, words) in [
            ("[proxy]", "state_dir = \"x\"\n[proxy]", "state_dir"),
            ("threads = 2", "threads = 3", "threads: 2 -> 3: a proxy has its threads"),
            ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1 is gone: a proxy that runs closes no"),
            ("[app.b]", "[app.c]\ncommand = [\"c\"]\n[app.b]", "[app.c] is new"),
            ("[app.a]", "[app.z]", "[app.a] is gone"),
            (
                "[proxy]",
                "[api]\nlisten = \"127.0.0.1:3\"\nchain = \"c\"\nkey = \"k\"\ntoken = { file = \"t\" }\n[proxy]",
                "[api] is new",
            ),
            ("[app.b]", "environment = { X = { from = \"Y\" } }\n[app.b]", "secrets"),
        ] {
            let found = between(&[(from, to)]);
            assert!(found.refused.iter().any(|it| it.contains(words)), "{words}: {found:?}");
        }
        let moved = between(&[("\"b.test\", ", ""), ("\"a.test\"", "\"a.test\", \"b.test\"")]);
        assert_eq!(moved.refused.len(), 1);
        assert!(moved.refused[0].contains("b.test at `/` goes from b to a"), "{moved:?}");
    }
}
