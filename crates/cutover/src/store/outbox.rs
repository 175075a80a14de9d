//! Notifications on their way, until they are delivered or given up: written before they are sent, so that a
//! crash loses none, and remembered for a while after, so that a restart repeats none that arrived.
//!
//! The table is made when it is first needed and is no migration: a binary of before does not look at it, and
//! must be able to come back. Of a receiver only a digest is kept, since its address may be a secret. Nothing
//! is sent here.

use model::Fault;
use rusqlite::{OptionalExtension as _, params, params_from_iter};

use super::{Store, broken};

/// Notifications that wait for one receiver; further ones are given up.
pub(crate) const WAITING: usize = 256;
/// How long it is remembered that one was delivered or given up, and how long one waits for an `up`, ms.
const REMEMBERED_MS: u64 = 7 * 24 * 3_600_000;
/// How many of these there may be, of all receivers.
const REMEMBERED: usize = 10_000;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
        at_unix_ms INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0, UNIQUE (receiver, key)) STRICT;
    CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (receiver) WHERE settled = 0;
";

/// A notification on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Its row; none where it could not be written.
    pub(crate) row: Option<i64>,
    /// Its id, the same for each attempt.
    pub(crate) key: String,
    /// The document.
    pub(crate) body: String,
    /// When it was written, ms since 1970.
    pub(crate) at_unix_ms: u64,
}

/// What became of one that was to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is on record, and may be sent.
    Taken(Waiting),
    /// It is on its way already, or was settled before.
    Known,
    /// Too many wait.
    Full,
}

impl Store {
    /// Makes the table, and forgets what is for none of these receivers any more, or too old for any.
    pub(crate) fn open_outbox(&self, receivers: &[String], now_unix_ms: u64) -> Result<(), Fault> {
        let (known, before) = (vec!["?"; receivers.len()].join(", "), before(now_unix_ms));
        let others =
            format!("DELETE FROM outbox WHERE receiver NOT IN ({known}) OR at_unix_ms < {before}");
        let connection = self.lock();
        connection
            .execute_batch(TABLE)
            .and_then(|()| connection.execute(&others, params_from_iter(receivers)))
            .map(drop)
            .map_err(|e| broken("its outbox", &e))
    }

    /// Writes a notification before it is sent for the first time.
    pub(crate) fn put(
        &self,
        receiver: &str,
        (key, body): (&str, &str),
        now_unix_ms: u64,
    ) -> Result<Put, Fault> {
        let count = "SELECT count(*) FROM outbox WHERE receiver = ?1 AND settled = 0";
        let insert = "INSERT OR IGNORE INTO outbox (receiver, key, body, at_unix_ms)
            VALUES (?1, ?2, ?3, ?4) RETURNING id";
        let old = "DELETE FROM outbox WHERE settled = 1 AND (at_unix_ms < ?1 OR id <
            (SELECT id FROM outbox WHERE settled = 1 ORDER BY id DESC LIMIT 1 OFFSET ?2))";
        let put = |connection: &mut rusqlite::Connection| {
            let transaction = connection.transaction()?;
            let waiting: usize = transaction.query_row(count, [receiver], |row| row.get(0))?;
            let row: Option<i64> = transaction
                .query_row(insert, params![receiver, key, body, now_unix_ms], |row| row.get(0))
                .optional()?;
            let Some(row) = row else { return Ok(Put::Known) };
            if waiting >= WAITING {
                return Ok(Put::Full);
            }
            transaction.execute(old, params![before(now_unix_ms), REMEMBERED])?;
            transaction.commit()?;
            let (key, body) = (key.to_owned(), body.to_owned());
            Ok(Put::Taken(Waiting { row: Some(row), key, body, at_unix_ms: now_unix_ms }))
        };
        put(&mut self.lock()).map_err(|e: rusqlite::Error| broken("its outbox", &e))
    }

    /// What waits for a receiver, the oldest first.
    pub(crate) fn waiting(&self, receiver: &str) -> Result<Vec<Waiting>, Fault> {
        let sql = "SELECT id, key, body, at_unix_ms FROM outbox WHERE receiver = ?1 AND settled = 0
            ORDER BY id";
        let connection = self.lock();
        let read = |row: &rusqlite::Row<'_>| {
            let (key, body) = (row.get(1)?, row.get(2)?);
            Ok(Waiting { row: Some(row.get(0)?), key, body, at_unix_ms: row.get(3)? })
        };
        connection
            .prepare(sql)
            .and_then(|mut statement| statement.query_map([receiver], read)?.collect())
            .map_err(|e| broken("its outbox", &e))
    }

    /// It was delivered, or given up: nobody sends it again.
    pub(crate) fn settle(&self, row: i64) -> Result<(), Fault> {
        let sql = "UPDATE outbox SET settled = 1, body = '' WHERE id = ?1";
        self.lock().execute(sql, [row]).map(drop).map_err(|e| broken("its outbox", &e))
    }
}

