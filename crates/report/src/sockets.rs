//! WebSockets in chains: a socket and those that took over from it.
//!
//! Built from the connections and the echoes on them; messages lost are the prober's own count. Nothing is
//! judged here: that lost messages fail a run stands in `verdict`.

use std::collections::{BTreeMap, BTreeSet};

use model::attempt::Connection;
use model::{Attempt, Class, Lane};

use crate::axis::{axis, between};
use crate::document::{Socket, SocketChain};
use crate::run::Run;

/// Chains kept; those with failures come first when there are more.
const CHAINS: usize = 500;

#[derive(Default)]
struct Echoes {
    first_us: Option<i64>,
    last_us: Option<i64>,
    messages: u64,
    failed: u64,
    version: Option<usize>,
}

/// The chains by first opening, and how many were left out.
pub(crate) fn chains(run: &Run<'_>) -> (Vec<SocketChain>, u64) {
    let echoes = echoes(run);
    let sockets = run.input.connections.iter().filter(|c| c.lane == Lane::Websocket);
    let by_number: BTreeMap<u32, &Connection> = sockets.map(|c| (c.connection, c)).collect();
    let followers: BTreeSet<u32> = by_number.values().filter_map(|c| c.successor).collect();
    let heads = by_number.values().filter(|c| !followers.contains(&c.connection));
    let mut all: Vec<SocketChain> = heads.map(|c| chain(run, &by_number, &echoes, c)).collect();
    let left_out = all.len().saturating_sub(CHAINS) as u64;
    all.sort_by_key(|c| std::cmp::Reverse(c.failed));
    all.truncate(CHAINS);
    all.sort_by_key(|c| c.sockets.first().map(|s| (s.opened_us, s.connection)));
    (all, left_out)
}

fn echoes(run: &Run<'_>) -> BTreeMap<u32, Echoes> {
    let mut out: BTreeMap<u32, Echoes> = BTreeMap::new();
    let on_sockets = |a: &&&Attempt| a.lane == Lane::Websocket && a.connection != 0;
    for a in run.sent.iter().filter(on_sockets) {
        let echoes = out.entry(a.connection).or_default();
        echoes.messages += 1;
        echoes.version.get_or_insert_with(|| run.slot_of(a));
        if matches!(a.class, Class::Ok | Class::Late) {
            let done = axis(a.done_us);
            echoes.first_us = Some(echoes.first_us.map_or(done, |first| first.min(done)));
            echoes.last_us = Some(echoes.last_us.map_or(done, |last| last.max(done)));
        } else {
            echoes.failed += 1;
        }
    }
    out
}

fn chain(
    run: &Run<'_>,
    by_number: &BTreeMap<u32, &Connection>,
    echoes: &BTreeMap<u32, Echoes>,
    head: &Connection,
) -> SocketChain {
    let mut chain = SocketChain { sockets: Vec::new(), longest_gap_us: None, failed: 0 };
    let mut seen = BTreeSet::new();
    let mut next = Some(head.connection);
    // A successor that was seen before would go round for ever.
    while let Some(connection) =
        next.and_then(|n| by_number.get(&n)).filter(|c| seen.insert(c.connection))
    {
        let echoes = echoes.get(&connection.connection);
        let socket = socket(run, connection, echoes);
        let before = chain.sockets.last().and_then(|s: &Socket| s.last_echo_us);
        if let (Some(last), Some(first)) = (before, socket.first_echo_us) {
            chain.longest_gap_us = chain.longest_gap_us.max(Some(between(last, first)));
        }
        chain.failed += echoes.map_or(0, |e| e.failed);
        chain.sockets.push(socket);
        next = connection.successor;
    }
    chain
}

fn socket(run: &Run<'_>, connection: &Connection, echoes: Option<&Echoes>) -> Socket {
    Socket {
        connection: connection.connection,
        opened_us: axis(connection.opened_us),
        closed_us: axis(connection.closed_us),
        version: echoes.and_then(|e| e.version).unwrap_or_else(|| run.slots.of(None)),
        messages: echoes.map_or(0, |e| e.messages),
        first_echo_us: echoes.and_then(|e| e.first_us),
        last_echo_us: echoes.and_then(|e| e.last_us),
        ending: connection.ending,
        close_code: connection.close_code,
    }
}
