//! One finding: a directive as it stands or is missing, with its place. What is looked for is not known here.

use super::written::Directive;
use crate::router::finding::{At, Finding, Severity};

/// Names `one`, which stands where it does, or else is missing at `at`.
pub(super) fn finding(
    one: (&str, Option<&Directive>),
    at: Option<At>,
    needed: &str,
    why: &str,
) -> Finding {
    let value = one.1.map_or_else(|| "not set".to_owned(), |set| set.words.join(" "));
    Finding {
        severity: Severity::Loses,
        section: "nginx".to_owned(),
        setting: one.0.to_owned(),
        value,
        at: one.1.map(|set| set.at.clone()).or(at),
        needed: needed.to_owned(),
        why: why.to_owned(),
    }
}
