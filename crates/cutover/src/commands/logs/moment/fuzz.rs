//! Fuzz body of times in lines of logs: any bytes say a time or none.
//!
//! Which lines a person gets for a time is not tried here.

use fuzz::corpus;

use super::of;

#[test]
fn a_line_says_a_time_or_none() {
    let words = &["2026-11-21T14:02:31", ".999", ",1", "+05:30", "-9999", "Z", " ", "0000-01-01"];
    fuzz::run(corpus!("log-lines").words(words).most(300), |case| {
        let Some(at) = of(&case.bytes) else { return };
        // A day behind the last one of the year 9999.
        assert!(at < 253_402_300_800_000 + 200 * 3_600_000, "{at}");
        // What follows takes nothing from it.
        let longer = [&case.bytes[..], b" 2026-11-21T14:02:31Z"].concat();
        assert!(of(&longer).is_some());
    });
}
