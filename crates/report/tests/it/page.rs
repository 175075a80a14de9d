//! The page's own promises: one script that is known by its hash, nothing said by it alone, every
//! connection and part of the run drawn, and old reports still read.
//!
//! How it looks is seen in `browser`, what is on it in `renderings`.

use crate::hostile::{HOSTILE, balance, hostile};
use crate::sample;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::attempt::{Connection, Ending};
use model::{Class, Lane};
use report::{EraName, Report, html, json, judge, parse};
use sha2::{Digest, Sha256};

/// The text of the page's scripts.
fn scripts(page: &str) -> Vec<&str> {
    page.split("<script>").skip(1).map(|rest| rest.split("</script>").next().unwrap()).collect()
}

#[test]
fn one_script_runs_and_it_is_known_by_its_hash() {
    for text in HOSTILE {
        let page = html(&judge(&hostile(text)));
        let [script] = scripts(&page)[..] else { panic!("other scripts than ours") };
        let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
        let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap();
        let policy = policy.split('"').next().unwrap();
        let wanted =
            format!("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'");
        assert_eq!(policy, wanted);
        assert!(script.len() < 10_000 && !script.contains("innerHTML"), "{}", script.len());
    }
}

#[test]
fn what_the_script_shows_stands_in_a_table() {
    let report = judge(&sample::pass());
    let page = html(&report);
    let steps = page.split("<details class=\"numbers\">").nth(1).unwrap();
    let steps = steps.split("</details>").next().unwrap();
    assert_eq!(steps.matches("<tr><td>").count(), report.buckets.len());
    assert_eq!(page.matches("data-left=").count(), 2, "over the run and over the times");
    // Without it there is nothing that does nothing.
    assert!(!page.contains("<button") && !page.contains("class=\"zoom\""));
}

#[test]
fn every_chart_can_be_read_without_seeing_it() {
    let page = html(&judge(&sample::killed_before_drain()));
    for drawing in page.split("role=\"img\"").skip(1) {
        let drawing = drawing.split("</svg>").next().unwrap();
        assert!(drawing.contains("<title>") && drawing.contains("<desc>"), "{drawing:.100}");
    }
    let boxes = page.matches("class=\"scroll\"").count();
    assert_eq!(boxes, page.matches("class=\"scroll\" tabindex=\"0\" role=\"group\"").count());
}

/// The attribute of a tag, as a number.
fn figure(tag: &str, name: &str) -> f64 {
    let value = tag.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    value.split(' ').next_back().unwrap().parse().unwrap()
}

#[test]
fn no_word_of_a_chart_is_cut_at_its_top_or_bottom() {
    let mut limits = Vec::new();
    for input in [sample::alone(), sample::pass(), sample::killed_before_drain()] {
        // Where nothing takes as long, the limit for late answers is the top of the plot; else it is inside.
        for late_after_us in [500_000, 30_000, 60_000_000] {
            let mut input = input.clone();
            input.header.late_after_us = late_after_us;
            let page = html(&judge(&input));
            for drawing in page.split("<svg viewBox=").skip(1) {
                let drawing = drawing.split("</svg>").next().unwrap();
                let height = figure(&format!(" viewBox={drawing}"), "viewBox");
                for text in drawing.split("<text").skip(1) {
                    let y = figure(text, "y");
                    assert!((10.0..=height - 3.0).contains(&y), "{y} of {height}: {text:.120}");
                    if text.contains("limit-name") {
                        limits.push(y);
                    }
                }
            }
        }
    }
    assert_eq!(limits.len(), 9);
}