/// What was written before this is forgotten.
const fn before(now_unix_ms: u64) -> u64 {
    now_unix_ms.saturating_sub(REMEMBERED_MS)
}

#[cfg(test)]
mod tests {
    use super::{Put, REMEMBERED_MS, WAITING};
    use crate::store::Store;

    fn store(receivers: &[&str]) -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        open(&store, receivers, 5);
        (directory, store)
    }

    fn open(store: &Store, receivers: &[&str], now: u64) {
        let receivers: Vec<String> = receivers.iter().map(|&one| one.to_owned()).collect();
        store.open_outbox(&receivers, now).unwrap();
    }

    fn keys(store: &Store, receiver: &str) -> Vec<String> {
        store.waiting(receiver).unwrap().into_iter().map(|one| one.key).collect()
    }

    fn row(put: Put) -> i64 {
        match put {
            Put::Taken(waiting) => waiting.row.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_waits_outlives_a_restart_and_what_was_settled_is_not_sent_again() {
        let (directory, store) = store(&["a", "b"]);
        let first = row(store.put("a", ("1", "{}"), 5).unwrap());
        row(store.put("a", ("2", "{\"x\":1}"), 6).unwrap());
        row(store.put("b", ("1", "{}"), 6).unwrap());
        assert_eq!(store.put("a", ("1", "{}"), 7).unwrap(), Put::Known);
        store.settle(first).unwrap();
        assert_eq!(store.put("a", ("1", "{}"), 8).unwrap(), Put::Known, "it was settled");
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        open(&store, &["a", "b"], 9);
        let waiting = store.waiting("a").unwrap();
        assert_eq!((waiting.len(), waiting[0].at_unix_ms), (1, 6));
        assert_eq!((waiting[0].key.as_str(), waiting[0].body.as_str()), ("2", "{\"x\":1}"));
        assert_eq!(keys(&store, "b"), ["1"]);
        // Who is told nothing any more is forgotten.
        open(&store, &["a"], 9);
        assert!(keys(&store, "b").is_empty() && keys(&store, "a") == ["2"]);
        open(&store, &["a"], 6 + REMEMBERED_MS);
        assert_eq!(keys(&store, "a"), ["2"]);
        open(&store, &["a"], 7 + REMEMBERED_MS);
        assert!(keys(&store, "a").is_empty());
    }

    #[test]
    fn it_is_bounded_in_count_and_age() {
        let (_directory, store) = store(&["a", "b"]);
        let put = |key: usize, now| store.put("a", (&key.to_string(), "{}"), now).unwrap();
        let rows: Vec<i64> = (0..WAITING).map(|key| row(put(key, 5))).collect();
        assert_eq!(put(WAITING, 5), Put::Full);
        assert_eq!(put(0, 5), Put::Known, "what is known is not too many");
        row(store.put("b", ("x", "{}"), 5).unwrap());
        store.settle(rows[0]).unwrap();
        row(put(WAITING, 5 + REMEMBERED_MS));
        store.settle(rows[1]).unwrap();
        store.settle(rows[2]).unwrap();
        assert_eq!(put(0, 5 + REMEMBERED_MS), Put::Known, "it is remembered for so long");
        row(put(WAITING + 1, 6 + REMEMBERED_MS));
        // Those that wait are kept, however old.
        assert_eq!(keys(&store, "a").len(), WAITING - 1);
        let known: i64 =
            store.lock().query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
        assert_eq!(
            usize::try_from(known).unwrap(),
            WAITING,
            "what was settled long ago is forgotten"
        );
    }
}
