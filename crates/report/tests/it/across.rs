//! What was open while traffic was moved: told for each lane with something long, and told honestly.
//!
//! How traffic is moved is not judged here.

use crate::sample;
use model::attempt::{Connection, Ending};
use model::{Attempt, Class, Lane};
use report::Input;

/// The traffic moves from here to 78 ms later.
const SWITCH_US: u64 = sample::SWITCH_US;
const MOVED_US: u64 = SWITCH_US + 78_000;

fn attempt(input: &mut Input, lane: Lane, class: Class, (connection, from, to): (u32, u64, u64)) {
    let id = input.attempts.len() as u64;
    let first = input.attempts[0].clone();
    let detail = class.failed().then(|| "cut".to_owned());
    input.attempts.push(Attempt {
        id,
        lane,
        class,
        intended_us: from,
        dispatched_us: from,
        connected_us: 0,
        sent_us: from,
        first_byte_us: from,
        done_us: to,
        connection,
        detail,
        ..first
    });
}

fn across(input: &Input, lane: Lane) -> Option<u64> {
    let report = report::judge(input);
    report.lanes.iter().find(|facts| facts.lane == lane).unwrap().across
}

#[test]
fn a_transfer_counts_when_it_was_open_all_through_or_failed_in_it() {
    let mut input = sample::pass();
    for (class, from, to) in [
        (Class::Ok, SWITCH_US - 10, MOVED_US + 1),
        (Class::Ok, SWITCH_US - 10, MOVED_US - 1),
        (Class::Ok, SWITCH_US + 10, MOVED_US + 1),
        (Class::Truncated, SWITCH_US - 10, MOVED_US - 1),
        (Class::Truncated, SWITCH_US - 10, SWITCH_US - 1),
    ] {
        attempt(&mut input, Lane::Upload, class, (9_000, from, to));
    }
    assert_eq!(across(&input, Lane::Upload), Some(2));
    assert_eq!(across(&input, Lane::Fresh), None);
    input.phases.clear();
    assert_eq!(across(&input, Lane::Upload), None, "nothing was moved");
}

#[test]
fn a_connection_counts_when_it_rested_all_through_and_was_used_again() {
    let mut input = sample::pass();
    let (before, after) = (SWITCH_US - 100, MOVED_US + 100);
    for (connection, at) in [
        (1, before),
        (1, after),
        (2, before),
        (3, after),
        (4, before),
        (4, SWITCH_US + 10),
        (4, after),
    ] {
        attempt(&mut input, Lane::Idle, Class::Ok, (9_000 + connection, at, at + 5));
    }
    assert_eq!(across(&input, Lane::Idle), Some(1));
}

#[test]
fn sockets_count_and_the_sentence_names_what_there_was_and_what_there_was_not() {
    let mut input = sample::pass();
    input.connections = [(SWITCH_US - 1, MOVED_US + 1), (0, MOVED_US + 1), (5, MOVED_US - 1)]
        .map(|(established_us, closed_us)| Connection {
            connection: 1,
            lane: Lane::Websocket,
            opened_us: 0,
            established_us,
            closed_us,
            ending: Ending::ByUs,
            close_code: None,
            attempts: 1,
            successor: None,
        })
        .to_vec();
    attempt(&mut input, Lane::Download, Class::Ok, (9_000, 5, 10));
    let report = report::judge(&input);
    let fact = report.facts.iter().find(|fact| fact.starts_with("open across")).unwrap();
    assert_eq!(fact, "open across the switch: 1 WebSocket and no download");
}
