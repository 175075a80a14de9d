//! Gathers what one section lacks.
//!
//! It knows no setting: what is needed, and why, is said by whoever adds it.

use crate::router::finding::{At, Finding, Severity};
use crate::router::haproxy::written::{Section, Setting};

/// What one section lacks, so far.
pub(super) struct Lacks {
    section: String,
    at: Option<At>,
    pub(super) found: Vec<Finding>,
}

impl Lacks {
    /// Nothing yet, of a section that is there or of the whole.
    pub(super) fn of(section: Option<&Section>) -> Self {
        let (section, at) = section.map_or_else(
            || ("the whole".to_owned(), None),
            |one| (one.title.clone(), Some(one.at.clone())),
        );
        Self { section, at, found: Vec::new() }
    }

    /// One thing; `there` is what stands there instead.
    pub(super) fn add(&mut self, setting: &str, there: Option<&Setting>, needed: &str, why: &str) {
        let value = there.map_or_else(|| "not set".to_owned(), Setting::text);
        self.say(setting, (value, there.map(|set| set.at.clone())), needed, why);
    }

    /// One thing whose value is no single line.
    pub(super) fn say(
        &mut self,
        setting: &str,
        (value, at): (String, Option<At>),
        needed: &str,
        why: &str,
    ) {
        self.found.push(Finding {
            severity: Severity::Loses,
            section: self.section.clone(),
            setting: setting.to_owned(),
            value,
            at: at.or_else(|| self.at.clone()),
            needed: needed.to_owned(),
            why: why.to_owned(),
        });
    }
}
