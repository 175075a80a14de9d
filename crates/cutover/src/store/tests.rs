//! The database on a real directory: what is promised across a reopening.
//!
//! What the rows mean to a controller is not asked here.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use model::{AppName, Event, Outcome, ReleaseId, Version};
use rollout::{Named, Settings, Start};

use super::{Entry, Kept, NewRun, Run, Store};

pub(super) fn start() -> Start {
    let candidate = Named { id: ReleaseId(1), version: Version::new("v1").unwrap() };
    Start {
        app: AppName::new("shop").unwrap(),
        stable: None,
        candidate,
        instances: 1,
        settings: Settings::default(),
    }
}

pub(super) fn begin(store: &Store, run: &str) -> Result<Run, model::Fault> {
    store.begin(&NewRun {
        run,
        start: &start(),
        original_routes: None,
        boot_id: "boot",
        began_mono_ns: 5,
        began_unix_ms: 6,
        epoch: 1,
    })
}

#[test]
fn what_was_appended_is_there_after_a_reopening_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let app = start().app;
    {
        let store = Store::open(directory.path()).unwrap();
        let run = begin(&store, "one").unwrap();
        store.append(run.id, 3, &Entry::Event(&Event::Tick)).unwrap();
        store.append(run.id, 4, &Entry::Intent("start shop-1-1")).unwrap();
        store.append(run.id, 5, &Entry::Done("start shop-1-1")).unwrap();
        store.append(run.id, 9, &Entry::Event(&Event::Armed)).unwrap();
    }
    let store = Store::open(directory.path()).unwrap();
    let run = store.open_run(&app).unwrap().expect("the rollout is open");
    assert_eq!((run.name.as_str(), &run.start), ("one", &start()));
    assert_eq!(store.events(run.id, 0).unwrap(), [(3, Event::Tick), (9, Event::Armed)]);
}

/// Run again as a process of its own: appends until it is killed, saying what was kept.
#[test]
fn child_appends() {
    let Ok(directory) = std::env::var("STORE_TEST_DIRECTORY") else { return };
    let store = Store::open(directory.as_ref()).unwrap();
    let run = store.open_run(&start().app).unwrap().unwrap();
    let next = store.events(run.id, 0).unwrap().len() as u64;
    for number in next.. {
        store.append(run.id, number, &Entry::Event(&Event::Tick)).unwrap();
        println!("kept {number}");
    }
}

/// R25: killed in the middle of its writing again and again, the journal keeps all that it has
/// confirmed, in order, and goes on.
#[test]
fn r25_a_journal_whose_writer_is_killed_keeps_what_it_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    begin(&Store::open(directory.path()).unwrap(), "one").unwrap();
    let mut before = 0;
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_appends", "--nocapture"])
            .env("STORE_TEST_DIRECTORY", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut kept = lines.filter(|line| line.contains("kept ")).map(|line| {
            let (_, number) = line.rsplit_once(' ').unwrap();
            number.parse::<u64>().unwrap()
        });
        assert!(kept.by_ref().any(|number| number >= before + 20));
        child.kill().unwrap();
        let last = kept.last().unwrap_or(before + 20);
        child.wait().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let run = store.open_run(&start().app).unwrap().expect("the rollout is open");
        let events = store.events(run.id, 0).unwrap();
        let times: Vec<u64> = events.iter().map(|(at, _)| *at).collect();
        assert!(times.len() as u64 > last, "{last} was confirmed, {} are there", times.len());
        assert!(times.iter().copied().eq(0..times.len() as u64), "{times:?}");
        before = times.len() as u64;
    }
}

#[test]
fn the_database_itself_refuses_a_second_rollout_of_an_app() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let first = begin(&store, "one").unwrap();
    assert!(begin(&store, "two").is_err());
    store.end(&first, Outcome::Aborted, None).unwrap();
    assert!(begin(&store, "two").is_ok());
    assert_eq!(store.last_run(&start().app).unwrap().unwrap().name, "two");
}

#[test]
fn what_is_kept_ends_with_the_next_rollout_or_when_it_is_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let (store, app) = (Store::open(directory.path()).unwrap(), start().app);
    let kept = Kept { release: ReleaseId(7), boot_id: "boot".into(), until_mono_ns: u64::MAX };
    let first = begin(&store, "one").unwrap();
    store.append(first.id, 3, &Entry::Event(&Event::Tick)).unwrap();
    assert_eq!(store.kept(&app).unwrap(), None);
    store.end_keeping(&first, &kept).unwrap();
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.kept(&app).unwrap().as_ref(), Some(&kept));
    assert_eq!(store.last_run(&app).unwrap().unwrap().outcome, Some(Outcome::Promoted));
    // It is no event of the rollout, and took no time.
    assert_eq!(store.events(first.id, 0).unwrap(), [(3, Event::Tick)]);
    assert_eq!(store.past(Some(&app), 1).unwrap()[0].took_ms, 3);
    let second = begin(&store, "two").unwrap();
    assert_eq!(store.kept(&app).unwrap(), None);
    store.end_keeping(&second, &kept).unwrap();
    store.let_go(&app, "because").unwrap();
    assert_eq!(store.kept(&app).unwrap(), None);
}

