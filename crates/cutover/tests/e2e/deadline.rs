//! A request that outlives the drain: it is cut, and the report does not call that a PASS.
//!
//! Drains that end in time are tried in `handover` and `events`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::traffic::Deploy;
use crate::world::{World, beside, patient_config, wait_for};

#[test]
fn a_users_request_cut_at_the_deadline_is_a_failure_though_the_prober_lost_none() {
    let _turn = beside();
    let config = patient_config(1)
        .replace("\"{version}\"]", "\"{version}\", \"--exit-on-sigterm\"]")
        .replace("bake = \"1500ms\"", "bake = \"500ms\"\ndrain_timeout = \"1s\"")
        // Sockets of the prober would be cut by an app that exits at once, too.
        .replace(", \"websocket\"]", "]");
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    // An answer that has begun cannot be asked for again elsewhere.
    let mut download = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    let request = "GET /download?bytes=500000000 HTTP/1.1\r\nHost: x\r\n\r\n";
    download.write_all(request.as_bytes()).unwrap();
    download.read_exact(&mut [0; 1_000]).unwrap();
    // A user who reads as fast as a line of 20 MB a second lets it.
    let user = std::thread::spawn(move || {
        let (mut bytes, mut read) = (vec![0; 1 << 20], 0);
        while let Ok(some @ 1..) = download.read(&mut bytes) {
            read += some;
            std::thread::sleep(Duration::from_millis(50));
        }
        read
    });
    wait_for("a request is open", 10, || {
        let status = world.status()?;
        (status["apps"][0]["pools"][0]["requests"].as_u64() > Some(0)).then_some(())
    });
    let shipped = Deploy::start(&world, "demo", "v2").end();
    let read = user.join().unwrap();
    assert!(read < 499_000_000, "it was not cut");
    shipped.expect(1, "FAIL");
    assert_eq!(shipped.report["failed"], 0, "the prober lost nothing");
    let report = shipped.report.to_string();
    assert!(report.contains("GET /download on demo-1-1, open for "), "who was cut is not named");
    assert!(!report.contains("bytes=500000000"), "a query is shown");
    let sentence = shipped.report["sentence"].to_string();
    let reason = "the proxy counted 1 request of users that failed: 1 on v1, 0 on v2";
    assert!(sentence.contains(reason), "{sentence}");
}
