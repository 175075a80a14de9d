//! Small wording shared by the phases' reasons.
//!
//! Only what reads the same in all of them; each reason is written where it arises.

use model::{Tally, Weight};

/// "3 s", "1.5 s" or "250 ms".
pub(crate) fn duration(ms: u64) -> String {
    match (ms / 1000, ms % 1000) {
        (0, rest) => format!("{rest} ms"),
        (whole, 0..100) => format!("{whole} s"),
        (whole, rest) => format!("{whole}.{} s", rest / 100),
    }
}

/// "1 request", "2 requests".
pub(crate) fn count(n: u64, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {one}{plural}")
}

/// "25 %", "12.5 %" or "0.05 %".
pub(crate) fn percent(weight: Weight) -> String {
    let (whole, rest) = (weight.basis_points() / 100, weight.basis_points() % 100);
    let decimals = format!("{whole}.{rest:02}");
    format!("{} %", decimals.trim_end_matches('0').trim_end_matches('.'))
}

/// The errors of a tally by class: "bad status 3, truncated 1".
pub(crate) fn classes(tally: &Tally) -> String {
    let errors = tally.failed.iter().filter(|(class, n)| **class != model::Class::Late && **n > 0);
    errors.map(|(class, n)| format!("{} {n}", class.name())).collect::<Vec<_>>().join(", ")
}

/// A sentence and the lines below it.
pub(crate) fn with_lines(sentence: String, lines: &[String]) -> String {
    lines.iter().fold(sentence, |text, line| text + "\n" + line)
}
