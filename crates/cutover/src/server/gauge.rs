//! One measurement of one metric: asks, and says whether the value is within its limit.
//!
//! Whatever goes wrong is a value that is not known, with the reason. What follows from it, and how often
//! is measured, is decided elsewhere.

use std::sync::Arc;

use drivers::check::command;
use drivers::platform::process::{Surroundings, program};
use model::{Fault, Measured, Release};

use super::prometheus;
use crate::config::{Asked, MetricConfig};

/// What is measured, for those who are asked.
#[derive(Debug)]
pub(super) struct Subject {
    /// Programs are started as if they were its own.
    pub(super) candidate: Release,
    /// The version users were on.
    pub(super) stable: String,
    pub(super) surroundings: Arc<Surroundings>,
}

impl Subject {
    fn fill(&self, text: &str) -> String {
        text.replace("{version}", self.candidate.version.as_str()).replace("{stable}", &self.stable)
    }
}

/// Measures once; the words name the metric, its value and its limit.
pub(super) async fn measure(metric: &MetricConfig, subject: &Subject) -> (Measured, String) {
    let name = &metric.name;
    let values = match &metric.asked {
        Asked::Prometheus(whom) => {
            prometheus::ask(whom, &subject.fill(&whom.query), metric.timeout).await
        }
        Asked::Command(command) => match run(command, metric, subject).await {
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

async fn run(command: &[String], metric: &MetricConfig, subject: &Subject) -> Ran {
    let words: Vec<String> = command.iter().map(|text| subject.fill(text)).collect();
    let mut program = match program(&subject.candidate, &words, &subject.surroundings) {
        Ok(found) => found,
        // What to do is said, too: nobody but a person can do it.
        Err(Fault { what, help, .. }) => {
            let help = help.map_or_else(String::new, |help| format!(" ({help})"));
            return Ran::Nothing(what + &help);
        }
    };
    for (name, value) in [("APP", subject.candidate.app.as_str()), ("STABLE", &subject.stable)] {
        program.environment.insert(name.into(), value.into());
    }
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
