//! Reads `[proxy.outliers]`: after how many failures an instance is left out, for how long, and of how
//! many.
//!
//! When that happens is not decided here, but in the proxy.

use std::time::Duration;

use model::Outliers;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use crate::duration;

const LEAST: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_hours(24);

/// Reads the section; an absent one is all defaults.
pub(crate) fn read(section: &Section<'_>, reader: &mut Reader) -> Outliers {
    let default = Outliers::default();
    let first = Duration::from_millis(default.eject_ms);
    let eject = reader.duration(section.field("eject"), first, LEAST..=DAY);
    // What is not said follows what is.
    let most = Duration::from_millis(default.eject_most_ms).max(eject);
    let field = section.field("eject_most");
    let span = field.as_ref().map(|field| field.span.clone());
    let most = reader.duration(field, most, LEAST..=DAY);
    if let Some(span) = span.filter(|_| most < eject) {
        let (most, eject) = (duration::show(most), duration::show(eject));
        let what = format!("`eject_most` ({most}) is shorter than `eject` ({eject})");
        let help = format!(
            "write `eject_most = \"{eject}\"` or more: already the first one lasts so long"
        );
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
    }
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Outliers {
        failures: reader.count(section.field("failures"), default.failures, 0..=1_000_000),
        errors: reader.switch(section.field("errors"), default.errors),
        eject_ms: ms(eject),
        eject_most_ms: ms(most),
        share: reader.percent(section.field("share"), default.share, 1..=100),
    }
}
