//! Outages of the router: what they cost is told apart from what the rollout cost, and they excuse
//! nothing that they cannot have done.
//!
//! Failures of the target itself are in `causes`.

use crate::sample::{fail, pass};
use model::{Attempt, Class, Lane, Verdict};
use report::{Input, OutageKind, OutageSpan, Report, judge};

/// When nobody listened.
const FROM_US: u64 = 1_000_000;
const TO_US: u64 = 1_200_000;
/// The looks around that.
const LOOKED_US: i64 = 900_000;
const FOUND_US: i64 = 1_700_000;

fn looks(to_us: Option<i64>, replaced: bool) -> OutageSpan {
    OutageSpan { what: "HAProxy".to_owned(), from_us: LOOKED_US, to_us, replaced }
}

fn away() -> OutageSpan {
    looks(Some(FOUND_US), true)
}

/// What was open then is cut, and what was to be sent then is refused; how many that is.
fn outage(input: &mut Input) -> u64 {
    let mut failed = 0;
    for a in &mut input.attempts {
        if (FROM_US..=TO_US).contains(&a.intended_us) {
            fail(a, Class::Refused, "nobody listened");
            a.done_us = a.dispatched_us + 100;
        } else if a.intended_us < FROM_US && a.done_us > FROM_US {
            let socket = a.lane == Lane::Websocket;
            fail(a, if socket { Class::WsDropped } else { Class::LostInFlight }, "it was killed");
            a.done_us = FROM_US;
        } else {
            continue;
        }
        failed += 1;
    }
    failed
}

/// The first attempt that was to be sent from then on.
fn sent_from(input: &mut Input, us: u64) -> &mut Attempt {
    let mut after: Vec<&mut Attempt> =
        input.attempts.iter_mut().filter(|a| a.intended_us >= us).collect();
    after.sort_by_key(|a| a.intended_us);
    after.swap_remove(0)
}

fn says(report: &Report, words: &str) -> bool {
    report.facts.iter().any(|fact| fact.contains(words))
}

#[test]
fn an_outage_that_cost_everything_leaves_nothing_to_the_rollout() {
    let mut input = pass();
    let failed = outage(&mut input);
    input.outages = vec![away()];
    let report = judge(&input);
    assert!(failed > 10 && report.failed == failed);
    // Users lost requests, whoever is to blame.
    assert_eq!(report.verdict, Verdict::Fail);
    assert_eq!((report.outages[0].kind, report.outages[0].failed), (OutageKind::Outage, failed));
    assert!(says(&report, "HAProxy was away for 210 ms"), "{:?}", report.facts);
    assert!(says(&report, "the rollout itself cost no request"), "{:?}", report.facts);
}

#[test]
fn it_lasts_from_the_last_answer_to_the_first_and_not_from_look_to_look() {
    let mut input = pass();
    outage(&mut input);
    input.outages = vec![away()];
    let fact = &judge(&input).outages[0];
    let (from, to) = (FROM_US.cast_signed(), TO_US.cast_signed());
    assert!((from - 10_000..=from).contains(&fact.from_us), "{fact:?}");
    assert!((to..to + 20_000).contains(&fact.to_us.unwrap()), "{fact:?}");
}

#[test]
fn what_failed_outside_of_it_is_counted_also_between_the_two_looks() {
    let hits: [u64; 3] = [950_000, 1_450_000, 1_900_000];
    for at in hits {
        let mut input = pass();
        let failed = outage(&mut input);
        let other = sent_from(&mut input, at);
        fail(other, Class::LostInFlight, "");
        input.outages = vec![away()];
        let report = judge(&input);
        assert_eq!(report.outages[0].failed, failed, "at {at}");
        assert!(says(&report, "1 request failed outside of that"), "{:?}", report.facts);
        assert!(!says(&report, "cost no request"));
    }
}

#[test]
fn whoever_answered_was_there_an_error_or_a_late_answer_is_not_excused() {
    for (class, status) in [(Class::BadStatus, 500), (Class::BadStatus, 503), (Class::Late, 200)] {
        let mut input = pass();
        let failed = outage(&mut input);
        // In the midst of it, as far as the prober's clock can tell.
        let a = sent_from(&mut input, TO_US - 50_000);
        (a.class, a.status) = (class, status);
        (a.first_byte_us, a.done_us) = (TO_US - 45_000, TO_US - 45_000);
        input.outages = vec![away()];
        let report = judge(&input);
        assert_eq!(report.failed, failed);
        assert_eq!(report.outages[0].failed, failed - 1, "{class:?} was excused");
        assert!(says(&report, "1 request failed outside of that"), "{:?}", report.facts);
    }
}

