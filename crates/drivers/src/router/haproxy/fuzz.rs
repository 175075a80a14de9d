//! Fuzz bodies of what HAProxy answers and of what people write for it: whatever comes is a table, a
//! record or nothing.
//!
//! What the driver does about it is not tried here.

use fuzz::corpus;
use model::AppName;

use super::app_file::{server_words, with_instances};
use super::count::Counts;
use super::record::Record;
use super::review::review;
use super::rules::{announced, keep, kept};
use super::table::{Table, entries, info, map_files, workers};
use super::worker::numbers;

const WORDS: &[&str] = &[
    "# ",
    "cutover:",
    "cutover_demo_a",
    "0x55d0 ",
    ":",
    "@",
    "~",
    "\"",
    "18446744073709551615",
    "backend ",
    "server ",
    "default-server ",
    "h.x:41",
];

fn demo() -> AppName {
    AppName::new("demo").unwrap()
}

#[test]
fn answers_are_tables_or_nothing() {
    fuzz::run(corpus!("haproxy").words(WORDS), |case| {
        let text = case.text();
        let _never_panics = (info(&text), map_files(&text), numbers(&text));
        for table in [Table::stat(&text), Table::state(&text)].into_iter().flatten() {
            for row in table.rows() {
                assert!(!row.has("scur") || row.number("scur") < 1 << 50);
                let _never_panics = row.get("svname");
            }
            let mut counts = Counts::default();
            for worker in 0..3 {
                counts.add(&demo(), worker, &Record::default(), &table);
            }
        }
        if let Some(pids) = workers(&text) {
            assert!(!pids.is_empty());
        }
        let _never_panics = announced(&text, &demo());
    });
}

/// What a map says is a record that says the same again, or it is named.
#[test]
fn maps_are_records_or_named() {
    fuzz::run(corpus!("haproxy-maps").words(WORDS), |case| {
        let text = case.text();
        let Some(pairs) = entries(&text) else { return };
        match Record::read(&demo(), &pairs) {
            Err(named) => assert!(!named.is_empty()),
            Ok(record) if pairs.is_empty() => assert_eq!(record, Record::default()),
            Ok(record) => {
                let again = record.entries(&demo());
                assert_eq!(Record::read(&demo(), &again).as_ref(), Ok(&record), "{again:?}");
            }
        }
        for (_, value) in &pairs {
            if let Some(mark) = kept(value) {
                assert_eq!(kept(&keep(&mark)), Some(mark));
            }
        }
    });
}

/// A person's file keeps its lines, and is reviewed whatever it is.
#[test]
fn files_of_people_keep_their_lines() {
    fuzz::run(corpus!("haproxy-files").words(WORDS), |case| {
        let text = case.text() + "\n";
        assert!(
            review(&[("haproxy.cfg".to_owned(), text.clone())])
                .iter()
                .all(|finding| !finding.setting.is_empty())
        );
        let _never_panics = server_words(&text);
        let made = with_instances(&text, &demo(), &[]);
        let own = |line: &&str| line.split_ascii_whitespace().next() != Some("server");
        assert!(made.lines().eq(text.lines().filter(own)));
        assert_eq!(with_instances(&made, &demo(), &[]), made);
    });
}
