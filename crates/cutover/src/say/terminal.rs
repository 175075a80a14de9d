//! Progress on a terminal: finished steps stay, at most four lines below them are live.
//!
//! The live lines never hold anything that is not also in the report. How they get onto the
//! terminal is `screen`'s affair, which phases make a step is `story`'s.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use model::{Outcome, Phase, Verdict};

use super::bar::Bar;
use super::clean::word;
use super::figure;
use super::line::Line;
use super::progress::Progress;
use super::screen::{Look, Screen};
use super::step::{Live, Step, sentence};
use super::story::{self, About};

/// Least time between two redraws, ms: at most eight a second.
const REDRAW_MS: u64 = 125;
/// Columns of a bar at most.
const BAR: usize = 40;
/// Columns of a version's name at most.
const NAME: usize = 16;
/// Column where the words of a step begin.
const WORDS: usize = 24;
/// Column where a step ends with its duration, on a terminal that is wide enough.
const EDGE: usize = 104;

const GOOD: (Style, &str) = (AnsiColor::Green.on_default(), "✓");
const BAD: (Style, &str) = (AnsiColor::Red.on_default(), "✗");

/// The step that is under way.
#[derive(Debug)]
struct Current {
    phase: Phase,
    since_ms: u64,
}

/// Tells steps on a terminal.
#[derive(Debug)]
pub(crate) struct Terminal<W> {
    screen: Screen<W>,
    /// Version users are on, empty for none, and version being shipped.
    versions: [String; 2],
    current: Option<Current>,
    live: Option<Live>,
    bars: [Bar; 2],
    now_ms: u64,
    drawn_ms: Option<u64>,
}

impl<W: Write> Terminal<W> {
    /// A renderer for `out`, which must be a terminal that understands cursor movements.
    pub(crate) fn new(out: W, look: Look) -> Self {
        Self {
            screen: Screen::new(out, look),
            versions: [String::new(), String::new()],
            current: None,
            live: None,
            bars: [Bar::default(), Bar::default()],
            now_ms: 0,
            drawn_ms: None,
        }
    }

    fn stay(&mut self, lines: &[Line]) {
        let live = self.live_lines();
        self.screen.draw(lines, live);
    }

    fn redraw(&mut self) {
        if self.drawn_ms.is_some_and(|last| self.now_ms < last.saturating_add(REDRAW_MS)) {
            return;
        }
        self.drawn_ms = Some(self.now_ms);
        self.stay(&[]);
    }

    fn enter(&mut self, phase: Phase, at_ms: u64, why: &str) {
        let row = story::row(phase);
        if let Some(current) = self.current.as_mut().filter(|it| story::row(it.phase) == row) {
            current.phase = phase;
            return self.redraw();
        }
        let next = Current { phase, since_ms: at_ms };
        let left = std::mem::replace(&mut self.current, row.map(|_| next));
        match left {
            Some(left) => self.stay(&self.finished(&left, phase, at_ms, why)),
            None => self.redraw(),
        }
    }

    /// The step that was left; words that do not fit beside it get their own line, whole.
    fn finished(&self, left: &Current, next: Phase, at_ms: u64, why: &str) -> Vec<Line> {
        let well = story::went_well(left.phase, next);
        let sign = if well { GOOD } else { BAD };
        let took_ms = at_ms.saturating_sub(left.since_ms);
        let (row, whole) = self.row(sign, left.phase, why, took_ms);
        if whole {
            return vec![row];
        }
        let (row, _) = self.row(sign, left.phase, "", took_ms);
        vec![row, Line::default().plain("    ").plain(why)]
    }

    /// The line of a step, and whether its words fit.
    fn row(&self, sign: (Style, &str), phase: Phase, words: &str, took_ms: u64) -> (Line, bool) {
        let took = format!("{:>8}", figure::took(took_ms));
        let edge = self.screen.width().min(EDGE).saturating_sub(took.len() + 1);
        let line = Line::default()
            .plain("  ")
            .styled(sign.0, sign.1)
            .plain(format!(" {}", self.name(phase)))
            .to(WORDS)
            .plain(words);
        let whole = line.columns() <= edge;
        (line.cut(edge).to(edge + 1).styled(Style::new().dimmed(), took), whole)
    }

    fn name(&self, phase: Phase) -> String {
        let [from, to] = &self.versions;
        match story::row(phase) {
            Some((verb, About::Candidate)) => format!("{verb} {to}"),
            Some((verb, About::Stable)) => format!("{verb} {from}"),
            Some((verb, About::Both)) => verb.to_owned(),
            None => phase.name().to_owned(),
        }
    }

    /// The step under way, the two versions, the sums.
    fn live_lines(&self) -> Vec<Line> {
        let Some(current) = &self.current else {
            return Vec::new();
        };
        let mut lines = vec![self.current_line(current)];
        if let Some(live) = self.live.as_ref().filter(|live| live.has_data()) {
            lines.extend(self.version_lines(live));
            lines.push(self.sums(live));
        }
        lines
    }

