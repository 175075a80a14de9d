//! What a probe tells in lines: at the bottom of a terminal, in a log and as JSON; floods of failures, and servers
//! that want to draw themselves. A real terminal is not here, but in `telling` of the end-to-end tests.

use ::probe::{Beat, Stop};
use model::{Class, Lane};
use serde_json::Value;

use super::super::sums::Sums;
use super::super::teller::{Place, Teller};
use super::{asked, attempt, beat, header};
use crate::say::tests::Sink;
use crate::say::{Look, Screen};

/// What is written of these beats until just before the end, and what at it.
fn told(place: impl FnOnce(Sink) -> Place<Sink>, beats: Vec<Beat>) -> (String, String) {
    let sink = Sink::default();
    let mut teller = Teller::new(place(sink.clone()), asked(Stop::WhenTold));
    let mut sums = Sums::default();
    for beat in beats {
        teller.heed(&beat);
        sums.add(beat);
        teller.tell(&sums);
    }
    let before = sink.text();
    teller.end(&sums);
    let end = sink.text()[before.len()..].to_owned();
    (before, end)
}

fn terminal(sink: Sink) -> Place<Sink> {
    let look = Look { colour: false, width: Box::new(|| 100) };
    Place::Screen(Screen::new(sink, look))
}

/// A failure of that version in a beat.
fn fails(beat: &mut Beat, version: Option<&str>, class: Class) {
    let at_us = beat.window.to_us - 50_000;
    beat.failures.push(attempt(version, class, at_us));
    count(beat, version, class, 1);
}

fn count(beat: &mut Beat, version: Option<&str>, class: Class, n: u64) {
    let counts = beat.counts.entry(version.unwrap_or_default().to_owned()).or_default();
    *counts.entry((Lane::Fresh, class)).or_default() += n;
}

/// Seven seconds: v1, from 4.1 s on v2 as well, and one failure at the switch.
fn switched() -> Vec<Beat> {
    let mut beats: Vec<Beat> = (1..=70).map(|tenth| beat(tenth * 100_000, "v1", 20)).collect();
    beats[0].header = Some(Box::new(header()));
    for (at, beat) in beats.iter_mut().enumerate().skip(40) {
        count(beat, Some("v2"), Class::Ok, 5);
        if at == 40 {
            fails(beat, Some("v1"), Class::ResetBeforeBytes);
        }
    }
    beats
}

#[test]
fn a_log_gets_each_failure_and_version_and_every_five_seconds_how_it_stands() {
    let (before, end) = told(Place::Lines, switched());
    let expected = "\
00:00:00.000Z lanes              not_run=http2
00:00:00.100Z version            version=v1 after=-
00:00:04.050Z failure            id=7 lane=fresh class=reset_before_bytes version=v1 instance=- \
detail=\"connection reset by peer\"
00:00:04.100Z version            version=v2 after=v1
00:00:05.000Z live               sent=1051 failed=1 rps=v1:200,v2:25 p50_us=1500 p99_us=1500 \
max_us=1500 late_us=0
";
    assert_eq!((before.as_str(), end.as_str()), (expected, ""));
}

#[test]
fn on_a_terminal_what_happened_stays_and_how_it_stands_is_drawn_in_place() {
    let (before, end) = told(terminal, switched());
    let drawings: Vec<&str> = before.split("\x1b[?2026h").skip(1).collect();
    // Four a second, and one for each thing that happened.
    assert!((24..=31).contains(&drawings.len()), "{}", drawings.len());
    let failed = drawings.iter().find(|drawing| drawing.contains("reset before")).unwrap();
    assert_eq!(
        *failed,
        "\x1b[2A\r\x1b[J\
         00:00:04.050Z fresh reset before bytes v1 connection reset by peer\r\n\
         00:00:04.100Z v2 answers for the first time\r\n\
         \u{20}     4 s   sent 826   failed 1   203 /s   p50 1.5 ms   p99 1.5 ms\r\n\
         \u{20}         v1 99% 200 /s   v2 1% 2 /s   \r\n\x1b[?2026l"
    );
    assert_eq!(before.matches("v2 answers").count(), 1);
    assert!(drawings[0].starts_with("not served, so not run: http2\r\n"), "{drawings:?}");
    assert!(drawings.last().unwrap().contains("v1 80% 200 /s   v2 20% 50 /s"), "{drawings:?}");
    assert_eq!(end, "\x1b[?2026h\x1b[2A\r\x1b[J\x1b[?2026l", "it is gone at the end");
}

