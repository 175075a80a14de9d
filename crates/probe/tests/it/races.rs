//! Each race that a client can see, committed once at a known request: the prober finds it there, in the
//! right lane and class, and nothing else. Those that no client sees are named in docs/evidence.md.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::truth;
use crate::common::{options, run, stopped};
use futures_util::future::join_all;
use model::attempt::{Class, Lane};
use probe::{Options, Run, Stop, Target};
use truth::{Act, Race, Truth, start};

/// What is late; what is never answered.
const LATE: Duration = Duration::from_millis(1_500);
const SLEEP: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(4);

/// What the prober must see of it.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// One attempt fails like this.
    Fails(Class),
    /// Nothing fails; the app says that one order was carried out twice.
    Doubled,
    /// Nothing fails; one connection was answered by an older version than before.
    Back,
    /// Nothing fails; kept connections stay with the old version while new ones get the new one.
    Pinned,
}

use Class::{
    BadStatus, Late, LostInFlight, Refused, ResetBeforeBytes, Timeout, Truncated, WsDropped,
};
use Lane::{Download, Events, Fresh, Http2, Idle, KeepAlive, Orders, Upload, Websocket};
use Seen::{Back, Doubled, Fails, Pinned};

/// Every race, where it happens, what happens, what is seen.
const RACES: [(&str, Lane, Act, Seen); 36] = [
    ("R1 a kept connection closes as a request comes", KeepAlive, Act::Close, Fails(LostInFlight)),
    ("R1 the same after a rest", Idle, Act::Reset, Fails(ResetBeforeBytes)),
    ("R2 a stale pooled connection costs a POST", Orders, Act::Status(502), Fails(BadStatus)),
    ("R3 a close with unread bytes", Upload, Act::Reset, Fails(ResetBeforeBytes)),
    ("R4 R16 R32 reset while queued", Fresh, Act::ResetAtAccept, Fails(ResetBeforeBytes)),
    ("R5 nobody listens", Fresh, Act::Gone, Fails(Refused)),
    ("R6 a dead target counts as up", Fresh, Act::Status(502), Fails(BadStatus)),
    ("R7 not ready: 503", KeepAlive, Act::Status(503), Fails(BadStatus)),
    ("R7 not ready: silent", KeepAlive, Act::Hang, Fails(Timeout)),
    ("R8 ended before routers heard of it", Orders, Act::Close, Fails(LostInFlight)),
    ("R9 stops accepting at once", Fresh, Act::Reset, Fails(ResetBeforeBytes)),
    ("R10 a reload closes sockets", Websocket, Act::Close, Fails(WsDropped)),
    ("R10 a reload closes event streams", Events, Act::Cut, Fails(Truncated)),
    ("R10 a reload closes downloads", Download, Act::Cut, Fails(Truncated)),
    ("R11 a drain that ends cuts an answer", KeepAlive, Act::Cut, Fails(Truncated)),
    ("R12 a stream that crosses GOAWAY", Http2, Act::Refuse, Fails(Refused)),
    ("R12 a single goodbye", Http2, Act::Close, Fails(LostInFlight)),
    ("R13 kept connections stay", KeepAlive, Act::Pin, Pinned),
    ("R15 packets to a removed endpoint", Fresh, Act::Hang, Fails(Timeout)),
    ("R17 killed with a request open", Fresh, Act::Close, Fails(LostInFlight)),
    ("R17 killed within an answer", Fresh, Act::Cut, Fails(Truncated)),
    ("R18 a stop timeout shorter than an upload", Upload, Act::Close, Fails(LostInFlight)),
    ("R19 a replay executes twice", Orders, Act::Twice, Doubled),
    ("R20 retries at the same dead server", KeepAlive, Act::Wait(SLEEP), Fails(Late)),
    ("R21 a cold instance", Fresh, Act::Wait(SLEEP), Fails(Late)),
    ("R22 a queue overflows", Fresh, Act::Status(503), Fails(BadStatus)),
    ("R23 past the gate as it closes", Orders, Act::Status(503), Fails(BadStatus)),
    ("R24 one failed check takes all out", Http2, Act::Status(503), Fails(BadStatus)),
    ("R27 v2, then v1", KeepAlive, Act::Old, Back),
    ("R28 another app is reloaded", KeepAlive, Act::Reset, Fails(ResetBeforeBytes)),
    ("R29 an upload at the switch", Upload, Act::Status(502), Fails(BadStatus)),
    ("R33 a target group is empty", Idle, Act::Status(503), Fails(BadStatus)),
    ("the demo's candidate-errors", KeepAlive, Act::Status(500), Fails(BadStatus)),
    ("the demo's kill-before-drain", Idle, Act::Close, Fails(LostInFlight)),
    ("the demo's truncate", Idle, Act::Cut, Fails(Truncated)),
    ("the demo's stall", Download, Act::Wait(SLEEP), Fails(Late)),
];

