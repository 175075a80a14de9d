//! How a probe is told in words: lines of a terminal, and plain lines for logs.
//!
//! Nothing here is written anywhere: that is `teller`'s. What a server says is cleaned (`Line`) or quoted.

use std::fmt::Write as _;

use model::Class;

use super::asked::Asked;
use super::step::{Failure, Live, Step};
use super::sums::Sums;
use crate::say::ink::{BAD, BOLD, FAINT, GOOD, WAIT};
use crate::say::step::Rate;
use crate::say::{Line, figure, quoted, utc, word};

/// Versions named beside each other, and the longest name.
const VERSIONS: usize = 4;
const NAME: usize = 24;
/// A line that stays has so many columns at most, however long the error in it is.
const STAYS: usize = 240;

/// What is drawn again in place: figures, versions, and how far the switch is where one is waited for.
pub(super) fn status(asked: &Asked, sums: &Sums) -> Vec<Line> {
    let live = Live::of(sums);
    let mut drawn = vec![figures(&live)];
    if live.per_version.iter().any(|it| !it.version.is_empty()) {
        drawn.push(versions(&live.per_version));
    }
    drawn.extend(asked.switch(sums).map(|line| blank().join(line)));
    drawn
}

fn figures(live: &Live) -> Line {
    let style = if live.failed > 0 { BAD } else { GOOD };
    let mut told = Line::default()
        .plain(format!("  {:>5} s   sent {}   ", live.at_ms / 1_000, figure::count(live.sent)))
        .styled(style, format!("failed {}", figure::count(live.failed)));
    if live.not_sent > 0 {
        told = told.styled(WAIT, format!("   not sent {}", figure::count(live.not_sent)));
    }
    if live.blind_ms > 0 {
        told = told.styled(WAIT, format!("   blind for {}", figure::took(live.blind_ms)));
    }
    told = told.plain(format!("   {:.0} /s", all(&live.per_version)));
    let times = [("p50", live.p50_us), ("p99", live.p99_us), ("max", live.max_us)];
    // The largest where there is no p99 yet.
    let shown = times.into_iter().filter(|(name, _)| *name != "max" || live.p99_us.is_none());
    for (name, us) in shown {
        if let Some(us) = us {
            told = told.plain(format!("   {name} {}", figure::short(us)));
        }
    }
    told
}

/// Shares of late, in the order in which they came.
fn versions(rates: &[Rate]) -> Line {
    let all = all(rates);
    let mut shown: Vec<(usize, &Rate)> = rates.iter().enumerate().collect();
    shown.sort_by(|(_, a), (_, b)| b.rps.total_cmp(&a.rps));
    let others: f64 = shown.iter().skip(VERSIONS).map(|(_, it)| it.rps).sum();
    let left_out = shown.len().saturating_sub(VERSIONS);
    shown.truncate(VERSIONS);
    shown.sort_by_key(|(at, _)| *at);
    let share = |rps: f64| if all > 0.0 { rps * 100.0 / all } else { 0.0 };
    let mut line = blank();
    for (_, it) in shown {
        let name = if it.version.is_empty() { "no version" } else { it.version.as_str() };
        let name = Line::default().styled(BOLD, name).cut(NAME);
        let figures = format!(" {:.0}% {:.0} /s   ", share(it.rps), it.rps);
        line = line.join(name).plain(figures);
    }
    if left_out > 0 {
        line = line.styled(FAINT, format!("{left_out} others {:.0}%", share(others)));
    }
    line
}

/// Room below the time.
fn blank() -> Line {
    Line::default().plain(" ".repeat(10))
}

fn all(rates: &[Rate]) -> f64 {
    // Not `sum`: that of nothing is -0.
    rates.iter().fold(0.0, |all, it| all + it.rps)
}

