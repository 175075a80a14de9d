//! A section and its settings, each with its place. Only the nouns.

use crate::router::finding::At;

/// One line of a section, without comments and quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Setting {
    pub(in super::super) words: Vec<String>,
    pub(in super::super) at: At,
}

impl Setting {
    /// True when these are its first words.
    pub(in super::super) fn begins(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(a, b)| a == b)
    }

    /// True when one of its words is this one.
    pub(in super::super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|one| one == word)
    }

    /// The word behind this one.
    pub(in super::super) fn after(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|one| one == word)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// As one line.
    pub(in super::super) fn text(&self) -> String {
        self.words.join(" ")
    }
}

/// The sort of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Sort {
    Global,
    Defaults,
    Frontend,
    Backend,
    Listen,
    /// `resolvers`, `peers` and the like: they carry no requests.
    Other,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Section {
    pub(in super::super) sort: Sort,
    /// As it is written: `backend blue`.
    pub(in super::super) title: String,
    /// Its name alone; empty where it has none.
    pub(in super::super) name: String,
    /// Index of the defaults that it takes missing settings from, always a smaller one than its own.
    pub(in super::super) inherits: Option<usize>,
    pub(in super::super) at: At,
    pub(in super::super) settings: Vec<Setting>,
}
