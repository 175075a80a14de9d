//! Rollouts that are over, as far as they are still known. Rows in, rows out.
//!
//! It only reads; which of them can be shipped again is found in `server::again`.

use model::{AppName, Fault, Outcome};
use rusqlite::params;

use super::{Store, broken, from_json};

/// No more of them are looked at.
const MOST: u32 = 1_000;

impl Store {
    /// What the rollouts of an app began with and how they ended, the newest first.
    pub(crate) fn past_starts(
        &self,
        app: &AppName,
    ) -> Result<Vec<(rollout::Start, Outcome)>, Fault> {
        let sql = "SELECT start, outcome FROM rollout WHERE app = ?1 AND outcome IS NOT NULL
            ORDER BY id DESC LIMIT ?2";
        let connection = self.lock();
        let mut statement = connection.prepare(sql).map_err(|e| broken("the rollouts", &e))?;
        let rows = statement
            .query_map(params![app.as_str(), MOST], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<(String, String)>>>)
            .map_err(|e| broken("the rollouts", &e))?;
        let read = |(start, outcome): (String, String)| {
            let outcome = from_json("an outcome", &format!("\"{outcome}\""))?;
            Ok((from_json("a rollout", &start)?, outcome))
        };
        rows.into_iter().map(read).collect()
    }
}
