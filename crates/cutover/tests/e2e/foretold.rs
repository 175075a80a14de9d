//! What a plan foretold, beside what the journal of the deploy then says, phase by phase.
//!
//! The journal is read from outside. A change was made in the phase that the machine was in when it was
//! intended. Nothing is planned or shipped here.

use model::Event;
use rollout::{Rollout, Start};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde_json::Value;

use crate::world::World;

/// A phase and the changes made in it.
type Done = (String, Vec<String>);

/// Every change of the last rollout is one that `plan` foretold, in its phase and in its order, and none of
/// those is missing. From the hand-over on the order is that in which processes happen to end.
pub(crate) fn came_true(world: &World, plan: &Value) {
    let (mut told, mut done) = (foretold(plan), journaled(world));
    assert_eq!(plan["unforeseen"], Value::Null, "{plan}");
    let (told_end, done_end) = (the_end(&mut told), the_end(&mut done));
    assert_eq!(told, done, "foretold, and done");
    assert_eq!(told_end, done_end, "foretold of the end, and done");
    assert!(told.iter().any(|(_, changes)| !changes.is_empty()), "{plan}");
}

fn foretold(plan: &Value) -> Vec<Done> {
    let words = |change: &Value| change["words"].as_str().unwrap().to_owned();
    let phase = |one: &Value| {
        let changes = one["changes"].as_array().unwrap().iter().map(words).collect();
        (one["phase"].as_str().unwrap().to_owned(), changes)
    };
    plan["phases"].as_array().unwrap().iter().map(phase).collect()
}

fn journaled(world: &World) -> Vec<Done> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(world.state().join("cutover.db"), flags).unwrap();
    let last = "SELECT id, start FROM rollout ORDER BY id DESC LIMIT 1";
    let (id, start): (i64, String) =
        database.query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let machine = machine(&database, id, &start);
    let mut done: Vec<(u64, Done)> = Vec::new();
    for entered in machine.entered() {
        done.push((entered.at_ms, (entered.phase.to_string(), Vec::new())));
    }
    let sql = "SELECT at_ms, body FROM event WHERE rollout = ?1 AND kind = 'intent' ORDER BY seq";
    let mut statement = database.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    for intent in statement.query_map([id], read).unwrap() {
        let (at_ms, words): (u64, String) = intent.unwrap();
        let phase = done.iter_mut().rfind(|(since_ms, _)| *since_ms <= at_ms).unwrap();
        phase.1.1.push(unknown_before(&words));
    }
    done.into_iter().map(|(_, done)| done).collect()
}

/// The machine of a rollout as it was in the end: what was kept of it, and what it was told since.
fn machine(database: &Connection, id: i64, start: &str) -> Rollout {
    let start: Start = serde_json::from_str(start).unwrap();
    let sql = "SELECT seq, body FROM frozen WHERE rollout = ?1";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
    let kept: Option<(i64, String)> = database.query_row(sql, [id], read).optional().unwrap();
    let (seq, mut machine) = kept.map_or((0, Rollout::new(start)), |(seq, body)| {
        (seq, Rollout::from_snapshot(serde_json::from_str(&body).unwrap()).unwrap())
    });
    let sql = "SELECT at_ms, body FROM event WHERE rollout = ?1 AND seq > ?2 AND kind = 'event'
        ORDER BY seq";
    let mut statement = database.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    for told in statement.query_map([id, seq], read).unwrap() {
        let (at_ms, event): (u64, String) = told.unwrap();
        machine.advance(at_ms, &serde_json::from_str::<Event>(&event).unwrap());
    }
    machine
}

/// What nobody could know beforehand, in the words of a plan.
fn unknown_before(words: &str) -> String {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
    let mut words = words.to_owned();
    for (before, after, plain) in
        [(" on port ", "", " on a free port"), (" (127.0.0.1:", ")", " (on its port)")]
    {
        if let Some(at) = words.find(before) {
            let end = at + before.len() + digits(&words[at + before.len()..]) + after.len();
            words.replace_range(at..end, plain);
        }
    }
    words
}

/// Takes away the phases in which instances end; what is done in them, whenever that is. Two that end one after
/// the other are two publications, at once they are one.
fn the_end(all: &mut Vec<Done>) -> Vec<String> {
    let ends = |(phase, _): &Done| ["handing-over", "stopping", "promoted"].contains(&&**phase);
    let from = all.iter().position(ends).unwrap_or(all.len());
    let mut end: Vec<String> = all.split_off(from).into_iter().flat_map(|one| one.1).collect();
    for words in &mut end {
        if let Some(at) = words.find(" carries generation ") {
            words.truncate(at);
        }
    }
    end.sort();
    end.dedup();
    end
}
