//! Synthetic runs that look like real ones, for tests and for the sample pages.
//!
//! Deterministic: the same bytes each time. Nothing is asserted here.

pub(crate) mod canary;

use model::attempt::{Connection, Ending, RunFooter, RunHeader, Witness};
use model::{AppName, Attempt, Class, Lane, Outcome, Phase};
use report::{Input, PhaseSpan, Settings};

/// When the switch begins.
pub(crate) const SWITCH_US: u64 = 12_000_000;
/// Sends per second over all lanes.
pub(crate) const RATE: u64 = 200;
const SECONDS: u64 = 30;
const SOCKETS: u64 = 20;
const HAND_OVER_US: u64 = 19_000_000;

/// A number between 0 and `below` that looks random.
pub(crate) fn jitter(seed: u64, below: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below.max(1)
}

/// A deploy from v1 to v2 in which nothing failed.
pub(crate) fn pass() -> Input {
    let total = RATE * SECONDS;
    let attempts: Vec<Attempt> = (0..total).map(attempt).collect();
    Input {
        run_id: "7f3a".to_owned(),
        cutover_version: "0.1.0".to_owned(),
        app: Some(AppName::new("demo").unwrap()),
        url: "http://127.0.0.1:8080/datetime".to_owned(),
        from: Some("v1".to_owned()),
        to: Some("v2".to_owned()),
        outcome: Outcome::Promoted,
        interrupted: false,
        ending_note: None,
        phases: promoted_phases(),
        shares: canary::at_once(),
        outages: Vec::new(),
        router: None,
        account: None,
        header: header(),
        attempts,
        connections: sockets(),
        blind: Vec::new(),
        footer: Some(footer(total)),
        settings: Settings {
            drain_timeout_ms: Some(10_000),
            handover_timeout_ms: Some(20_000),
            stop_timeout_ms: Some(5_000),
            mixes: false,
        },
        asked: report::Asked::default(),
    }
}

/// The traffic of a deploy from v1 to v2, as one saw it who knows nothing of the deploy.
pub(crate) fn alone() -> Input {
    unknowing(pass())
}

/// The same traffic, as one saw it who knows nothing of a deploy.
pub(crate) fn unknowing(input: Input) -> Input {
    Input {
        app: None,
        from: None,
        to: None,
        outcome: Outcome::None,
        phases: Vec::new(),
        shares: Vec::new(),
        ..input
    }
}

/// Phases on the axis of the samples.
pub(crate) fn phases(marks: &[(Phase, i64)], end_us: i64) -> Vec<PhaseSpan> {
    let ends = marks.iter().skip(1).map(|(_, at)| *at).chain([end_us]);
    let spans = marks.iter().zip(ends).map(|((phase, from_us), to_us)| PhaseSpan {
        phase: *phase,
        from_us: *from_us,
        to_us,
        why: format!("so that {phase} can be seen"),
    });
    spans.collect()
}

fn promoted_phases() -> Vec<PhaseSpan> {
    let switch = SWITCH_US.cast_signed();
    phases(
        &[
            (Phase::Starting, -1_500_000),
            (Phase::Previewing, 6_000_000),
            (Phase::Arming, 11_000_000),
            (Phase::Shifting, switch),
            (Phase::Baking, switch + 78_000),
            (Phase::Draining, 17_000_000),
            (Phase::HandingOver, 18_900_000),
            (Phase::Stopping, 21_500_000),
            (Phase::Promoted, 23_000_000),
        ],
        30_000_000,
    )
}

fn header() -> RunHeader {
    RunHeader {
        schema_version: 1,
        url: "http://127.0.0.1:8080/datetime".to_owned(),
        t0_mono_ns: 5_000_000_000,
        t0_unix_ms: 1_795_262_530_000,
        rate: 200,
        lanes: vec![(Lane::KeepAlive, 100.0), (Lane::Fresh, 60.0), (Lane::Websocket, 40.0)],
        lanes_not_run: Vec::new(),
        clients: 0,
        late_after_us: 500_000,
        timeout_us: 5_000_000,
    }
}

fn footer(total: u64) -> RunFooter {
    RunFooter {
        planned: total,
        sent: total,
        not_sent: 0,
        until_us: SECONDS * 1_000_000,
        lateness_us: [62, 140, 1_900],
        ws_lost: 0,
        ws_doubled: 0,
        ws_reordered: 0,
        ws_reconnects: SOCKETS,
        ws_longest_gap_us: 513_400,
        ..RunFooter::default()
    }
}

