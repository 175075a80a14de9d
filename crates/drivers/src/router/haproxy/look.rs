//! Asks HAProxy what is there: map, servers, counters, over all workers that live.
//!
//! It changes nothing. What is missing is a fault that names it, and the nearest thing there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use model::admin::ReleaseSeen;
use model::{AppName, Fault, InstanceId, Kind, ReleaseId, Routes};

use super::line::Address;
use super::record::{Record, Slot};
use super::seen::{Condition, Seen, Server};
use super::table::{self, Row, Table};
use crate::router::driver::Open;
use crate::words::clean;

/// Bits of `srv_admin_state` that mean maintenance, whatever asked for it.
const MAINT: u64 = 0x01 | 0x02 | 0x04 | 0x20 | 0x40;
/// Bits of `srv_admin_state` that mean draining.
const DRAIN: u64 = 0x08 | 0x10;

/// A process that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) address: Address,
    /// `@!PID ` on a master's socket, nothing on the socket of a worker itself.
    prefix: String,
}

/// All that is asked of one worker.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) pid: u32,
    pub(super) map: PathBuf,
    record: Record,
    state: Table,
    stat: Table,
}

/// One look at everything.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pid: u32,
    pub(super) map: PathBuf,
    pub(super) seen: Seen,
    pub(super) open: BTreeMap<ReleaseId, Open>,
    pub(super) totals: BTreeMap<ReleaseId, ReleaseSeen>,
    /// The present worker, then those that end.
    pub(super) workers: Vec<Worker>,
}

impl Worker {
    /// Asks this process; commands are joined by `;`.
    pub(super) async fn ask(&self, commands: &[String]) -> Result<String, Fault> {
        let prefixed: Vec<String> =
            commands.iter().map(|command| format!("{}{command}", self.prefix)).collect();
        self.address.ask(&prefixed.join(";")).await
    }

    async fn read(&self, command: &str) -> Result<String, Fault> {
        let answer = self.ask(&[command.to_owned()]).await?;
        // Every whole answer ends with an empty line.
        if answer == "\n" || answer.ends_with("\n\n") {
            return Ok(answer);
        }
        Err(self.address.odd(&answer))
    }

    /// Pid of the process, from its own mouth.
    pub(super) async fn pid(&self) -> Result<u32, Fault> {
        let info = self.read("show info").await?;
        let pid = table::info(&info).get("Pid").and_then(|pid| pid.parse().ok());
        pid.ok_or_else(|| self.address.odd(&info))
    }

    /// File of the app's map, as HAProxy calls it.
    pub(super) async fn map(&self, app: &AppName) -> Result<PathBuf, Fault> {
        let answer = self.read("show map").await?;
        let files = table::map_files(&answer).ok_or_else(|| self.address.odd(&answer))?;
        let name = format!("cutover-{app}.map");
        let own = |file: &&String| file.rsplit('/').next() == Some(name.as_str());
        match files.iter().find(own) {
            Some(file) => Ok(PathBuf::from(file)),
            None => Err(self.missing("map", &name, files.iter().map(String::as_str))),
        }
    }

    pub(super) async fn record(&self, app: &AppName) -> Result<(PathBuf, Record), Fault> {
        let map = self.map(app).await?;
        let answer = self.read(&format!("show map {}", map.display())).await?;
        let entries = table::entries(&answer).ok_or_else(|| self.address.odd(&answer))?;
        let record = Record::read(app, &entries).map_err(|entry| {
            let entry = clean(entry.as_bytes(), 80);
            let what = format!("the HAProxy map `{}` has an odd entry: `{entry}`", map.display());
            Fault::environment(what)
                .help(format!("empty the file, then `clear map {}` or reload", map.display()))
        })?;
        Ok((map, record))
    }

