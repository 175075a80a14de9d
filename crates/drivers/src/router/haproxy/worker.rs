//! A process of HAProxy that can be asked, and the questions of a look.
//!
//! It changes nothing and puts nothing together. What is missing is a fault that names it, and the
//! nearest thing there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::{AppName, Fault, Kind, Selector};

use super::files::AppFiles;
use super::line::Address;
use super::live::{self, Edited, Entry};
use super::record::{Record, Slot};
use super::rules;
use super::table::{self, Row, Table};
use crate::router::finding::Finding;
use crate::words::clean;

/// Answers of commands that went well.
pub(super) const WELL: [&str; 4] = ["", "New server registered.", "Server deleted.", "Success=1"];

/// A process that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) address: Address,
    /// Its pid when it is reached through its master; `None` on the socket of a worker itself.
    of_master: Option<u32>,
}

/// All that is asked of one worker.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) pid: u32,
    pub(super) map: PathBuf,
    pub(super) record: Record,
    pub(super) edited: Option<Edited>,
    pub(super) looks_at: Vec<Selector>,
    pub(super) state: Table,
    pub(super) stat: Table,
    /// Upgrades have backends of their own, so tunnels and requests are counted apart.
    pub(super) apart: bool,
}

impl Worker {
    /// Asks this process; commands are joined by `;`.
    pub(super) async fn ask(&self, commands: &[String]) -> Result<String, Fault> {
        let prefix = self.of_master.map_or(String::new(), |pid| format!("@!{pid} "));
        let prefixed: Vec<String> =
            commands.iter().map(|command| format!("{prefix}{command}")).collect();
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

    /// Its version, as it says it.
    pub(super) async fn version(&self) -> Result<String, Fault> {
        let info = self.read("show info").await?;
        let version = table::info(&info).get("Version").map(|version| (*version).to_owned());
        version.ok_or_else(|| self.address.odd(&info))
    }

    /// True when it is of this version or a newer one.
    pub(super) async fn at_least(&self, oldest: (u32, u32)) -> Result<bool, Fault> {
        let version = self.version().await?;
        Ok(numbers(&version) >= oldest)
    }

    /// Its pid when it is reached through its master.
    pub(super) const fn of_master(&self) -> Option<u32> {
        self.of_master
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

    /// The entries that the map of an app has now.
    pub(super) async fn entries(&self, map: &Path) -> Result<Vec<Entry>, Fault> {
        let answer = self.read(&format!("show map {}", map.display())).await?;
        table::entries(&answer).ok_or_else(|| self.address.odd(&answer))
    }

    /// What was published of an app, and what its map says instead if somebody has changed it.
    async fn published(
        &self,
        app: &AppName,
        map: &Path,
    ) -> Result<(Record, Option<Edited>), Fault> {
        let entries = self.entries(map).await?;
        let kept = || AppFiles::beside(map, app).entries();
        live::compare(app, &entries, kept).map_err(|entry| {
            let entry = clean(entry.as_bytes(), 80);
            let what = format!("the HAProxy map `{}` has an odd entry: `{entry}`", map.display());
            Fault::environment(what)
                .help(format!("empty the file, then `clear map {}` or reload", map.display()))
        })
    }

    /// All that a look at one app needs.
    pub(super) async fn answers(&self, app: &AppName) -> Result<Answers, Fault> {
        let pid = self.pid().await?;
        let map = self.map(app).await?;
        let (record, edited) = self.published(app, &map).await?;
        let looks_at = self.looks_at(app).await?;
        let state = self.servers_state().await?;
        let table = Table::state(&state).filter(|table| {
            let named =
                ["srv_addr", "srv_admin_state", "srv_op_state", "srv_uweight", "srv_iweight"];
            table.rows().next().is_none_or(|row| named.iter().all(|name| row.has(name)))
        });
        let state = table.ok_or_else(|| self.address.odd(&state))?;
        let stat = self.stat().await?;
        let backend = |row: &Row<'_>| row.get("svname") == "BACKEND";
        let there: Vec<_> = stat.rows().filter(backend).map(|row| row.get("pxname")).collect();
        let has = |name: &String| there.contains(&name.as_str());
        let apart = Slot::BOTH.iter().any(|slot| has(&slot.tunnels(app)));
        if let Some(name) = backends(app, apart).iter().find(|name| !has(name)) {
            return Err(self.missing("backend", name, there.into_iter()));
        }
        Ok(Answers { pid, map, record, edited, looks_at, state, stat, apart })
    }

    /// What of an app's requests the configuration of this process looks at.
    pub(super) async fn looks_at(&self, app: &AppName) -> Result<Vec<Selector>, Fault> {
        // Not `read`: before 3.0 this answer has no empty line at its end.
        let answer = self.ask(&[format!("get var {}", rules::VARIABLE)]).await?;
        rules::announced(&answer, app).ok_or_else(|| self.address.odd(&answer))
    }

    /// Where all servers stand, as a reload would read it.
    pub(super) async fn servers_state(&self) -> Result<String, Fault> {
        self.read("show servers state").await
    }

    /// Counters of everything.
    pub(super) async fn stat(&self) -> Result<Table, Fault> {
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

impl Answers {
    /// What the counters and settings that HAProxy shows say against it.
    pub(super) fn findings(&self, app: &AppName) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.apart {
            let name = Slot::A.tunnels(app);
            let why = "tunnels count as requests, so a drain is timed: it is over when no new request \
                       came for `longest_request`, and one that lasts longer is cut";
            findings.push(finding("use_backend for upgrades", "none", "a backend", &name, why));
        }
        for name in backends(app, self.apart) {
            let own = |row: &Row<'_>| row.get("pxname") == name && row.get("svname") == "BACKEND";
            let Some(row) = self.stat.rows().find(own) else { continue };
            let algo = row.get("algo");
            if !matches!(algo, "leastconn" | "roundrobin" | "random" | "first" | "") {
                let why = "servers cannot be added at run time under another one";
                findings.push(finding("balance", algo, "leastconn", &name, why));
            }
            if !matches!(row.get("mode"), "http" | "") {
                let why = "versions and shares are chosen per request";
                findings.push(finding("mode", row.get("mode"), "http", &name, why));
            }
        }
        findings
    }
}

/// The workers behind an address: the present one first, then those that end after a reload, which
/// only a master knows.
pub(super) async fn workers(address: &Address) -> Result<Vec<Worker>, Fault> {
    let answer = address.ask("show proc").await?;
    let worker = |of_master| Worker { address: address.clone(), of_master };
    match table::workers(&answer) {
        Some(pids) => Ok(pids.into_iter().map(|pid| worker(Some(pid))).collect()),
        None => Ok(vec![worker(None)]),
    }
}

/// Pid of the worker that takes new connections.
pub(super) async fn present_pid(address: &Address) -> Result<u32, Fault> {
    let workers = workers(address).await?;
    workers.first().ok_or_else(|| address.odd(""))?.pid().await
}

/// Names of the backends of an app: two for requests, and two for tunnels if they are apart.
fn backends(app: &AppName, apart: bool) -> Vec<String> {
    Slot::BOTH.iter().flat_map(|slot| slot.backends(app, apart)).collect()
}

fn finding(setting: &str, value: &str, needed: &str, backend: &str, why: &str) -> Finding {
    let setting = format!("{setting} of {backend}");
    Finding::running(&setting, value, needed, why)
}

/// Gives commands whose answers say nothing when they went well.
pub(super) async fn well(worker: &Worker, commands: &[String]) -> Result<(), Fault> {
    let said = worker.ask(commands).await?;
    match said.lines().map(str::trim).find(|line| !WELL.contains(line)) {
        None => Ok(()),
        Some(odd) => Err(refused(worker, commands.first().map_or("", String::as_str), odd)),
    }
}

/// A command that was answered with something else than that it was done.
pub(super) fn refused(worker: &Worker, command: &str, said: &str) -> Fault {
    let (command, said) = (clean(command.as_bytes(), 80), clean(said.as_bytes(), 120));
    Fault::internal(format!("HAProxy at `{}` answered `{said}` to `{command}`", worker.address))
}

/// Major and minor number of a version.
pub(super) fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// How many pairs of neighbouring letters two names share.
fn alike(one: &str, other: &str) -> usize {
    let pairs =
        |text: &str| -> BTreeSet<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    pairs(one).intersection(&pairs(other)).count()
}
