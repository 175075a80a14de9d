//! Findings as tables of Markdown.
//!
//! Nothing is measured or judged here: what a mark is, `marks` says; as JSON they are in `json`.

use std::fmt::Write as _;

use super::Findings;
use super::alone::{Alone, Away, Bare};
use super::marks::marks;
use super::paced::Paced;
use super::subject::USUAL;
use super::tools::{RATE, Sent};

/// All tables.
pub(crate) fn markdown(findings: &Findings) -> String {
    let mut out = String::new();
    rates(&mut out, findings);
    memory(&mut out, findings);
    beside(&mut out, findings);
    faults(&mut out, findings);
    freeze(&mut out, findings);
    out.push_str(
        "\n### Marks\n\n| mark | is | at most | | the machine alone, asleep / awake |\n\
         |---|---:|---:|---|---:|\n",
    );
    for mark in marks(findings) {
        let met = if mark.met() { "met" } else { "MISSED" };
        let alone =
            mark.alone.map_or(String::new(), |[asleep, awake]| format!("{asleep:.3} / {awake:.3}"));
        let _ =
            writeln!(out, "| {} | {:.3} | {} | {met} | {alone} |", mark.words, mark.is, mark.most);
    }
    foot(&mut out, findings);
    out
}

fn rates(out: &mut String, findings: &Findings) {
    let all = || findings.rates.iter().chain(&findings.highest);
    if all().next().is_none() {
        return;
    }
    out.push_str(
        "### The prober at a rate, as the server saw it\n\n\
         | asked | pace | rate error, ppm | lateness p50 / p99 / max, µs | in its own words | variance / mean \
         | CPU per request, µs | bytes per attempt | failed | not sent | blind | off its core by others / the \
         host, ms/s | server's core, host |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for paced in all() {
        let bytes = paced.bytes.map_or("–".to_owned(), |bytes| format!("{bytes:.1}"));
        let [p50, p99, max] = paced.late_us;
        let [own50, own99, own_max] = paced.own_us;
        let _ = writeln!(
            out,
            "| {} | {} | {:.1} | {p50:.0} / {p99:.0} / {max:.0} | {own50} / {own99} / {own_max} | {:.4} | \
             {:.1} | {bytes} | {} | {} | {} | {} | {:.1} |",
            paced.asked,
            paced.pace,
            paced.error_ppm,
            paced.dispersion,
            paced.cpu_us,
            paced.counts[1],
            paced.counts[2],
            paced.blind,
            off(paced.away),
            paced.server_away,
        );
    }
    alone(out, findings);
    if let Some(highest) = &findings.highest {
        let _ = writeln!(
            out,
            "\nThe last row of the prober is the highest rate that was kept up: all sent and answered, the rate met \
             within 0.1 %, p99 of the lateness below 10 ms: {}/s.",
            highest.asked
        );
    }
}

/// Who had the core.
fn off(away: Away) -> String {
    format!("{:.1} / {:.1}", away.others, away.host)
}

fn memory(out: &mut String, findings: &Findings) {
    if findings.memory.is_empty() {
        return;
    }
    out.push_str("\n### Memory by lane\n\n| lane | bytes per attempt |\n|---|---:|\n");
    for of in &findings.memory {
        let bytes = of.bytes.map_or("–".to_owned(), |bytes| format!("{bytes:.1}"));
        let _ = writeln!(out, "| {} | {bytes} |", of.lane.name());
    }
}

fn alone(out: &mut String, findings: &Findings) {
    if findings.alone.is_empty() {
        return;
    }
    out.push_str(
        "\n### The machine alone, between these runs\n\nA bare loop on the prober's core, without prober or \
         sockets, the server awake on its own: what it is late by, nobody on this machine can do better.\n\n\
         | wakes a second | asleep until its time: lateness p50 / p99 / max, µs | variance / mean | off its core by \
         others / the host, ms/s | awake all the time | variance / mean | off its core |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let show = |bare: Bare| {
        let [p50, p99, max] = bare.late_us;
        format!("{p50:.0} / {p99:.0} / {max:.0} | {:.4} | {}", bare.dispersion, off(bare.away))
    };
    for Alone { asked, asleep, awake } in &findings.alone {
        let _ = writeln!(out, "| {asked} | {} | {} |", show(*asleep), show(*awake));
    }
}

