//! What a chart draws stands where it happened, and what it says is what it draws: nothing at an edge that lies beyond
//! it, no two things that look alike for being rounded or cut.
//!
//! That all of it can be read is seen in `whole`.

use crate::sample;
use model::attempt::{Connection, Ending};
use model::{Class, Lane};
use report::{Input, compare, html, judge};

const CROSS: &str = "l8 8m0 -8l-8 8";
const ARROW: &str = "l4 4l-4 4";

/// The section below a heading that begins so.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let rest =
        page.split(&format!("<h2>{heading}")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("</section>").next().unwrap()
}

/// The first drawing of a section.
fn drawing(section: &str) -> &str {
    section.split("role=\"img\"").nth(1).unwrap().split("</svg>").next().unwrap()
}

/// What a tick of the scale says, us.
fn said_us(label: &str) -> Option<f64> {
    let (number, unit) = label.split_once(' ')?;
    let unit = match unit {
        "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    number.parse().ok().map(|number: f64| number * unit)
}

/// Where a time stands on the scale of a drawing, as its ticks say.
fn height_of(drawing: &str, us: u64) -> f64 {
    let labels = drawing.split("<text class=\"end\" x=\"70\" y=\"").skip(1).filter_map(|text| {
        let (y, rest) = text.split_once("\">")?;
        let y: f64 = y.parse().ok()?;
        Some((said_us(rest.split('<').next()?)?.log10(), y - 4.0))
    });
    let labels: Vec<(f64, f64)> = labels.collect();
    let [(low, bottom), .., (high, top)] = labels[..] else { panic!("no scale: {labels:?}") };
    let log = (us as f64).log10();
    assert!((low..=high).contains(&log), "{us} µs is not on the scale from 10^{low} to 10^{high}");
    bottom - (bottom - top) * (log - low) / (high - low)
}

/// Middles of all crosses of a drawing.
fn crosses(drawing: &str) -> Vec<(f64, f64)> {
    let starts = drawing.split('M').skip(1).filter(|path| path.contains(CROSS));
    let starts = starts.filter_map(|path| path.split_once(CROSS)?.0.split_once(' '));
    starts
        .map(|(x, y)| (x.parse::<f64>().unwrap() + 4.0, y.parse::<f64>().unwrap() + 4.0))
        .collect()
}

/// A run in which request 1,500 was refused at once and request 1,700 was given up after 12 s.
fn quick_and_slow() -> Input {
    let mut input = sample::pass();
    for (id, class, took_us) in [(1_500, Class::Refused, 80), (1_700, Class::Timeout, 12_000_000)] {
        let attempt = &mut input.attempts[id];
        sample::fail(attempt, class, "it did not come");
        attempt.done_us = attempt.intended_us + took_us;
    }
    input
}

#[test]
fn a_failure_stands_at_the_time_that_it_took_also_when_no_answer_took_as_short_or_as_long() {
    let page = html(&judge(&quick_and_slow()));
    let drawing = drawing(section(&page, "How long answers took"));
    let crosses = crosses(drawing);
    assert_eq!(crosses.len(), 2);
    for us in [80, 12_000_000] {
        let wanted = height_of(drawing, us);
        assert!(
            crosses.iter().any(|(_, y)| (y - wanted).abs() <= 1.0),
            "{us} µs is at {wanted}: {crosses:?}"
        );
    }
}

#[test]
fn a_failure_that_ends_after_the_closer_look_has_no_end_in_it() {
    let all = html(&judge(&sample::killed_before_drain()));
    let all = section(&all, "The switch from close by");
    assert!(all.contains(CROSS) && !all.contains(ARROW) && !all.contains("an arrow"), "{all}");
    let mut input = sample::killed_before_drain();
    // A second before the next failure would be drawn, the window is no wider.
    let id = usize::try_from(sample::SWITCH_US / 5_000 - 20).unwrap();
    let attempt = &mut input.attempts[id];
    sample::fail(attempt, Class::Timeout, "no whole answer");
    attempt.done_us = attempt.intended_us + 4_000_000;
    let page = html(&judge(&input));
    let close = section(&page, "The switch from close by");
    let own = close.split(&format!("<title>#{id} timeout")).nth(1).unwrap();
    let own = own.split("</g>").next().unwrap();
    assert!(own.contains(ARROW) && !own.contains(CROSS), "{own}");
    assert!(close.contains("or an arrow where that comes later than this chart"));
}

#[test]
fn a_phase_that_began_before_the_run_has_a_name_and_no_beginning() {
    let report = judge(&sample::pass());
    let before = report.phases.iter().filter(|phase| phase.from_us < report.from_us).count();
    assert_eq!(before, 1);
    let page = html(&report);
    let drawing = drawing(section(&page, "What happened"));
    assert_eq!(drawing.matches("class=\"phase-name\"").count(), report.phases.len());
    assert_eq!(drawing.matches("class=\"phase\"").count(), report.phases.len() - before);
}

#[test]
fn an_end_after_the_last_answer_has_no_mark_at_the_edge() {
    for (closed_us, marks) in [(20_000_000, 1), (90_000_000, 0)] {
        let mut input = sample::pass();
        for (connection, ending) in [(3, Ending::MidAttempt), (5, Ending::IdleByPeer)] {
            input.connections.push(Connection {
                connection,
                lane: Lane::KeepAlive,
                opened_us: 500,
                established_us: 900,
                closed_us,
                ending,
                close_code: None,
                attempts: 300,
                successor: None,
            });
        }
        let page = html(&judge(&input));
        let kept = section(&page, "Kept connections");
        let drawing = drawing(kept);
        let found = (drawing.matches(CROSS).count(), drawing.matches("class=\"gone\"").count());
        assert_eq!(found, (marks, marks), "closed after {closed_us} µs");
        assert!(kept.contains("cut in a request +") && kept.contains("closed while idle +"));
    }
}

/// The same with other names of its versions.
fn named(old: &str, new: &str) -> Input {
    let mut input = sample::pass();
    (input.from, input.to) = (Some(old.to_owned()), Some(new.to_owned()));
    for attempt in &mut input.attempts {
        let is_old = attempt.version.as_deref() == Some("v1");
        attempt.version = Some(if is_old { old } else { new }.to_owned());
    }
    input
}

#[test]
fn versions_with_long_names_that_begin_alike_are_told_apart() {
    for (names, kept, sockets) in [
        (
            ["2026.11.21-1", "2026.11.21-2"],
            "2026….21-1 → 2026….21-2",
            "2026.11.21-1 → 2026.11.21-2",
        ),
        (
            ["build-1-of-the-shop", "build-2-of-the-shop"],
            "build-1-of-the-shop → build-2-of-the-shop",
            "build-1-of-the-shop → build-2-of-the-shop",
        ),
    ] {
        let page = html(&judge(&named(names[0], names[1])));
        assert!(section(&page, "Kept connections").contains(kept), "{names:?}");
        assert!(section(&page, "WebSockets").contains(sockets), "{names:?}");
    }
}

#[test]
fn a_name_in_the_bars_says_when_its_version_answered_first_and_times_are_whole() {
    let mut input = sample::canary::canary();
    input.header.t0_unix_ms += 412;
    let report = judge(&input);
    let page = html(&report);
    let happened = section(&page, "What happened");
    let since = |label: &str| {
        let text = happened.split(&format!(">{label} from ")).nth(1).unwrap();
        text.split('<').next().unwrap().to_owned()
    };
    // The first share is one of 5 %, long before most answers are the new version's. The run began at 12:02:10.412.
    let new = report.versions.iter().find(|v| v.label == "v2").unwrap();
    let ms = u64::try_from(new.first_sent_us.unwrap()).unwrap() / 1_000 + 10_412;
    assert!((15_000..17_000).contains(&ms), "{ms}");
    assert_eq!(since("v2"), format!("12:02:{}.{:03}", ms / 1_000, ms % 1_000));
    assert!(since("v1").starts_with("12:02:10.41"));
    let table = happened.split("<details").nth(1).unwrap();
    assert!(table.contains("<td>12:02:10.412</td>") && table.contains("<td>12:02:11.412</td>"));
    assert!(drawing(happened).contains(">12:02:10.412</text>"));
}

#[test]
fn a_bar_of_the_probers_lateness_is_what_lies_between_two_edges() {
    let page = html(&judge(&sample::pass()));
    let trust = section(&page, "Can this run be trusted?");
    for words in ["&lt; 50 µs", ">50–100 µs", ">200–500 µs", ">0.5–1 ms", ">10–50 ms", ">≥ 50 ms"]
    {
        // Beside its bar, and in the table.
        assert_eq!(trust.matches(words).count(), 2, "{words}");
    }
    assert_eq!(trust.matches("&lt; ").count(), 2);
}

#[test]
fn what_is_late_by_little_does_not_read_like_the_limit() {
    let mut input = sample::pass();
    let attempt = &mut input.attempts[1_500];
    (attempt.class, attempt.done_us) = (Class::Late, attempt.intended_us + 500_300);
    let page = html(&judge(&input));
    assert!(section(&page, "Every failure").contains("<td>500.3 ms</td>"));
    assert!(page.contains("<dt>slowest whole answer</dt><dd>500.3 ms</dd>"));
    // It is a cross and not a dot, and not counted among those.
    let dots = drawing(section(&page, "How long answers took")).matches("class=\"dot ").count();
    assert!(page.contains(&format!("dots: the {dots} slowest answers")), "{dots} dots");

    let mut other = sample::pass();
    other.header.late_after_us = 504_000;
    let unlike = compare(&judge(&sample::pass()), &judge(&other)).unlike;
    assert_eq!(unlike, ["an answer was late after: 500 ms and 504 ms"]);
}

#[test]
fn what_is_slow_on_purpose_is_not_the_slowest_answer_and_the_chart_says_that_it_is_left_out() {
    const LEFT_OUT: &str = "Of lanes that are slow on purpose there are the failures alone";
    let mut input = sample::alone();
    for a in input.attempts.iter_mut().filter(|a| a.lane == Lane::Fresh) {
        a.lane = Lane::Download;
        a.done_us += 2_000_000;
    }
    input.header.lanes[1].0 = Lane::Download;
    let report = judge(&input);
    let page = html(&report);
    assert!(page.contains(LEFT_OUT));
    let slowest = page.split("<dt>slowest whole answer</dt><dd>").nth(1).unwrap();
    assert!(slowest.split('<').next().unwrap().ends_with(" ms"), "{slowest:.20}");
    assert!(!html(&judge(&sample::alone())).contains(LEFT_OUT));
}

#[test]
fn a_lane_that_sent_nothing_has_not_done_well() {
    let mut input = sample::alone();
    for a in input.attempts.iter_mut().filter(|a| a.lane == Lane::Fresh) {
        sample::fail(a, Class::NotSent, "the prober was stopped");
    }
    let page = html(&judge(&input));
    let lanes = section(&page, "Lanes");
    assert!(lanes.contains("? nothing sent"));
    assert_eq!(lanes.matches("✓ none failed").count(), 2);
}

#[test]
fn a_step_that_the_end_cuts_short_is_said_to_be() {
    const SHORT: &str = "The last step is cut short by the end of the run.";
    assert!(!html(&judge(&sample::alone())).contains(SHORT));
    let mut input = sample::alone();
    input.attempts.retain(|a| a.done_us < 29_300_000);
    let footer = input.footer.as_mut().unwrap();
    footer.until_us = 29_300_000;
    assert!(html(&judge(&input)).contains(SHORT));
}

#[test]
fn failures_without_a_row_are_in_the_mark_of_their_step() {
    let mut report = judge(&sample::killed_before_drain());
    let all = report.failures.len();
    report.failures.truncate(1);
    report.failures_left_out = all as u64 - 1;
    let page = html(&report);
    let happened = section(&page, "What happened");
    let told = happened.split("<title>").skip(1).filter_map(|title| {
        let (count, rest) = title.split_once(" failure")?;
        rest.contains("around").then(|| count.parse::<usize>().unwrap())
    });
    assert_eq!(told.sum::<usize>(), all);
}
