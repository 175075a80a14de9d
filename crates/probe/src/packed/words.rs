//! Texts that come again and again, kept once and known by a number.
//!
//! It forgets nothing but texts beyond a bound, and says so in their place.

use std::collections::BTreeMap;

/// What stands in place of texts beyond the bound.
pub(super) const NO_ROOM: &str = "(more different failures than are kept)";

/// Texts by number, from 1.
#[derive(Debug, Default)]
pub(super) struct Words {
    numbers: BTreeMap<String, u32>,
    pub(super) words: Vec<String>,
}

impl Words {
    /// 0 for none. From `most` different ones on, all further ones are one.
    pub(super) fn number(&mut self, word: Option<&str>, most: usize) -> u32 {
        let Some(word) = word else { return 0 };
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let full = self.words.len() >= most;
        if full && let Some(number) = self.numbers.get(NO_ROOM) {
            return *number;
        }
        let word = if full { NO_ROOM } else { word };
        self.words.push(word.to_owned());
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.numbers.insert(word.to_owned(), number);
        number
    }

    pub(super) fn word(&self, number: u32) -> Option<String> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.words.get(at).cloned()
    }
}