/// The prober as a tool among tools.
fn own(findings: &Findings) -> [Option<&Paced>; 2] {
    let usual = |paced: &&Paced| paced.asked == RATE && paced.pace == USUAL;
    [findings.highest.as_ref(), findings.rates.iter().find(usual)]
}

fn beside(out: &mut String, findings: &Findings) {
    if findings.beside.is_empty() {
        return;
    }
    let [highest, paced] = own(findings);
    let _ = writeln!(
        out,
        "\n### Beside load tools, on one core\n\n| | highest rate, /s | CPU per request there, µs | at \
         {RATE}/s: rate error, ppm | variance / mean | CPU per request, µs | prober's CPU there / its | \
         prober's highest rate / its |\n|---|---:|---:|---:|---:|---:|---:|---:|"
    );
    let show = |figure: Option<f64>, digits: usize| {
        figure.map_or("–".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    let _ = writeln!(
        out,
        "| `cutover probe` | {} | {} | {} | {} | {} | 1 | 1 |",
        show(highest.map(|paced| f64::from(paced.asked)), 0),
        show(highest.map(|paced| paced.cpu_us), 1),
        show(paced.map(|paced| paced.error_ppm), 1),
        show(paced.map(|paced| paced.dispersion), 3),
        show(paced.map(|paced| paced.cpu_us), 1),
    );
    for tool in &findings.beside {
        let Sent { rate, cpu_us, .. } = tool.fast;
        let theirs = tool.paced.map_or(cpu_us, |sent| sent.cpu_us);
        let ours = if tool.paced.is_some() { paced } else { highest };
        let _ = writeln!(
            out,
            "| {} | {rate:.0} | {cpu_us:.1} | {} | {} | {} | {} | {} |",
            tool.name,
            show(tool.paced.map(|sent| sent.error_ppm), 1),
            show(tool.paced.map(|sent| sent.dispersion), 3),
            show(tool.paced.map(|sent| sent.cpu_us), 1),
            show(ours.map(|paced| paced.cpu_us / theirs), 2),
            show(highest.map(|paced| f64::from(paced.asked) / rate), 2),
        );
    }
    out.push_str(
        "\nWho knows no rates is compared at its highest. Tools send the next request when an answer \
         has come; the prober sends by the clock and keeps a record of each attempt.\n",
    );
}

fn faults(out: &mut String, findings: &Findings) {
    if findings.faults.is_empty() {
        return;
    }
    out.push_str(
        "\n### Failures by class\n\n| story | class | played | counted |\n|---|---|---:|---:|\n",
    );
    for counts in &findings.faults {
        for (class, wanted, is) in &counts.classes {
            let _ = writeln!(out, "| {} | {} | {wanted} | {is} |", counts.story, class.name());
        }
    }
}

fn freeze(out: &mut String, findings: &Findings) {
    let Some(freeze) = &findings.freeze else { return };
    let _ = writeln!(
        out,
        "\n### A server that stood still for {:.3} s of ten times as long\n\n| quantile | must be, ms | \
         was, ms |\n|---:|---:|---:|",
        freeze.frozen_s
    );
    for (p, wanted, is) in &freeze.quantiles {
        let _ = writeln!(out, "| {:.1} % | {:.1} | {:.1} |", p * 100.0, wanted * 1e3, is * 1e3);
    }
}

fn foot(out: &mut String, findings: &Findings) {
    let _ = writeln!(
        out,
        "\n{}; prober and tools on the first core, the server on the last. Windows of {} s. Others used \
         {:.0} % of the machine, its host took {:.0} %.",
        findings.machine,
        findings.window.as_secs(),
        findings.noise.0 * 100.0,
        findings.noise.1 * 100.0,
    );
    if findings.noise.0 > 0.05 || findings.noise.1 > 0.05 {
        out.push_str("**That is a noisy machine: lateness and CPU are upper bounds.**\n");
    }
    for (name, why) in &findings.skipped {
        let _ =
            writeln!(out, "- **not measured: {name}**: {}", why.lines().next().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{Class, Lane};

    use super::super::Findings;
    use super::super::alone::{Alone, Away, Bare};
    use super::super::json::json;
    use super::super::memory::OfLane;
    use super::super::paced::Paced;
    use super::super::subject::USUAL;
    use super::super::truths::{Counts, Freeze, Standstill};
    use super::markdown;

    fn findings() -> Findings {
        let paced = Paced {
            asked: 1_000,
            pace: USUAL,
            error_ppm: -12.5,
            late_us: [60.0, 180.0, 900.0],
            own_us: [2, 90, 700],
            dispersion: 0.01,
            cpu_us: 50.0,
            bytes: Some(57.0),
            counts: [20_000, 0, 0],
            blind: 0,
            away: Away { others: 0.5, host: 12.0 },
            server_away: 3.0,
        };
        let away = Away::default();
        let asleep = Bare { late_us: [50.0, 524.0, 4_000.0], dispersion: 0.02, away };
        let awake = Bare { late_us: [0.1, 9.0, 3_000.0], dispersion: 0.01, away };
        let classes = vec![(Class::Ok, 10, 10), (Class::Timeout, 5, 5)];
        Findings {
            rates: vec![paced],
            alone: vec![Alone { asked: 1_000, asleep, awake }],
            memory: vec![OfLane { lane: Lane::Fresh, bytes: Some(40.0) }],
            faults: vec![Counts { story: "a story", classes }],
            freeze: Some(Freeze { frozen_s: 2.0, quantiles: vec![(0.95, 1.0, 1.01)] }),
            standstill: Some(Standstill { stopped_ms: 201.0, said_ms: 201.0, blamed: 0 }),
            skipped: vec![("oha".to_owned(), "not here".to_owned())],
            machine: "a machine".to_owned(),
            window: Duration::from_secs(20),
            ..Findings::default()
        }
    }

    #[test]
    fn marks_that_are_met_and_who_is_missing_are_told() {
        let text = markdown(&findings());
        assert!(!text.contains("MISSED"), "{text}");
        for part in [
            "| 1000 | steady | -12.5 | 60 / 180 / 900 | 2 / 90 / 700 | 0.0100 | 50.0 | 57.0 | 0 | 0 | 0 | 0.5 / 12.0 | 3.0 |",
            "| 1000 | 50 / 524 / 4000 | 0.0200 | 0.0 / 0.0 | 0 / 9 / 3000 | 0.0100 | 0.0 / 0.0 |",
            "| send lateness p99, µs, at 1000/s, steady | 180.000 | 200 | met | 524.000 / 9.000 |",
            "| fresh | 40.0 |",
            "| quantiles of a freeze, % of its length off | 0.500 | 1 | met |  |",
            "**not measured: oha**: not here",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn each_mark_that_is_missed_is_loud() {
        type Break = fn(&mut Findings);
        let breaks: [(Break, &str); 8] = [
            (|f| f.rates[0].error_ppm = -51.0, "rate error"),
            (|f| f.rates[0].late_us[1] = 201.0, "send lateness"),
            (|f| f.rates[0].dispersion = 0.06, "variance to mean"),
            (|f| f.rates[0].bytes = Some(65.0), "memory per attempt"),
            (|f| f.memory[0].bytes = Some(65.0), "fresh lane"),
            (|f| f.faults[0].classes[1].2 = 4, "wrong class"),
            (|f| f.freeze.as_mut().unwrap().quantiles[0].2 = 1.03, "a freeze"),
            (|f| f.standstill.as_mut().unwrap().said_ms = 150.0, "not said"),
        ];
        for (change, what) in breaks {
            let mut findings = findings();
            change(&mut findings);
            let text = markdown(&findings);
            let missed: Vec<&str> = text.lines().filter(|line| line.contains("MISSED")).collect();
            assert!(matches!(missed[..], [line] if line.contains(what)), "{what}: {missed:?}");
            let json = json(&findings);
            let met = |mark: &&serde_json::Value| mark["met"] == false;
            assert_eq!(json["marks"].as_array().unwrap().iter().filter(met).count(), 1);
        }
    }
}
