//! All of a terminal: taken, drawn within its size, given back once.
//!
//! What a probe draws on it is not tried here.

use super::super::Line;
use super::super::whole::Whole;
use super::Sink;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

fn whole(sink: &Sink, columns: usize, rows: usize) -> Whole<Sink> {
    Whole::new(sink.clone(), false, Box::new(move || (columns, rows)))
}

#[test]
fn what_does_not_fit_is_left_out_and_the_terminal_is_given_back_once() {
    let sink = Sink::default();
    let mut whole = whole(&sink, 6, 2);
    whole.draw(["abcdefgh", "b\x1b[2Jc", "c"].map(|text| Line::default().plain(text)).to_vec());
    let drawn = "\x1b[?2026h\x1b[Habcd…\x1b[K\r\nb\\u{…\x1b[K\x1b[J\x1b[?2026l";
    assert_eq!(sink.text(), format!("{ENTER}{drawn}"));
    drop(whole);
    assert_eq!(sink.text(), format!("{ENTER}{drawn}{LEAVE}"));
}

#[test]
fn a_panic_gives_it_back_too() {
    let sink = Sink::default();
    let taken = whole(&sink, 80, 24);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _taken = taken;
        std::panic::resume_unwind(Box::new("drawn wrongly"));
    }));
    assert!(panicked.is_err());
    assert_eq!(sink.text(), format!("{ENTER}{LEAVE}"));
}

/// The hook of a panic gives it back before the message; it is dropped later, and may be drawn on meanwhile.
#[test]
fn what_was_given_back_is_not_given_back_again_and_not_drawn_on() {
    let sink = Sink::default();
    let mut whole = whole(&sink, 80, 24);
    whole.leaver()(&mut sink.clone());
    whole.draw(vec![Line::default().plain("late")]);
    drop(whole);
    assert_eq!(sink.text(), format!("{ENTER}{LEAVE}"));
}
