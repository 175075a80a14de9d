//! Reads `[[app.NAME.rollout.metrics]]` and `gates`: what is measured beside requests while a new version
//! serves on trial, with its limit, and at which shares.
//!
//! Who is asked is not asked here: whether there is a Prometheus, and what it knows, shows a deploy.

use std::path::Path;
use std::time::Duration;

use model::Weight;
use rollout::Unmeasured;
use toml::de::DeValue;

use super::asked::Asked;
use super::diagnostic::Diagnostic;
use super::field::{Field, kind};
use super::metric_source::{self, lacks};
use super::reader::Reader;
use super::section::Section;
use super::shape::{MetricConfig, Strategy};
use super::{names, strategy};

const EXAMPLE: &str = "[{ name = \"queue\", command = [\"./queue-length\"], max = 100 }]";
const HOUR: Duration = Duration::from_hours(1);

/// Reads all of them, each with the shares at which it is measured.
pub(crate) fn read(
    rollout: &Section<'_>,
    (strategy, folder): (&Strategy, &Path),
    reader: &mut Reader,
) -> Vec<MetricConfig> {
    let mut metrics: Vec<MetricConfig> = Vec::new();
    for section in sections(rollout, reader) {
        let Some(metric) = one(&section, folder, reader) else { continue };
        if metrics.iter().any(|other| other.name == metric.name) {
            let what = format!("there are two metrics called `{}`", metric.name);
            let help = "give each a name of its own";
            reader.push(Diagnostic::new(what).at(&section.span, "").help(help));
        }
        metrics.push(metric);
    }
    gates(rollout, strategy, &mut metrics, reader);
    metrics
}

fn sections<'a>(rollout: &Section<'a>, reader: &mut Reader) -> Vec<Section<'a>> {
    let Some(field) = rollout.field("metrics") else { return Vec::new() };
    let DeValue::Array(items) = field.value else {
        reader.wrong_kind(&field, "a list of metrics", EXAMPLE);
        return Vec::new();
    };
    let mut sections = Vec::new();
    for item in items {
        if let DeValue::Table(table) = item.get_ref() {
            sections.push(Section::item(rollout, field.key, (table, item.span()), reader));
            continue;
        }
        let what = format!("`metrics` holds {}", kind(item.get_ref()));
        let help = format!("write `metrics = {EXAMPLE}`");
        reader.push(Diagnostic::new(what).at(&item.span(), "").help(help));
    }
    sections
}

/// One metric; `None` where it has no name or nobody to ask, which has been said.
fn one(section: &Section<'_>, folder: &Path, reader: &mut Reader) -> Option<MetricConfig> {
    let seconds = Duration::from_secs;
    let least = Duration::from_millis(100);
    let interval = reader.duration(section.field("interval"), seconds(10), least..=HOUR);
    let timeout = reader.duration(section.field("timeout"), seconds(5), least..=HOUR);
    let limits = [limit(section, "min", reader), limit(section, "max", reader)];
    let name = name(section, reader);
    let asked = metric_source::read(section, folder, reader);
    if matches!(asked, Some(Asked::Prometheus(_))) && limits == [None, None] {
        lacks(section, "a `min` or a `max`", "add a line such as `max = 0.5`", reader);
    }
    if let [Some(min), Some(max)] = limits
        && min > max
    {
        let span = section.field("max").map_or(section.span.clone(), |field| field.span);
        let what = format!("no value is at least {min} and at most {max}");
        let help = "write the smaller one as `min`";
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
    }
    let [min, max] = limits;
    Some(MetricConfig {
        name: name?.to_owned(),
        asked: asked?,
        min,
        max,
        interval,
        timeout,
        failures: reader.count(section.field("failures"), 3, 1..=100),
        no_data: no_data(section, reader),
        at: Vec::new(),
    })
}

fn name<'a>(section: &Section<'a>, reader: &mut Reader) -> Option<&'a str> {
    let Some(field) = section.field("name") else {
        if !section.probably_has("name") {
            lacks(section, "a `name`", "add a line such as `name = \"queue\"`", reader);
        }
        return None;
    };
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.len() <= 60 && text.bytes().all(plain) {
        return Some(text);
    }
    let what = format!("`{text}` cannot be the name of a metric");
    let help = "use at most 60 letters, digits, `-`, `_` and `.`";
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
    None
}

