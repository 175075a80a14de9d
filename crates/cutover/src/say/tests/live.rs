//! The terminal renderer, seen through a small model of a terminal.
//!
//! Lines for logs are in `plainly`, all of a terminal in `wholly`. No real terminal is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Outcome, Phase, Verdict};

use super::super::line::Line;
use super::super::progress::Progress;
use super::super::screen::Look;
use super::super::step::Step;
use super::super::terminal::Terminal;
use super::{Sink, began, live, open, phase};

/// What a terminal of that width shows after the text: all rows, scrollback included.
fn shown(text: &str, width: usize) -> Vec<String> {
    let (mut rows, mut row, mut column) = (vec![String::new()], 0_usize, 0_usize);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['));
                let mut code = String::new();
                let end = loop {
                    match chars.next().unwrap() {
                        c if c.is_ascii_alphabetic() => break c,
                        c => code.push(c),
                    }
                };
                match (end, code.as_str()) {
                    ('A', n) => row = row.checked_sub(n.parse().unwrap()).expect("above the top"),
                    ('J', "") => {
                        assert_eq!(column, 0, "clears from the middle of a line");
                        rows.truncate(row);
                        rows.push(String::new());
                    }
                    ('h' | 'l', "?2026") | ('m', _) => {}
                    other => panic!("unexpected {other:?}"),
                }
            }
            '\r' => column = 0,
            '\n' => {
                row += 1;
                rows.resize(rows.len().max(row + 1), String::new());
            }
            c => {
                if column == width {
                    (row, column) = (row + 1, 0);
                    rows.resize(rows.len().max(row + 1), String::new());
                }
                assert_eq!(rows[row].chars().count(), column, "overwrites");
                rows[row].push(c);
                column += 1;
            }
        }
    }
    rows
}

fn terminal(width: usize) -> (Sink, Terminal<Sink>, Arc<AtomicUsize>) {
    let (sink, now) = (Sink::default(), Arc::new(AtomicUsize::new(width)));
    let asked = Arc::clone(&now);
    let width = Box::new(move || asked.load(Ordering::Relaxed));
    (sink.clone(), Terminal::new(sink, Look { colour: false, width }), now)
}

fn ended(outcome: Outcome, why: &str) -> Step {
    let verdict = Some(Verdict::Pass);
    Step::Ended { at_ms: 9_000, outcome, verdict, sent: 1, failed: 0, why: why.into() }
}