/// What stays above it; nothing of what the status shows.
pub(super) fn stays(began_unix_ms: u64, step: &Step) -> Option<Line> {
    let at = |at_ms: &u64| {
        Line::default().styled(FAINT, format!("{} ", utc(began_unix_ms.saturating_add(*at_ms))))
    };
    let line = match step {
        Step::Began { lanes_not_run, .. } if !lanes_not_run.is_empty() => {
            let not_run = lanes_not_run.iter().map(|it| it.lane.name());
            let names: Vec<_> = not_run.collect();
            Line::default().styled(WAIT, format!("not served, so not run: {}", names.join(", ")))
        }
        Step::Began { .. } | Step::Live(_) | Step::Ended { .. } => return None,
        Step::Ending { at_ms, in_flight } => at(at_ms)
            .styled(BOLD, "ending")
            .plain(format!(", {} in flight", figure::count(*in_flight)))
            .styled(FAINT, " (Ctrl-C again does not wait for them)"),
        Step::Version { at_ms, version, after } => {
            let new = if after.is_some() { " answers for the first time" } else { " answers" };
            at(at_ms).styled(BOLD, version).plain(new)
        }
        Step::Failure(failure) => failed(began_unix_ms, failure),
        Step::Failures { at_ms, more, by_class } => {
            let classes = by_class.iter().map(|(class, n)| class_of(*class, *n));
            let classes: Vec<_> = classes.collect();
            at(at_ms)
                .styled(BAD, format!("{} more failed", figure::count(*more)))
                .plain(format!(" in that second: {}", classes.join(", ")))
        }
    };
    Some(line.cut(STAYS))
}

fn class_of(class: Class, n: u64) -> String {
    format!("{} {}", figure::count(n), class.name())
}

/// A request that failed.
pub(super) fn failed(began_unix_ms: u64, failure: &Failure) -> Line {
    let at = utc(began_unix_ms.saturating_add(failure.at_ms));
    let version = failure.version.as_deref().unwrap_or("-");
    Line::default()
        .styled(FAINT, format!("{at} "))
        .plain(format!("{} ", failure.lane.name()))
        .styled(BAD, failure.class.name())
        .plain(format!(" {version} "))
        .styled(FAINT, failure.detail.as_deref().unwrap_or_default())
}

/// One line of a log; nothing of what the command itself says.
pub(super) fn plain(began_unix_ms: u64, step: &Step) -> Option<String> {
    let (at_ms, what, rest) = match step {
        Step::Began { lanes_not_run, .. } if !lanes_not_run.is_empty() => {
            let names: Vec<_> = lanes_not_run.iter().map(|it| it.lane.name()).collect();
            (0, "lanes", format!("not_run={}", names.join(",")))
        }
        Step::Began { .. } | Step::Ended { .. } => return None,
        Step::Live(live) => (live.at_ms, "live", sums(live)),
        Step::Version { at_ms, version, after } => {
            let after = after.as_deref().map_or_else(|| "-".to_owned(), word);
            (*at_ms, "version", format!("version={} after={after}", word(version)))
        }
        Step::Ending { at_ms, in_flight } => (
            *at_ms,
            "ending",
            format!("in_flight={in_flight} help=\"Ctrl-C again does not wait for them\""),
        ),
        Step::Failure(failure) => (failure.at_ms, "failure", said(failure)),
        Step::Failures { at_ms, more, by_class } => {
            let classes = by_class.iter().map(|(class, n)| format!("{}:{n}", key(*class)));
            let classes = classes.collect::<Vec<_>>().join(",");
            (*at_ms, "failures", format!("more={more} classes={classes}"))
        }
    };
    Some(format!("{} {what:<18} {rest}", utc(began_unix_ms.saturating_add(at_ms))))
}

fn sums(live: &Live) -> String {
    let rates = live.per_version.iter();
    let rates: Vec<_> = rates.map(|it| format!("{}:{:.0}", word(&it.version), it.rps)).collect();
    let rates = if rates.is_empty() { "-".to_owned() } else { rates.join(",") };
    let mut rest = format!("sent={} failed={} rps={rates}", live.sent, live.failed);
    for (name, us) in [("p50_us", live.p50_us), ("p99_us", live.p99_us), ("max_us", live.max_us)] {
        if let Some(us) = us {
            let _ = write!(rest, " {name}={us}");
        }
    }
    let _ = write!(rest, " late_us={}", live.late_us);
    for (name, n) in [("not_sent", live.not_sent), ("blind_ms", live.blind_ms)] {
        if n > 0 {
            let _ = write!(rest, " {name}={n}");
        }
    }
    rest
}

fn said(failure: &Failure) -> String {
    let name = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), word);
    let status = failure.status.map_or_else(String::new, |status| format!(" status={status}"));
    format!(
        "id={} lane={} class={} version={} instance={}{status} detail={}",
        failure.id,
        failure.lane.name(),
        key(failure.class),
        name(&failure.version),
        name(&failure.instance),
        quoted(failure.detail.as_deref().unwrap_or_default())
    )
}

/// The class as JSON has it.
fn key(class: Class) -> String {
    class.name().replace(' ', "_")
}