/// A limit: any number.
fn limit(section: &Section<'_>, key: &'static str, reader: &mut Reader) -> Option<f64> {
    let field = section.field(key)?;
    let number = match field.value {
        DeValue::Float(float) => float.as_str().replace('_', "").parse::<f64>().ok(),
        DeValue::Integer(integer) => {
            let whole = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
            whole.map(|whole| whole as f64)
        }
        other => {
            let quoted = other.as_str().and_then(|text| text.trim().parse::<f64>().ok());
            reader.wrong_kind(&field, "a number", &quoted.unwrap_or(0.5).to_string());
            return None;
        }
    };
    let number = number.filter(|number| number.is_finite());
    if number.is_none() {
        let what = format!("`{key}` is no limit");
        let help = format!("write a number, such as `{key} = 0.5`");
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    number
}

fn no_data(section: &Section<'_>, reader: &mut Reader) -> Unmeasured {
    const WORDS: [(&str, Unmeasured); 3] = [
        ("pause", Unmeasured::Pause),
        ("abort", Unmeasured::Abort),
        ("ignore", Unmeasured::Ignore),
    ];
    super::words::one_of(section, "no_data", &WORDS, reader)
}

/// Which metrics are looked at at which share; without it, all at all of them.
fn gates(
    rollout: &Section<'_>,
    strategy: &Strategy,
    metrics: &mut [MetricConfig],
    reader: &mut Reader,
) {
    let Some(field) = rollout.field("gates") else { return };
    let DeValue::Table(table) = field.value else {
        return reader.wrong_kind(&field, "a section", "{ \"25%\" = [\"queue\"] }");
    };
    let misnamed = rollout.probably_has("metrics");
    let (mut named, mut strange) = (vec![false; metrics.len()], misnamed);
    for (key, value) in table {
        let share = share(key.get_ref(), strategy);
        if share.is_none() {
            let what = format!("`gates` names `{}`, and there is no such step", key.get_ref());
            let steps = steps(strategy);
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            let help = format!("use {}", names::list(&steps));
            reader.push(Diagnostic::new(what).at(&key.span(), "").help(help));
        }
        let of_step = Field { key: "gates", value: value.get_ref(), span: value.span() };
        if !matches!(of_step.value, DeValue::Array(_)) {
            let what =
                format!("a step of `gates` names a list, and this is {}", kind(of_step.value));
            let help = format!("write `\"{}\" = [\"queue\"]`", key.get_ref());
            reader.push(Diagnostic::new(what).at(&of_step.span, "").help(help));
            continue;
        }
        for (name, span) in reader.texts(Some(&of_step)).unwrap_or_default() {
            let found = metrics.iter().position(|metric| metric.name == name);
            if let (Some(found), Some(share)) = (found, share) {
                metrics[found].at.push(share);
                named[found] = true;
            } else if found.is_none() && !misnamed {
                strange = true;
                let known: Vec<&str> = metrics.iter().map(|metric| &*metric.name).collect();
                let help = match names::nearest(name, &known) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None if known.is_empty() => format!("add it: `metrics = {EXAMPLE}`"),
                    None => format!("known here: {}", names::list(&known)),
                };
                let what = format!("`gates` names an unknown metric `{name}`");
                reader.push(Diagnostic::new(what).at(&span, "").help(help));
            }
        }
    }
    let unused = metrics.iter().zip(&named).find(|(_, named)| !**named);
    if let Some((unused, _)) = unused.filter(|_| !strange) {
        let what = format!("`gates` leaves out `{}`: it would never be looked at", unused.name);
        let help = "name it at a step, or remove it from `metrics`";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
}

/// The shares that a candidate has in this strategy, as they are written, or its instances.
pub(super) fn steps(strategy: &Strategy) -> Vec<String> {
    if let Strategy::Canary { counts, .. } = strategy
        && !counts.is_empty()
    {
        let counts = counts.iter().map(|count| instances(*count));
        return counts.chain(["100%".to_owned()]).collect();
    }
    let written = |share: &Weight| {
        let (whole, part) = (share.basis_points() / 100, share.basis_points() % 100);
        let text = format!("{whole}.{part:02}");
        format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let shares = match strategy {
        Strategy::Canary { steps, .. } => &steps[..],
        Strategy::BlueGreen | Strategy::Rolling { .. } | Strategy::Recreate { .. } => &[],
    };
    shares.iter().chain([&Weight::ALL]).map(written).collect()
}

/// A step by so many instances, as `gates` names it.
fn instances(count: u16) -> String {
    format!("{count} instance{}", if count == 1 { "" } else { "s" })
}

fn share(text: &str, strategy: &Strategy) -> Option<Weight> {
    if text == "100%" {
        return Some(Weight::ALL);
    }
    if let Strategy::Canary { steps, counts, .. } = strategy
        && !counts.is_empty()
    {
        let at = counts.iter().position(|count| instances(*count) == text)?;
        return steps.get(at).copied();
    }
    let share = strategy::share(text)?;
    match strategy {
        Strategy::Canary { steps, .. } => steps.contains(&share).then_some(share),
        Strategy::BlueGreen | Strategy::Rolling { .. } | Strategy::Recreate { .. } => None,
    }
}
