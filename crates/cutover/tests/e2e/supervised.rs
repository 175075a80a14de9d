//! Under a supervisor: sockets that it passes, what it is told, the unit files that are shipped.
//!
//! No supervisor runs: the test takes its part.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::traffic::get;
use crate::world::{CUTOVER, World, beside, patient_config, said, wait_for};

/// `cutover up` as a supervisor starts it that has bound `listener` and listens at `notify`.
fn supervised(world: &World, listener: &TcpListener) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web \
                  exec \"$0\" up";
    command.args(["-c", script, CUTOVER]).current_dir(world.path()).process_group(0);
    command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    command.env("NOTIFY_SOCKET", world.path().join("notify"));
    command
}

#[test]
fn passed_sockets_are_served_and_the_supervisor_is_told_also_over_an_upgrade() {
    let _turn = beside();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut world = World::new(&patient_config(1).replace("PORT", &port.to_string()));
    world.port = port;
    let told = UnixDatagram::bind(world.path().join("notify")).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = || {
        let mut bytes = [0; 512];
        let read = told.recv(&mut bytes).expect("the supervisor is told");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    let child = supervised(&world, &listener).spawn().unwrap();
    let pid = child.id();
    world.take(child);
    let ready = hear();
    assert!(ready.starts_with(&format!("MAINPID={pid}\nREADY=1\n")), "{ready}");
    world.expect(0, &["deploy", "demo", "v1"]);
    assert!(get(port, "x", "/version").unwrap().starts_with("HTTP/1.1 200"));
    for (id, instance) in world.running() {
        let environment = std::fs::read(format!("/proc/{instance}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        for ours in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            assert!(!environment.contains(ours), "{id} was given {ours}");
        }
    }
    world.expect(0, &["upgrade"]);
    let (guard, ready, back) = (hear(), hear(), hear());
    assert!(guard.starts_with("MAINPID=") && guard != format!("MAINPID={pid}"), "{guard}");
    assert!(ready.starts_with(&format!("MAINPID={pid}\nREADY=1\n")), "{ready}");
    assert_eq!(back, format!("MAINPID={pid}"));
    // A supervisor that starts one more learns who is there already.
    let second = supervised(&world, &listener).stderr(Stdio::piped()).output().unwrap();
    assert!(second.status.success(), "{}", said(&second));
    assert!(hear().starts_with(&format!("MAINPID={pid}\nREADY=1\n")));
    // After a crash the proxy is taken over with its sockets, whatever is passed.
    world.kill_up();
    let child = supervised(&world, &listener).spawn().unwrap();
    let next = child.id();
    world.take(child);
    assert!(hear().starts_with(&format!("MAINPID={next}\nREADY=1\n")));
    assert!(get(port, "x", "/version").unwrap().starts_with("HTTP/1.1 200"));
    wait_for("the proxy before the upgrade is gone", 20, || {
        (world.parts("proxy").len() == 1).then_some(())
    });
    world.expect(0, &["down"]);
    assert!(hear().starts_with("STOPPING=1"));
    world.assert_nothing_runs();
}

#[test]
fn an_address_for_which_no_socket_was_passed_is_refused() {
    let _turn = beside();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::patient(1);
    let log = std::fs::File::create(world.path().join("up.log")).unwrap();
    world.take(supervised(&world, &listener).stderr(log).spawn().unwrap());
    assert_eq!(world.ended_up(), Some(2), "{}", world.said());
    let said = world.said();
    assert!(said.contains(&format!("no socket was passed for 127.0.0.1:{}", world.port)), "{said}");
    assert!(said.contains(&format!("{} (web)", listener.local_addr().unwrap())), "{said}");
    assert!(said.contains(&format!("ListenStream=127.0.0.1:{}", world.port)), "{said}");
    world.assert_nothing_runs();
}

#[test]
fn the_shipped_units_are_right() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for name in ["cutover.service", "cutover.socket"] {
        let text = std::fs::read_to_string(units.join(name)).unwrap();
        // The program is not installed here.
        let path = directory.path().join(name);
        std::fs::write(&path, text.replace("/usr/bin/cutover", CUTOVER)).unwrap();
        files.push(path);
    }
    let service = std::fs::read_to_string(units.join("cutover.service")).unwrap();
    for line in ["Type=notify", "NotifyAccess=all", "KillMode=process", "Restart=always"] {
        assert!(service.lines().any(|found| found == line), "{line}");
    }
    let verified = Command::new("systemd-analyze").arg("verify").args(&files).output();
    let Ok(output) = verified else {
        aside::say("skipped: there is no systemd-analyze here");
        return;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
}