    fn current_line(&self, current: &Current) -> Line {
        const TURNS: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let turn = usize::try_from(self.now_ms / REDRAW_MS).unwrap_or(0) % TURNS.len();
        let open = self.live.as_ref().and_then(|live| live.open_old);
        let waits = self.live.as_ref().and_then(|live| live.waits.clone());
        let words = match (current.phase, open) {
            (Phase::Baking, _) if waits.is_some() => waits.unwrap_or_default(),
            (Phase::Draining | Phase::DrainingCandidate, Some(open)) => {
                format!("{} requests open", open.requests)
            }
            (Phase::HandingOver, Some(open)) => format!("{} tunnels open", open.tunnels),
            (phase, _) => story::doing(phase).to_owned(),
        };
        let sign = (AnsiColor::Cyan.on_default(), TURNS[turn]);
        let took_ms = self.now_ms.saturating_sub(current.since_ms);
        self.row(sign, current.phase, &words, took_ms).0
    }

    fn version_lines(&self, live: &Live) -> Vec<Line> {
        let colours = [AnsiColor::Blue.on_default(), AnsiColor::Green.on_default()];
        let top = self.bars[0].top().max(self.bars[1].top());
        let longest = self.versions.iter().map(String::len).max().unwrap_or(0).min(NAME);
        let room = self.screen.width().saturating_sub(longest + 14).min(BAR);
        let draw = |at: usize| {
            let name: String = self.versions[at].chars().take(NAME).collect();
            Line::default()
                .plain(format!("  {name:<longest$} "))
                .styled(colours[at], self.bars[at].draw(self.now_ms, room, top))
                .plain(format!(" {:>5.0} /s", rate(live, &self.versions[at])))
        };
        let [from, to] = &self.versions;
        let first = usize::from(from.is_empty() || from == to);
        (first..2).map(draw).collect()
    }

    fn sums(&self, live: &Live) -> Line {
        let red = AnsiColor::Red.on_default().bold();
        let style = if live.failed > 0 { red } else { Style::new() };
        let mut sums = Line::default()
            .plain(format!("  sent {}   ", figure::count(live.sent)))
            .styled(style, format!("failed {}", figure::count(live.failed)));
        for (name, us) in [("p50", live.p50_us), ("prober late", live.late_us)] {
            if let Some(us) = us {
                sums = sums.plain(format!("   {name} {}", figure::short(us)));
            }
        }
        let others = live.per_version.iter().filter(|it| !self.versions.contains(&it.version));
        let others: f64 = others.map(|it| it.rps).sum();
        if others < 0.5 { sums } else { sums.plain(format!("   other versions {others:.0} /s")) }
    }

    fn report(&mut self, live: &Live) {
        for (bar, version) in self.bars.iter_mut().zip(&self.versions) {
            bar.add(live.at_ms, rate(live, version));
        }
        self.live = Some(live.clone());
        self.redraw();
    }
}

impl<W: Write + Send> Progress for Terminal<W> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Began { app, from, to, run, .. } => {
                let from = from.as_ref().map(ToString::to_string).unwrap_or_default();
                let arrow =
                    if from.is_empty() { to.to_string() } else { format!("{from} → {to}") };
                self.versions = [from, to.to_string()];
                let bold = Style::new().bold();
                let line = Line::default().styled(bold, format!("{app}  {arrow}"));
                self.stay(&[line.plain(format!("   run {}", word(run)))]);
            }
            Step::Phase { phase, at_ms, why } => {
                self.now_ms = self.now_ms.max(*at_ms);
                self.enter(*phase, *at_ms, sentence(why));
            }
            Step::Live(live) => {
                self.now_ms = self.now_ms.max(live.at_ms);
                self.report(live);
            }
            Step::Note { text, .. } => {
                let yellow = AnsiColor::Yellow.on_default();
                let line = Line::default().plain("  ").styled(yellow, "·").plain(" ").plain(text);
                self.stay(&[line]);
            }
            Step::Ended { outcome, verdict, why, .. } => {
                self.current = None;
                // The result of the command follows on stdout.
                self.stay(&[ending(*outcome, *verdict, sentence(why)), Line::default()]);
            }
        }
    }
}

fn ending(outcome: Outcome, verdict: Option<Verdict>, why: &str) -> Line {
    let promoted = matches!(outcome, Outcome::Promoted | Outcome::None);
    let good = promoted && verdict.is_none_or(|verdict| verdict == Verdict::Pass);
    let sign = if good { GOOD } else { BAD };
    let line = Line::default()
        .plain("  ")
        .styled(sign.0.bold(), format!("{} {}", sign.1, story::outcome(outcome)))
        .to(WORDS);
    match verdict {
        Some(verdict) => line.plain(format!("{verdict}   {why}")),
        None => line.plain(why),
    }
}

fn rate(live: &Live, version: &str) -> f64 {
    let its = live.per_version.iter().filter(|it| it.version == version);
    // Not `sum`: that of nothing is -0.
    its.fold(0.0, |all, it| all + it.rps)
}
