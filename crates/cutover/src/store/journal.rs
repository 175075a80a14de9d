//! The journal: one row per rollout, append-only rows for everything that happened in it.
//!
//! `event` rows are what the rollout machine is told; they are replayed. `intent` and `done` rows frame
//! each change of a driver; they are for people and for the audit, the drivers look at the world instead.
//! What follows from a record is not decided here, but by the machine.

use model::{AppName, Event, Fault, Outcome, ReleaseId, Routes};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{Store, broken, from_json, to_json};

/// What is written when a rollout begins.
#[derive(Debug)]
pub(crate) struct NewRun<'a> {
    /// Public id of the run.
    pub(crate) run: &'a str,
    /// The machine's start.
    pub(crate) start: &'a rollout::Start,
    /// The app's own routes as they were: rollback by value.
    pub(crate) original_routes: Option<&'a Routes>,
    /// Boot in which the monotonic stamp holds.
    pub(crate) boot_id: &'a str,
    /// CLOCK_MONOTONIC at millisecond 0 of the rollout, ns.
    pub(crate) began_mono_ns: u64,
    /// Wall clock at the same instant, ms since 1970.
    pub(crate) began_unix_ms: u64,
    /// Fencing epoch of the controller.
    pub(crate) epoch: u64,
}

/// A rollout as the journal has it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Row number.
    pub(crate) id: i64,
    /// Public id.
    pub(crate) name: String,
    /// The machine's start.
    pub(crate) start: rollout::Start,
    /// Boot in which the monotonic stamp holds.
    pub(crate) boot_id: String,
    /// CLOCK_MONOTONIC at millisecond 0, ns.
    pub(crate) began_mono_ns: u64,
    /// Wall clock at millisecond 0, ms since 1970.
    pub(crate) began_unix_ms: u64,
    /// How it ended; `None` while it runs.
    pub(crate) outcome: Option<Outcome>,
}

