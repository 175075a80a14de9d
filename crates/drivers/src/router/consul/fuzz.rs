//! Fuzz body of what a Consul says of a service: entries of ours, or nothing.
//!
//! How an agent's answer arrives is tried in `agent::fuzz`.

use fuzz::corpus;
use serde_json::Value;

use super::entry::{self, Health};

#[test]
fn an_answer_about_a_service_is_entries_or_none() {
    let words = &["\"Service\":", "\"Meta\":", "null", "[]", "{}", "70000", "\\u001b", "critical"];
    fuzz::run(corpus!("consul").words(words), |case| {
        let Ok(answer) = serde_json::from_slice::<Value>(&case.bytes) else { return };
        let Some(entries) = entry::read(&answer) else { return };
        assert!(entries.len() <= answer.as_array().unwrap().len());
        for entry in entries {
            if let Health::Failing(why) = entry.health {
                assert!(!why.contains(char::is_control), "{}", why.escape_debug());
            }
        }
    });
}