fn attempt(id: u64) -> Attempt {
    let intended_us = id * 1_000_000 / RATE;
    let lane = match id % 10 {
        0 | 2 | 4 | 6 | 8 => Lane::KeepAlive,
        1 | 5 | 9 => Lane::Fresh,
        _ => Lane::Websocket,
    };
    let waited = 40 + jitter(id, 120);
    let connect = if lane == Lane::Fresh { 300 + jitter(id ^ 7, 900) } else { 0 };
    let mut took = 1_600 + jitter(id ^ 1, 3_000) + connect;
    if jitter(id ^ 2, 60) == 0 {
        took += 8_000 + jitter(id ^ 3, 30_000);
    }
    // The prober placed long requests across the switch.
    let long = lane == Lane::KeepAlive
        && intended_us < SWITCH_US
        && intended_us + 160_000 > SWITCH_US
        && id.is_multiple_of(4);
    if long {
        took += 240_000;
    }
    let sent_us = intended_us + waited + connect + 30;
    let (connection, new) = match lane {
        Lane::KeepAlive => {
            (1 + (id / 2 % 10) as u32, sent_us > SWITCH_US + 4_000 + jitter(id / 2 % 10, 70_000))
        }
        Lane::Fresh => (1_000 + id as u32, sent_us > SWITCH_US + 4_000 + jitter(id ^ 5, 70_000)),
        _ => socket(id, intended_us),
    };
    Attempt {
        id,
        lane,
        class: Class::Ok,
        intended_us,
        dispatched_us: intended_us + waited,
        connected_us: if lane == Lane::Fresh { intended_us + waited + connect } else { 0 },
        sent_us,
        first_byte_us: intended_us + took - 200,
        done_us: intended_us + took,
        status: if lane == Lane::Websocket { 0 } else { 200 },
        connection,
        bytes: 96,
        client: None,
        version: Some(if new { "v2" } else { "v1" }.to_owned()),
        witness: Some(Witness::App),
        instance: Some(if new { "demo-2-1" } else { "demo-1-1" }.to_owned()),
        detail: None,
    }
}

fn moved_at(socket: u64) -> u64 {
    HAND_OVER_US + socket * 110_000
}

fn socket(id: u64, intended_us: u64) -> (u32, bool) {
    let socket = id / 5 % SOCKETS;
    let new = intended_us >= moved_at(socket);
    (if new { 200 + socket as u32 } else { 100 + socket as u32 }, new)
}

fn sockets() -> Vec<Connection> {
    let mut out = Vec::new();
    for s in 0..SOCKETS {
        let old = Connection {
            connection: 100 + s as u32,
            lane: Lane::Websocket,
            opened_us: 1_000 + s * 200,
            established_us: 2_000 + s * 200,
            closed_us: moved_at(s),
            ending: Ending::Reconnected,
            close_code: Some(1_000),
            attempts: 38,
            successor: Some(200 + s as u32),
        };
        let new = Connection {
            connection: 200 + s as u32,
            opened_us: moved_at(s) + 400,
            established_us: moved_at(s) + 1_900,
            closed_us: SECONDS * 1_000_000,
            ending: Ending::ByUs,
            close_code: Some(1_000),
            attempts: 20,
            successor: None,
            ..old.clone()
        };
        out.extend([old, new]);
    }
    out
}

/// Makes an attempt a failure.
pub(crate) fn fail(a: &mut Attempt, class: Class, detail: &str) {
    a.class = class;
    a.detail = Some(detail.to_owned());
    if !matches!(class, Class::Late | Class::BadStatus | Class::WrongContent | Class::Truncated) {
        a.status = 0;
        a.bytes = 0;
        a.first_byte_us = 0;
        a.version = None;
        a.witness = None;
        a.instance = None;
    }
}

/// Old instances were killed right after the switch: sockets cut, long answers lost or cut short.
pub(crate) fn killed_before_drain() -> Input {
    let mut input = pass();
    let kill = SWITCH_US + 90_000;
    for a in &mut input.attempts {
        let old = a.version.as_deref() == Some("v1");
        if a.lane == Lane::Websocket && old && a.intended_us >= kill {
            if a.intended_us < kill + 500_000 {
                fail(a, Class::WsDropped, "connection closed without a close frame");
                a.done_us = a.intended_us + 300;
            } else {
                a.version = Some("v2".to_owned());
                a.connection += 100;
            }
        } else if old && a.intended_us < kill && a.done_us > kill {
            a.done_us = kill + jitter(a.id, 4_000);
            if a.id % 8 == 0 {
                fail(a, Class::Truncated, "closed after 31 of 96 bytes");
                a.bytes = 31;
            } else {
                fail(a, Class::LostInFlight, "closed by the peer after the request was sent");
            }
        }
    }
    for c in &mut input.connections {
        if c.successor.is_some() {
            c.closed_us = kill + 400;
            c.ending = Ending::MidAttempt;
            c.close_code = None;
        } else {
            c.opened_us = kill + 250_000 + u64::from(c.connection) * 500;
        }
    }
    if let Some(footer) = &mut input.footer {
        footer.ws_lost = 20;
        footer.ws_reconnects = 0;
        footer.ws_longest_gap_us = 1_040_000;
    }
    input
}

