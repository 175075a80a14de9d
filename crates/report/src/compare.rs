//! Two runs side by side: their figures, and what changed from the first to the second.
//!
//! It judges neither run anew and calls no change good or bad; that the runs asked different things is
//! said, because then a difference may come from that.

use model::Verdict;
use serde::Serialize;

use crate::axis::between;
use crate::document::{LaneFacts, Report};
use crate::figures::{count, exactly, span};

/// Version of the form that [`crate::compare_json`] writes.
const SCHEMA_VERSION: u32 = 1;

/// Two runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Version of this format.
    pub schema_version: u32,
    /// The runs, in the order in which they were given.
    pub runs: [ComparedRun; 2],
    /// What the runs did not have in common, one sentence each.
    pub unlike: Vec<String>,
    /// The figures.
    pub rows: Vec<ComparedFigure>,
}

/// One of the runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedRun {
    /// Its id.
    pub run_id: String,
    /// Wall clock at its begin, ms since 1970.
    pub t0_unix_ms: u64,
    /// What its traffic saw.
    pub verdict: Verdict,
    /// The verdict in a sentence.
    pub sentence: String,
    /// How its rollout ended, in a sentence.
    pub outcome_line: Option<String>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Pieces.
    Count,
    /// Pieces per second.
    PerSecond,
    /// Time, us.
    Microseconds,
}

/// A figure of both runs; `None` where a run has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedFigure {
    /// Its lane; `None` for the whole run.
    pub lane: Option<String>,
    /// What it is.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// In the first run and in the second.
    pub values: [Option<u64>; 2],
}

/// Compares two runs.
pub fn compare(first: &Report, second: &Report) -> Comparison {
    let runs = [first, second];
    let mut rows = whole(runs);
    rows.extend(lanes(runs));
    rows.retain(|row| row.values.iter().any(Option::is_some));
    Comparison { schema_version: SCHEMA_VERSION, runs: runs.map(head), unlike: unlike(runs), rows }
}

fn head(report: &Report) -> ComparedRun {
    ComparedRun {
        run_id: report.run_id.clone(),
        t0_unix_ms: report.t0_unix_ms,
        verdict: report.verdict,
        sentence: report.sentence.clone(),
        outcome_line: report.outcome_line.clone(),
    }
}

fn whole(runs: [&Report; 2]) -> Vec<ComparedFigure> {
    let row = |name: &str, unit, of: fn(&Report) -> Option<u64>| ComparedFigure {
        lane: None,
        name: name.to_owned(),
        unit,
        values: runs.map(of),
    };
    vec![
        row("sent", Unit::Count, |r| Some(r.sent)),
        row("sent per second", Unit::PerSecond, rate),
        row("failed", Unit::Count, |r| Some(r.failed)),
        row("not sent", Unit::Count, |r| Some(r.not_sent)),
        row("longest time without a success", Unit::Microseconds, |r| Some(r.longest_gap_us)),
        row("outages seen from", Unit::Microseconds, |r| Some(r.detection_floor_us)),
        row("switch: command to last old answer", Unit::Microseconds, |r| {
            r.proof.as_ref()?.switch_time_us
        }),
        row("both versions answered for", Unit::Microseconds, |r| r.proof.as_ref()?.mixed_us),
        row("went back to the old version", Unit::Count, |r| Some(r.proof.as_ref()?.regressions)),
        row("went back to it at a client that keeps its cookies", Unit::Count, |r| {
            Some(r.clients.as_ref()?.regressions)
        }),
        row("WebSocket messages lost", Unit::Count, |r| {
            (!r.sockets.is_empty()).then_some(r.trust.ws_lost)
        }),
        row("longest gap of a WebSocket", Unit::Microseconds, |r| {
            (!r.sockets.is_empty()).then_some(r.trust.ws_longest_gap_us)
        }),
        row("prober's own lateness, p99", Unit::Microseconds, |r| r.trust.lateness_p99_us),
        row("prober blind for", Unit::Microseconds, |r| Some(r.trust.blind_us)),
    ]
}

fn rate(report: &Report) -> Option<u64> {
    let us = between(report.from_us, report.to_us);
    report.sent.saturating_mul(1_000_000).saturating_add(us / 2).checked_div(us)
}

/// Reads a figure of a lane.
type Figure = fn(&LaneFacts) -> Option<u64>;

