//! One measurement of one metric: asks, and says whether the value is within its limit.
//!
//! Whatever goes wrong is a value that is not known, with the reason. What follows from it, and how often
//! is measured, is decided elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;

use drivers::check::command::{self, Program};
use model::Measured;

use super::prometheus;
use crate::config::{Asked, MetricConfig};

/// What is measured, for those who are asked.
#[derive(Debug)]
pub(super) struct Versions {
    pub(super) app: String,
    pub(super) candidate: String,
    pub(super) stable: String,
    /// Of the app: where programs are started.
    pub(super) directory: PathBuf,
}

impl Versions {
    fn fill(&self, text: &str) -> String {
        text.replace("{version}", &self.candidate).replace("{stable}", &self.stable)
    }
}

/// Measures once; the words name the metric, its value and its limit.
pub(super) async fn measure(metric: &MetricConfig, versions: &Versions) -> (Measured, String) {
    let name = &metric.name;
    let values = match &metric.asked {
        Asked::Prometheus(whom) => {
            prometheus::ask(whom, &versions.fill(&whom.query), metric.timeout).await
        }
        Asked::Command(command) => match run(command, metric, versions).await {
            Ran::Value(value) => Ok(vec![value]),
            Ran::Well(found, words) => return (found, format!("{name}: {words}")),
            Ran::Nothing(words) => Err(words),
        },
    };
    match values {
        Ok(values) => judge(metric, &values),
        Err(words) => (Measured::Unknown, format!("{name}: {words}")),
    }
}

/// What became of a program.
enum Ran {
    Value(f64),
    Well(Measured, String),
    Nothing(String),
}

async fn run(command: &[String], metric: &MetricConfig, versions: &Versions) -> Ran {
    let mut words = command.iter().map(|text| versions.fill(text));
    let file = PathBuf::from(words.next().unwrap_or_default());
    // A bare name is looked up by the system, as for the app's own command.
    let bare = file.components().count() == 1 && !file.is_absolute();
    let mut environment: std::collections::BTreeMap<OsString, OsString> =
        std::env::vars_os().collect();
    for (key, value) in
        [("APP", &versions.app), ("VERSION", &versions.candidate), ("STABLE", &versions.stable)]
    {
        environment.insert(key.into(), value.into());
    }
    let program = Program {
        file: if bare { file } else { versions.directory.join(file) },
        arguments: words.collect(),
        directory: versions.directory.clone(),
        environment,
    };
    let judged = command::run(&program, metric.timeout).await;
    let last = judged.tail.last().map(String::as_str).unwrap_or_default();
    let said = if last.is_empty() { String::new() } else { format!(": {last}") };
    if metric.min.is_none() && metric.max.is_none() {
        return match judged.status {
            Some(0) => Ran::Well(Measured::Within, judged.words + &said),
            Some(_) => Ran::Well(Measured::Beyond, judged.words + &said),
            None => Ran::Nothing(judged.words + &said),
        };
    }
    if judged.status != Some(0) {
        return Ran::Nothing(judged.words + &said);
    }
    match last.trim().parse::<f64>() {
        Ok(value) => Ran::Value(value),
        Err(_) if last.is_empty() => Ran::Nothing("it printed nothing".to_owned()),
        Err(_) => Ran::Nothing(format!("its last line is no number{said}")),
    }
}

/// Of several values the worst counts; one that is no number says nothing.
fn judge(metric: &MetricConfig, values: &[f64]) -> (Measured, String) {
    let name = &metric.name;
    let Some(first) = values.first() else {
        return (Measured::Unknown, format!("{name}: the query found no value"));
    };
    if values.iter().any(|value| value.is_nan()) {
        return (Measured::Unknown, format!("{name}: the value is not a number (NaN)"));
    }
    let (least, most) = values
        .iter()
        .fold((*first, *first), |(least, most), value| (least.min(*value), most.max(*value)));
    if let Some(max) = metric.max.filter(|max| most > *max) {
        let words = format!("{name} is {}, more than {}", figure(most), figure(max));
        return (Measured::Beyond, words);
    }
    if let Some(min) = metric.min.filter(|min| least < *min) {
        let words = format!("{name} is {}, less than {}", figure(least), figure(min));
        return (Measured::Beyond, words);
    }
    let min = metric.min.map(|min| format!("at least {}", figure(min)));
    let max = metric.max.map(|max| format!("at most {}", figure(max)));
    let limits: Vec<String> = min.into_iter().chain(max).collect();
    let value = if metric.max.is_some() { most } else { least };
    (Measured::Within, format!("{name} is {}, {}", figure(value), limits.join(" and ")))
}

/// A number for people: whole, or to four digits behind the point.
fn figure(value: f64) -> String {
    if value.abs() < 0.001 && value != 0.0 {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
