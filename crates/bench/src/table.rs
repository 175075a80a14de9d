//! Figures as tables of Markdown and as JSON.
//!
//! A figure is the median of its rounds, the spread half the distance between the smallest and the
//! largest of them. Nothing is rounded in JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cases::Case;
use crate::load::paced::Latency;
use crate::measure::{Figures, Sample};

/// What the project has set itself: a case, whose figure it is compared with (a name's beginning, or
/// nobody), and the most it may be: a ratio, or bytes.
const MARKS: [(Case, Option<&str>, f64); 5] = [
    (Case::Small, Some("haproxy"), 1.0),
    (Case::Body, Some("haproxy"), 0.8),
    (Case::Http2, Some("nginx"), 1.0),
    (Case::Idle, None, 2048.0),
    (Case::Tunnels, Some("haproxy"), 1.0),
];

/// Median, spread and failures of the rounds.
#[derive(Clone, Copy, Debug)]
struct Summary {
    figure: f64,
    /// A share of the figure.
    spread: f64,
    beside: f64,
    busy: f64,
    /// At the fixed rate: half, and all but one in a hundred took less (µs), and what was left at the end.
    paced: (f64, f64, f64),
    failed: u64,
}

/// Who needs more than this share of the window for what is left at its end does not keep up with the rate.
const BEHIND: f64 = 0.1;

impl Figures {
    fn of(&self, case: Case, name: &str) -> Option<Summary> {
        let samples = self.samples.get(&(case, name.to_owned()))?;
        let of = |part: fn(&Sample) -> f64| {
            let mut all: Vec<f64> = samples.iter().map(part).collect();
            all.sort_by(f64::total_cmp);
            Some((all.get(all.len() / 2).copied()?, *all.first()?, *all.last()?))
        };
        let (figure, least, most) = of(|sample| sample.figure)?;
        Some(Summary {
            figure,
            spread: if figure > 0.0 { (most - least) / 2.0 / figure } else { 0.0 },
            beside: of(|sample| sample.beside)?.0,
            busy: of(|sample| sample.busy)?.0,
            paced: (
                of(|sample| sample.paced.map_or(0.0, |paced| paced.p50))?.0,
                of(|sample| sample.paced.map_or(0.0, |paced| paced.p99))?.0,
                of(|sample| sample.paced.map_or(0.0, |paced| paced.left))?.0,
            ),
            failed: samples.iter().map(|sample| sample.failed).sum(),
        })
    }

    fn cases(&self) -> impl Iterator<Item = Case> {
        self.options.cases.iter().copied()
    }

    /// How Cutover's figure relates to somebody's.
    fn ratio(&self, case: Case, name: &str) -> Option<f64> {
        let theirs = self.of(case, name)?.figure;
        (theirs > 0.0).then_some(self.of(case, "cutover")?.figure / theirs)
    }
}

/// All tables.
pub(crate) fn markdown(figures: &Figures) -> String {
    let mut out = String::from("### Cutover divided by each (less than 1 is less)\n\n");
    let ratio = |case, name: &str| figures.ratio(case, name).map(|ratio| format!("{ratio:.2}"));
    table(&mut out, figures, (|_| true, title), ratio);
    out.push_str("\n### CPU time of the proxy per request, µs\n\n");
    table(&mut out, figures, (Case::by_time, title), |case, name| {
        let Summary { figure, spread, failed, .. } = figures.of(case, name)?;
        Some(format!("{figure:.1} ± {:.0} %{}", spread * 100.0, failures(failed)))
    });
    out.push_str("\n### Requests per second (and how busy the proxy's core was)\n\n");
    table(&mut out, figures, (Case::by_time, title), |case, name| {
        let Summary { beside, busy, .. } = figures.of(case, name)?;
        Some(format!("{beside:.0} ({:.0} %)", busy * 100.0))
    });
    out.push_str("\n### Latency at a fixed rate, the same for all, µs: p50 / p99\n\n");
    table(&mut out, figures, (Case::by_time, at_rate), |case, name| {
        let (p50, p99, left) = figures.of(case, name)?.paced;
        Some(if left > BEHIND { "behind".to_owned() } else { format!("{p50:.0} / {p99:.0}") })
    });
    out.push_str("\n### Resident memory for each, KB\n\n");
    let held = |case| matches!(case, Case::Idle | Case::Tunnels);
    table(&mut out, figures, (held, title), |case, name| {
        Some(format!("{:.2}", figures.of(case, name)?.figure / 1024.0))
    });
    marks(&mut out, figures);
    foot(&mut out, figures);
    out
}

