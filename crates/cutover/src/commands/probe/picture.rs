//! What `cutover probe --full-screen` draws: rates by version over time, times, lanes, failures as they
//! happen, and how far the switch is that it waits for.
//!
//! Lines with styles from what was summed up, for a number of columns and rows; it asks nobody and knows
//! no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use ::probe::Stop;
use model::{Class, Lane};

use super::asked::Asked;
use super::step::Failure;
use super::sums::{LATELY_US, OfVersion, Sums};
use super::words;
use crate::duration;
use crate::say::ink::{BAD, BOLD, FAINT, GOOD, WAIT};
use crate::say::{Line, figure};

/// Column where what is said of something begins.
const WORDS: usize = 13;
/// Columns of a chart, at most.
const CHART_MAX: usize = 60;
/// With fewer columns what can best be missed is left out.
const NARROW: usize = 60;

/// The whole picture.
pub(super) fn lines(
    asked: &Asked,
    sums: &Sums,
    ending: bool,
    (columns, rows): (usize, usize),
) -> Vec<Line> {
    let narrow = columns < NARROW;
    let mut drawn = vec![title(asked, sums, ending), counts(asked, sums)];
    drawn.extend(asked.switch(sums).map(|line| headed("switch", narrow).join(line)));
    drawn.push(times(sums, narrow));
    let lanes = lanes(sums, narrow);
    let failed = sums.failures.len();
    // Each part has its least; what is left goes to versions, lanes and failures, in that order.
    let mut left = rows.saturating_sub(drawn.len());
    let mut part = |least: usize, wanted: usize, others: usize| {
        let room = left.saturating_sub(others).max(least.min(left)).min(wanted);
        left -= room;
        room
    };
    let least = if failed == 0 { 1 } else { 3 };
    let versions = part(1, sums.versions.len(), lanes.len().min(3) + least);
    let lane_rows = part(0, lanes.len(), least);
    let failure_rows = part(least, failed + 1, 0);
    drawn.extend(charts(sums, columns, versions));
    drawn.extend(lanes.into_iter().take(lane_rows));
    drawn.extend(failures(asked, sums, failure_rows));
    drawn
}

fn title(asked: &Asked, sums: &Sums, ending: bool) -> Line {
    let at = duration::show(Duration::from_secs(sums.now_us / 1_000_000));
    let of = match asked.stop {
        _ if ending => "ending".to_owned(),
        Stop::After { duration } => format!("of {}", duration::show(duration)),
        Stop::Count(n) => format!("of {} attempts", figure::count(n)),
        Stop::AfterSwitch { at_most, .. } => format!("of {} at most", duration::show(at_most)),
        Stop::WhenTold => String::new(),
    };
    Line::default()
        .styled(BOLD, format!("{at} {of}"))
        .plain(format!("  {}", asked.url))
        .styled(FAINT, if ending { "  Ctrl-C again: at once" } else { "  Ctrl-C ends it" })
}

fn counts(asked: &Asked, sums: &Sums) -> Line {
    let sent = sums.of(|_, class| class != Class::NotSent);
    let not_sent = sums.of(|_, class| class == Class::NotSent);
    let failed = sums.of(|_, class| class.failed());
    let style = if failed > 0 { BAD } else { GOOD };
    let mut line = Line::default()
        .plain(format!("{} sent  ", figure::count(sent)))
        .styled(style, format!("{} failed", figure::count(failed)));
    if not_sent > 0 {
        line = line.styled(WAIT, format!("  {} not sent", figure::count(not_sent)));
    }
    line = line.plain(format!("  {} in flight", figure::count(sums.in_flight)));
    if sums.blind.0 > 0 {
        line = line.styled(WAIT, format!("  blind for {}", figure::short(sums.blind.1)));
    }
    line.styled(FAINT, format!("  {}/s wanted", figure::count(u64::from(asked.rate))))
}

/// A line that says what it is about, where there is room.
fn headed(what: &str, narrow: bool) -> Line {
    if narrow { Line::default() } else { Line::default().plain(what).to(WORDS) }
}

/// Percentiles of requests that the prober does not make slow itself.
fn times(sums: &Sums, narrow: bool) -> Line {
    let line = headed("to last byte", narrow);
    let Some(quick) = sums.quick() else { return line.styled(FAINT, "no answer lately") };
    let [p50, p90, max] = [quick.p50, quick.p90, quick.max].map(figure::short);
    let p99 = quick.p99.map_or_else(String::new, |us| format!("  p99 {}", figure::short(us)));
    line.plain(format!("p50 {p50}  p90 {p90}{p99}  max {max}")).styled(
        FAINT,
        format!("  in {} s, own lateness {}", LATELY_US / 1_000_000, figure::short(sums.late_us)),
    )
}

