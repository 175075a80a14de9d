//! Reads `[app.NAME.rollout.analysis]`: how the versions of a canary are compared.

use std::time::Duration;

use model::survey::CountBy;
use rollout::Inconclusive;

use super::diagnostic::Diagnostic;
use super::names;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AnalysisConfig, Strategy};

/// Reads the section; a canary without one is compared by the defaults.
pub(crate) fn read(
    rollout: &Section<'_>,
    strategy: &Strategy,
    reader: &mut Reader,
) -> Option<AnalysisConfig> {
    let section = Section::within(rollout, "analysis", reader);
    let enabled = reader.switch(section.field("enabled"), true);
    let limit = section.field("p99");
    let within = Duration::from_millis(1)..=Duration::from_secs(8);
    let p99 = limit.is_some().then(|| reader.duration(limit, Duration::from_secs(1), within));
    let config = AnalysisConfig {
        alpha_bp: alpha(&section, reader),
        latency: reader.switch(section.field("latency"), true),
        p99,
        early: reader.switch(section.field("early"), false),
        inconclusive: one_of(
            &section,
            "inconclusive",
            [("promote", Inconclusive::Promote), ("abort", Inconclusive::Abort)],
            reader,
        ),
        count_by: one_of(
            &section,
            "count_by",
            [("client", CountBy::Client), ("request", CountBy::Request)],
            reader,
        ),
    };
    (enabled && matches!(strategy, Strategy::Canary { .. })).then_some(config)
}

/// The chance of a false abort, in basis points.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 2000")]
fn alpha(section: &Section<'_>, reader: &mut Reader) -> u16 {
    let field = section.field("alpha");
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let alpha = reader.share(field, 0.01);
    if !(0.0001..=0.2).contains(&alpha) {
        let what = format!("`alpha = {alpha}` is no use as the chance of a false abort");
        let help = "write a number from 0.0001 to 0.2, such as `alpha = 0.01`";
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
        return 100;
    }
    (alpha * 10_000.0).round() as u16
}

/// One of two words; the first is the default.
fn one_of<T: Copy>(
    section: &Section<'_>,
    key: &'static str,
    words: [(&'static str, T); 2],
    reader: &mut Reader,
) -> T {
    let field = section.field(key);
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let Some(text) = reader.text(field) else { return words[0].1 };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return *value;
    }
    let known = words.map(|(word, _)| word);
    let help = match names::nearest(text, &known) {
        Some(nearest) => format!("did you mean `{key} = \"{nearest}\"`?"),
        None => format!("use {}", names::list(&known)),
    };
    reader
        .push(Diagnostic::new(format!("`{key} = \"{text}\"` cannot be")).at(&span, "").help(help));
    words[0].1
}
