//! Fuzz body of the reader of what another proxy told: whatever it is, our own lines stay, and no number of ours falls.
//!
//! What becomes of the sums is not looked at.

use fuzz::corpus;

use super::{Theirs, together};

const OWN: &str = "# HELP cutover_requests_total Requests.\n# TYPE cutover_requests_total counter\n\
    cutover_requests_total{app=\"a\",code=\"2xx\"} 7\n\
    # HELP took Time.\n# TYPE took histogram\ntook_bucket{app=\"a\",le=\"0.5\"} 1\n\
    took_bucket{app=\"a\",le=\"+Inf\"} 2\ntook_sum{app=\"a\"} 1.25\ntook_count{app=\"a\"} 2\n\
    # HELP cutover_connections Connections.\n# TYPE cutover_connections gauge\ncutover_connections 3\n";

#[test]
fn whatever_another_one_told_our_own_lines_stay_and_no_number_falls() {
    let words =
        &["# HELP ", "# TYPE ", " counter\n", " gauge\n", "took_sum{app=\"a\"} ", "} ", "9.9"];
    fuzz::run(corpus!("told").words(words), |case| {
        let told = String::from_utf8_lossy(&case.bytes);
        for lives in [true, false] {
            let both = together(OWN, [Theirs { told: &told, lives }].into_iter());
            let mut lines = both.lines();
            for own in OWN.lines() {
                let (key, value) = own.rsplit_once(' ').unwrap();
                let stays = |line: &str| match line.rsplit_once(' ') {
                    Some((other, sum)) if other == key && !own.starts_with('#') => {
                        let [sum, value] = [sum, value].map(|text| text.parse::<f64>().unwrap());
                        assert!(sum >= value, "{line}");
                        true
                    }
                    _ => line == own,
                };
                assert!(lines.any(stays), "{own} in {both}");
            }
            assert_eq!(together(&both, [].into_iter()), both, "it is read again as it was written");
        }
    });
}