#[test]
fn finished_steps_stay_and_live_lines_go() {
    let (sink, mut terminal, _) = terminal(100);
    terminal.step(&began());
    terminal.step(&phase(Phase::Starting, 0, "asked by deploy"));
    for at_ms in (0..1400).step_by(100) {
        terminal.step(&live(at_ms, &[("v41", 200.0)]));
    }
    let rows = shown(&sink.text(), 100);
    assert_eq!(rows.len(), 6, "one that stays, four live ones, the cursor: {rows:#?}");
    assert!(rows[1].contains("start v42") && rows[1].contains("health checks"), "{rows:#?}");
    assert!(rows[2].starts_with("  v41 ") && rows[2].ends_with("███   200 /s"), "{rows:#?}");
    assert!(rows[3].starts_with("  v42 ") && rows[3].ends_with("▁▁▁     0 /s"), "{rows:#?}");
    assert_eq!(rows[4], "  sent 240   failed 0   p50 3.1 ms   prober late 0.1 ms");

    terminal.step(&phase(Phase::Previewing, 1400, "1 of 1 ready"));
    terminal.step(&phase(Phase::Arming, 2000, "20 of 20 answered"));
    terminal.step(&phase(Phase::Shifting, 2020, "prober armed"));
    terminal.step(&phase(Phase::Baking, 2058, "seen in effect"));
    terminal.step(&Step::Note { at_ms: 2100, text: "a note".into() });
    terminal.step(&phase(Phase::Draining, 5000, "0 errors"));
    terminal.step(&open(live(5300, &[("v42", 200.0)]), 7, 3));
    assert!(
        shown(&sink.text(), 100)
            .iter()
            .any(|row| row.contains("drain v41") && row.contains("7 requests open"))
    );
    terminal.step(&phase(Phase::HandingOver, 6000, "no request open"));
    terminal.step(&phase(Phase::Stopping, 7000, "no tunnel open"));
    terminal.step(&phase(Phase::Promoted, 9000, "old instances gone"));
    terminal.step(&ended(Outcome::Promoted, "users are on v42"));
    let rows: Vec<String> = shown(&sink.text(), 100)
        .iter()
        .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "shop v41 → v42 run 7f3a",
        "✓ start v42 1 of 1 ready 1.4 s",
        "✓ check v42 20 of 20 answered 0.6 s",
        "✓ switch seen in effect 58 ms",
        "· a note",
        "✓ bake v42 0 errors 2.9 s",
        "✓ drain v41 no request open 1.0 s",
        "✓ hand-over v41 no tunnel open 1.0 s",
        "✓ stop v41 old instances gone 2.0 s",
        "✓ promoted PASS users are on v42",
        "",
        "",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_rollback_crosses_the_step_that_failed_and_says_the_whole_reason() {
    let (sink, mut terminal, _) = terminal(60);
    let reason = "7 errors of 312 requests came from v42, and no more than 3 are allowed";
    terminal.step(&began());
    terminal.step(&phase(Phase::Baking, 0, "seen"));
    terminal.step(&live(100, &[("v42", 100.0)]));
    terminal.step(&phase(Phase::RollingBack, 2000, reason));
    terminal.step(&phase(Phase::DrainingCandidate, 2100, "all on v41"));
    terminal.step(&phase(Phase::StoppingCandidate, 2200, "nothing open"));
    terminal.step(&phase(Phase::Aborted, 2300, "gone"));
    terminal.step(&ended(Outcome::Aborted, "users are on v41"));
    let rows = shown(&sink.text(), 60);
    assert!(rows[1].starts_with("  ✗ bake v42") && rows[1].ends_with("   2.0 s"), "{rows:#?}");
    assert_eq!(format!("{}{}", rows[2], rows[3]), format!("    {reason}"));
    let signs: Vec<&str> = rows[4..8].iter().map(|row| row.trim_start()).collect();
    assert!(signs[0].starts_with("✓ roll back"), "{rows:#?}");
    assert!(signs[1].starts_with("✓ drain v42"), "{rows:#?}");
    assert!(signs[2].starts_with("✓ stop v42"), "{rows:#?}");
    assert!(signs[3].starts_with("✗ aborted"), "{rows:#?}");
}

#[test]
fn redraws_are_at_most_eight_a_second() {
    let (sink, mut terminal, _) = terminal(80);
    terminal.step(&began());
    terminal.step(&phase(Phase::Baking, 0, "seen"));
    for at_ms in 0..2000 {
        terminal.step(&live(at_ms, &[("v42", 100.0)]));
    }
    let redraws = sink.text().matches("\u{1b}[?2026h").count();
    assert!((15..=18).contains(&redraws), "{redraws}");
}

#[test]
fn what_holds_a_bake_is_said_in_place_of_what_is_done_in_it() {
    let (sink, mut terminal, _) = terminal(100);
    terminal.step(&began());
    terminal.step(&phase(Phase::Baking, 0, "seen"));
    terminal.step(&live(500, &[("v42", 100.0)]));
    assert!(sink.text().contains("bake v42            watching what users get"), "{}", sink.text());
    let Step::Live(held) = live(900, &[("v42", 100.0)]) else { unreachable!() };
    let waits = Some("until all is counted".to_owned());
    terminal.step(&Step::Live(super::Live { waits: waits.clone(), ..held.clone() }));
    let rows = shown(&sink.text(), 100);
    assert!(rows[1].contains("bake v42            until all is counted "), "{rows:#?}");
    // The same in the drain that follows is no longer so.
    terminal.step(&phase(Phase::Draining, 1_200, "0 errors"));
    terminal.step(&Step::Live(super::Live { at_ms: 1_500, waits, ..held }));
    let rows = shown(&sink.text(), 100);
    assert!(rows[2].contains("until its open requests have ended"), "{rows:#?}");
}

#[test]
fn live_lines_fit_every_width_and_survive_a_narrower_one() {
    for width in [0, 1, 2, 10, 25, 40, 79, 200] {
        let (sink, mut terminal, now) = terminal(width);
        terminal.step(&phase(
            Phase::Baking,
            0,
            "日本語 why this is long enough to be cut somewhere",
        ));
        for at_ms in (0..3000).step_by(200) {
            terminal.step(&live(at_ms, &[("v41", 12_345.0), ("", 1.0), ("x\u{1b}[2J", 5.0)]));
        }
        now.store(width / 2, Ordering::Relaxed);
        terminal.step(&live(4000, &[]));
        let text = sink.text();
        assert!(!text.contains("[2J"), "hostile version reached the terminal");
        assert_eq!(last_rise(&text), rows_of_last_but_one(&text, width / 2), "at {width}");
        let last = text.rsplit("\u{1b}[J").next().unwrap();
        for line in last.trim_end_matches("\u{1b}[?2026l").lines() {
            let columns = Line::default().plain(line).columns();
            assert!(
                columns <= (width / 2).saturating_sub(1).max(1),
                "{columns} at {width}: {line:?}"
            );
        }
    }
}

/// How many rows the last redraw went up.
fn last_rise(text: &str) -> usize {
    let before = text.rsplit_once("A\r\u{1b}[J").unwrap().0;
    before.rsplit_once('[').unwrap().1.parse().unwrap()
}

/// How many rows the lines of the redraw before the last one take at a width.
fn rows_of_last_but_one(text: &str, width: usize) -> usize {
    let frames: Vec<&str> = text.split("\u{1b}[?2026h").collect();
    let frame = frames[frames.len() - 2].trim_end_matches("\u{1b}[?2026l");
    let lines = frame.rsplit("\u{1b}[J").next().unwrap().lines();
    let rows = |line| Line::default().plain(line).columns().div_ceil(width.max(1)).max(1);
    lines.map(rows).sum()
}

#[test]
fn lines_are_cut_by_columns() {
    let cut = |text: &str, width| Line::default().plain(text).cut(width).text(false);
    assert_eq!(cut("abcdef", 6), "abcdef");
    assert_eq!(cut("abcdef", 5), "abcd…");
    assert_eq!(cut("日本語", 6), "日本語");
    assert_eq!(cut("日本語", 5), "日本…");
    assert_eq!(cut("日本語", 4), "日…");
    assert_eq!(cut("abc", 0), "");
    let pieces = Line::default().plain("日本").plain("ab").plain("cdef");
    assert_eq!(pieces.clone().cut(10).text(false), "日本abcdef");
    assert_eq!(pieces.cut(8).text(false), "日本abc…");
}

#[test]
fn a_first_deploy_and_a_redeploy_show_one_version() {
    for from in [None, Some("v1")] {
        let (sink, mut terminal, _) = terminal(80);
        let Step::Began { app, run, .. } = began() else { unreachable!() };
        let (from, to) = (from.map(super::version), super::version("v1"));
        terminal.step(&Step::Began { app, from, to, run, began_unix_ms: 0 });
        terminal.step(&phase(Phase::Baking, 0, "seen"));
        terminal.step(&live(500, &[("v1", 90.0), ("v0", 10.0)]));
        let rows = shown(&sink.text(), 80);
        assert_eq!(rows.iter().filter(|row| row.ends_with(" 90 /s")).count(), 1, "{rows:#?}");
        assert!(rows[3].ends_with("other versions 10 /s"), "{rows:#?}");
    }
}

#[test]
fn a_first_deploy_without_a_prober_shows_no_figures_and_no_verdict() {
    let (sink, mut terminal, _) = terminal(80);
    let Step::Began { app, run, .. } = began() else { unreachable!() };
    terminal.step(&Step::Began {
        app,
        from: None,
        to: super::version("v1"),
        run,
        began_unix_ms: 0,
    });
    terminal.step(&phase(Phase::Baking, 0, "seen"));
    let Step::Live(none) = live(0, &[]) else { unreachable!() };
    terminal.step(&Step::Live(super::Live { at_ms: 500, p50_us: None, late_us: None, ..none }));
    assert_eq!(shown(&sink.text(), 80).len(), 3, "title, step, cursor: {:#?}", sink.text());
    terminal.step(&phase(Phase::Promoted, 1500, "v1 served\nwith its evidence"));
    terminal.step(&Step::Ended {
        at_ms: 1500,
        outcome: Outcome::Promoted,
        verdict: None,
        sent: 0,
        failed: 0,
        why: "v1 served\nwith its evidence".into(),
    });
    let rows = shown(&sink.text(), 80);
    assert_eq!(rows[2], "  ✓ promoted            v1 served");
    assert!(!sink.text().contains("evidence"), "{rows:#?}");
}
