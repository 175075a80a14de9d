//! Where requests go: a backend, or the back of a `listen`.
//!
//! Whether the servers answer is not asked: only what is written counts.

use super::lacks::Lacks;
use super::repeats::{spares_posts, unsafe_words};
use crate::router::finding::Finding;
use crate::router::haproxy::written::{Said, Section, Setting, Written};

/// What all backends of Cutover's apps begin with.
pub(super) const OURS: &str = "cutover_";

/// More retries than this are a wait of minutes: there is up to a second before each.
const RETRIES_MAX: u32 = 50;

/// The servers that are written in a section.
pub(super) fn servers(section: &Section) -> impl Iterator<Item = &Setting> {
    let is = |set: &&Setting| set.begins(&["server"]) || set.begins(&["server-template"]);
    section.settings.iter().filter(is)
}

/// What it lacks.
pub(super) fn review(written: &Written, section: &Section, entrances: &[&Section]) -> Vec<Finding> {
    let mut pool = Pool { written, section, lacks: Lacks::of(Some(section)) };
    pool.tries();
    pool.repeats(entrances);
    pool.connections(entrances);
    pool.timeouts();
    pool.resolved();
    if section.name.starts_with(OURS) {
        pool.ours();
    } else {
        pool.servers();
    }
    pool.lacks.found
}

struct Pool<'a> {
    written: &'a Written,
    section: &'a Section,
    lacks: Lacks,
}

impl<'a> Pool<'a> {
    fn setting(&self, words: &[&str]) -> Option<&'a Setting> {
        self.written.setting(self.section, words)
    }

    /// A request that was not taken must get its chance elsewhere.
    fn tries(&mut self) {
        let why = "a request is only tried again on the instance that failed it";
        match self.written.option(self.section, "redispatch") {
            Said::On => {}
            Said::Off(there) => {
                self.lacks.add("option redispatch", Some(there), "option redispatch 1", why);
            }
            Said::Nothing => self.lacks.add("option redispatch", None, "option redispatch 1", why),
        }
        if let Some(there) = self.setting(&["retries"]) {
            let retries = there.words.get(1).and_then(|n| n.parse::<u32>().ok());
            let why = match retries {
                Some(0) => "a request that was never sent is answered with an error",
                Some(n) if n > RETRIES_MAX => {
                    "while nobody answers, each request is held for minutes in place of an error"
                }
                _ => "",
            };
            if !why.is_empty() {
                self.lacks.add("retries", Some(there), "retries 3", why);
            }
        }
        // Without the setting, `conn-failure` holds.
        let there = self.setting(&["retry-on"]);
        let tried = ["conn-failure", "all-retryable-errors"];
        if let Some(there) = there.filter(|set| !tried.iter().any(|word| set.has(word))) {
            let why = "a request that was never sent is answered with an error";
            self.lacks.add("retry-on", Some(there), "conn-failure", why);
        }
    }

    /// What was done must not be done twice.
    fn repeats(&mut self, entrances: &[&Section]) {
        let Some(there) = self.setting(&["retry-on"]) else { return };
        let words = unsafe_words(there);
        let spared = |section| spares_posts(self.written, section);
        let at_all_entrances =
            !entrances.is_empty() && entrances.iter().all(|section| spared(section));
        if words.is_empty() || spared(self.section) || at_all_entrances {
            return;
        }
        let why =
            format!("`{}` does not look at the method: a POST is done twice", words.join("`, `"));
        let needed = "conn-failure, or `http-request disable-l7-retry if METH_POST` beside it";
        self.lacks.add("retry-on", Some(there), needed, &why);
    }

    /// Connections to instances must not be closed under a request.
    fn connections(&mut self, entrances: &[&Section]) {
        let closes = |section: &Section| {
            ["http-server-close", "httpclose"]
                .iter()
                .any(|name| matches!(self.written.option(section, name), Said::On))
        };
        let at_all_entrances =
            !entrances.is_empty() && entrances.iter().all(|section| closes(section));
        if closes(self.section) || at_all_entrances {
            return;
        }
        let keeps = ["http-reuse", "no option http-server-close", "option http-keep-alive"];
        let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
        let there = keeps.iter().find_map(|text| self.setting(&words(text)));
        let why = "a POST can be lost on a kept connection that the app is just closing";
        self.lacks.add("option http-server-close", there, "option http-server-close", why);
    }

    fn timeouts(&mut self) {
        const NEEDED: [(&str, &str, &str); 4] = [
            ("connect", "2s", "an instance that is gone holds requests for ever"),
            ("server", "60s", "an instance that is stuck holds requests for ever"),
            ("tunnel", "1h", "WebSockets end with `timeout client` or `timeout server`"),
            ("check", "2s", "a busy moment longer than `inter` takes a whole release out of use"),
        ];
        for (name, time, why) in NEEDED {
            if self.setting(&["timeout", name]).is_none() {
                let needed = format!("timeout {name} {time}");
                self.lacks.add(&format!("timeout {name}"), None, &needed, why);
            }
        }
        let limited = servers(self.section).find(|server| server.has("maxconn"));
        if let Some(server) = limited.filter(|_| self.setting(&["timeout", "queue"]).is_none()) {
            let there = (format!("not set, and `{}`", server.text()), Some(server.at.clone()));
            let why = "who waits for its turn is refused after `timeout connect`";
            self.lacks.say("timeout queue", there, "timeout queue 30s", why);
        }
    }

    /// Places that are filled from DNS.
    fn resolved(&mut self) {
        let option = |set: &&Setting| {
            let mut words = set.words.iter().skip_while(|word| *word != "resolve-opts").skip(1);
            words.next().is_some_and(|opts| opts.split(',').any(|opt| opt == "allow-dup-ip"))
        };
        let places = |set: &&Setting| set.begins(&["server-template"]) && set.has("resolvers");
        let default = self.setting(&["default-server"]);
        let all = default.is_some_and(|set| option(&set));
        let found = servers(self.section).filter(places).find(|set| !all && !option(set));
        if let Some(there) = found {
            let why =
                "of several instances on one address only some get requests, and nothing says so";
            let needed = "resolve-opts allow-dup-ip";
            self.lacks.add("resolve-opts", Some(there), needed, why);
        }
    }

    /// A backend of an app of Cutover: its servers come and go, and `default-server` is what they get.
    fn ours(&mut self) {
        let there = self.setting(&["default-server"]);
        if !there.is_some_and(|set| set.has("check")) {
            let why = "an instance gets requests although it is dead";
            self.lacks.add("default-server", there, "default-server check", why);
        }
    }

    /// A backend of somebody else.
    fn servers(&mut self) {
        let named: Vec<&Setting> = servers(self.section).collect();
        let disabled = |set: &&&Setting| set.has("disabled") || set.has("backup");
        let several = named.iter().any(|set| set.begins(&["server-template"]));
        if named.iter().filter(|set| !disabled(set)).count() < 2 && !several {
            let why = "a request that one instance does not take has nowhere to go";
            let one = named.first().copied();
            self.lacks.add("servers", one, "two or more", why);
        }
        let default = self.setting(&["default-server"]);
        let checked = |set: &&Setting| {
            let default = default.is_some_and(|set| set.has("check"));
            (set.has("check") || default) && !set.has("no-check")
        };
        if let Some(server) = named.into_iter().find(|set| !checked(set)) {
            let why = "an instance gets requests although it is dead";
            self.lacks.add("check", Some(server), "check inter 1s fall 3 rise 2", why);
        }
    }
}
