//! Fuzz body of the cookie of a cohort: what we did not sign is no cookie, whatever it stands beside.
//!
//! Where a cohort goes is not tried here.

use fuzz::corpus;
use model::admin::CohortKey;

use super::tests::membership;
use super::{COHORTS, Signer};

const NAME: &str = "cutover-cohort-shop";

#[test]
fn only_cookies_that_were_signed_are_believed() {
    let words =
        &["cutover-cohort-shop=", "4321.", ".", ";", "; ", "=", "00", "ffffffffffffffff", "+1"];
    fuzz::run(corpus!("cookies").words(words), |case| {
        let shop = membership("shop", None, true);
        let signer = Signer::from(&CohortKey([7; 32]));
        let ask = |cookie: &[u8]| {
            let member = shop.find(&signer, [("cookie", cookie)].into_iter(), false);
            let cohort = member.cohort.unwrap();
            assert!(cohort < COHORTS);
            (cohort, member.line.is_empty())
        };
        assert!(!ask(&case.bytes).1, "it was believed");
        // What it is given is believed, also beside what it sent before.
        let given = shop.find(&signer, [("cookie", &case.bytes[..])].into_iter(), false);
        let line = String::from_utf8(given.line).unwrap();
        let value = line.split_once('=').unwrap().1.split_once(';').unwrap().0;
        let good = [&case.bytes[..], b";", NAME.as_bytes(), b"=", value.as_bytes()].concat();
        assert_eq!(ask(&good), (given.cohort.unwrap(), true), "{line}");
        // And no other one, but for the case of its signature.
        let mut bent = value.as_bytes().to_vec();
        let at = case.random.usize(..bent.len());
        bent[at] = case.random.u8(b' '..127);
        let sent = [NAME.as_bytes(), b"=", &bent].concat();
        assert!(bent.eq_ignore_ascii_case(value.as_bytes()) || !ask(&sent).1, "{at} of {value}");
    });
}
