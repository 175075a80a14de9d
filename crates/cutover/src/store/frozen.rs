//! The machine of a rollout as it was at a moment: one row for each rollout, written anew every second.
//!
//! What the machine was told before that is in it, so the rows that come many times a second are removed:
//! a journal does not grow with the time that a rollout lasts. Those that tell people what happened stay; of the
//! measurements of a rollout that has ended, those with which something changed. Of one that has not ended no
//! measurement is removed.

use model::{AppName, Fault};
use rollout::Snapshot;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Store, broken, from_json, to_json};

/// The machine at a moment.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// The last row of the journal that it knows.
    pub(crate) seq: u64,
    /// ms since the rollout began.
    pub(crate) at_ms: u64,
    /// The machine.
    pub(crate) machine: Snapshot,
}

/// Observations of which only the last one matters, or their sum, which the machine has.
const PASSING: [&str; 8] =
    ["tick", "open", "leaving", "movable", "window", "units", "counters", "surveyed"];

/// Measurements before and after which the same was found of the same metric, of the last two rollouts of an app that
/// have ended: the one before, too, since an `up` may have died between its end and this. None that the machine
/// as it was kept does not know.
const REPEATED: &str = "DELETE FROM event WHERE (rollout, seq) IN (
    SELECT rollout, seq FROM (
        SELECT rollout, seq, kept, found, LAG(found) OVER same AS prior, LEAD(found) OVER same AS later FROM (
            SELECT event.rollout, event.seq, frozen.seq AS kept, json_extract(event.body, '$.found') AS found,
                json_extract(event.body, '$.metric') AS metric
            FROM event JOIN frozen ON frozen.rollout = event.rollout
            WHERE event.kind = 'event' AND json_extract(event.body, '$.event') = 'measured' AND event.rollout IN (
                SELECT id FROM rollout WHERE app = ?1 AND outcome IS NOT NULL ORDER BY id DESC LIMIT 2))
        WINDOW same AS (PARTITION BY rollout, metric ORDER BY seq))
    WHERE seq < kept AND found = prior AND found = later)";

impl Store {
    /// Removes what the measurements of the last rollouts of an app that have ended say again and again.
    pub(super) fn compact(&self, app: &AppName) -> Result<(), Fault> {
        // Not with the space that was set aside: nothing is lost if they stay.
        self.lock()
            .execute(REPEATED, params![app.as_str()])
            .map(|_| ())
            .map_err(|e| broken("the journal", &e))
    }

    /// Keeps the machine as it is after the last row that was appended; durable when this returns.
    pub(crate) fn freeze(&self, run: i64, at_ms: u64, machine: &Snapshot) -> Result<(), Fault> {
        let body = to_json(machine)?;
        let both = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            let seq: u64 = transaction.query_row(
                "SELECT COALESCE(MAX(seq), 0) FROM event WHERE rollout = ?1",
                params![run],
                |row| row.get(0),
            )?;
            transaction.execute(
                "INSERT INTO frozen (rollout, seq, at_ms, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (rollout)
                    DO UPDATE SET seq = ?2, at_ms = ?3, body = ?4",
                params![run, seq, at_ms, body],
            )?;
            // Not the last row: the numbers of those that follow are counted from it.
            let sql = format!(
                "DELETE FROM event WHERE rollout = ?1 AND seq < ?2 AND kind = 'event'
                    AND json_extract(body, '$.event') IN ('{}')",
                PASSING.join("', '")
            );
            transaction.prepare_cached(&sql)?.execute(params![run, seq])?;
            transaction.commit()
        };
        self.write(both).map_err(|e| broken("the journal", &e))
    }

    /// The machine as it was kept last.
    pub(crate) fn frozen(&self, run: i64) -> Result<Option<Frozen>, Fault> {
        let sql = "SELECT seq, at_ms, body FROM frozen WHERE rollout = ?1";
        let row = self
            .lock()
            .query_row(sql, params![run], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
            })
            .optional()
            .map_err(|e| broken("the journal", &e))?;
        let read = |(seq, at_ms, body): (u64, u64, String)| {
            Ok(Frozen { seq, at_ms, machine: from_json("a rollout's machine", &body)? })
        };
        row.map(read).transpose()
    }
}