/// A line at the edge of the plot would say that the edge is the limit.
#[test]
fn a_limit_outside_of_the_scale_has_no_line() {
    let mut input = sample::pass();
    for (late_after_us, words) in [
        (10, "late after 10 µs, below this scale<"),
        (1_000, "late after 1 ms<"),
        (60_000_000, "late after 60 s, beyond this scale<"),
    ] {
        input.header.late_after_us = late_after_us;
        let page = html(&judge(&input));
        assert!(page.contains(words), "{words}: {}", page.split("end limit-name").nth(1).unwrap());
        let lines = page.matches("class=\"limit\"").count();
        assert_eq!(lines, usize::from(!words.contains("scale")), "{words}");
    }
}

/// Width and height of each bar of the new version over the run.
fn bars_of_the_new_version(page: &str) -> Vec<(f64, f64)> {
    let chart = page.split("<h2>What happened</h2>").nth(1).unwrap();
    let path = chart.split("class=\"bar new\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    let bars = path.split('M').skip(1).map(|bar| {
        let figures = bar.split(['h', 'V', ' ', 'z']).filter(|part| !part.is_empty());
        let figures: Vec<f64> = figures.map(|part| part.parse().unwrap()).collect();
        let [_, low, width, high, _] = figures[..] else { panic!("no bar: {bar}") };
        (width, low - high)
    });
    bars.collect()
}

/// As a whole second it would look as if the rate had fallen.
#[test]
fn the_last_bar_is_as_wide_and_as_high_as_the_time_that_it_stands_for() {
    let until = |us: u64| {
        let mut input = sample::pass();
        input.attempts.retain(|a| a.intended_us < us);
        input.footer.as_mut().unwrap().until_us = us;
        judge(&input)
    };
    // The last request of the third one is the only one of its second.
    for (us, share, words) in [
        (25_430_000, 0.43, "; the last bar stands for 430 ms, and its height for the rate in it. "),
        (25_900_000, 0.9, "; the last bar stands for 900 ms"),
        (25_001_000, 0.0, "; the last bar stands for 5 ms"),
    ] {
        let page = html(&until(us));
        assert!(page.contains(words), "{words}");
        let bars = bars_of_the_new_version(&page);
        let [.., (width, height), (last_width, last_height)] = bars[..] else { panic!() };
        // Bars leave a little room between each other.
        let told = (last_width / width, last_height / height);
        assert!((told.0 - share).abs() < 0.04 && (told.1 - 1.0).abs() < 0.02, "{us}: {told:?}");
    }
    assert!(!html(&judge(&sample::pass())).contains("the last bar stands for"));
    // Reports of before tell until when answers came, not until when something was sent.
    let mut old: serde_json::Value = serde_json::from_str(&json(&until(25_430_000))).unwrap();
    old.as_object_mut().unwrap().remove("sent_until_us").unwrap();
    let page = html(&parse(&old.to_string()).unwrap());
    assert!(page.contains("the last bar stands for 4"), "it ends with its last answer");
}

#[test]
fn the_parts_of_the_run_are_cut_at_the_switch() {
    let report = judge(&sample::pass());
    let names: Vec<EraName> = report.eras.iter().map(|era| era.name).collect();
    assert_eq!(names, [EraName::Before, EraName::During, EraName::After]);
    let requests: u64 =
        report.lanes.iter().filter(|l| l.lane != Lane::Websocket).map(|l| l.sent).sum();
    assert_eq!(report.eras.iter().map(|era| era.sent).sum::<u64>(), requests);
    let [before, during, after] = &report.eras[..] else { panic!() };
    assert_eq!(before.to_us, sample::SWITCH_US.cast_signed());
    let label = |i: usize| report.versions[i].label.as_str();
    assert_eq!(before.sides.iter().map(|s| label(s.version)).collect::<Vec<_>>(), ["v1"]);
    assert_eq!(after.sides.iter().map(|s| label(s.version)).collect::<Vec<_>>(), ["v2"]);
    assert!(during.sides.len() == 2 && during.to_us > during.from_us);
    for side in report.eras.iter().flat_map(|era| &era.sides) {
        assert!(side.curve.is_sorted_by_key(|p| (p.per_mille, p.ttlb_us)));
        assert_eq!(side.curve.last().unwrap().per_mille, 1_000);
        // Ten answers beyond each.
        for (per_mille, least) in [(10, 1_000), (500, 20), (900, 100), (990, 1_000), (999, 10_000)]
        {
            let told = side.curve.iter().any(|p| p.per_mille == per_mille);
            assert_eq!(told, side.answers >= least, "{per_mille} of {} answers", side.answers);
        }
    }
    let page = html(&report);
    assert!(page.contains("class=\"curve old\"") && page.contains("class=\"curve new\""));
    // Where users went back, the rest of the run is not the switch.
    let back = judge(&sample::candidate_died());
    let during = back.eras.iter().find(|era| era.name == EraName::During).unwrap();
    assert!(during.to_us < back.to_us - 1_000_000, "{during:?}");
}

