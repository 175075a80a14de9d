//! Fuzz bodies of what nginx prints and of what the kernel says of it: whatever comes is directives, words
//! or nothing.
//!
//! Whether nginx would take it is not asked.

use fuzz::corpus;
use model::AppName;

use super::heard::{self, at_least};
use super::master::{parse_stat, reloads};
use super::review::review;
use super::setup::app_setup;
use super::written::{kept_ms, read, time};
use crate::router::sockets::table;

/// Any text is directives whose blocks stand before them, and can be reviewed.
#[test]
fn configurations_are_directives_whatever_they_are() {
    let words = &[
        "# configuration file ",
        "{",
        "}",
        ";",
        "\"",
        "'",
        "\\",
        "${",
        "proxy_pass http://$cutover_demo;",
        "keepalive_min_timeout 99999999999999999999h;",
        "1d 2h 3m",
        "http {",
        "include *;",
        "_by_lua_block {",
    ];
    fuzz::run(corpus!("nginx-files").words(words), |case| {
        let text = case.text();
        let all = read(&text);
        for (at, one) in all.iter().enumerate() {
            assert!(one.within.iter().all(|block| *block < at), "{one:?}");
            assert!(one.at.line as usize <= text.lines().count(), "{one:?}");
            let _never_panics = (time(&one.words), one.name().len(), one.value().len());
        }
        let demo = app_setup("demo");
        for version in ["1.22.1", "1.30.6", &text] {
            if let Ok(findings) = review(&text, version, &[&demo]) {
                assert!(findings.iter().all(|finding| !finding.setting.is_empty()));
            }
        }
        let _never_panics = (kept_ms(&text), at_least(&text, [1, 27, 4]));
        let times: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let _never_panics = time(&times);
    });
}

/// What a worker says of itself is believed word for word, and lines of the kernel are read or not.
#[test]
fn words_of_workers_are_believed_or_not() {
    let words = &[" ", "demo", "18446744073709551616", "-1", ")", ":", "01", "0100007F:1F90"];
    fuzz::run(corpus!("nginx-words").words(words).most(400), |case| {
        let text = case.text();
        if let Some(said) = heard::read(&text, &AppName::new("demo").unwrap()) {
            assert!(text.ends_with(" demo") && !said.version.contains(' '), "{text}");
        }
        let _never_panics = (parse_stat(&text), reloads(&text), table::socket(&text));
    });
}
