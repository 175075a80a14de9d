//! The state directory's database: releases, stable pointers, committed routes, the journal.
//!
//! One SQLite file in WAL mode. A write returns when it is durable (`synchronous = FULL`), so an
//! event that was appended is there after any crash. It decides nothing and knows no driver: rows
//! in, rows out.

mod apps;
mod frozen;
mod history;
mod journal;
mod kept;
mod outbox;
mod past;
mod schema;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drivers::ballast;
use model::Fault;
use rusqlite::Connection;

pub(crate) use frozen::Frozen;
pub(crate) use history::Past;
pub(crate) use journal::{Entry, NewRun, Run};
pub(crate) use kept::Kept;
pub(crate) use outbox::{Put, WAITING, Waiting};

/// The open database.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Mutex<Connection>,
    /// Where it lies.
    directory: PathBuf,
}

impl Store {
    /// Opens or creates the database in `directory` and brings its schema up to date; on a full disk with the
    /// space that was set aside, since it takes some to open one at all.
    pub(crate) fn open(directory: &Path) -> Result<Self, Fault> {
        let connection = match connect(directory) {
            Err(_) if ballast::is_short(directory) && ballast::release(directory) => {
                connect(directory)
            }
            done => done,
        };
        Ok(Self { connection: Mutex::new(connection?), directory: directory.to_owned() })
    }

    /// Writes a copy of the whole database into another directory, as it is at one instant.
    pub(crate) fn copy_into(&self, directory: &Path) -> Result<(), Fault> {
        let path = directory.join("cutover.db");
        let path = path.to_string_lossy();
        let copied = self.lock().execute("VACUUM INTO ?1", [path.as_ref()]);
        copied.map(|_| ()).map_err(|e| broken("a copy of itself", &e))
    }

    /// The schema that this binary knows.
    pub(crate) const fn schema() -> usize {
        schema::OURS.version()
    }

    /// Refuses where a binary that knows the schema `runs` (`None`: one that reads no newer than its own) could not
    /// go on with the database in `directory` once this one has opened it. Nothing is changed.
    pub(crate) fn way_back(directory: &Path, runs: Option<usize>) -> Result<(), Fault> {
        let store = Self::open_to_read(directory)?;
        let version = schema::version(&store.lock())?;
        schema::way_back(&schema::OURS, version, runs)
    }

    /// Raises the fencing epoch by one and returns it, once that is durable: called once at each start of a
    /// controller. Two that had the same one could not be told apart by whom they drive.
    pub(crate) fn next_epoch(&self) -> Result<u64, Fault> {
        let sql = "UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value";
        // In a transaction of its own: a row that is read alone is committed when its statement goes, and nobody
        // hears that this failed.
        let raised = self.write(|connection| {
            let transaction = connection.transaction()?;
            let epoch = transaction.query_row(sql, [], |row| row.get(0))?;
            transaction.commit()?;
            Ok(epoch)
        });
        raised.map_err(|e| broken("the epoch", &e))
    }

    /// Writes what must be written also where the disk is full: once more, with the space that was set
    /// aside for that.
    fn write<T>(
        &self,
        mut write: impl FnMut(&mut Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut connection = self.lock();
        match write(&mut connection) {
            Err(error) if wants_space(&error) && ballast::release(&self.directory) => {
                write(&mut connection)
            }
            done => done,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held cannot leave a half-written row: SQLite rolled it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The database in `directory`, of this binary's schema.
fn connect(directory: &Path) -> Result<Connection, Fault> {
    let path = directory.join("cutover.db");
    // It holds the environments of releases: nobody else may read it, nor the files beside it,
    // which SQLite gives the same mode.
    let private = File::options().create(true).append(true).mode(0o600).open(&path);
    private.map_err(|e| {
        Fault::environment(format!("{} cannot be opened: {e}", path.display()))
            .help("check free space and permissions of the state directory")
    })?;
    let opened = Connection::open(&path).and_then(|connection| {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(connection)
    });
    let mut connection = opened.map_err(|e| broken(&path.display().to_string(), &e))?;
    schema::migrate(&mut connection, &schema::OURS)?;
    Ok(connection)
}

/// True of a write that more space would help: a full disk is an I/O error where the index of the log has to grow.
fn wants_space(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure))
}

/// Words for a database that would not do what it was asked.
fn broken(what: &str, error: &rusqlite::Error) -> Fault {
    Fault::environment(format!("the state database failed at {what}: {error}"))
        .help("check free space and permissions of the state directory; nothing was changed")
}

/// Serialises a value that is known to be serialisable.
fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| Fault::internal(format!("cannot write a record: {e}")))
}

/// Reads a stored value; one that cannot be read is named, never guessed at.
fn from_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text)
        .map_err(|e| Fault::internal(format!("{what} in the state database cannot be read: {e}")))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod measured_tests;
#[cfg(test)]
mod newer_tests;
#[cfg(test)]
pub(crate) mod refusing;
#[cfg(test)]
mod tests;