/// The story with records of two kept connections: one cut in a request, one closed while idle.
fn with_records() -> Report {
    let mut input = sample::killed_before_drain();
    for (connection, ending) in [(3, Ending::MidAttempt), (5, Ending::IdleByPeer)] {
        input.connections.push(Connection {
            connection,
            lane: Lane::KeepAlive,
            opened_us: 500,
            established_us: 900,
            closed_us: 29_000_000,
            ending,
            close_code: None,
            attempts: 300,
            successor: None,
        });
    }
    judge(&input)
}

#[test]
fn each_kept_connection_is_a_row_with_its_versions_and_its_end() {
    let report = with_records();
    assert_eq!(report.connections.len(), 10);
    assert_eq!(report.connections_left_out, 0);
    let kept: u64 = report.connections.iter().map(|c| c.requests).sum();
    assert_eq!(kept, report.lanes[0].sent);
    let failed: u64 = report.connections.iter().map(|c| c.failed).sum();
    assert_eq!(failed, report.lanes[0].failed);
    for c in &report.connections {
        let path: Vec<&str> =
            c.stretches.iter().map(|s| report.versions[s.version].label.as_str()).collect();
        assert_eq!(path, ["v1", "v2"], "#{}", c.connection);
    }
    let page = html(&report);
    let chart = page.split("<h2>Kept connections</h2>").nth(1).unwrap();
    let chart = chart.split("</section>").next().unwrap();
    assert_eq!(chart.matches("class=\"alive\"").count(), 10);
    assert!(chart.contains("cut in a request") && chart.contains("closed while idle"));
    assert_eq!(chart.matches("class=\"gone\"").count(), 1);
}

#[test]
fn a_thousand_connections_are_counted_and_those_that_failed_are_drawn() {
    let mut input = sample::pass();
    for a in input.attempts.iter_mut().filter(|a| a.lane == Lane::KeepAlive) {
        a.connection = 1 + a.id as u32 / 4;
    }
    for id in [2_000, 2_002] {
        sample::fail(&mut input.attempts[id], Class::LostInFlight, "closed");
    }
    let lost = input.attempts[2_000].connection;
    let report = judge(&input);
    assert_eq!(report.connections.len(), 200);
    assert!(report.connections_left_out > 1_000);
    assert!(report.connections.iter().any(|c| c.connection == lost && c.failed > 0));
    assert!(html(&report).contains(&format!("#{lost}</text>")));
}

#[test]
fn a_report_of_the_first_version_is_still_read_and_shown() {
    let old = include_str!("../kept/report-1.json");
    for novel in ["eras", "connections", "connections_left_out", "shares", "answered"] {
        assert!(!old.contains(&format!("\"{novel}\":")), "{novel} was not there then");
    }
    let report = parse(old).unwrap();
    assert_eq!((report.sent, report.failed), (200, 3));
    let page = html(&report);
    balance(&page).unwrap();
    assert!(
        page.contains("while demo moved from v1 to v2")
            && page.contains("The switch from close by")
    );
    // What is read is written whole, and read again.
    assert_eq!(parse(&json(&report)).unwrap(), report);
}
