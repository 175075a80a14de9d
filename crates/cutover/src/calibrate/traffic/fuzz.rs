//! Fuzz body of access logs: lines are requests or left out.
//!
//! What is concluded from them is not tried here, but in `calibrate`.

use fuzz::corpus;

use super::Traffic;

#[test]
fn a_log_is_requests_and_what_is_left_out() {
    let words = &[
        "\n",
        "\"status\":",
        "\"last_byte_ms\":",
        "null",
        "1e999",
        "-1",
        "\"client-gone\"",
        "70000",
    ];
    fuzz::run(corpus!("access-log").words(words), |case| {
        // What is no text ends a log, and is said.
        let Ok(traffic) = Traffic::read(&case.bytes[..], None) else {
            return assert!(std::str::from_utf8(&case.bytes).is_err());
        };
        let (all, failed) = traffic.counts();
        let lines = case.bytes.split(|byte| *byte == b'\n').count();
        assert!(failed <= all && all <= lines && traffic.clients <= lines);
        for app in ["shop", ""] {
            let one = Traffic::read(&case.bytes[..], Some(app)).unwrap();
            assert!(one.counts().0 <= all);
        }
    });
}