/// One row of the journal.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// The machine is told something.
    Event(&'a Event),
    /// A driver is about to change something.
    Intent(&'a str),
    /// It did, or it could not.
    Done(&'a str),
}

const RUN: &str =
    "SELECT id, run, start, boot_id, began_mono_ns, began_unix_ms, outcome FROM rollout";

impl Store {
    /// Begins a rollout; refused by the database itself while another one of the app is open.
    pub(crate) fn begin(&self, new: &NewRun<'_>) -> Result<Run, Fault> {
        let mut runs = self.begin_all(std::slice::from_ref(new))?;
        runs.pop().ok_or_else(|| Fault::internal("a rollout was begun and is not there"))
    }

    /// Begins several rollouts, or none of them.
    pub(crate) fn begin_all(&self, all: &[NewRun<'_>]) -> Result<Vec<Run>, Fault> {
        let rows = all.iter().map(NewRow::of).collect::<Result<Vec<_>, _>>()?;
        let mut connection = self.lock();
        let begin = |connection: &mut Connection| -> rusqlite::Result<Vec<Run>> {
            let transaction = connection.transaction()?;
            let runs = rows.iter().map(|row| row.insert(&transaction)).collect::<Result<_, _>>()?;
            transaction.commit()?;
            Ok(runs)
        };
        begin(&mut connection).map_err(|e| broken("a new rollout", &e))
    }

    /// The rollout of that public id.
    pub(crate) fn run_named(&self, run: &str) -> Result<Option<Run>, Fault> {
        self.run_where("run = ?1", run)
    }

    /// Appends one row; durable when this returns.
    pub(crate) fn append(&self, run: i64, at_ms: u64, entry: &Entry<'_>) -> Result<(), Fault> {
        let (kind, body) = match entry {
            Entry::Event(event) => ("event", to_json(event)?),
            Entry::Intent(words) => ("intent", (*words).to_owned()),
            Entry::Done(words) => ("done", (*words).to_owned()),
        };
        let sql = "INSERT INTO event (rollout, seq, at_ms, kind, body) SELECT ?1, COALESCE(MAX(seq), 0) + 1, ?2, ?3, ?4
            FROM event WHERE rollout = ?1";
        let row = params![run, at_ms, kind, body];
        self.write(|connection| connection.prepare_cached(sql)?.execute(row))
            .map(|_| ())
            .map_err(|e| broken("the journal", &e))
    }

    /// True when this was intended in a rollout before.
    pub(crate) fn has_intent(&self, run: i64, words: &str) -> Result<bool, Fault> {
        let sql = "SELECT COUNT(*) FROM event WHERE rollout = ?1 AND kind = 'intent' AND body = ?2";
        self.lock()
            .query_row(sql, params![run, words], |row| row.get(0))
            .map(|known: u64| known > 0)
            .map_err(|e| broken("the journal", &e))
    }

    /// The events of a rollout after that row of its journal, in order, with their times.
    pub(crate) fn events(&self, run: i64, after: u64) -> Result<Vec<(u64, Event)>, Fault> {
        let sql = "SELECT at_ms, body FROM event
            WHERE rollout = ?1 AND kind = 'event' AND seq > ?2 ORDER BY seq";
        let connection = self.lock();
        let mut statement = connection.prepare(sql).map_err(|e| broken("the journal", &e))?;
        let rows = statement
            .query_map(params![run, after], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<(u64, String)>>>)
            .map_err(|e| broken("the journal", &e))?;
        rows.into_iter().map(|(at_ms, body)| Ok((at_ms, from_json("an event", &body)?))).collect()
    }

    /// The rollout of an app that has not ended, if there is one.
    pub(crate) fn open_run(&self, app: &AppName) -> Result<Option<Run>, Fault> {
        self.run_where("app = ?1 AND outcome IS NULL", app.as_str())
    }

    /// The newest rollout of an app, open or not.
    pub(crate) fn last_run(&self, app: &AppName) -> Result<Option<Run>, Fault> {
        self.run_where("id = (SELECT MAX(id) FROM rollout WHERE app = ?1)", app.as_str())
    }

    /// The newest rollout of an app that has ended.
    pub(crate) fn last_ended(&self, app: &AppName) -> Result<Option<Run>, Fault> {
        let ended = "SELECT MAX(id) FROM rollout WHERE app = ?1 AND outcome IS NOT NULL";
        self.run_where(&format!("id = ({ended})"), app.as_str())
    }

    fn run_where(&self, condition: &str, value: &str) -> Result<Option<Run>, Fault> {
        let sql = format!("{RUN} WHERE {condition}");
        let row = self
            .lock()
            .query_row(&sql, params![value], raw_run)
            .optional()
            .map_err(|e| broken("a rollout", &e))?;
        row.map(RawRun::read).transpose()
    }

    /// Ends a rollout and moves the stable pointer in one transaction.
    pub(crate) fn end(
        &self,
        run: &Run,
        outcome: Outcome,
        stable: Option<ReleaseId>,
    ) -> Result<(), Fault> {
        self.end_with(run, (outcome, stable), |_| Ok(()))
    }

    /// The same, with what else is to be true from then on.
    pub(super) fn end_with(
        &self,
        run: &Run,
        (outcome, stable): (Outcome, Option<ReleaseId>),
        besides: impl Fn(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Fault> {
        let both = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            let text = serde_json::to_value(outcome).unwrap_or_default();
            transaction.execute(
                "UPDATE rollout SET outcome = ?2 WHERE id = ?1",
                params![run.id, text.as_str()],
            )?;
            transaction.execute(
                "INSERT INTO app (name, stable) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET stable = ?2",
                params![run.start.app.as_str(), stable.map(|id| id.0)],
            )?;
            besides(&transaction)?;
            transaction.commit()
        };
        self.write(both).map_err(|e| broken("the end of a rollout", &e))?;
        // It has ended, whatever becomes of this; the end of the next one tries it again.
        if let Err(fault) = self.compact(&run.start.app) {
            tracing::warn!(app = %run.start.app, "its measurements were not made fewer: {fault}");
        }
        Ok(())
    }
}

/// A row before it is written, its JSON made.
struct NewRow<'a> {
    new: &'a NewRun<'a>,
    start: String,
    original: Option<String>,
}

impl<'a> NewRow<'a> {
    fn of(new: &'a NewRun<'a>) -> Result<Self, Fault> {
        let original = new.original_routes.map(to_json).transpose()?;
        Ok(Self { new, start: to_json(new.start)?, original })
    }

    fn insert(&self, connection: &Connection) -> rusqlite::Result<Run> {
        let sql = "INSERT INTO rollout (run, app, start, original_routes, boot_id, began_mono_ns,
            began_unix_ms, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id";
        let new = self.new;
        let row = params![
            new.run,
            new.start.app.as_str(),
            self.start,
            self.original,
            new.boot_id,
            new.began_mono_ns,
            new.began_unix_ms,
            new.epoch
        ];
        let id = connection.query_row(sql, row, |row| row.get(0))?;
        Ok(Run {
            id,
            name: new.run.to_owned(),
            start: new.start.clone(),
            boot_id: new.boot_id.to_owned(),
            began_mono_ns: new.began_mono_ns,
            began_unix_ms: new.began_unix_ms,
            outcome: None,
        })
    }
}

/// A row before its JSON has been read.
struct RawRun {
    run: (i64, String, String, String),
    began: (u64, u64),
    outcome: Option<String>,
}

fn raw_run(row: &Row<'_>) -> rusqlite::Result<RawRun> {
    Ok(RawRun {
        run: (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?),
        began: (row.get(4)?, row.get(5)?),
        outcome: row.get(6)?,
    })
}

impl RawRun {
    fn read(self) -> Result<Run, Fault> {
        let (id, run, start, boot_id) = self.run;
        let outcome = self.outcome.map(|text| from_json("an outcome", &format!("\"{text}\"")));
        Ok(Run {
            id,
            start: from_json("a rollout", &start)?,
            name: run,
            boot_id,
            began_mono_ns: self.began.0,
            began_unix_ms: self.began.1,
            outcome: outcome.transpose()?,
        })
    }
}
