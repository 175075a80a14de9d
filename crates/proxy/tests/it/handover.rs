//! WebSockets that the proxy moves off an instance that leaves: what their clients and the instance see.
//!
//! How frames are found in a stream of bytes is fuzzed beside the code, not here.

use std::time::{Duration, Instant};

use model::{Farewell, HandOver, InstanceId, Pace};

use crate::asking::{Metrics, ask};
use crate::backend::Backend;
use crate::stage::{Stage, pool, retiring, wait_until};
use crate::websocket::{CLOSE, Socket, TEXT, code, frame, instance};

const RECONNECT: &str = r#"{"message":"reconnect"}"#;

fn told() -> (u8, Vec<u8>) {
    (TEXT, RECONNECT.as_bytes().to_vec())
}

fn closed() -> (u8, Vec<u8>) {
    (CLOSE, [code(1012), b"service restart".to_vec()].concat())
}

fn off(name: &str, farewell: Farewell, (per_second, at_once): (u32, u32)) -> HandOver {
    let pace = Pace { farewell, per_second, at_once };
    HandOver { instances: vec![InstanceId(name.to_owned())], pace, within_ms: 60_000 }
}

fn frames(rate: (u32, u32)) -> HandOver {
    off("old", Farewell::Frame(RECONNECT.to_owned()), rate)
}

/// Moves traffic to the new one, and the tunnels off the old one.
fn begin(stage: &mut Stage, (old, new): (&Backend, &Backend), hand_over: HandOver) {
    let pools = vec![retiring(pool(1, 0, &[old])), pool(2, 10_000, &[new])];
    stage.publish(pools.clone());
    stage.hand_over(pools, hand_over);
}

fn open_on(stage: &mut Stage, name: &str) -> (u64, u64) {
    stage.admin.instance(name).map_or((0, 0), |seen| (seen.tunnels, seen.sockets))
}

/// How many were told to leave, were closed, and left by themselves.
fn counted(stage: &Stage) -> [u64; 3] {
    let metrics = Metrics::of(&ask(&stage.socket, ""));
    let count = |what| metrics.value(&format!("cutover_sockets_{what}_total"), &[("release", "1")]);
    ["told", "closed", "left"].map(count)
}

/// A message of the instance in three parts, with a control frame in between and cut in the midst of a
/// head: ours comes behind it. Those in whose tunnel nothing is under way have it at once.
#[test]
fn a_frame_comes_between_two_messages_and_never_within_one() {
    let ((old, _), (new, _)) = (instance("old"), instance("new"));
    let mut stage = Stage::before(&[&old]);
    let mut within = Socket::open(&stage, "/ws");
    let mut halves = Socket::open(&stage, "/ws");
    let mut idle: Vec<_> = (0..8).map(|_| Socket::open(&stage, "/ws")).collect();
    within.has_it_say(&frame(0x01, b"one"));
    assert_eq!(within.frame(), Some((0x01, b"one".to_vec())));
    halves.has_it_say(&[TEXT]);
    wait_until("half a head has passed", || halves.has_heard());
    begin(&mut stage, (&old, &new), frames((10_000, 100)));
    for socket in &mut idle {
        assert_eq!(socket.frame(), Some(told()));
    }
    for part in [frame(0x89, b"ping"), frame(0x00, b"two"), frame(0x80, b"three")] {
        within.has_it_say(&part);
        let heard = within.frame().unwrap();
        assert_eq!(frame(heard.0, &heard.1), part);
    }
    assert_eq!(within.frame(), Some(told()));
    halves.has_it_say(&[4, b'm', b'o']);
    halves.has_it_say(b"re");
    assert_eq!(halves.frame(), Some((TEXT, b"more".to_vec())));
    assert_eq!(halves.frame(), Some(told()));
    // Nobody is told twice, and the tunnels go on until their clients leave.
    for socket in idle.iter_mut().chain([&mut within, &mut halves]) {
        socket.send(TEXT, b"still here");
        assert_eq!(socket.frame(), Some((TEXT, b"still here".to_vec())));
    }
    assert_eq!(open_on(&mut stage, "old"), (10, 10));
    assert_eq!(counted(&stage), [10, 0, 0]);
    drop((idle, within, halves));
    wait_until("they have left", || open_on(&mut stage, "old").0 == 0);
    assert_eq!(counted(&stage), [10, 0, 10]);
}

/// What says nothing in frames, or in frames that somebody else may read differently, is left alone; a
/// compressed connection takes a message that is not compressed.
#[test]
fn other_protocols_and_foreign_extensions_are_left_alone() {
    let ((old, _), (new, _)) = (instance("old"), instance("new"));
    let mut stage = Stage::before(&[&old]);
    let mut raw = Socket::open(&stage, "/raw");
    let mut foreign = Socket::open(&stage, "/x-x-mux");
    let mut deflate = Socket::open(&stage, "/x-permessage-deflate");
    assert_eq!(open_on(&mut stage, "old"), (3, 1));
    begin(&mut stage, (&old, &new), frames((10_000, 100)));
    assert_eq!(deflate.frame(), Some(told()));
    for socket in [&mut raw, &mut foreign] {
        socket.send(TEXT, b"as ever");
        assert_eq!(socket.frame(), Some((TEXT, b"as ever".to_vec())));
    }
}

