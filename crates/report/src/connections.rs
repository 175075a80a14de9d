//! Kept connections: which version answered on each, until when, and how it ended.
//!
//! Connections for one request are left out (the rows of failures have those), and so are sockets, which
//! `sockets` tells of.

use std::collections::BTreeMap;

use model::attempt::Connection;
use model::{Attempt, Lane};

use crate::axis::axis;
use crate::kept::{KeptConnection, Stretch};
use crate::run::Run;

/// Connections kept; those with failures come first when there are more, then those that lived longest.
const MOST: usize = 200;
/// Stretches of one of them; the last takes in what follows.
const STRETCHES: usize = 40;

/// The connections by first use, and how many were left out.
pub(crate) fn connections(run: &Run<'_>) -> (Vec<KeptConnection>, u64) {
    let mut used: BTreeMap<u32, Vec<&Attempt>> = BTreeMap::new();
    let kept =
        |a: &&&Attempt| a.connection != 0 && !matches!(a.lane, Lane::Fresh | Lane::Websocket);
    for a in run.sent.iter().filter(kept) {
        used.entry(a.connection).or_default().push(a);
    }
    used.retain(|_, requests| requests.len() > 1);
    let records: BTreeMap<u32, &Connection> =
        run.input.connections.iter().map(|c| (c.connection, c)).collect();
    let mut all: Vec<KeptConnection> = used
        .iter()
        .filter_map(|(number, requests)| one(run, requests, records.get(number).copied()))
        .collect();
    let left_out = all.len().saturating_sub(MOST) as u64;
    all.sort_by_key(|c| {
        let lived = c.closed_us.saturating_sub(c.opened_us);
        (std::cmp::Reverse((c.failed, lived)), c.connection)
    });
    all.truncate(MOST);
    all.sort_by_key(|c| (c.opened_us, c.connection));
    (all, left_out)
}

fn one(
    run: &Run<'_>,
    requests: &[&Attempt],
    record: Option<&Connection>,
) -> Option<KeptConnection> {
    let (first, last) = (requests.first()?, requests.last()?);
    let done = requests.iter().map(|a| axis(a.done_us)).max()?;
    Some(KeptConnection {
        connection: first.connection,
        lane: last.lane,
        opened_us: record.map_or(axis(first.intended_us), |r| axis(r.opened_us)),
        closed_us: record.map_or(done, |r| axis(r.closed_us)),
        ending: record.map(|r| r.ending),
        requests: requests.len() as u64,
        failed: requests.iter().filter(|a| a.class.failed()).count() as u64,
        stretches: stretches(run, requests),
    })
}

fn stretches(run: &Run<'_>, requests: &[&Attempt]) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    for a in requests.iter().filter(|a| a.version.is_some()) {
        let (version, done) = (run.slots.of(a.version.as_deref()), axis(a.done_us));
        let room = out.len() < STRETCHES;
        match out.last_mut().filter(|last| last.version == version || !room) {
            Some(last) => {
                last.to_us = last.to_us.max(done);
                last.requests += 1;
            }
            None => out.push(Stretch {
                version,
                from_us: axis(a.intended_us),
                to_us: done,
                requests: 1,
            }),
        }
    }
    out
}
