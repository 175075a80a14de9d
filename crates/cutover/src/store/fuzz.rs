//! Fuzz body of the journal's records: what an older or a damaged database holds is read or named.
//!
//! SQLite's own files are not tried: only the texts in the rows.

use fuzz::corpus;
use model::{Event, Outcome, Routes};

use super::{from_json, to_json};

fn again<T>(text: &str)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    match from_json::<T>("a record", text) {
        Ok(record) => {
            assert_eq!(from_json::<T>("a record", &to_json(&record).unwrap()).unwrap(), record);
        }
        Err(fault) => assert!(fault.what.contains("a record")),
    }
}

#[test]
fn records_are_read_as_they_were_written_or_named() {
    let words = &["null", "\"event\":", "{}", "18446744073709551616", "\\u0000", "canary", "[]"];
    fuzz::run(corpus!("journal").words(words), |case| {
        let text = case.text();
        again::<Event>(&text);
        again::<rollout::Start>(&text);
        again::<Outcome>(&text);
        again::<Routes>(&text);
        again::<model::Release>(&text);
    });
}