/// A chart for each version, on one scale; those that answered last come first when there is no room.
fn charts(sums: &Sums, columns: usize, rows: usize) -> Vec<Line> {
    // What could not be sent was answered by nobody.
    let sent = |of: &OfVersion| of.counts.keys().any(|(_, class)| *class != Class::NotSent);
    let mut shown: Vec<_> = sums.versions.iter().filter(|(_, of)| sent(of)).collect();
    shown.sort_by_key(|(_, of)| std::cmp::Reverse(of.answered.map(|(at, _)| at)));
    shown.truncate(rows);
    shown.sort_by_key(|(name, of)| (of.answered.map_or(usize::MAX, |(_, n)| n), (*name).clone()));
    let top = shown.iter().map(|(_, of)| of.bar.top()).fold(0.0, f64::max);
    let narrow = columns < NARROW;
    // A rate, and a count where there is room.
    let beside = if narrow { 9 } else { 26 };
    let wide = columns.saturating_sub(WORDS + beside).min(CHART_MAX);
    let now_ms = sums.now_us / 1_000;
    let rates: BTreeMap<_, _> = sums.rates().into_iter().collect();
    let line = |(name, of): (&String, &OfVersion)| {
        let rate = rates.get(name).copied().unwrap_or(0.0);
        let name = if name.is_empty() { "no version" } else { name.as_str() };
        let sent = of.counts.iter().filter(|((_, class), _)| *class != Class::NotSent);
        let sent: u64 = sent.map(|(_, n)| n).sum();
        let failed = of.counts.iter().filter(|((_, class), _)| class.failed());
        let failed: u64 = failed.map(|(_, n)| n).sum();
        let style = if failed > 0 { BAD } else { GOOD };
        Line::default()
            .plain(name)
            .cut(WORDS - 1)
            .to(WORDS)
            .styled(style, of.bar.draw(now_ms, wide, top))
            .plain(format!(" {rate:>5.0}/s"))
            .plain(if narrow { String::new() } else { format!(" {:>9} sent", figure::count(sent)) })
    };
    shown.into_iter().map(line).collect()
}

/// A row for each lane, with the heading first; those that do not run last.
fn lanes(sums: &Sums, narrow: bool) -> Vec<Line> {
    let Some(header) = &sums.header else { return Vec::new() };
    let head = cells(["sent", "failed", "p50", "max"].map(str::to_owned), narrow);
    let name = Line::default().styled(FAINT, "lane").to(WORDS);
    let mut lines = vec![head.iter().fold(name, |line, cell| line.styled(FAINT, cell))];
    for (lane, _) in &header.lanes {
        lines.push(lane_row(sums, *lane, narrow));
    }
    for (lane, why) in &header.lanes_not_run {
        lines.push(
            Line::default()
                .styled(FAINT, lane.name())
                .to(WORDS)
                .styled(WAIT, format!("not run: {why}")),
        );
    }
    lines
}

fn lane_row(sums: &Sums, lane: Lane, narrow: bool) -> Line {
    let sent = sums.of(|of, class| of == lane && class != Class::NotSent);
    let failed = sums.of(|of, class| of == lane && class.failed());
    let times = sums.times(|of| of == lane);
    let or_dash = |us: Option<&u64>| us.map_or("–".to_owned(), |us| figure::short(*us));
    let cells = cells(
        [
            figure::count(sent),
            figure::count(failed),
            or_dash(times.get(times.len() / 2)),
            or_dash(times.last()),
        ],
        narrow,
    );
    let style = if failed > 0 { BAD } else { GOOD };
    let [sent, failed, rest @ ..] = cells;
    let row = Line::default().plain(lane.name()).to(WORDS).plain(sent).styled(style, failed);
    rest.iter().fold(row, Line::plain)
}

/// Sent, failed, median and largest time, each as wide as its column; no median where it is narrow.
fn cells([sent, failed, median, max]: [String; 4], narrow: bool) -> [String; 4] {
    let median = if narrow { String::new() } else { format!(" {median:>9}") };
    let wide = if narrow { 7 } else { 9 };
    [format!("{sent:>wide$}"), format!(" {failed:>7}"), median, format!(" {max:>9}")]
}

/// The last failures, newest first.
fn failures(asked: &Asked, sums: &Sums, rows: usize) -> Vec<Line> {
    if sums.failures.is_empty() {
        return vec![Line::default().styled(GOOD, "nothing has failed")]
            .into_iter()
            .take(rows)
            .collect();
    }
    let head = Line::default().styled(BAD, "failed, newest first");
    let told = |failure| words::failed(asked.began_unix_ms, &Failure::from(failure));
    let newest = sums.failures.iter().rev().map(told);
    std::iter::once(head).chain(newest).take(rows).collect()
}