/// The whole closing handshake on both sides, and what the instance still had to say.
#[test]
fn a_closing_is_a_whole_handshake_and_costs_no_answer_under_way() {
    let ((old, codes), (new, _)) = (instance("old"), instance("new"));
    let mut stage = Stage::before(&[&old]);
    let mut idle = Socket::open(&stage, "/ws");
    let mut late = Socket::open(&stage, "/late");
    late.send(TEXT, b"question");
    begin(&mut stage, (&old, &new), off("old", Farewell::Close, (10_000, 100)));
    assert_eq!(idle.frame(), Some(closed()));
    assert_eq!(late.frame(), Some((TEXT, b"question".to_vec())));
    assert_eq!(late.frame(), Some(closed()));
    for socket in [&mut idle, &mut late] {
        // What crosses the Close is thrown away; the answer to it ends the connection.
        socket.send(TEXT, b"too late");
        socket.send(CLOSE, &code(1012));
        assert_eq!(socket.frame(), None);
    }
    wait_until("they have left", || open_on(&mut stage, "old").0 == 0);
    assert_eq!(*codes.lock().unwrap(), [1001, 1001]);
    assert_eq!(counted(&stage), [2, 2, 0]);
    assert_eq!(
        Socket::open(&stage, "/ws").stream.shutdown(std::net::Shutdown::Both).ok(),
        Some(())
    );
}

/// Neither of them answers a Close, and a message never ends: both are told all the same, then cut.
#[test]
fn who_never_answers_a_close_is_cut_after_a_while() {
    let ((old, codes), (new, _)) = (instance("old"), instance("new"));
    let mut stage = Stage::before(&[&old]);
    let mut socket = Socket::open(&stage, "/mute");
    socket.has_it_say(&frame(0x01, b"endless"));
    assert_eq!(socket.frame(), Some((0x01, b"endless".to_vec())));
    let began = Instant::now();
    begin(&mut stage, (&old, &new), off("old", Farewell::Close, (10_000, 100)));
    assert_eq!(socket.frame(), Some(closed()));
    assert_eq!(socket.frame(), None);
    assert!(began.elapsed() > Duration::from_secs(4), "{:?}", began.elapsed());
    wait_until("it is gone", || open_on(&mut stage, "old").0 == 0);
    assert_eq!(*codes.lock().unwrap(), [1001]);
}

/// 200 of them, on two threads: one after the other at the pace that was asked for.
#[test]
fn many_are_told_at_a_pace() {
    let ((old, _), (new, _)) = (instance("old"), instance("new"));
    let mut stage = Stage::before(&[&old]);
    let mut sockets: Vec<_> = (0..200).map(|_| Socket::open(&stage, "/ws")).collect();
    let began = Instant::now();
    begin(&mut stage, (&old, &new), frames((400, 1_000)));
    let (mut half, mut told_yet) = (None, vec![false; 200]);
    wait_until("all are told", || {
        for (told, socket) in told_yet.iter_mut().zip(&mut sockets) {
            *told |= socket.has_heard();
        }
        let told = told_yet.iter().filter(|told| **told).count();
        if told >= 100 {
            half.get_or_insert_with(|| began.elapsed());
        }
        told == 200
    });
    let (half, all) = (half.unwrap(), began.elapsed());
    assert!(
        half > Duration::from_millis(150) && all > Duration::from_millis(350),
        "{half:?} {all:?}"
    );
    for socket in &mut sockets {
        assert_eq!(socket.frame(), Some(told()));
    }
}

/// At most five on their way; each that leaves makes room for another.
#[test]
fn only_so_many_are_told_at_once() {
    let ((old, _), (new, _)) = (instance("old"), instance("new"));
    let mut stage = Stage::before(&[&old]);
    let mut sockets: Vec<_> = (0..40).map(|_| Socket::open(&stage, "/ws")).collect();
    begin(&mut stage, (&old, &new), frames((10_000, 5)));
    let mut left = sockets.len();
    while left > 0 {
        wait_until("some are told", || sockets.iter_mut().any(Socket::has_heard));
        let heard = sockets.iter_mut().filter_map(|one| one.has_heard().then_some(())).count();
        assert!(heard <= 5, "{heard} at once");
        sockets.retain_mut(|one| !one.has_heard());
        left = sockets.len();
    }
    wait_until("they have left", || open_on(&mut stage, "old").0 == 0);
}

/// A pace at which they would not all be told in time is raised.
#[test]
fn a_pace_that_is_too_slow_for_the_time_is_raised() {
    let ((old, _), (new, _)) = (instance("old"), instance("new"));
    let mut stage = Stage::before(&[&old]);
    let mut sockets: Vec<_> = (0..50).map(|_| Socket::open(&stage, "/ws")).collect();
    let hand_over = HandOver { within_ms: 1_000, ..frames((1, 1_000)) };
    begin(&mut stage, (&old, &new), hand_over);
    for socket in &mut sockets {
        assert_eq!(socket.frame(), Some(told()));
    }
}

/// Nobody is told to leave where new requests go, or at no pace.
#[test]
fn a_hand_over_of_who_serves_is_refused() {
    let (old, _) = instance("old");
    let mut stage = Stage::before(&[&old]);
    for (hand_over, state) in [
        (frames((10, 10)), model::PoolState::Serving),
        (frames((0, 10)), model::PoolState::Retiring),
        (frames((10, 0)), model::PoolState::Retiring),
        (off("old", Farewell::Frame(String::new()), (10, 10)), model::PoolState::Retiring),
    ] {
        let mut routes = stage.admin.app().routes;
        let expected = routes.generation;
        routes.generation.0 += 1;
        routes.pools[0].state = state;
        routes.hand_over = Some(hand_over);
        let order = model::admin::Request::Publish { epoch: 1, expected, routes };
        assert!(stage.admin.refused(&order).what.contains("a hand-over needs"));
    }
}
