//! Watches the journal of a running `up` from outside and names the kind of each record of one app as it appears.
//!
//! Reads only: nothing in the product knows of it. What differs from one rollout to the next (ids,
//! versions, ports, pids) is put as "old" and "new", so that the same record has the same name again.

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde_json::Value;

use crate::world::World;

/// The journal of an app, from the end that it had when this began.
pub(crate) struct Watch {
    database: Connection,
    app: &'static str,
    /// Changes when anybody has written.
    version: i64,
    /// Releases and committed routes, when last looked at.
    beside: (i64, Option<String>),
    /// The newest rollout, when last looked at.
    last_rollout: i64,
    rollout: Option<Followed>,
}

/// The rollout under way.
struct Followed {
    id: i64,
    start: Value,
    /// The last row of its journal that was read, and the row of the machine that was kept last.
    seq: i64,
    frozen: i64,
    /// Its public id and its outcome, once it is over.
    over: Option<(String, String)>,
}

impl Watch {
    pub(crate) fn of(world: &World, app: &'static str) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = world.state().join("cutover.db");
        let database = Connection::open_with_flags(path, flags).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        let sql = "SELECT COALESCE(MAX(id), 0) FROM rollout";
        let last_rollout = database.query_row(sql, [], |row| row.get(0)).unwrap();
        let (version, beside, rollout) = (0, (0, None), None);
        let mut watch = Self { database, app, version, beside, last_rollout, rollout };
        watch.beside = watch.look_beside();
        watch
    }

    /// The kinds of the records that have come since the last look, in their order.
    pub(crate) fn new_records(&mut self) -> Vec<String> {
        let version = self.database.pragma_query_value(None, "data_version", |row| row.get(0));
        let version = version.unwrap();
        if version == self.version {
            return Vec::new();
        }
        self.version = version;
        let mut kinds = Vec::new();
        let beside = self.look_beside();
        if beside.0 != self.beside.0 {
            kinds.push("a release".to_owned());
        }
        kinds.extend(self.begun());
        if beside.1 != self.beside.1 {
            kinds.push("the routes".to_owned());
        }
        self.beside = beside;
        if let Some(rollout) = &mut self.rollout {
            kinds.extend(rollout.rows(&self.database));
            kinds.extend(rollout.kept(&self.database));
            kinds.extend(rollout.ended(&self.database));
        }
        kinds
    }

    /// The run that was followed and its outcome, once it is over.
    pub(crate) fn over(&self) -> Option<&(String, String)> {
        self.rollout.as_ref()?.over.as_ref()
    }

    fn look_beside(&self) -> (i64, Option<String>) {
        let releases = "SELECT COUNT(*) FROM release WHERE app = ?1";
        let releases = self.database.query_row(releases, [self.app], |row| row.get(0));
        let routes = "SELECT slice FROM routes WHERE app = ?1";
        let routes = self.database.query_row(routes, [self.app], |row| row.get(0)).optional();
        (releases.unwrap(), routes.unwrap())
    }

    fn begun(&mut self) -> Option<String> {
        let sql = "SELECT id, start FROM rollout WHERE id > ?1 AND app = ?2 ORDER BY id LIMIT 1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
        let of = params![self.last_rollout, self.app];
        let found = self.database.query_row(sql, of, row).optional();
        let (id, start) = found.unwrap()?;
        self.last_rollout = id;
        let start = serde_json::from_str(&start).unwrap();
        self.rollout = Some(Followed { id, start, seq: 0, frozen: -1, over: None });
        Some("a rollout".to_owned())
    }
}

