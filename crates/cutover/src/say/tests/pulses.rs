//! The progress of a probe that runs alone: its lines for a log, and its one live line. What is drawn full
//! screen is in `commands::probe`.

use model::{Class, Tally, Window};

use super::super::pulse::{Place, Pulse};
use super::super::screen::{Look, Screen};
use super::Sink;

/// A window of 100 ms with 20 answers, the last of which may have failed.
fn window(to_us: u64, failed: bool) -> Window {
    let mut tally = Tally { ok: 20 - u64::from(failed), ..Tally::default() };
    if failed {
        tally.count(Class::Refused);
    }
    Window {
        from_us: to_us - 100_000,
        to_us,
        by_version: [("v1".to_owned(), tally)].into(),
        p50_us: Some(1_500),
        ..Window::default()
    }
}

#[test]
fn plain_lines_come_every_five_seconds_with_sums() {
    let sink = Sink::default();
    let mut pulse = Pulse::new(Place::Lines(sink.clone()), 1_700_000_000_250);
    for tenth in 1..=112 {
        pulse.beat(&window(tenth * 100_000, tenth == 80));
    }
    pulse.end();
    let expected = "\
22:13:25.250Z probing sent=1000 failed=0 rps=200 p50_us=1500
22:13:30.250Z probing sent=2000 failed=1 rps=200 p50_us=1500
";
    assert_eq!(sink.text(), expected);
}

#[test]
fn the_live_line_is_gone_at_the_end() {
    let sink = Sink::default();
    let look = Look { colour: false, width: Box::new(|| 80) };
    let mut pulse = Pulse::new(Place::Screen(Screen::new(sink.clone(), look)), 0);
    for tenth in 1..=20 {
        pulse.beat(&window(tenth * 100_000, false));
    }
    let before = sink.text();
    assert!(before.contains("2 s   sent 400   failed 0   200 /s   p50 1.5 ms"), "{before:?}");
    pulse.end();
    let last = sink.text()[before.len()..].to_owned();
    assert_eq!(last, "\u{1b}[?2026h\u{1b}[1A\r\u{1b}[J\u{1b}[?2026l");
}