    pub(super) async fn answers(&self, app: &AppName) -> Result<Answers, Fault> {
        let pid = self.pid().await?;
        let (map, record) = self.record(app).await?;
        let state = self.read("show servers state").await?;
        let state = Table::state(&state).ok_or_else(|| self.address.odd(&state))?;
        let stat = self.stat().await?;
        for name in backends(app) {
            let backend = |row: &Row<'_>| row.get("svname") == "BACKEND";
            let there: Vec<_> = stat.rows().filter(backend).map(|row| row.get("pxname")).collect();
            if !there.contains(&name.as_str()) {
                return Err(self.missing("backend", &name, there.into_iter()));
            }
        }
        Ok(Answers { pid, map, record, state, stat })
    }

    async fn stat(&self) -> Result<Table, Fault> {
        let answer = self.read("show stat").await?;
        let table = Table::stat(&answer).ok_or_else(|| self.address.odd(&answer))?;
        let named = ["pxname", "svname", "scur", "stot", "check_status"];
        let whole = table.rows().next().is_some_and(|row| named.iter().all(|name| row.has(name)));
        if whole { Ok(table) } else { Err(self.address.odd(&answer)) }
    }

    fn missing<'a>(&self, sort: &str, name: &str, there: impl Iterator<Item = &'a str>) -> Fault {
        let what = format!("HAProxy at `{}` has no {sort} `{name}`", self.address);
        let mut near: Vec<&str> = there.collect();
        near.sort_by_key(|other| (std::cmp::Reverse(alike(name, other)), *other));
        near.dedup();
        near.truncate(3);
        let fault = Fault::new(Kind::Config, what)
            .help("add the app to what `cutover haproxy config` writes, and reload HAProxy");
        if near.is_empty() {
            return fault.note(format!("it has no {sort} at all"));
        }
        fault.note(format!("nearest: {}", clean(near.join(", ").as_bytes(), 200)))
    }
}

/// The workers behind an address: the present one first, then those that end after a reload, which
/// only a master knows.
pub(super) async fn workers(address: &Address) -> Result<Vec<Worker>, Fault> {
    let answer = address.ask("show proc").await?;
    let worker = |prefix| Worker { address: address.clone(), prefix };
    match table::workers(&answer) {
        Some(pids) => Ok(pids.into_iter().map(|pid| worker(format!("@!{pid} "))).collect()),
        None => Ok(vec![worker(String::new())]),
    }
}

/// Looks at one app in all workers.
pub(super) async fn look(address: &Address, app: &AppName) -> Result<Found, Fault> {
    let workers = workers(address).await?;
    let present = workers.first().ok_or_else(|| address.odd(""))?;
    let answers = present.answers(app).await?;
    let mut counts = Counts::default();
    counts.add(app, &answers.record, &answers.stat);
    let mut reached = vec![present.clone()];
    for old in &workers[1..] {
        // One that cannot be asked any more has ended.
        let Ok(stat) = old.stat().await else { continue };
        counts.add(app, &answers.record, &stat);
        reached.push(old.clone());
    }
    let servers = servers(app, &answers, &counts);
    let seen = Seen { app: app.clone(), record: answers.record, servers };
    let Counts { open, totals, .. } = counts;
    Ok(Found { pid: answers.pid, map: answers.map, seen, open, totals, workers: reached })
}

/// The routes as they are carried: those of the record, with the instances that get requests.
pub(super) fn routes(seen: &Seen) -> Option<Routes> {
    let mut routes = seen.record.routes.clone()?;
    for (slot, pool) in seen.record.slots.iter().zip(&mut routes.pools) {
        pool.instances.retain(|one| seen.carries(*slot, &one.id, one.address));
    }
    Some(routes)
}

/// Names of the four backends of an app.
pub(super) fn backends(app: &AppName) -> [String; 4] {
    let [a, b] = Slot::BOTH;
    [a.backend(app), a.tunnels(app), b.backend(app), b.tunnels(app)]
}

/// Counters summed over workers.
#[derive(Debug, Default)]
struct Counts {
    open: BTreeMap<ReleaseId, Open>,
    totals: BTreeMap<ReleaseId, ReleaseSeen>,
    by_server: BTreeMap<(Slot, String), u64>,
}

