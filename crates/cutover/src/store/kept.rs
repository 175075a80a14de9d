//! Which release an app keeps running beside the one that users are on, and until when.
//!
//! A row in the journal of the rollout that replaced it, written in the transaction that ends that; another
//! row ends it early, and so does whatever rollout is begun next. An older binary reads neither and keeps
//! nothing. It decides nothing.

use model::{AppName, Fault, Outcome, ReleaseId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Run, Store, broken, from_json, to_json};

/// A release that is kept running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The release.
    pub(crate) release: ReleaseId,
    /// Boot in which the stamp holds; nothing is kept over a reboot.
    pub(crate) boot_id: String,
    /// Until then, CLOCK_MONOTONIC, ns.
    pub(crate) until_mono_ns: u64,
}

const ROW: &str = "INSERT INTO event (rollout, seq, at_ms, kind, body)
    SELECT ?1, COALESCE(MAX(seq), 0) + 1, COALESCE(MAX(at_ms), 0), ?2, ?3
    FROM event WHERE rollout = ?1";
/// The newest row of the newest rollout, if that was promoted.
const LAST: &str = "SELECT kind, body FROM event WHERE kind IN ('kept', 'let-go') AND rollout =
    (SELECT id FROM rollout WHERE app = ?1 ORDER BY id DESC LIMIT 1) ORDER BY seq DESC LIMIT 1";

impl Store {
    /// Ends a rollout as promoted, and keeps what it replaced; all of it or nothing.
    pub(crate) fn end_keeping(&self, run: &Run, kept: &Kept) -> Result<(), Fault> {
        let body = to_json(kept)?;
        self.end_with(run, (Outcome::Promoted, Some(run.start.candidate.id)), |transaction| {
            write(transaction, run.id, "kept", &body)
        })
    }

    /// What an app keeps, unless another rollout was begun since.
    pub(crate) fn kept(&self, app: &AppName) -> Result<Option<Kept>, Fault> {
        let row: Option<(String, String)> = self
            .lock()
            .query_row(LAST, params![app.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(|e| broken("what is kept", &e))?;
        let kept = row.filter(|(kind, _)| kind == "kept");
        kept.map(|(_, body)| from_json("what is kept", &body)).transpose()
    }

    /// It is kept no longer, for a reason in words.
    pub(crate) fn let_go(&self, app: &AppName, why: &str) -> Result<(), Fault> {
        let Some(run) = self.last_run(app)? else { return Ok(()) };
        let row = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            write(&transaction, run.id, "let-go", why)?;
            transaction.commit()
        };
        self.write(row).map_err(|e| broken("what is kept", &e))
    }
}

fn write(transaction: &Transaction<'_>, run: i64, kind: &str, body: &str) -> rusqlite::Result<()> {
    transaction.execute(ROW, params![run, kind, body]).map(|_| ())
}