#[test]
fn who_ends_it_is_told_what_is_waited_for_and_how_not_to_wait() {
    type Make = fn(Sink) -> Place<Sink>;
    let mut sums = Sums::default();
    let beats = switched();
    let rows: [(Make, &str); 3] = [
        (Place::Lines, "00:00:07.000Z ending             in_flight="),
        (Place::Json, r#"{"step":"ending","at_ms":7000,"in_flight":"#),
        (terminal, "00:00:07.000Z ending, "),
    ];
    for (place, expected) in rows {
        let sink = Sink::default();
        let mut teller = Teller::new(place(sink.clone()), asked(Stop::WhenTold));
        for beat in &beats {
            sums.add(beat.clone());
        }
        teller.ending(&sums);
        let said = sink.text();
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.contains("Ctrl-C again does not wait"), !said.starts_with('{'), "{said}");
    }
}

#[test]
fn programs_get_one_object_a_line_and_every_second_how_it_stands() {
    let (before, _) = told(Place::Json, switched());
    let lines: Vec<Value> =
        before.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&str> = lines.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!(steps[..3], ["began", "version", "live"]);
    assert_eq!(steps.iter().filter(|step| **step == "live").count(), 7);
    assert_eq!(lines[0]["lanes"], serde_json::json!(["keep-alive", "fresh", "upload"]));
    assert_eq!(lines[0]["lanes_not_run"][0]["lane"], "http2");
    let live = lines.last().unwrap();
    assert_eq!((&live["sent"], &live["failed"]), (&1551.into(), &1.into()));
    assert_eq!((&live["p90_us"], &live["at_ms"]), (&1500.into(), &7000.into()));
    assert_eq!(live["per_version"][1]["version"], "v2");
    assert_eq!(live["per_version"][1]["rps"], 50.0);
    let failure = lines.iter().find(|line| line["step"] == "failure").unwrap();
    assert_eq!(
        (&failure["class"], &failure["lane"]),
        (&"reset_before_bytes".into(), &"fresh".into())
    );
    let second = lines.iter().filter(|line| line["step"] == "version").nth(1).unwrap();
    assert_eq!((&second["version"], &second["after"]), (&"v2".into(), &"v1".into()));
}

#[test]
fn a_flood_of_failures_is_summed_up_each_second_and_none_is_left_out() {
    let mut beats: Vec<Beat> = (1..=25).map(|tenth| beat(tenth * 100_000, "v1", 20)).collect();
    for beat in &mut beats {
        for _ in 0..4 {
            fails(beat, None, Class::Refused);
        }
        // More than a beat tells one by one.
        count(beat, None, Class::Timeout, 100);
    }
    for place in [Place::Json, terminal, Place::Lines] {
        let (before, end) = told(place, beats.clone());
        let told = before + &end;
        let one_by_one = told.matches("connection reset by peer").count();
        assert_eq!(one_by_one, 30, "ten in each of three seconds: {told}");
    }
    let (before, end) = told(Place::Json, beats);
    let all = (before + &end).lines().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Value> = all.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summed: Vec<_> = lines.iter().filter(|line| line["step"] == "failures").collect();
    let more: u64 = summed.iter().map(|line| line["more"].as_u64().unwrap()).sum();
    assert_eq!((summed.len(), 30 + more), (3, 25 * 104), "{summed:?}");
    assert_eq!((&summed[0]["at_ms"], &summed[2]["at_ms"]), (&1000.into(), &2500.into()));
    assert_eq!(summed[1]["by_class"], serde_json::json!({ "refused": 30, "timeout": 1000 }));
}

#[test]
fn a_server_draws_nothing_and_makes_no_lines() {
    let evil = "v\x1b[2J\r\n00:00:00.000Z live sent=9 \u{9b}31m\u{202e}\"";
    for place in [Place::Json, terminal, Place::Lines] {
        let mut beats = vec![beat(300_000, evil, 5), beat(6_000_000, evil, 5)];
        fails(&mut beats[1], Some(evil), Class::BadStatus);
        beats[1].failures[0].detail = Some(evil.repeat(40));
        beats[1].failures[0].instance = Some(evil.to_owned());
        let (before, end) = told(place, beats);
        let mut text = before + &end;
        for ours in ["\x1b[?2026h", "\x1b[?2026l", "\x1b[1A\r\x1b[J", "\x1b[2A\r\x1b[J", "\r\n"] {
            text = text.replace(ours, "\n");
        }
        let plain = text.chars().all(|c| c == '\n' || !c.is_control());
        assert!(plain && !text.contains('\u{202e}'), "{text:?}");
        assert!(
            !text
                .lines()
                .any(|line| line.contains("Z live sent=9") && line.starts_with("00:00:00.000Z"))
        );
    }
    let (json, _) = told(Place::Json, vec![beat(300_000, evil, 5)]);
    let line: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(line["version"], evil, "a program gets what was said");
}