#[test]
fn the_epoch_grows_with_every_start() {
    let directory = tempfile::tempdir().unwrap();
    let first = Store::open(directory.path()).unwrap().next_epoch().unwrap();
    let second = Store::open(directory.path()).unwrap().next_epoch().unwrap();
    assert!(second > first);
}

#[test]
fn a_database_of_a_newer_cutover_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).unwrap());
    let path = directory.path().join("cutover.db");
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    // It says nothing of who reads it, or that older ones do not.
    for says in ["PRAGMA user_version", "INSERT INTO meta VALUES ('least_reader_of_99', 99)"] {
        raw.execute_batch(says).unwrap();
        let fault = Store::open(directory.path()).unwrap_err();
        assert!(fault.what.contains("schema 99"), "{fault}");
    }
    let version: u32 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_state_file_that_is_not_a_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("cutover.db"), "not a database, but long enough").unwrap();
    let fault = Store::open(directory.path()).unwrap_err();
    assert!(fault.what.contains("cutover.db"), "{fault}");
}

#[test]
fn nobody_else_may_read_the_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path()).unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

/// A database as the first version of the schema left it, in the middle of a rollout.
#[test]
fn a_journal_of_an_older_schema_is_brought_up_to_date_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let run = {
        let store = Store::open(directory.path()).unwrap();
        let run = begin(&store, "one").unwrap();
        store.append(run.id, 3, &Entry::Event(&Event::Armed)).unwrap();
        run
    };
    let raw = rusqlite::Connection::open(directory.path().join("cutover.db")).unwrap();
    raw.execute_batch("DROP TABLE frozen").unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    drop(raw);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.open_run(&start().app).unwrap().unwrap().name, "one");
    assert_eq!(store.events(run.id, 0).unwrap(), [(3, Event::Armed)]);
    assert!(store.frozen(run.id).unwrap().is_none());
    let machine = rollout::Rollout::new(start());
    store.freeze(run.id, 4, &machine.snapshot()).unwrap();
    assert_eq!(store.frozen(run.id).unwrap().unwrap().seq, 1);
}

/// Numbers go on from the last row, whatever was removed before it.
#[test]
fn rows_after_a_machine_was_kept_are_found_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let run = begin(&store, "one").unwrap();
    let machine = rollout::Rollout::new(start()).snapshot();
    for round in 0..3 {
        for at in 0..5 {
            store.append(run.id, round * 10 + at, &Entry::Event(&Event::Tick)).unwrap();
        }
        store.append(run.id, round * 10, &Entry::Intent("start shop-1-1")).unwrap();
        store.append(run.id, round * 10 + 9, &Entry::Event(&Event::Tick)).unwrap();
        store.freeze(run.id, round * 10 + 9, &machine).unwrap();
        let seq = store.frozen(run.id).unwrap().unwrap().seq;
        assert_eq!(seq, (round + 1) * 7);
        assert!(store.events(run.id, seq).unwrap().is_empty());
    }
    store.append(run.id, 99, &Entry::Event(&Event::Armed)).unwrap();
    assert_eq!(store.events(run.id, 21).unwrap(), [(99, Event::Armed)]);
    assert_eq!(store.events(run.id, 0).unwrap(), [(29, Event::Tick), (99, Event::Armed)]);
}

/// SQLite says the same of a database that may not grow as of a full disk.
#[test]
fn a_full_disk_gets_the_space_that_was_set_aside_and_what_fails_then_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let run = begin(&store, "one").unwrap();
    assert!(drivers::ballast::hold(directory.path()).unwrap());
    let pages: u32 = store.lock().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.lock().pragma_update(None, "max_page_count", pages).unwrap();
    let long = "a long word ".repeat(1_000);
    let mut kept = 0_u64;
    let fault = loop {
        match store.append(run.id, kept, &Entry::Intent(&long)) {
            Ok(()) => kept += 1,
            Err(fault) => break fault,
        }
        assert!(kept < 1_000);
    };
    assert!(fault.what.contains("database or disk is full"), "{fault}");
    assert!(!drivers::ballast::release(directory.path()), "it was given up before");
    store.lock().pragma_update(None, "max_page_count", 100_000).unwrap();
    store.append(run.id, kept, &Entry::Event(&Event::Armed)).unwrap();
    assert_eq!(store.events(run.id, 0).unwrap(), [(kept, Event::Armed)]);
}
