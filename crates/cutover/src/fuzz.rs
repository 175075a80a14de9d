//! Fuzz bodies of what people write on the command line.

use std::time::Duration;

use fuzz::corpus;

use crate::duration;

#[test]
fn durations_are_refused_or_say_themselves_again() {
    let words =
        &["ms", "h", "m", "s", "1m30s", "99999999999999999999", ".", "1e9", " sec", "\u{e9}"];
    fuzz::run(corpus!("durations").words(words).most(200), |case| {
        let text = case.text();
        if let Some(found) = duration::parse(&text) {
            assert_eq!(duration::parse(&duration::show(found)), Some(found), "{text}");
        }
        if let Ok(found) = duration::argument(&text) {
            assert!(found <= Duration::from_hours(24));
        }
        if let Some(meant) = duration::repair(&text, Duration::from_secs(10)) {
            // What is proposed can be written.
            assert!(duration::parse(&duration::show(meant)).is_some(), "{text}: {meant:?}");
        }
    });
}
