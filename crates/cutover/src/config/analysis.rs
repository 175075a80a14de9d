//! Reads `[app.NAME.rollout.analysis]`: by which limits users' requests judge a new version, and how the
//! versions of a canary or of a rolling update are compared.
//!
//! How that is done is not decided here, but in `rollout::analysis`.

use std::time::Duration;

use model::survey::CountBy;
use rollout::Inconclusive;

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AnalysisConfig, Strategy};
use super::words::one_of;

/// Keys of the comparison: only where both versions have a share for a while.
const COMPARES: [&str; 3] = ["latency", "early", "inconclusive"];

/// Reads the section; without one a rollout is judged by the defaults.
pub(crate) fn read(
    rollout: &Section<'_>,
    strategy: &Strategy,
    reader: &mut Reader,
) -> Option<AnalysisConfig> {
    let section = Section::within(rollout, "analysis", reader);
    // After a name that is not known nobody can say which keys are right.
    let named = rollout.field("strategy").and_then(|field| field.value.as_str());
    let known = named.is_none_or(|name| Strategy::NAMES.contains(&name));
    let alone = known && !strategy.shares();
    for field in COMPARES.iter().filter(|_| alone).filter_map(|key| section.field(key)) {
        reader.push(uncompared(&field));
    }
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
            &[
                ("promote", Inconclusive::Promote),
                ("abort", Inconclusive::Abort),
                ("pause", Inconclusive::Pause),
            ],
            reader,
        ),
        count_by: one_of(
            &section,
            "count_by",
            &[("client", CountBy::Client), ("request", CountBy::Request)],
            reader,
        ),
    };
    enabled.then_some(config)
}

/// A key of the comparison where nothing is compared.
fn uncompared(field: &Field<'_>) -> Diagnostic {
    let key = field.key;
    let what =
        format!("`{key}` is of the comparison of two versions, and here nothing is compared");
    let help = "remove it (limits hold all the same: `max_error_share`, `p99`), or write `strategy = \
                \"canary\"` or `\"rolling\"`";
    Diagnostic::new(what).at(&field.span, "").help(help)
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