#[test]
fn a_request_that_was_taken_and_never_answered_is_not_excused() {
    let mut input = pass();
    let failed = outage(&mut input);
    let a = sent_from(&mut input, LOOKED_US.cast_unsigned());
    fail(a, Class::Timeout, "no answer within 150 ms");
    a.done_us = a.intended_us + 150_000;
    input.outages = vec![away()];
    assert_eq!(judge(&input).outages[0].failed, failed);
}

#[test]
fn a_request_open_when_it_began_is_one_of_its_own() {
    let mut input = pass();
    let failed = outage(&mut input);
    let before = sent_from(&mut input, 800_000);
    fail(before, Class::Truncated, "");
    before.done_us = FROM_US;
    input.outages = vec![away()];
    assert_eq!(judge(&input).outages[0].failed, failed + 1);
}

/// Nobody was refused: only that every kept connection ended shows that it was gone.
#[test]
fn a_restart_that_nobody_was_refused_by_shows_by_its_connections() {
    let mut input = pass();
    let mut cut = 0;
    for a in &mut input.attempts {
        let kept = a.lane != Lane::Fresh;
        if a.intended_us < FROM_US && a.done_us > FROM_US - 20_000 {
            fail(a, Class::ResetBeforeBytes, "");
            (a.done_us, cut) = (FROM_US, cut + 1);
        } else if kept && a.intended_us >= FROM_US {
            a.connection += 5_000;
        }
    }
    assert!(cut > 2);
    input.outages = vec![away()];
    let fact = judge(&input).outages[0].clone();
    assert_eq!((fact.kind, fact.failed), (OutageKind::Outage, cut));
    // The same without the proof that it is another process.
    input.outages = vec![looks(Some(FOUND_US), false)];
    let report = judge(&input);
    assert_eq!((report.outages[0].kind, report.outages[0].failed), (OutageKind::Unseen, 0));
    assert!(!says(&report, "HAProxy"), "{:?}", report.facts);
}

/// So short that no request came: only sockets were cut, every one of them, and no kept connection stands.
#[test]
fn a_restart_between_two_requests_shows_by_its_sockets() {
    let mut input = pass();
    for a in input.attempts.iter_mut().filter(|a| a.lane != Lane::Fresh && a.done_us > FROM_US) {
        a.connection += 5_000;
    }
    let mut last: Vec<&mut Attempt> = input
        .attempts
        .iter_mut()
        .filter(|a| a.lane == Lane::Websocket && a.done_us < FROM_US)
        .collect();
    last.sort_by_key(|a| std::cmp::Reverse(a.done_us));
    for a in last.into_iter().take(3) {
        fail(a, Class::WsDropped, "ended without a close frame");
        a.done_us = FROM_US;
    }
    input.outages = vec![away()];
    let fact = judge(&input).outages[0].clone();
    assert_eq!((fact.kind, fact.failed), (OutageKind::Outage, 3));
    // A socket that outlived it: the others ended for another reason.
    let socket = input
        .attempts
        .iter_mut()
        .find(|a| a.lane == Lane::Websocket && a.class == Class::Ok && a.done_us < FROM_US);
    let (connection, mut after) = (socket.unwrap().connection, input.attempts.iter_mut());
    let later = after.find(|a| a.lane == Lane::Websocket && a.intended_us > FROM_US + 50_000);
    later.unwrap().connection = connection;
    let fact = judge(&input).outages[0].clone();
    assert_eq!((fact.kind, fact.failed), (OutageKind::Replaced, 0));
}

#[test]
fn a_reload_that_lost_nothing_is_an_event_and_excuses_nothing() {
    let mut input = pass();
    input.outages = vec![away()];
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!((report.outages[0].kind, report.outages[0].failed), (OutageKind::Replaced, 0));
    assert!(says(&report, "became another process within 800 ms"), "{:?}", report.facts);
    assert!(!says(&report, "away"));
    // Other connections stand: what ended then, ended for another reason.
    fail(sent_from(&mut input, FROM_US), Class::LostInFlight, "its instance was killed");
    let report = judge(&input);
    assert_eq!((report.outages[0].kind, report.outages[0].failed), (OutageKind::Replaced, 0));
    assert_eq!(report.failed, 1);
}

#[test]
fn one_that_never_came_back_is_spoken_of_whatever_it_cost() {
    let mut input = pass();
    input.outages = vec![looks(None, true)];
    let report = judge(&input);
    assert_eq!(report.outages[0].kind, OutageKind::Unseen);
    assert!(says(&report, "HAProxy could not be asked any more from"), "{:?}", report.facts);
    let mut failed = 0;
    for a in input.attempts.iter_mut().filter(|a| a.intended_us > FROM_US) {
        fail(a, Class::Refused, "");
        a.done_us = a.dispatched_us + 100;
        failed += 1;
    }
    let report = judge(&input);
    assert_eq!((report.outages[0].to_us, report.outages[0].failed), (None, failed));
    assert!(says(&report, "HAProxy was away from"), "{:?}", report.facts);
}