/// A run on all lanes that can be told apart, or on the fresh one alone where a connection shows no
/// lane before it says anything.
fn probing(address: std::net::SocketAddr, lane: Lane, act: Act) -> Options {
    let kept = if lane == Idle { Idle } else { KeepAlive };
    let all = [kept, Fresh, Http2, Websocket, Upload, Download, Events, Orders];
    let alone = matches!(act, Act::ResetAtAccept | Act::Gone);
    let lanes = if alone { vec![(Fresh, 1.0)] } else { all.map(|lane| (lane, 0.125)).to_vec() };
    Options {
        lanes,
        rate: if alone { 4 } else { 24 },
        stop: Stop::Count(if alone { AT_GONE + 1 } else { 72 }),
        sockets: 1,
        slowness: Duration::from_millis(100),
        idle_most: Duration::from_millis(50),
        upload_bytes: 40_000,
        download_path: "/download".to_owned(),
        late_after: LATE,
        timeout: TIMEOUT,
        ..options(Target::parse(&format!("http://{address}/x")).unwrap(), lane, 0)
    }
}

/// The number of the request that commits it: the last one where nobody listens any more, so that there
/// is only one; else one that is no trial.
const AT_GONE: u64 = 5;
const AT: u64 = 3;

/// A run against a server that commits it. A busy machine may keep the prober from sending the very attempt
/// that nobody listens for; then there is another run.
async fn against(lane: Lane, act: Act) -> (Run, Arc<Truth>) {
    let at = if act == Act::Gone { AT_GONE } else { AT };
    for _ in 0..5 {
        let (address, truth) = start(Race { lane, at, act }).await;
        let run = run(probing(address, lane, act)).await;
        if act != Act::Gone || stopped(&run) == 0 {
            return (run, truth);
        }
    }
    panic!("this machine is too busy");
}

async fn commit(name: &str, lane: Lane, act: Act, seen: Seen) {
    let (run, truth) = against(lane, act).await;
    assert!(run.header.lanes_not_run.is_empty(), "{name}: {:?}", run.header.lanes_not_run);
    assert_eq!(truth.committed.load(Ordering::SeqCst), 1, "{name}: it was not committed");
    let failed: Vec<_> = run.attempts.iter().filter(|a| a.class.failed()).collect();
    let doubled = run.footer.as_ref().unwrap().orders.as_ref().map_or(0, |orders| orders.doubled);
    match seen {
        Fails(class) => {
            let [one] = failed[..] else { panic!("{name}: {failed:#?} of {:?}", run.attempts) };
            assert_eq!((one.lane, one.class), (lane, class), "{name}: {one:?}");
            assert!(one.detail.is_some(), "{name}: {one:?}");
        }
        Doubled | Back | Pinned => assert!(failed.is_empty(), "{name}: {failed:#?}"),
    }
    assert_eq!(doubled, u64::from(matches!(seen, Doubled)), "{name}");
    let back = went_back(&run);
    assert_eq!(back.len(), usize::from(matches!(seen, Back)), "{name}: {back:?}");
    assert!(back.iter().all(|at| *at == lane), "{name}: {back:?}");
    if matches!(seen, Pinned) {
        for attempt in run.attempts.iter().filter(|a| a.class == Class::Ok) {
            let wanted = match attempt.lane {
                KeepAlive => "v1",
                Fresh => "v2",
                _ => continue,
            };
            assert_eq!(attempt.version.as_deref(), Some(wanted), "{name}: {attempt:?}");
        }
    }
}

/// Lanes of the requests that were answered by an older version than one before on their connection.
fn went_back(run: &Run) -> Vec<Lane> {
    let mut newest: BTreeMap<u32, &str> = BTreeMap::new();
    let mut back = Vec::new();
    let mut attempts: Vec<_> = run.attempts.iter().collect();
    attempts.sort_by_key(|attempt| attempt.sent_us);
    for attempt in attempts {
        let Some(version) = attempt.version.as_deref() else { continue };
        let before = newest.entry(attempt.connection).or_insert(version);
        if version < *before {
            back.push(attempt.lane);
        }
        *before = version.max(before);
    }
    back
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_race_that_a_client_can_see_is_found_once_in_its_lane() {
    // Some at a time: they wait more than they work, and all at once would be a load test.
    for some in RACES.chunks(12) {
        join_all(some.iter().map(|(name, lane, act, seen)| commit(name, *lane, *act, *seen))).await;
    }
}