impl Followed {
    fn rows(&mut self, database: &Connection) -> Vec<String> {
        let sql = "SELECT seq, kind, body FROM event WHERE rollout = ?1 AND seq > ?2 ORDER BY seq";
        let mut statement = database.prepare_cached(sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows = statement.query_map(params![self.id, self.seq], read).unwrap();
        let rows: Vec<(i64, String, String)> = rows.map(Result::unwrap).collect();
        self.seq = rows.last().map_or(self.seq, |row| row.0);
        let name = |(_, kind, body): &(i64, String, String)| match kind.as_str() {
            "event" => self.event(&serde_json::from_str(body).unwrap()),
            "intent" | "done" => format!("{kind}: {}", self.words(body)),
            // Such as what is kept: its body is for the program.
            kind => kind.to_owned(),
        };
        rows.iter().map(name).collect()
    }

    fn kept(&mut self, database: &Connection) -> Option<String> {
        let sql = "SELECT seq FROM frozen WHERE rollout = ?1";
        let seq = database.query_row(sql, [self.id], |row| row.get(0)).optional().unwrap()?;
        (std::mem::replace(&mut self.frozen, seq) != seq).then(|| "the machine".to_owned())
    }

    fn ended(&mut self, database: &Connection) -> Option<String> {
        if self.over.is_some() {
            return None;
        }
        let sql = "SELECT run, outcome FROM rollout WHERE id = ?1 AND outcome IS NOT NULL";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
        let (run, outcome) = database.query_row(sql, [self.id], read).optional().unwrap()?;
        self.over = Some((run, outcome.clone()));
        Some(format!("the end: {outcome}"))
    }

    /// An event by what it is, of which side, and what it says in coarse words.
    fn event(&self, event: &Value) -> String {
        let name = event["event"].as_str().unwrap();
        let side = self.side(&event["release"]);
        let some = |key: &str| event[key].as_u64() > Some(0);
        let open = if some("requests") || some("tunnels") { "open" } else { "nothing open" };
        match name {
            "fleet" => format!("{name} {side} {}", self.fleet(&event["seen"])),
            "routes_settled" => {
                let pools = event["pools"].as_array().unwrap().iter();
                let pool = |pool: &Value| {
                    let (weight, state) = (&pool["weight"], pool["state"].as_str().unwrap());
                    format!(" {} {weight} {state}", self.side(&pool["release"]))
                };
                format!("{name}{}", pools.map(pool).collect::<String>())
            }
            "open" | "leaving" => format!("{name} {side} {open}"),
            "movable" => format!("{name} {}", if some("sockets") { "some" } else { "none" }),
            _ => name.to_owned(),
        }
    }

    fn fleet(&self, seen: &Value) -> &'static str {
        let number = |key: &str| seen[key].as_u64().unwrap();
        match (number("existing"), number("ready")) {
            (0, _) => "gone",
            (_, 0) => "not ready",
            (_, ready) if ready < self.start["instances"].as_u64().unwrap() => "partly ready",
            _ => "ready",
        }
    }

    fn side(&self, release: &Value) -> &'static str {
        let is = |side: &str| !release.is_null() && self.start[side]["id"] == *release;
        match (is("stable"), is("candidate")) {
            (true, _) => "old",
            (_, true) => "new",
            _ => "other",
        }
    }

    /// What a driver says of a change, without numbers that differ from run to run.
    fn words(&self, text: &str) -> String {
        if text.starts_with("failed: ") {
            return "failed".to_owned();
        }
        let mut before = "";
        let mut words = Vec::new();
        for word in text.split(' ') {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            if bare.is_empty() {
                continue;
            }
            let number = ["port", "generation", "pid"].contains(&before.trim_start_matches('('));
            let span = before == "in" && bare.starts_with(|c: char| c.is_ascii_digit());
            let plain = match bare {
                _ if number || span => "N",
                "ms" | "s" => "s",
                _ if before == "release" => self.side(&bare.parse::<u64>().unwrap_or(0).into()),
                _ => self.named(bare),
            };
            words.push(word.replace(bare, plain));
            before = word;
        }
        words.join(" ")
    }

    /// An instance or a version by its side; anything else as it is.
    fn named<'a>(&self, word: &'a str) -> &'a str {
        let of = |side: &str| self.start[side]["version"] == word;
        let app = self.start["app"].as_str().unwrap();
        let rest = word.strip_prefix(app).and_then(|rest| rest.strip_prefix('-'));
        let release = rest.and_then(|rest| rest.split_once('-')?.0.parse::<u64>().ok());
        match release {
            Some(release) => self.side(&release.into()),
            None if of("stable") => "old",
            None if of("candidate") => "new",
            None => word,
        }
    }
}
