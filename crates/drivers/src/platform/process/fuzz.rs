//! Fuzz bodies of what is read of processes: the kernel's tables, and our own records of them.
//!
//! No process is started.

use fuzz::corpus;

use super::procfs::{parse_address, parse_listener, parse_stat};
use super::record::Record;
use super::told::{again_at_ms, being_told};

const WORDS: &[&str] =
    &[")", "(", "0100007F:1F90", "0A", "18446744073709551615", "null", "{}", "\u{e9}"];

#[test]
fn tables_of_the_kernel_are_read_or_not() {
    fuzz::run(corpus!("proc").words(WORDS), |case| {
        let text = case.text();
        let inodes = ["4242".to_owned()];
        for line in text.lines() {
            let _never_panics = (parse_stat(line), parse_listener(line, &inodes));
            let _never_panics = parse_address(line);
        }
        let _never_panics = parse_stat(&text);
    });
}

#[test]
fn records_are_refused_or_kept_as_they_are() {
    fuzz::run(corpus!("process-records").words(WORDS), |case| {
        let Ok(mut record) = serde_json::from_slice::<Record>(&case.bytes) else { return };
        let text = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&text).unwrap(), record);
        let now = case.random.u64(..1 << 50);
        for entry in &mut record.instances {
            being_told(entry, now, case.random.u64(..));
            let again = again_at_ms(now, entry.telling_ms, case.random.u64(..));
            assert!(again.is_some_and(|again| again >= now));
        }
        record.count_crash(now, case.random.u64(..), Vec::new());
        assert!(record.not_before_ms > now);
    });
}
