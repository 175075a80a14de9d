//! Puts together what HAProxy says of one app: routes, servers, counters, over all workers that live.
//!
//! It changes nothing; the questions are the worker's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use model::admin::ReleaseSeen;
use model::{AppName, Counters, Fault, InstanceId, Kind, ReleaseId, Routes};

use super::app_file::ONWARD;
use super::count::{Counts, answered};
use super::discovered::{self, Discovery, Names};
use super::files::AppFiles;
use super::line::Address;
use super::record::Slot;
use super::seen::{Condition, Seen, Server};
use super::table::{Row, Table};
use super::worker::{Answers, Worker, workers};
use crate::router::consul::Entry;
use crate::router::driver::Open;
use crate::words::clean;

/// Bits of `srv_admin_state` that mean maintenance, whatever asked for it. 0x40 does not: a name was
/// found by DNS.
const MAINT: u64 = 0x01 | 0x02 | 0x04 | 0x20;
/// Bits of `srv_admin_state` that mean draining.
const DRAIN: u64 = 0x08 | 0x10;
/// Values of `srv_op_state` of a server that gets nothing new: stopped, and stopping.
const DOWN: [u64; 2] = [0, 3];

/// How often a look is tried before its answer is called none, and the pause between: half a second in all, since on a
/// busy machine a master names a worker for a while that it cannot reach yet, or any more.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

/// One look at everything.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pid: u32,
    pub(super) map: PathBuf,
    pub(super) seen: Seen,
    pub(super) open: BTreeMap<ReleaseId, Open>,
    pub(super) instances: BTreeMap<InstanceId, Open>,
    pub(super) totals: BTreeMap<ReleaseId, ReleaseSeen>,
    pub(super) counters: BTreeMap<String, ReleaseSeen>,
    pub(super) answered: Counters,
    /// The present worker, then those that end.
    pub(super) workers: Vec<Worker>,
    /// Tunnels and requests are counted apart.
    pub(super) apart: bool,
    /// A master was asked: no worker is unknown.
    pub(super) by_master: bool,
    /// What servers are called that HAProxy has found by itself.
    pub(super) names: Names,
}

/// Looks at one app in all workers. An answer that is none may be that of a worker which a reload is
/// just replacing, so it is asked for again.
pub(super) async fn look(
    address: &Address,
    app: &AppName,
    discovery: Option<&Discovery>,
) -> Result<Found, Fault> {
    // Before HAProxy: what it has and Consul has no more is then seen as such.
    let entries = match discovery {
        Some(discovery) => Some((discovery, discovery.consul.entries(app).await?)),
        None => None,
    };
    patiently(|| once(address, app, entries.as_ref())).await
}

