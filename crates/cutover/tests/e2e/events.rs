//! An event stream across a deploy: it does not hold up the drain, and its client ends on v2.
//!
//! WebSockets are in `handover`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::traffic::Deploy;
use crate::world::{World, beside, patient_config};

/// How long the drain would last if somebody never left.
const DRAIN: Duration = Duration::from_secs(20);

/// A client of `/events` on a connection of its own.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(world: &World) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// Reads up to a line that contains `mark`; the end of the stream must not come before.
    fn until(&mut self, mark: &str) -> String {
        let mut read = String::new();
        while !read.lines().last().is_some_and(|line| line.contains(mark)) {
            let bytes = self.0.read_line(&mut read).unwrap();
            assert!(bytes > 0, "no `{mark}` before the end of {read}");
        }
        read
    }
}

#[test]
fn an_event_stream_does_not_hold_up_a_deploy_and_is_told_to_come_back() {
    let _turn = beside();
    let drain = format!("[app.demo.rollout]\ndrain_timeout = \"{}s\"", DRAIN.as_secs());
    let mut world = World::new(&patient_config(1).replace("[app.demo.rollout]", &drain));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let mut events = Events::of(&world);
    assert!(events.until("\"tick\":1").contains("\"version\":\"v1\""));

    let deploy = Deploy::start(&world, "demo", "v2");
    // Not before the app itself is told: until then v1 goes on ticking.
    let told = events.until("\"message\":\"reconnect\"");
    assert!(told.contains("event: tick") && told.contains("event: reconnect"), "{told}");
    assert!(!told.contains("\"version\":\"v2\""), "{told}");
    // The last chunk: a clean end, not a cut.
    assert_eq!(events.until("0").trim(), "0");
    let shipped = deploy.end();
    shipped.expect(0, "PASS");

    let phases = shipped.report["phases"].as_array().unwrap();
    let span = |name: &str| phases.iter().find(|span| span["phase"] == name).unwrap();
    let drained = span("draining");
    let lasted = drained["to_us"].as_i64().unwrap() - drained["from_us"].as_i64().unwrap();
    let half = i64::try_from(DRAIN.as_micros() / 2).unwrap();
    assert!(lasted < half, "the drain waited for the stream: {phases:?}");

    let again = Events::of(&world).until("\"tick\":1");
    assert!(again.contains("\"version\":\"v2\""), "{again}");
}
