//! What answers and checks make of a release that is followed.
//!
//! Nobody is asked and nothing is checked: both are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use model::fleet::HealthCheck;
use model::{AppName, Release, ReleaseId, Source, Version, Zone};

use super::{Followed, id};
use crate::platform::discovered::heard::Heard;
use crate::platform::discovered::store::Record;
use crate::platform::fleet::Condition;
use crate::platform::health::{CheckResult, Clue, Past};

pub(in crate::platform::discovered) fn release() -> Release {
    let server = ([127, 0, 0, 1], 53).into();
    let health = HealthCheck {
        path: None,
        command: Vec::new(),
        interval_ms: 1,
        timeout_ms: 1,
        rise: 2,
        fall: 2,
    };
    Release {
        app: AppName::new("shop").unwrap(),
        id: ReleaseId(2),
        version: Version::new("v2").unwrap(),
        command: Vec::new(),
        directory: "/".into(),
        environment: BTreeMap::new(),
        health,
        stop_timeout_ms: 1,
        source: Some(Source::Dns(Zone { server, name: "v2.test".into(), port: Some(80) })),
    }
}

fn at(port: u16) -> SocketAddr {
    ([10, 0, 0, 1], port).into()
}

fn heard(ports: &[u16]) -> Heard {
    let addresses = ports.iter().map(|port| at(*port)).collect();
    Heard { addresses, odd: Vec::new(), again: Duration::from_secs(1) }
}

fn checks(of: &mut Followed, port: u16, results: &str) {
    for result in results.chars() {
        let passed = result == '+';
        let words = String::new();
        of.checked(
            at(port),
            CheckResult { passed, words, clue: Clue::None, tail: Vec::new(), gap: None },
        );
    }
}

fn there(of: &Followed) -> Vec<(u16, Condition)> {
    of.instances().iter().map(|one| (one.address.port(), one.condition)).collect()
}

#[test]
fn who_is_found_has_to_pass_and_who_is_named_no_more_goes_when_another_serves() {
    use Condition::{Ready, Starting};
    let mut of = Followed::new((release(), false), []);
    assert!(of.discovered().words.contains("has not answered yet"));
    of.hear(&heard(&[1, 2]));
    assert_eq!(there(&of), [(1, Starting), (2, Starting)]);
    checks(&mut of, 1, "++");
    assert_eq!(there(&of), [(1, Ready), (2, Starting)]);
    // Who takes its place is not ready yet: the old one is kept until it is.
    of.hear(&heard(&[3]));
    assert_eq!(there(&of), [(1, Ready), (2, Starting), (3, Starting)]);
    checks(&mut of, 3, "++");
    assert_eq!(there(&of), [(3, Ready)]);
    of.hear(&heard(&[3, 4]));
    of.hear(&heard(&[3]));
    assert_eq!(there(&of), [(3, Ready)]);
}

#[test]
fn neither_an_error_nor_an_answer_that_names_nobody_takes_anybody_away() {
    let mut of = Followed::new((release(), false), []);
    of.hear(&heard(&[]));
    assert!(of.discovered().words.contains("names no instance"), "{:?}", of.discovered());
    of.hear(&heard(&[1, 2]));
    checks(&mut of, 1, "++");
    assert_eq!(of.discovered().trouble, None);
    of.lost("it is away");
    assert_eq!(there(&of).len(), 2);
    let said = of.discovered().trouble.unwrap();
    assert!(said.contains("it is away") && said.contains("the 2 known before"), "{said}");
    of.hear(&heard(&[]));
    assert_eq!(there(&of).len(), 2);
    let said = of.discovered().trouble.unwrap();
    assert!(said.contains("names nobody any more"), "{said}");
    of.hear(&heard(&[1]));
    assert_eq!((there(&of).len(), of.discovered().trouble), (1, None));
}

#[test]
fn what_users_left_is_only_told_and_everybody_passes_again_when_they_return() {
    let mut of = Followed::new((release(), false), [(at(1), Past::Ready), (at(2), Past::Unknown)]);
    assert_eq!(there(&of), [(1, Condition::Adopted), (2, Condition::Starting)]);
    checks(&mut of, 1, "++");
    of.let_go = true;
    assert!(there(&of).is_empty() && of.to_check().is_empty());
    assert_eq!(of.discovered().left.len(), 2);
    of.hear(&heard(&[1]));
    assert_eq!(of.discovered().left[0].id, id(&release(), at(1)));
    of.take_up();
    assert_eq!(there(&of), [(1, Condition::Starting)]);
    of.let_go = true;
    of.hear(&heard(&[]));
    assert!(of.discovered().left.is_empty());
}

#[test]
fn who_was_not_ready_when_last_judged_has_to_pass_before_it_serves_again() {
    use Condition::{Adopted, Doubted, Ready, Unready};
    let mut of = Followed::new((release(), false), [(at(1), Past::Ready), (at(2), Past::Unready)]);
    assert_eq!(there(&of), [(1, Adopted), (2, Unready)]);
    checks(&mut of, 2, "+");
    assert_eq!(there(&of), [(1, Adopted), (2, Unready)]);
    assert_eq!(of.known().collect::<Vec<_>>(), [(at(1), Past::Ready), (at(2), Past::Unready)]);
    checks(&mut of, 1, "-");
    checks(&mut of, 2, "+");
    assert_eq!(there(&of), [(1, Doubted), (2, Ready)]);
    checks(&mut of, 1, "-");
    assert_eq!(there(&of), [(1, Unready), (2, Ready)]);
    // What is on record then is what the next controller begins with.
    let record = Record::of(&of);
    let text = serde_json::to_string(&record).unwrap();
    let next = serde_json::from_str::<Record>(&text).unwrap().followed();
    assert_eq!(there(&next), [(1, Unready), (2, Adopted)]);
}

#[test]
fn names_are_plain_and_one_for_each_address() {
    let name = |text: &str| id(&release(), text.parse().unwrap()).0;
    assert_eq!(name("10.0.0.1:80"), "shop-2-10.0.0.1_80");
    assert_eq!(name("[fd00::1]:80"), "shop-2-fd00__1_80");
}