fn failures(failed: u64) -> String {
    if failed == 0 { String::new() } else { format!(" ({failed} FAILED)") }
}

fn title(case: Case) -> String {
    case.title().to_owned()
}

/// The title, with the rate.
fn at_rate(case: Case) -> String {
    let (thousands, rest) = (case.rate() / 1_000, case.rate() % 1_000);
    let rate = if thousands > 0 { format!("{thousands},{rest:03}") } else { rest.to_string() };
    // As many streams as it takes.
    let load = if case == Case::Http2 { "HTTP/2 over TLS, 16 connections" } else { case.title() };
    format!("{load}, {rate} a second")
}

fn table(
    out: &mut String,
    figures: &Figures,
    (which, title): (impl Fn(Case) -> bool, fn(Case) -> String),
    cell: impl Fn(Case, &str) -> Option<String>,
) {
    out.push_str("| |");
    for (name, _) in &figures.peers {
        let _ = write!(out, " {name} |");
    }
    let _ = writeln!(out, "\n|---|{}", "---:|".repeat(figures.peers.len()));
    for case in figures.cases().filter(|case| which(*case)) {
        let _ = write!(out, "| {} |", title(case));
        for (name, _) in &figures.peers {
            let _ = write!(out, " {} |", cell(case, name).unwrap_or_else(|| "–".to_owned()));
        }
        out.push('\n');
    }
}

/// The marks that can be told from this run: words, what it is, what it may be.
fn told(figures: &Figures) -> Vec<(String, f64, f64)> {
    let mut told = Vec::new();
    for (case, against, most) in MARKS {
        let Some(against) = against else {
            if let Some(own) = figures.of(case, "cutover") {
                told.push((format!("{}, bytes each", case.title()), own.figure, most));
            }
            continue;
        };
        for (name, _) in figures.peers.iter().filter(|(name, _)| name.starts_with(against)) {
            if let Some(ratio) = figures.ratio(case, name) {
                told.push((format!("{}, times {name}", case.title()), ratio, most));
            }
        }
    }
    told
}

fn marks(out: &mut String, figures: &Figures) {
    out.push_str("\n### Marks\n\n| mark | is | at most | |\n|---|---:|---:|---|\n");
    for (words, is, most) in told(figures) {
        let met = if is <= most { "met" } else { "MISSED" };
        let _ = writeln!(out, "| {words} | {is:.2} | {most} | {met} |");
    }
}

fn foot(out: &mut String, figures: &Figures) {
    let options = &figures.options;
    let _ = writeln!(
        out,
        "\n{}. {} rounds of {} ms, interleaved; medians, ± half the range. Others used at most {:.0} % \
         of the machine during a window, its host took {:.0} %.{}{}",
        figures.machine,
        options.rounds,
        options.window.as_millis(),
        figures.noise.0 * 100.0,
        figures.noise.1 * 100.0,
        if options.bare { " Without access logs and metrics." } else { "" },
        if options.newcomers { " Clients send no cookie of a cohort." } else { "" },
    );
    if figures.noise.0 > 0.05 {
        out.push_str("**That is a noisy machine: figures are upper bounds, ratios are rough.**\n");
    }
    for (name, version) in &figures.peers {
        let _ = writeln!(out, "- {name}: {version}");
    }
    for (name, why) in &figures.skipped {
        let _ = writeln!(out, "- **skipped: {name}**: {}", why.lines().next().unwrap_or_default());
    }
}

