//! Who answered requests: by version, by status and by instance, with their shares.
//!
//! It does not count them; that is `answers`.

use serde::{Deserialize, Serialize};

use crate::figures::{count, percent};

/// Rows told in a sentence.
const TOLD: usize = 8;

/// Who answered requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Requests that were answered, failed ones too (sockets apart).
    pub requests: u64,
    /// By version, in the order of appearance.
    pub versions: Vec<AnswerCount>,
    /// By instance, in the order of names.
    pub instances: Vec<AnswerCount>,
    /// By status and version, in the order of appearance; only where an answer of 400 or more was right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<AnswerCount>,
}

/// Answers of one version or instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerCount {
    /// Its name, cleaned; `None` counts answers that named none and those without a row of their own.
    pub name: Option<String>,
    /// How many.
    pub answers: u64,
    /// Share of all answered requests, basis points.
    pub share_bp: u16,
}

impl Answered {
    /// The sentences.
    pub(crate) fn facts(&self) -> Vec<String> {
        let told = |head: &str, rows: &[AnswerCount]| {
            rows.iter().any(|row| row.name.is_some()).then(|| format!("{head}: {}", words(rows)))
        };
        let version = told("by version", &self.versions).or_else(|| self.nameless());
        let rest = [told("by status", &self.statuses), told("by instance", &self.instances)];
        version.into_iter().chain(rest.into_iter().flatten()).collect()
    }

    /// Who reads of no version must know that none was found, rather than that there was one.
    fn nameless(&self) -> Option<String> {
        let words = "no answer named a version: where it stands is said with --watch-version";
        (self.requests > 0).then(|| words.to_owned())
    }
}

fn words(rows: &[AnswerCount]) -> String {
    let word = |row: &AnswerCount| {
        let name = row.name.as_deref().unwrap_or("unnamed");
        format!("{name} {} ({})", count(row.answers), percent(row.share_bp))
    };
    let mut words: Vec<String> = rows.iter().take(TOLD).map(word).collect();
    if let Some(more) = rows.len().checked_sub(TOLD).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    words.join(" · ")
}
