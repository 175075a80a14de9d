//! Notifications arrive at least once, whoever dies: `up` by SIGKILL, or their receiver for a while.
//!
//! What they say is in `hooks`, in which order they are tried among the units (`server::courier`).

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::world::{World, beside, free_port, patient_config, wait_for};

/// It is in the address, and nowhere else.
const SECRET: &str = "hook-9f2c77d1a0";

/// The next documents that are sent to a port, each with the key of its head, all of which get this answer.
fn receiver(port: u16, answer: &'static str) -> (Receiver<(String, Value)>, impl FnOnce()) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (sender, got) = channel();
    let (close, closed) = channel::<()>();
    let thread = std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if closed.try_recv().is_ok() {
                return;
            }
            let (mut bytes, mut more) = (Vec::new(), [0; 4096]);
            let found = loop {
                let Ok(count @ 1..) = stream.read(&mut more) else { break None };
                bytes.extend_from_slice(&more[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
                if let Ok(value) = serde_json::from_str::<Value>(body) {
                    let key = head.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
                    break Some((key.unwrap_or_default().to_owned(), value));
                }
            };
            let _answered = stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
            if let Some(found) = found {
                drop(sender.send(found));
            }
        }
    });
    let end = move || {
        close.send(()).unwrap();
        drop(std::net::TcpStream::connect(("127.0.0.1", port)));
        thread.join().unwrap();
    };
    (got, end)
}

/// What is told of the end of a version.
fn end_of(got: &Receiver<(String, Value)>, version: &str) -> (String, Value) {
    wait_for("the end is told", 60, || {
        let (key, value) = got.recv_timeout(std::time::Duration::from_secs(1)).ok()?;
        assert_eq!(value["id"], key.as_str(), "{value}");
        (value["event"] == "finished" && value["to"] == version).then_some((key, value))
    })
}

#[test]
fn an_end_is_told_at_least_once_whoever_dies_in_between() {
    let _turn = beside();
    let port = free_port();
    let notify = format!(
        "[[notify]]\nurl = \"http://127.0.0.1:{port}/{SECRET}\"\nevents = [\"finished\"]\n"
    );
    // Nobody probes: a busy machine leaves no verdict open.
    let (probe, off) = ("[app.demo.probe]", "[app.demo.probe]\nenabled = false");
    let config = patient_config(1).replace(probe, off);
    let mut world = World::new(&format!("{config}\n{notify}"));
    world.up();
    // Nobody listens.
    world.expect(0, &["deploy", "demo", "v1"]);
    world.kill_up();
    let (refused, close) = receiver(port, "503 Busy");
    world.up();
    let (key, first) = end_of(&refused, "v1");
    assert_eq!(first["outcome"], "promoted", "{first}");
    world.kill_up();
    close();
    let (taken, close) = receiver(port, "204 No Content");
    world.up();
    let (again, second) = end_of(&taken, "v1");
    assert_eq!((&again, &second), (&key, &first), "another one, or in other words");
    // What was delivered is not sent again by whoever comes next.
    let settled = || -> i64 {
        let path = world.state().join("cutover.db");
        let opened = rusqlite::Connection::open(path).unwrap();
        let sql = "SELECT count(*) FROM outbox WHERE settled = 0";
        opened.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    wait_for("all is settled", 30, || (settled() == 0).then_some(()));
    world.kill_up();
    world.up();
    world.expect(0, &["deploy", "demo", "v2"]);
    let mut others = Vec::new();
    wait_for("the next end is told", 60, || {
        let (key, value) = taken.recv_timeout(std::time::Duration::from_secs(1)).ok()?;
        let ended = value["event"] == "finished" && value["to"] == "v2";
        others.push(key);
        ended.then_some(())
    });
    assert!(!others.contains(&key), "{others:?}");
    close();
    // The address is in no file of the state directory, and in no log.
    let found = |name: &str| {
        let bytes = std::fs::read(world.state().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(SECRET)
    };
    assert!(!found("cutover.db") && !found("cutover.db-wal"), "the address was written");
    assert!(!world.said().contains(SECRET), "the address was logged");
    world.expect(0, &["down", "--now"]);
    assert_eq!(world.ended_up(), Some(0));
}
