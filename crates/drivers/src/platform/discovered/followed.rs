//! What is known of one release whose instances somebody else starts: who was found, and how they are.
//!
//! Pure: answers of the source and results of checks are told; nobody is asked here. An answer that fails
//! to come changes nothing. One that names nobody is said and changes nothing either, as long as users
//! are on the release: sources lose their memory when they start again. Whoever is no longer named is
//! dropped as soon as somebody who is named is ready, so that a release never loses its last instance to
//! what a source says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use model::fleet::HealthCheck;
use model::{Instance, InstanceId, Release, Source};

use super::heard::Heard;
use crate::platform::fleet::{Condition, Discovered, InstanceHave};
use crate::platform::health::{CheckResult, Health, Past};

/// A release that is followed, or was.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) release: Release,
    /// Users have left it: nobody is checked any more, and who is still there is only told.
    pub(super) let_go: bool,
    known: BTreeMap<SocketAddr, Known>,
    /// The last answer could not be used as it was; in words.
    trouble: Option<String>,
    /// Somebody answered since we look.
    pub(super) heard: bool,
}

/// An instance that was found.
#[derive(Debug)]
struct Known {
    /// The last answer named it.
    named: bool,
    ready_before: bool,
    health: Health,
}

impl Known {
    fn new(past: Past) -> Self {
        Self { named: true, ready_before: past != Past::Unknown, health: Health::new(past) }
    }

    fn past(&self) -> Past {
        Past::of(self.ready_before, self.health.condition == Condition::Unready)
    }

    fn serves(&self) -> bool {
        self.named && matches!(self.health.condition, Condition::Ready | Condition::Adopted)
    }
}

impl Followed {
    /// With those that were known before, each with how it was.
    pub(super) fn new(
        (release, let_go): (Release, bool),
        known: impl IntoIterator<Item = (SocketAddr, Past)>,
    ) -> Self {
        let known = known.into_iter().map(|(at, past)| (at, Known::new(past))).collect();
        Self { release, let_go, known, trouble: None, heard: false }
    }

    /// Whom it knows, and how they are or were when they were last judged.
    pub(super) fn known(&self) -> impl Iterator<Item = (SocketAddr, Past)> {
        self.known.iter().map(|(at, known)| (*at, known.past()))
    }

    /// Users come (back) to it: everybody has to pass the checks first.
    pub(super) fn take_up(&mut self) {
        self.let_go = false;
        for known in self.known.values_mut() {
            *known = Known { named: known.named, ..Known::new(Past::Unknown) };
        }
    }

    /// Takes an answer of the source.
    pub(super) fn hear(&mut self, heard: &Heard) {
        self.heard = true;
        let nobody = heard.addresses.is_empty();
        let keeps = nobody && !self.let_go && !self.known.is_empty();
        self.trouble = match heard.odd.split_first() {
            _ if keeps => Some(format!(
                "{} names nobody any more: the {} known before are kept",
                self.words_of_source(),
                self.known.len()
            )),
            Some((first, rest)) => {
                let more = if rest.is_empty() {
                    String::new()
                } else {
                    format!(" (and {} more)", rest.len())
                };
                Some(format!("{}: {first}{more}", self.words_of_source()))
            }
            None => None,
        };
        if keeps {
            return;
        }
        for (at, known) in &mut self.known {
            known.named = heard.addresses.contains(at);
        }
        for at in &heard.addresses {
            self.known.entry(*at).or_insert_with(|| Known::new(Past::Unknown));
        }
        self.drop_unnamed();
    }

    /// The source could not be asked.
    pub(super) fn lost(&mut self, why: &str) {
        let kept = match self.known.len() {
            0 => String::new(),
            n => format!("; the {n} known before are kept"),
        };
        self.trouble = Some(format!("{why}{kept}"));
    }

    /// Takes the result of a check; answers what became of it when that is something else than before.
    pub(super) fn checked(&mut self, at: SocketAddr, result: CheckResult) -> Option<Condition> {
        let how = self.release.health.clone();
        let known = self.known.get_mut(&at)?;
        let before = known.health.condition;
        known.health.note(result, &how, Instant::now());
        let now = known.health.condition;
        known.ready_before |= now == Condition::Ready;
        self.drop_unnamed();
        (now != before).then_some(now)
    }

    /// Who is not named goes when somebody who is named serves, or nobody needs them.
    fn drop_unnamed(&mut self) {
        if self.let_go || self.known.values().any(Known::serves) {
            self.known.retain(|_, known| known.named);
        }
    }

    /// Those that are to be checked.
    pub(super) fn to_check(&self) -> BTreeSet<SocketAddr> {
        if self.let_go { BTreeSet::new() } else { self.known.keys().copied().collect() }
    }

    /// How they are checked.
    pub(super) const fn how(&self) -> &HealthCheck {
        &self.release.health
    }

    /// Its instances, as long as users are on it.
    pub(super) fn instances(&self) -> Vec<InstanceHave> {
        let known = self.known.iter().filter(|_| !self.let_go);
        known.map(|(at, known)| self.instance(*at, known)).collect()
    }

    fn instance(&self, at: SocketAddr, known: &Known) -> InstanceHave {
        let id = id(&self.release, at);
        let condition = known.health.condition;
        let trouble = match condition {
            Condition::Ready => Vec::new(),
            _ => self.unwell(&id, at, &known.health),
        };
        InstanceHave {
            id,
            release: self.release.id,
            address: at,
            pid: None,
            identity: format!("found at {at}"),
            condition,
            ready_before: known.ready_before,
            told_at_ms: None,
            telling_ms: None,
            killed: false,
            left_behind: false,
            trouble,
        }
    }

    fn unwell(&self, id: &InstanceId, at: SocketAddr, health: &Health) -> Vec<String> {
        let asked = match &self.release.health.path {
            Some(path) => format!("GET http://{at}{path}"),
            None => format!("connecting to {at}"),
        };
        let mut lines = vec![format!("{id} was found and is not ready")];
        lines.extend(health.lines(&asked, &self.release.health, Instant::now()));
        lines
    }

    /// What is said of it beside its instances.
    pub(super) fn discovered(&self) -> Discovered {
        let left = self.known.keys().filter(|_| self.let_go);
        let left = left.map(|at| Instance { id: id(&self.release, *at), address: *at });
        Discovered {
            let_go: self.let_go,
            left: left.collect(),
            words: self.words(),
            trouble: self.trouble.clone().filter(|_| !self.let_go),
            heard: self.heard,
        }
    }

    fn words(&self) -> String {
        let source = self.words_of_source();
        let named = self.known.iter().filter(|(_, known)| known.named);
        let named: Vec<_> = named.map(|(at, _)| at.to_string()).collect();
        match (&self.trouble, named.len()) {
            (Some(trouble), _) => trouble.clone(),
            (None, _) if !self.heard => format!("{source} has not answered yet"),
            (None, 0) => format!("{source} names no instance that passes its checks"),
            (None, n) => format!("{source} names {n}: {}", named.join(", ")),
        }
    }

    fn words_of_source(&self) -> String {
        self.release.source.as_ref().map_or_else(|| "nobody".to_owned(), Source::to_string)
    }
}

/// The name of an instance: the same each time that one is found there.
pub(super) fn id(release: &Release, at: SocketAddr) -> InstanceId {
    let plain = format!("{}_{}", at.ip(), at.port()).replace(':', "_");
    InstanceId(format!("{}-{}-{plain}", release.app, release.id.0))
}

#[cfg(test)]
#[path = "followed_tests.rs"]
mod tests;