/// Lanes of either run, in the order of the first.
fn lanes(runs: [&Report; 2]) -> Vec<ComparedFigure> {
    let mut names = Vec::new();
    for lane in runs.iter().flat_map(|r| &r.lanes) {
        if !names.contains(&lane.lane) {
            names.push(lane.lane);
        }
    }
    let figures: [(&str, Unit, Figure); 6] = [
        ("sent", Unit::Count, |l| Some(l.sent)),
        ("failed", Unit::Count, |l| Some(l.failed)),
        ("p50", Unit::Microseconds, |l| l.ttlb_p50_us),
        ("p99", Unit::Microseconds, |l| l.ttlb_p99_us),
        ("longest answer", Unit::Microseconds, |l| l.ttlb_max_us),
        ("longest gap", Unit::Microseconds, |l| Some(l.longest_gap_us)),
    ];
    let mut out = Vec::new();
    for name in names {
        let of = runs.map(|r| r.lanes.iter().find(|l| l.lane == name));
        out.extend(figures.map(|(figure, unit, value)| ComparedFigure {
            lane: Some(name.name().to_owned()),
            name: figure.to_owned(),
            unit,
            values: of.map(|lane| lane.and_then(value)),
        }));
    }
    out
}

/// What was asked differently.
fn unlike([first, second]: [&Report; 2]) -> Vec<String> {
    let mut out = Vec::new();
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            out.push(format!("{what}: {a} and {b}"));
        }
    };
    let lanes = |r: &Report| {
        let names: Vec<&str> = r.lanes.iter().map(|l| l.lane.name()).collect();
        names.join(", ")
    };
    let app = |r: &Report| r.app.clone().unwrap_or_else(|| "no app".to_owned());
    differ("they asked different addresses", first.url.clone(), second.url.clone());
    differ("they are of different apps", app(first), app(second));
    differ("different lanes ran", lanes(first), lanes(second));
    let per_second = |r: &Report| format!("{}/s", count(u64::from(r.rate)));
    differ("different rates were asked for", per_second(first), per_second(second));
    let [late, given_up] = ["an answer was late after", "an answer was given up after"];
    differ(late, exactly(first.late_after_us), exactly(second.late_after_us));
    differ(given_up, exactly(first.timeout_us), exactly(second.timeout_us));
    differ(
        "different versions of Cutover",
        first.cutover_version.clone(),
        second.cutover_version.clone(),
    );
    out
}

impl Comparison {
    /// Both verdicts in a sentence.
    pub fn sentence(&self) -> String {
        let [first, second] = &self.runs;
        if first.verdict == second.verdict {
            return format!("both runs say {}", first.verdict);
        }
        format!("{} first, then {}", first.verdict, second.verdict)
    }
}

impl ComparedFigure {
    /// Value of the first run (0) or the second (1) for people.
    pub fn value(&self, run: usize) -> String {
        match (self.values.get(run).copied().flatten(), self.unit) {
            (None, _) => "–".to_owned(),
            (Some(n), Unit::Count) => count(n),
            (Some(n), Unit::PerSecond) => format!("{}/s", count(n)),
            (Some(us), Unit::Microseconds) => span(us),
        }
    }

    /// What changed: `=`, `▲ +12 ms (+40 %)`, `▼ −3`; nothing where a run has no such figure.
    pub fn change(&self) -> String {
        let [Some(before), Some(after)] = self.values else {
            return String::new();
        };
        let (sign, plus) = match after.cmp(&before) {
            std::cmp::Ordering::Equal => return "=".to_owned(),
            std::cmp::Ordering::Greater => ('▲', '+'),
            std::cmp::Ordering::Less => ('▼', '−'),
        };
        let by = after.abs_diff(before);
        let words = match self.unit {
            Unit::Count => count(by),
            Unit::PerSecond => format!("{}/s", count(by)),
            Unit::Microseconds => span(by),
        };
        let part = u128::from(by) * 100 / u128::from(before.max(1));
        let share = match part {
            _ if before == 0 => String::new(),
            0 => " (under 1 %)".to_owned(),
            1..=999 => format!(" ({plus}{part} %)"),
            _ => format!(" ({}-fold)", after / before),
        };
        format!("{sign} {plus}{words}{share}")
    }

    /// Its name with its lane.
    pub fn title(&self) -> String {
        self.lane
            .as_ref()
            .map_or_else(|| self.name.clone(), |lane| format!("{lane}: {}", self.name))
    }
}
