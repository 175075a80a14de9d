//! A database that a newer binary has brought up to date, and that this one goes on with: the way back of an upgrade.
//!
//! The newer schema is invented, and no binary is replaced here.

use model::{Event, Outcome, ReleaseId, Routes, Version};
use rusqlite::Connection;

use super::schema::{OURS, Schema, migrate, version, way_back};
use super::tests::{begin, start};
use super::{Entry, Kept, Store};
use crate::config::example_app;

/// All that a schema may add for which an older binary need not know it: columns with a default, a table, an index.
const ADDS: &str = "
    ALTER TABLE app ADD COLUMN team TEXT NOT NULL DEFAULT 'nobody';
    ALTER TABLE release ADD COLUMN signed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE routes ADD COLUMN since INTEGER;
    ALTER TABLE rollout ADD COLUMN asked_by TEXT NOT NULL DEFAULT 'nobody';
    ALTER TABLE event ADD COLUMN source TEXT NOT NULL DEFAULT '';
    ALTER TABLE frozen ADD COLUMN bytes INTEGER;
    CREATE TABLE note (app TEXT PRIMARY KEY, words TEXT NOT NULL) STRICT;
    CREATE INDEX of_app ON rollout (app);
";
const ADDED: Schema =
    Schema { migrations: &[OURS.migrations[0], OURS.migrations[1], ADDS], least_reader: 2 };
/// One that older binaries would get wrong.
const CHANGED: Schema = Schema { least_reader: 3, ..ADDED };

fn upgraded(directory: &std::path::Path, schema: &Schema) -> Connection {
    let mut raw = Connection::open(directory.join("cutover.db")).unwrap();
    migrate(&mut raw, schema).unwrap();
    raw
}

#[test]
fn an_upgrade_that_returns_finds_a_database_of_a_newer_schema_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let app = start().app;
    let before = {
        let store = Store::open(directory.path()).unwrap();
        let run = begin(&store, "one").unwrap();
        store.append(run.id, 3, &Entry::Event(&Event::Armed)).unwrap();
        store.end(&run, Outcome::Promoted, None).unwrap();
        store.next_epoch().unwrap()
    };
    assert_eq!(version(&upgraded(directory.path(), &ADDED)).unwrap(), OURS.version() + 1);
    // The old binary again: it reads all, and writes all that it ever writes.
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.next_epoch().unwrap(), before + 1);
    assert_eq!(store.last_run(&app).unwrap().unwrap().name, "one");
    let release = example_app().release(ReleaseId(1), &Version::new("v1").unwrap()).unwrap();
    store.add_release(&release, 7).unwrap();
    assert_eq!(store.release(&release.app, release.id).unwrap(), release);
    let routes = r#"{"app":"shop","generation":3,"hosts":[],"path_prefix":"/","pools":[]}"#;
    let routes: Routes = serde_json::from_str(routes).unwrap();
    store.commit_routes(&routes).unwrap();
    assert_eq!(store.committed_routes(&app).unwrap(), Some(routes));
    let run = begin(&store, "two").unwrap();
    store.append(run.id, 4, &Entry::Event(&Event::Armed)).unwrap();
    store.freeze(run.id, 4, &rollout::Rollout::new(start()).snapshot()).unwrap();
    assert_eq!(store.frozen(run.id).unwrap().unwrap().seq, 1);
    let kept = Kept { release: ReleaseId(1), boot_id: "boot".to_owned(), until_mono_ns: 9 };
    store.end_keeping(&run, &kept).unwrap();
    assert_eq!(store.kept(&app).unwrap(), Some(kept));
    store.let_go(&app, "because").unwrap();
    assert_eq!(store.past(Some(&app), 9).unwrap().len(), 2);
    drop(store);
    // And the newer one after all: nothing is migrated twice, and its columns are there.
    let raw = upgraded(directory.path(), &ADDED);
    let asked: String = raw
        .query_row("SELECT asked_by FROM rollout WHERE run = 'two'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(asked, "nobody");
}

#[test]
fn a_schema_that_older_binaries_would_get_wrong_is_refused_by_them_untouched() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).unwrap());
    drop(upgraded(directory.path(), &CHANGED));
    let bytes = || std::fs::read(directory.path().join("cutover.db")).unwrap();
    let before = bytes();
    let fault = Store::open(directory.path()).unwrap_err();
    assert!(fault.what.contains("schema 3, this binary knows up to 2"), "{fault}");
    assert!(before == bytes(), "it was written to");
}

/// So the new binary says no before anything is touched.
#[test]
fn a_new_binary_knows_who_could_not_come_back() {
    let may = |schema: &Schema, runs| way_back(schema, OURS.version(), runs).is_ok();
    assert!(may(&ADDED, Some(2)) && may(&CHANGED, Some(3)));
    // The one that runs knows less than what is left, or nothing of newer ones at all.
    assert!(!may(&CHANGED, Some(2)) && !may(&ADDED, None));
    // Nothing is migrated: whoever reads it now reads it then.
    assert!(may(&OURS, None) && may(&OURS, Some(2)));
    let fault = way_back(&CHANGED, OURS.version(), Some(2)).unwrap_err();
    assert!(fault.what.contains("there would be no way back"), "{fault}");
    // Asked of a copy, which it leaves as it is.
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).unwrap());
    Store::way_back(directory.path(), None).unwrap();
    Store::way_back(directory.path(), Some(Store::schema())).unwrap();
}
