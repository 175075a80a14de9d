//! Fuzz bodies of what people write on the command line.
//!
//! Texts of files are not tried here, but beside their readers (`config`, `store`, `calibrate`).

use std::time::Duration;

use fuzz::corpus;

use crate::{duration, size};

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

#[test]
fn sizes_are_refused_or_say_themselves_again() {
    let words =
        &["KiB", "MiB", "GiB", "B", "mb", " ", "99999999999999999999", "-", "\u{130}", "\u{e9}"];
    fuzz::run(corpus!("sizes").words(words).most(60), |case| {
        let text = case.text();
        let meant = size::parse(&text);
        if let Some(bytes) = meant {
            assert_eq!(size::parse(&size::show(bytes)), Some(bytes), "{text}");
        }
        // What is proposed can be written, and what was right is not mended.
        if let Some(bytes) = size::repair(&text) {
            assert_eq!(size::parse(&size::show(bytes)), Some(bytes), "{text}");
            assert!(meant.is_none_or(|meant| meant == bytes), "{text}");
        }
    });
}
