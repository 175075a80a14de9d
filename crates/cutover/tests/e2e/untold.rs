//! Where nothing can be told any more (a terminal that was closed, a full disk), what was begun still ends well.
//!
//! The demo's is in `interrupt`; a full disk below the state directory is `disk`.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use rustix::process::Signal;

use crate::world::{World, beside, said, signal, wait_for};

/// Takes nothing.
fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").unwrap())
}

#[test]
fn a_server_that_can_tell_nothing_serves_and_stops_all_of_it() {
    let _turn = beside();
    let mut world = World::patient(1);
    let mut up = world.command(&["up"]);
    let server = up.stdout(full()).stderr(full()).process_group(0).spawn().unwrap();
    world.take(server);
    wait_for("`cutover up` answers", 20, || world.status());
    world.expect(0, &["deploy", "demo", "v1"]);
    // That it died is told in the log.
    let (_, first) = world.running().remove(0);
    signal(first, Signal::KILL);
    wait_for("another one is ready", 20, || {
        let status = world.status()?;
        let one = &status["apps"][0]["instances"][0];
        (one["condition"] == "ready" && one["pid"] != first).then_some(())
    });
    world.expect(0, &["down"]);
    assert_eq!(world.ended_up(), Some(0));
    world.assert_nothing_runs();
}

#[test]
fn who_only_tells_something_says_that_it_could_not() {
    let world = World::empty();
    for arguments in [["config", "example"], ["config", "schema"], ["report", "--schema"]] {
        let output = world.command(&arguments).stdout(full()).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("could not be written to stdout: No space left"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