impl Counts {
    fn add(&mut self, app: &AppName, record: &Record, stat: &Table) {
        for (_, pool) in record.pools() {
            self.open.entry(pool.release).or_default();
        }
        for slot in Slot::BOTH {
            for (backend, tunnels) in [(slot.backend(app), false), (slot.tunnels(app), true)] {
                for row in stat.rows().filter(|row| row.get("pxname") == backend) {
                    self.row(record, slot, tunnels, row);
                }
            }
        }
    }

    fn row(&mut self, record: &Record, slot: Slot, tunnels: bool, row: Row<'_>) {
        let name = row.get("svname");
        if matches!(name, "BACKEND" | "FRONTEND") {
            return;
        }
        // `scur` counts streams: an idle connection, to a client or to a server, is none.
        let now = row.number("scur");
        *self.by_server.entry((slot, name.to_owned())).or_default() += now;
        let Some(release) = record.release_of(slot, name) else { return };
        let open = self.open.entry(release).or_default();
        let total = self.totals.entry(release).or_default();
        total.release = release;
        if tunnels {
            open.tunnels += now;
            total.tunnels += row.number("stot");
        } else {
            open.requests += now;
            total.requests += row.number("stot");
        }
        let columns = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx"];
        for (answers, column) in total.answers.iter_mut().zip(columns) {
            *answers += row.number(column);
        }
        total.replayed += row.number("wredis");
        total.failed += row.number("econ") + row.number("eresp");
    }
}

fn servers(app: &AppName, answers: &Answers, counts: &Counts) -> Vec<Server> {
    let mut servers = Vec::new();
    for slot in Slot::BOTH {
        let [plain, tunnels] = [slot.backend(app), slot.tunnels(app)];
        let of = |backend: &str| {
            let rows = answers.state.rows().filter(|row| row.get("be_name") == backend);
            rows.map(|row| (row.get("srv_name"), row)).collect::<BTreeMap<_, _>>()
        };
        let (plain_rows, tunnel_rows) = (of(&plain), of(&tunnels));
        let names: BTreeSet<&str> = plain_rows.keys().chain(tunnel_rows.keys()).copied().collect();
        for name in names {
            let pair = plain_rows.get(name).zip(tunnel_rows.get(name));
            let condition = pair.map_or(Condition::Half, |(one, other)| {
                let checked = |backend: &str| check(&answers.stat, backend, name);
                condition(*one, checked(&plain)).min_with(condition(*other, checked(&tunnels)))
            });
            let open = counts.by_server.get(&(slot, name.to_owned())).copied().unwrap_or_default();
            let address = pair.and_then(|(one, other)| {
                address(*one).filter(|found| address(*other) == Some(*found))
            });
            servers.push(Server { slot, id: InstanceId(name.to_owned()), address, condition, open });
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

fn condition(row: Row<'_>, (status, said): (String, String)) -> Condition {
    let admin = row.number("srv_admin_state");
    if admin & MAINT != 0 {
        return Condition::Maint;
    }
    if admin & DRAIN == 0 {
        return Condition::Ready;
    }
    // A star marks a check that is under way; what stands behind it is the one before.
    match status.trim_start_matches(['*', ' ']) {
        "" | "INI" | "UNK" => Condition::Unchecked,
        "L4OK" | "L6OK" | "L7OK" | "L7OKC" => Condition::Passing,
        bad => Condition::Failing(clean(format!("{bad} {said}").as_bytes(), 100)),
    }
}

impl Condition {
    /// That of an instance whose two servers stand thus: the worse one.
    fn min_with(self, other: Self) -> Self {
        let rank = |condition: &Self| match condition {
            Self::Half => 0,
            Self::Maint => 1,
            Self::Unchecked => 2,
            Self::Failing(_) => 3,
            Self::Passing => 4,
            Self::Ready => 5,
        };
        if rank(&other) < rank(&self) { other } else { self }
    }
}

/// How many pairs of neighbouring letters two names share.
fn alike(one: &str, other: &str) -> usize {
    let pairs = |text: &str| -> BTreeSet<(char, char)> {
        text.chars().zip(text.chars().skip(1)).collect()
    };
    pairs(one).intersection(&pairs(other)).count()
}
