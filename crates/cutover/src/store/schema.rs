//! The database schema and its migrations.
//!
//! Each migration runs once, in order, in one transaction; a database that is newer than this
//! binary is refused, never downgraded.

use model::Fault;
use rusqlite::Connection;

/// Statement lists, one per schema version, from 1. Never edit one that has been released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES ('epoch', 0);
    CREATE TABLE app (name TEXT PRIMARY KEY, stable INTEGER) STRICT;
    CREATE TABLE release (
        app TEXT NOT NULL, id INTEGER NOT NULL, spec TEXT NOT NULL, created_unix_ms INTEGER NOT NULL,
        PRIMARY KEY (app, id)) STRICT;
    CREATE TABLE routes (app TEXT PRIMARY KEY, slice TEXT NOT NULL) STRICT;
    CREATE TABLE rollout (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, app TEXT NOT NULL, start TEXT NOT NULL,
        original_routes TEXT, boot_id TEXT NOT NULL, began_mono_ns INTEGER NOT NULL,
        began_unix_ms INTEGER NOT NULL, epoch INTEGER NOT NULL, outcome TEXT) STRICT;
    CREATE UNIQUE INDEX one_rollout_at_a_time ON rollout (app) WHERE outcome IS NULL;
    CREATE TABLE event (
        rollout INTEGER NOT NULL REFERENCES rollout, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (rollout, seq)) STRICT, WITHOUT ROWID;
", "
    CREATE TABLE frozen (
        rollout INTEGER PRIMARY KEY REFERENCES rollout, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        body TEXT NOT NULL) STRICT;
"];

/// Brings the schema up to date.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let version: usize = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|e| super::broken("its schema version", &e))?;
    if version > MIGRATIONS.len() {
        let what = format!(
            "the state database has schema {version}, this binary knows up to {}",
            MIGRATIONS.len()
        );
        return Err(Fault::environment(what).help("use the newer cutover that wrote it"));
    }
    for (index, statements) in MIGRATIONS.iter().enumerate().skip(version) {
        step(connection, index + 1, statements)
            .map_err(|e| super::broken(&format!("migration {}", index + 1), &e))?;
    }
    Ok(())
}

fn step(connection: &mut Connection, version: usize, statements: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(statements)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}