/// Nothing answered for a second at the switch.
pub(crate) fn stalled() -> Input {
    let mut input = pass();
    let (from, to) = (SWITCH_US - 100_000, SWITCH_US + 900_000);
    for a in &mut input.attempts {
        if a.done_us > from && a.intended_us < to {
            a.done_us = to + jitter(a.id, 9_000);
            a.first_byte_us = a.done_us - 50;
            if a.ttlb_us() > 500_000 {
                a.class = Class::Late;
            }
        }
    }
    input
}

/// The candidate never became ready; users stayed on v1.
pub(crate) fn never_ready() -> Input {
    let mut input = pass();
    input.outcome = Outcome::Aborted;
    input.shares.clear();
    input.ending_note = Some(
        "v2 did not become ready within 10 s: 0 of 1 instances passed 2 checks in a row\n\
         check 1: connection refused at 127.0.0.1:40123 (0.3 ms)\n\
         check 2: connection refused at 127.0.0.1:40123 (0.2 ms)\n\
         log: thread 'main' panicked: DATABASE_URL is not set\n\
         likely: the program ended at once; see the last line of its log"
            .to_owned(),
    );
    input.phases =
        phases(&[(Phase::Starting, 4_000_000), (Phase::Aborted, 14_000_000)], 30_000_000);
    for a in &mut input.attempts {
        a.version = Some("v1".to_owned());
        a.instance = Some("demo-1-1".to_owned());
        a.connection = if a.connection >= 200 && a.lane == Lane::Websocket {
            a.connection - 100
        } else {
            a.connection
        };
    }
    input.connections.retain(|c| c.connection < 200);
    for c in &mut input.connections {
        c.closed_us = 30_000_000;
        c.ending = Ending::ByUs;
        c.successor = None;
    }
    input
}

/// The candidate died right after the switch; its requests were replayed to v1.
pub(crate) fn candidate_died() -> Input {
    let mut input = pass();
    input.outcome = Outcome::Aborted;
    input.ending_note = Some("all 1 instance of v2 ended without being told to".to_owned());
    let back = SWITCH_US + 700_000;
    for a in &mut input.attempts {
        if a.lane == Lane::Websocket && a.connection >= 200 {
            a.connection -= 100;
            a.version = Some("v1".to_owned());
        } else if a.intended_us > SWITCH_US + 400_000 {
            a.version = Some("v1".to_owned());
            a.instance = Some("demo-1-1".to_owned());
        }
    }
    let (switch, back) = (SWITCH_US.cast_signed(), back.cast_signed());
    input.shares[0].to_us = back;
    input.phases = phases(
        &[
            (Phase::Starting, -1_500_000),
            (Phase::Previewing, 6_000_000),
            (Phase::Arming, 11_000_000),
            (Phase::Shifting, switch),
            (Phase::Baking, switch + 78_000),
            (Phase::RollingBack, back),
            (Phase::DrainingCandidate, back + 200_000),
            (Phase::StoppingCandidate, back + 400_000),
            (Phase::Aborted, back + 900_000),
        ],
        30_000_000,
    );
    input.connections = never_ready().connections;
    input
}

/// Ten minutes at 1,000 requests a second, with a few failures.
pub(crate) fn long() -> Input {
    let mut input = pass();
    input.header.rate = 1_000;
    input.header.lanes =
        vec![(Lane::KeepAlive, 500.0), (Lane::Fresh, 300.0), (Lane::Websocket, 200.0)];
    let many = 600_000;
    input.attempts = (0..many)
        .map(|id| {
            let mut a = attempt(id);
            let shift = id * 1_000 - a.intended_us.min(id * 1_000);
            let back = a.intended_us.saturating_sub(id * 1_000);
            for us in [
                &mut a.intended_us,
                &mut a.dispatched_us,
                &mut a.sent_us,
                &mut a.first_byte_us,
                &mut a.done_us,
            ] {
                *us = *us + shift - back;
            }
            a.version = Some(if a.intended_us > 300_000_000 { "v2" } else { "v1" }.to_owned());
            if id % 50_000 == 49_999 {
                fail(&mut a, Class::ResetBeforeBytes, "connection reset by peer");
            }
            a
        })
        .collect();
    input.shares = canary::spans(&[(300_000_000, 10_000)], 600_000_000);
    input.phases = phases(
        &[
            (Phase::Starting, 10_000_000),
            (Phase::Shifting, 300_000_000),
            (Phase::Baking, 300_030_000),
            (Phase::Promoted, 400_000_000),
        ],
        600_000_000,
    );
    input.footer =
        Some(RunFooter { planned: many, sent: many, until_us: 600_000_000, ..footer(many) });
    input
}
