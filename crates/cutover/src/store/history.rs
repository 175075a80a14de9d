//! Rollouts that are over, or under way, newest first: for people, and for whoever removes what is old.
//!
//! Reads only. A database can be opened for this alone, also while a server writes to it.

use std::path::Path;

use model::{AppName, Fault, Kind, Outcome};
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::Deserialize;

use super::{Store, broken, from_json};

/// One rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    /// Its id.
    pub(crate) run: String,
    /// Its app.
    pub(crate) app: String,
    /// Version that users were on, if any.
    pub(crate) from: Option<String>,
    /// Version that was shipped.
    pub(crate) to: String,
    /// What the apps are called that it went together with.
    pub(crate) together: Option<String>,
    /// How it ended; `None` while it is under way.
    pub(crate) outcome: Option<Outcome>,
    /// Wall clock at its begin, ms since 1970.
    pub(crate) began_unix_ms: u64,
    /// From its begin until the last thing that is known of it, ms.
    pub(crate) took_ms: u64,
}

/// The part of a machine's start that tells versions; what else stands there may be of another version.
#[derive(Deserialize)]
struct Versions {
    stable: Option<Named>,
    candidate: Named,
    #[serde(default)]
    settings: Joined,
}

#[derive(Default, Deserialize)]
struct Joined {
    #[serde(default)]
    together: Option<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
}

#[derive(Deserialize)]
struct Named {
    version: String,
}

const PAST: &str = "SELECT run, app, start, outcome, began_unix_ms,
    COALESCE((SELECT at_ms FROM event WHERE rollout = id ORDER BY seq DESC LIMIT 1), 0)
    FROM rollout WHERE ?1 IS NULL OR app = ?1 ORDER BY id DESC LIMIT ?2";

impl Store {
    /// Opens the database of a state directory to read it; nothing is created or brought up to date.
    pub(crate) fn open_to_read(directory: &Path) -> Result<Self, Fault> {
        let path = directory.join("cutover.db");
        if !path.exists() {
            let what = format!("{} holds no state of a server", directory.display());
            return Err(Fault::new(Kind::Usage, what)
                .help("start one with `cutover up`, or name its file with --config"));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            Ok(connection)
        });
        let connection = opened.map_err(|e| broken(&path.display().to_string(), &e))?;
        Ok(Self { connection: std::sync::Mutex::new(connection), directory: directory.to_owned() })
    }

    /// The newest rollouts of an app, or of all.
    pub(crate) fn past(&self, app: Option<&AppName>, limit: u32) -> Result<Vec<Past>, Fault> {
        let connection = self.lock();
        let mut statement = connection.prepare(PAST).map_err(|e| broken("its history", &e))?;
        let rows = statement
            .query_map(params![app.map(AppName::as_str), limit], raw)
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(|e| broken("its history", &e))?;
        rows.into_iter().map(read).collect()
    }

    /// Rollouts of an app that are over and older than the newest `keep`.
    pub(crate) fn older(&self, app: &AppName, keep: u32) -> Result<Vec<String>, Fault> {
        let sql = "SELECT run FROM (SELECT id, run, outcome FROM rollout WHERE app = ?1
            ORDER BY id DESC LIMIT -1 OFFSET ?2) WHERE outcome IS NOT NULL";
        let connection = self.lock();
        let mut statement = connection.prepare(sql).map_err(|e| broken("its history", &e))?;
        statement
            .query_map(params![app.as_str(), keep], |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(|e| broken("its history", &e))
    }

    /// The versions of all releases of an app, by their numbers.
    pub(crate) fn versions(&self, app: &AppName) -> Result<Vec<(u32, String)>, Fault> {
        let sql =
            "SELECT id, json_extract(spec, '$.version') FROM release WHERE app = ?1 ORDER BY id";
        let connection = self.lock();
        let mut statement = connection.prepare(sql).map_err(|e| broken("its releases", &e))?;
        statement
            .query_map(params![app.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(|e| broken("its releases", &e))
    }
}

/// A row before its JSON has been read.
type Raw = (String, String, String, Option<String>, u64, u64);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn read((run, app, start, outcome, began_unix_ms, took_ms): Raw) -> Result<Past, Fault> {
    let versions: Versions = from_json(&format!("run {run}"), &start)?;
    let outcome =
        outcome.map(|text| from_json("an outcome", &format!("\"{text}\""))).transpose()?;
    let from = versions.stable.map(|named| named.version);
    let (to, together) = (versions.candidate.version, versions.settings.together);
    let together = together.map(|group| group.name);
    Ok(Past { run, app, from, to, together, outcome, began_unix_ms, took_ms })
}