/// Asks again for a moment when an answer is none.
pub(super) async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    for _ in 1..TRIES {
        match ask().await {
            Err(fault) if fault.kind == Kind::Internal => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    ask().await
}

async fn once(
    address: &Address,
    app: &AppName,
    discovered: Option<&(&Discovery, Vec<Entry>)>,
) -> Result<Found, Fault> {
    let workers = workers(address).await?;
    let present = workers.first().ok_or_else(|| address.odd(""))?;
    let mut answers = present.answers(app).await?;
    let mut names = Names::new();
    let placed = |worker: u32, stat: Table| match discovered {
        Some((discovery, entries)) => discovery.places.stat(app, worker, stat, entries),
        None => stat,
    };
    if let Some((discovery, entries)) = discovered {
        let ending = workers.iter().filter_map(Worker::of_master);
        discovery.places.forget(&ending.chain([answers.pid]).collect());
        (answers.state, names) = discovered::state(app, answers.state, entries);
        answers.stat = placed(answers.pid, answers.stat);
    }
    let mut counts = Counts::default();
    counts.add(app, answers.pid, &answers.record, &answers.stat);
    let answered = answered(app, answers.pid, &answers.record, &answers.stat);
    let mut reached = vec![present.clone()];
    for old in &workers[1..] {
        // One that cannot be asked any more has ended.
        let Ok(stat) = old.stat().await else { continue };
        let worker = old.of_master().unwrap_or_default();
        counts.add(app, worker, &answers.record, &placed(worker, stat));
        reached.push(old.clone());
    }
    let mut servers = servers(app, &answers, (&counts, discovered.is_some()));
    if let Some((discovery, entries)) = discovered {
        let saved = discovered::saved(app, &AppFiles::beside(&answers.map, app).state(), entries);
        let is_saved = |slot: Slot, id: &InstanceId| {
            let mut backends = slot.backends(app, answers.apart).into_iter();
            backends.all(|backend| saved.contains(&(backend, id.clone())))
        };
        servers = discovered::judge(&servers, entries, (&answers.record, is_saved), |slot, id| {
            let open = counts.by_server.get(&(slot, id.0.clone())).copied().unwrap_or_default();
            open.requests + open.tunnels
        });
        discovery.places.hurry(app, &mut servers, discovery.consul.followed_within());
    }
    let Answers { pid, map, record, edited, looks_at, apart, .. } = answers;
    let seen = Seen { app: app.clone(), record, edited, looks_at, servers };
    let mut instances: BTreeMap<InstanceId, Open> = BTreeMap::new();
    for ((_, name), of_server) in counts.by_server.iter().filter(|((_, name), _)| name != ONWARD) {
        let open = instances.entry(InstanceId(name.clone())).or_default();
        open.requests += of_server.requests;
        open.tunnels += of_server.tunnels;
    }
    let Counts { open, totals, counters, .. } = counts;
    let by_master = reached[0].of_master().is_some();
    let workers = reached;
    Ok(Found {
        pid,
        map,
        seen,
        open,
        instances,
        totals,
        counters,
        answered,
        workers,
        apart,
        by_master,
        names,
    })
}

/// The routes as they are carried: those that the entries of the map mean, with the instances that get
/// requests. A pool whose servers are all down has none.
pub(super) fn routes(seen: &Seen) -> Option<Routes> {
    let (routes, slots) = seen.obeyed();
    let mut routes = routes?.clone();
    for (slot, pool) in slots.iter().zip(&mut routes.pools) {
        pool.instances.retain(|one| seen.carries(*slot, &one.id, one.address));
    }
    Some(routes)
}

fn servers(app: &AppName, answers: &Answers, (counts, discovered): (&Counts, bool)) -> Vec<Server> {
    let mut servers = Vec::new();
    for slot in Slot::BOTH {
        let plain = slot.backend(app);
        // Where tunnels are not apart, one server does both.
        let tunnels = if answers.apart { slot.tunnels(app) } else { plain.clone() };
        let of = |backend: &str| {
            let rows = answers.state.rows().filter(|row| row.get("be_name") == backend);
            rows.map(|row| (row.get("srv_name"), row)).collect::<BTreeMap<_, _>>()
        };
        let (plain_rows, tunnel_rows) = (of(&plain), of(&tunnels));
        let both = plain_rows.keys().chain(tunnel_rows.keys()).copied();
        let names: BTreeSet<&str> = both.filter(|name| *name != ONWARD).collect();
        for name in names {
            let pair = plain_rows.get(name).zip(tunnel_rows.get(name));
            let condition = pair.map_or(Condition::Half, |(one, other)| {
                let checked = |backend: &str| check(&answers.stat, backend, name);
                let of = |row, backend| condition(row, checked(backend), discovered);
                of(*one, &plain).min_with(of(*other, &tunnels))
            });
            let open = counts.by_server.get(&(slot, name.to_owned())).copied().unwrap_or_default();
            let address = pair.and_then(|(one, other)| {
                address(*one).filter(|found| address(*other) == Some(*found))
            });
            // Two that do not agree are as good as one.
            let condition = if address.is_some() { condition } else { Condition::Half };
            servers.push(Server {
                slot,
                id: InstanceId(name.to_owned()),
                address,
                condition,
                open: open.requests + open.tunnels,
            });
        }
    }
    servers
}

fn address(row: Row<'_>) -> Option<std::net::SocketAddr> {
    let ip = row.get("srv_addr").parse().ok()?;
    Some(std::net::SocketAddr::new(ip, row.get("srv_port").parse().ok()?))
}

/// What the last check of a server said: status and text.
fn check(stat: &Table, backend: &str, name: &str) -> (String, String) {
    let own = |row: &Row<'_>| row.get("pxname") == backend && row.get("svname") == name;
    let row = stat.rows().find(own);
    let cell = |column| row.map_or("", |row| row.get(column)).to_owned();
    (cell("check_status"), cell("last_chk"))
}

/// One that HAProxy has `discovered` is put to work before its first check.
fn condition(row: Row<'_>, (status, said): (String, String), discovered: bool) -> Condition {
    let admin = row.number("srv_admin_state");
    if admin & MAINT != 0 {
        return Condition::Maint;
    }
    // A star marks a check that is under way; what stands behind it is the one before.
    let status = status.trim_start_matches(['*', ' ']);
    let unchecked = matches!(status, "" | "INI" | "UNK");
    if admin & DRAIN == 0 && !(discovered && unchecked) {
        return in_use(row, &format!("{status} {said}"));
    }
    match status {
        _ if unchecked => Condition::Unchecked,
        "L4OK" | "L6OK" | "L7OK" | "L7OKC" => Condition::Passing,
        bad => Condition::Failing(clean(format!("{bad} {said}").as_bytes(), 100)),
    }
}

/// One that was put to work: whether HAProxy gives it anything.
fn in_use(row: Row<'_>, said: &str) -> Condition {
    if DOWN.contains(&row.number("srv_op_state")) {
        return Condition::Down(clean(said.as_bytes(), 100));
    }
    match (row.number("srv_uweight"), row.number("srv_iweight")) {
        (0, 0) => Condition::Down("its configuration gives it `weight 0`".to_owned()),
        (0, _) => Condition::Weightless,
        _ => Condition::Ready,
    }
}

impl Condition {
    /// That of an instance whose two servers stand thus: the worse one.
    fn min_with(self, other: Self) -> Self {
        let rank = |condition: &Self| match condition {
            Self::Half => 0,
            Self::Maint => 1,
            Self::Parting | Self::Overdue => 2,
            Self::Unfollowed => 3,
            Self::Unchecked => 4,
            Self::Failing(_) => 5,
            Self::Down(_) => 6,
            Self::Weightless => 7,
            Self::Passing => 8,
            Self::Ready => 9,
        };
        if rank(&other) < rank(&self) { other } else { self }
    }
}
