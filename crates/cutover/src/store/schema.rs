//! The database schema and its migrations.
//!
//! Each migration runs once, in order, in one transaction; a database that is newer than this
//! binary is never downgraded: it is taken as it is where it says that this binary can, else refused.

use model::{Fault, Kind};
use rusqlite::{Connection, OptionalExtension as _, params};

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

/// A schema: the way to it, and who can still go on with what it leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    pub(super) migrations: &'static [&'static str],
    /// The oldest schema whose binaries read and write a database of this one, as long as all that came since only
    /// adds: tables, and columns with a default. Raise it where something else changes; then nobody goes back.
    pub(super) least_reader: usize,
}

/// What this binary knows. Those of schema 1 read no newer one, nor did the first of schema 2.
pub(super) const OURS: Schema = Schema { migrations: MIGRATIONS, least_reader: 2 };

impl Schema {
    /// Its number.
    pub(super) const fn version(&self) -> usize {
        self.migrations.len()
    }
}

/// Brings the schema up to date. A newer one stays as it is, and is refused unless it says that this binary can go
/// on with it: so an upgrade can return to the binary before.
pub(super) fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), Fault> {
    let version = version(connection)?;
    if version > schema.version() {
        return goes_on(connection, version, schema);
    }
    for (index, statements) in schema.migrations.iter().enumerate().skip(version) {
        step(connection, (index + 1, schema.least_reader), statements)
            .map_err(|e| super::broken(&format!("migration {}", index + 1), &e))?;
    }
    Ok(())
}

/// The schema that a database has; 0 where it is new.
pub(super) fn version(connection: &Connection) -> Result<usize, Fault> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|e| super::broken("its schema version", &e))
}

/// Refuses what only a newer binary reads.
fn goes_on(connection: &Connection, version: usize, schema: &Schema) -> Result<(), Fault> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let least: Option<usize> = connection
        .query_row(sql, [says_of(version)], |row| row.get(0))
        .optional()
        .map_err(|e| super::broken("who can read it", &e))?;
    if least.is_some_and(|least| least <= schema.version()) {
        return Ok(());
    }
    let what = format!(
        "the state database has schema {version}, this binary knows up to {}",
        schema.version()
    );
    Err(Fault::environment(what).help("use the newer cutover that wrote it"))
}

/// Refuses to bring a database of this `version` up to date where the binary that runs could not go on with what
/// comes of it: it knows the schema `runs`, or is of a time that read no newer one.
pub(super) fn way_back(schema: &Schema, version: usize, runs: Option<usize>) -> Result<(), Fault> {
    let stays = version >= schema.version();
    if stays || runs.is_some_and(|runs| runs >= schema.least_reader) {
        return Ok(());
    }
    let what = format!(
        "the state has schema {version}, this binary writes {}, and the one that runs could not read that again: \
         there would be no way back",
        schema.version()
    );
    let help = "stop the server with `cutover down`, keep a copy of the state directory, and start this binary";
    Err(Fault::new(Kind::Conflict, what).help(help))
}

/// Where a database of a schema says who reads it: of no other schema is that true.
fn says_of(version: usize) -> String {
    format!("least_reader_of_{version}")
}

fn step(
    connection: &mut Connection,
    (version, least_reader): (usize, usize),
    statements: &str,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(statements)?;
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
        ON CONFLICT (key) DO UPDATE SET value = ?2";
    transaction.execute(sql, params![says_of(version), least_reader])?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}
