//! A database that refuses to be written to for a while, as one does whose disk is full or whose lock
//! somebody else holds. For tests; it loses nothing that was written before.

use std::path::Path;

use rusqlite::Connection;

/// No row gets into one of the tables until this is dropped.
pub(crate) struct Refusing(Connection);

impl Refusing {
    /// Refuses rows of the journal.
    pub(crate) fn journal(directory: &Path) -> Self {
        Self::of(directory, "event", "TRUE")
    }

    /// Refuses what the machine is told; what stands beside it is taken.
    pub(crate) fn events(directory: &Path) -> Self {
        Self::of(directory, "event", "NEW.kind = 'event'")
    }

    /// Refuses to keep the machine.
    pub(crate) fn machine(directory: &Path) -> Self {
        Self::of(directory, "frozen", "TRUE")
    }

    fn of(directory: &Path, table: &str, when: &str) -> Self {
        let connection = Connection::open(directory.join("cutover.db")).unwrap();
        let refuse = "BEGIN SELECT RAISE(ABORT, 'refused by a test'); END";
        let sql = format!("CREATE TRIGGER refused BEFORE INSERT ON {table} WHEN {when} {refuse}");
        connection.execute_batch(&sql).unwrap();
        Self(connection)
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.execute_batch("DROP TRIGGER refused").unwrap();
    }
}