/// The same for programs.
pub(crate) fn json(figures: &Figures) -> Value {
    let mut cases = Vec::new();
    for ((case, name), samples) in &figures.samples {
        let of = |part: fn(&Sample) -> f64| samples.iter().map(part).collect::<Vec<f64>>();
        let paced = |part: fn(&Latency) -> f64| {
            samples.iter().filter_map(|sample| sample.paced.as_ref().map(part)).collect::<Vec<_>>()
        };
        cases.push(json!({
            "case": case.name(), "peer": name, "ratio": figures.ratio(*case, name),
            "figure": figures.of(*case, name).map(|summary| summary.figure),
            "figures": of(|sample| sample.figure), "beside": of(|sample| sample.beside),
            "busy": of(|sample| sample.busy),
            "rate": case.by_time().then_some(case.rate()),
            "p50_us": paced(|paced| paced.p50), "p99_us": paced(|paced| paced.p99),
            "left": paced(|paced| paced.left),
            "failed": samples.iter().map(|sample| sample.failed).sum::<u64>(),
        }));
    }
    let marks = told(figures).into_iter();
    json!({
        "machine": figures.machine, "rounds": figures.options.rounds,
        "window_ms": figures.options.window.as_secs_f64() * 1e3, "bare": figures.options.bare,
        "newcomers": figures.options.newcomers,
        "others_share": figures.noise.0, "stolen_share": figures.noise.1,
        "peers": figures.peers, "skipped": figures.skipped, "cases": cases,
        "marks": marks.map(|(mark, is, most)| json!({"mark": mark, "is": is, "most": most}))
            .collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{json, markdown};
    use crate::cases::Case;
    use crate::load::paced::Latency;
    use crate::measure::{Figures, Sample};
    use crate::options::Options;

    fn figures() -> Figures {
        let mut samples = BTreeMap::new();
        for (name, all) in [("cutover", [30.0, 18.0, 16.0]), ("haproxy-3.2", [24.0, 22.0, 20.0])] {
            let paced = Some(Latency { p50: all[0] * 10.0, p99: 2_500.0, left: 0.0, failed: 0 });
            let sample = |figure| Sample { figure, beside: 50_000.0, busy: 0.9, paced, failed: 0 };
            samples.insert((Case::Small, name.to_owned()), all.map(sample).to_vec());
        }
        let peer = |name: &str| (name.to_owned(), format!("{name} 1"));
        Figures {
            peers: vec![peer("cutover"), peer("haproxy-3.2")],
            skipped: vec![("caddy".to_owned(), "not there".to_owned())],
            samples,
            noise: (0.2, 0.0),
            options: Options::parse(&["--only", "small"]).unwrap(),
            machine: "a machine".to_owned(),
        }
    }

    #[test]
    fn medians_ratios_marks_and_what_is_missing_are_told() {
        let text = markdown(&figures());
        for part in [
            "| small JSON, 64 kept connections | 1.00 | 0.82 |",
            "| 18.0 ± 39 % | 22.0 ± 9 % |",
            "times haproxy-3.2 | 0.82 | 1 | met |",
            "| small JSON, 64 kept connections, 5,000 a second | 300 / 2500 | 240 / 2500 |",
            "**skipped: caddy**: not there",
            "That is a noisy machine",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let json = json(&figures());
        assert_eq!(json["cases"][0]["figures"].as_array().unwrap().len(), 3);
        assert_eq!(json["marks"][0]["most"], 1.0);
        assert_eq!(
            (&json["cases"][0]["rate"], &json["cases"][0]["p50_us"][2]),
            (&5_000.into(), &300.0.into())
        );
    }

    /// Half a window of work was left when the last request was due.
    #[test]
    fn who_does_not_keep_up_with_the_rate_is_behind_and_has_no_latency() {
        let mut figures = figures();
        for sample in figures.samples.get_mut(&(Case::Small, "haproxy-3.2".to_owned())).unwrap() {
            sample.paced.as_mut().unwrap().left = 0.5;
        }
        let text = markdown(&figures);
        assert!(text.contains("5,000 a second | 300 / 2500 | behind |"), "{text}");
    }

    #[test]
    fn a_missed_mark_and_failures_are_loud() {
        let mut figures = figures();
        for sample in figures.samples.get_mut(&(Case::Small, "cutover".to_owned())).unwrap() {
            sample.figure *= 2.0;
            sample.failed = 1;
        }
        let text = markdown(&figures);
        assert!(text.contains("MISSED") && text.contains("(3 FAILED)"), "{text}");
    }
}
