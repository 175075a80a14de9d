//! Gives every version that was seen a number, and folds a flood of versions into one.
//!
//! It does not judge the order in which versions answered; that is `proof`.

use std::collections::BTreeMap;

use model::{Attempt, Lane};

use crate::axis::{axis, sent_at};
use crate::clean;
use crate::document::{VersionFacts, VersionRole};
use crate::input::Input;

/// Versions other than old and new that get a name of their own.
const OTHERS: usize = 4;

/// Versions by number.
pub(crate) struct Slots {
    by_name: BTreeMap<String, usize>,
    rest: usize,
    silent: usize,
    pub(crate) facts: Vec<VersionFacts>,
}

impl Slots {
    /// Old and new first, then others in the order of appearance, then the rest and the silent.
    pub(crate) fn new(
        input: &Input,
        sent: &[&Attempt],
        socket_versions: &BTreeMap<u32, &str>,
    ) -> Self {
        let mut slots = Self { by_name: BTreeMap::new(), rest: 0, silent: 0, facts: Vec::new() };
        if let Some(from) = &input.from {
            slots.name(from, VersionRole::Old);
        }
        if let Some(to) = &input.to {
            slots.name(to, VersionRole::New);
        }
        let known = slots.facts.len();
        for version in sent.iter().filter_map(|a| a.version.as_ref()) {
            if slots.facts.len() < known + OTHERS {
                slots.name(version, VersionRole::Other);
            }
        }
        slots.rest = slots.push("other versions".to_owned(), VersionRole::Rest);
        slots.silent = slots.push("no version".to_owned(), VersionRole::Silent);
        for attempt in sent {
            slots.count(attempt, socket_versions);
        }
        slots
    }

    /// Number of a version.
    pub(crate) fn of(&self, version: Option<&str>) -> usize {
        match version {
            None => self.silent,
            Some(version) => self.by_name.get(version).copied().unwrap_or(self.rest),
        }
    }

    fn name(&mut self, version: &str, role: VersionRole) {
        if !self.by_name.contains_key(version) {
            let slot = self.push(clean::name(version), role);
            self.by_name.insert(version.to_owned(), slot);
        }
    }

    fn push(&mut self, label: String, role: VersionRole) -> usize {
        self.facts.push(VersionFacts {
            label,
            role,
            answers: 0,
            first_sent_us: None,
            last_sent_us: None,
        });
        self.facts.len() - 1
    }

    fn count(&mut self, attempt: &Attempt, socket_versions: &BTreeMap<u32, &str>) {
        let answered = attempt.version.is_some() || attempt.first_byte_us > 0;
        if !answered {
            return;
        }
        let socket = socket_versions.get(&attempt.connection).copied();
        let version =
            attempt.version.as_deref().or(socket.filter(|_| attempt.lane == Lane::Websocket));
        let slot = self.of(version);
        let at = sent_at(attempt).min(axis(attempt.done_us.max(attempt.intended_us)));
        let facts = &mut self.facts[slot];
        facts.answers += 1;
        facts.first_sent_us = Some(facts.first_sent_us.map_or(at, |first| first.min(at)));
        facts.last_sent_us = Some(facts.last_sent_us.map_or(at, |last| last.max(at)));
    }
}
