//! The whole world stopped: by SIGTERM, by `cutover down`, at rest and in mid-rollout.
//!
//! An `up` that is killed and stops nothing is in `crash`.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::traffic::{Deploy, get};
use crate::world::{World, beside, said, signal, wait_for};

/// How `up` is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    Term,
    Down,
}

/// Stops the world; nothing of it runs once `up` has ended.
fn stop(world: &mut World, told: Told, up: u32) {
    match told {
        Told::Term => signal(up, Signal::TERM),
        Told::Down => {
            world.expect(0, &["down"]);
        }
    }
    assert_eq!(world.ended_up(), Some(0), "{told:?}");
    let (instances, parts) = (world.running(), ["proxy", "probe"].map(|part| world.parts(part)));
    assert!(world.left_over().is_empty(), "{told:?} left {instances:?} {parts:?}");
}

/// A new `up` says that `version` is stable, and serves it from the first request on.
fn begin_again(world: &mut World, version: &str) -> u32 {
    let up = world.up();
    let answer = get(world.port, "x", "/version").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(version), "{answer}");
    assert_eq!(world.status().unwrap()["apps"][0]["stable"], version);
    up
}

#[test]
fn stopped_at_rest_nothing_runs_and_the_next_up_serves_the_stable_release() {
    let _turn = beside();
    let mut world = World::patient(2);
    let up = world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    stop(&mut world, Told::Term, up);
    let up = begin_again(&mut world, "v1");
    stop(&mut world, Told::Down, up);
    begin_again(&mut world, "v1");
}

#[test]
fn stopped_in_mid_rollout_nothing_runs_and_the_next_up_knows_what_is_stable() {
    let _turn = beside();
    let mut world = World::patient(1);
    let mut up = world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let cases = [
        ("v2", "starting", Told::Term, "v1", 4),
        ("v3", "baking", Told::Down, "v1", 4),
        ("v4", "handing-over", Told::Term, "v4", 3),
    ];
    for (version, phase, told, stable, code) in cases {
        let mut deploy = Deploy::start(&world, "demo", version);
        // It keeps the server from ending for longer than a bake takes: nothing is promoted meanwhile.
        let port = world.port;
        let slow = std::thread::spawn(move || get(port, "x", "/slow?ms=3000"));
        deploy.reach(phase);
        stop(&mut world, told, up);
        let answer = slow.join().unwrap().expect("an open request is answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let shipped = deploy.end();
        assert_eq!(shipped.code, Some(code), "{phase}: {}", shipped.said);
        up = begin_again(&mut world, stable);
    }
}

#[test]
fn an_up_that_has_just_taken_over_a_rollout_stops_all_of_it() {
    let _turn = beside();
    let mut world = World::patient(1);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("baking");
    world.kill_up();
    let up = world.up();
    signal(up, Signal::TERM);
    assert_eq!(world.ended_up(), Some(0));
    // The prober is no child of this `up`: what it sees is that its socket is gone.
    world.assert_nothing_runs();
    assert_eq!(deploy.end().code, Some(4));
    begin_again(&mut world, "v1");
}

/// Two ways not to wait for an open request that takes a minute, nor for instances that do not listen.
#[test]
fn somebody_in_a_hurry_does_not_wait_for_what_is_open() {
    let _turn = beside();
    let config = crate::world::patient_config(2)
        .replace("drain_timeout = \"5s\"", "drain_timeout = \"60s\"")
        .replace("instances = 2", "instances = 2\nstop_timeout = \"60s\"")
        .replace("\"{version}\"]", "\"{version}\", \"--ignore-sigterm\"]");
    let mut world = World::new(&config);
    let mut up = world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    for way in ["down --now", "Ctrl-C twice"] {
        let port = world.port;
        let slow = std::thread::spawn(move || get(port, "x", "/slow?ms=60000"));
        wait_for("a request is open", 10, || {
            let status = world.status()?;
            let pools = status["apps"][0]["pools"].as_array()?.clone();
            pools.iter().any(|pool| pool["requests"].as_u64() > Some(0)).then_some(())
        });
        let began = Instant::now();
        if way == "down --now" {
            world.expect(0, &["down", "--now"]);
        } else {
            signal(up, Signal::INT);
            wait_for("it stops", 10, || world.said().contains("stopping:").then_some(()));
            signal(up, Signal::INT);
        }
        assert_eq!(world.ended_up(), Some(0), "{way}");
        // Far from the minutes of the request and of the instances, which had a second to end.
        assert!(began.elapsed() < Duration::from_secs(20), "{way}: {:?}", began.elapsed());
        assert!(world.left_over().is_empty(), "{way} left {:?}", world.running());
        drop(slow.join().unwrap());
        std::fs::remove_file(world.path().join("up.log")).unwrap();
        up = begin_again(&mut world, "v1");
    }
}

#[test]
fn down_says_what_it_waits_for() {
    let _turn = beside();
    let mut world = World::patient(1);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let port = world.port;
    let slow = std::thread::spawn(move || get(port, "x", "/slow?ms=3500"));
    wait_for("a request is open", 10, || {
        let status = world.status()?;
        (status["apps"][0]["pools"][0]["requests"].as_u64() > Some(0)).then_some(())
    });
    let output = world.expect(0, &["down"]);
    let text = said(&output);
    assert!(text.contains("waiting for 1 request, 0 tunnels and 1 instance (demo-1-1)"), "{text}");
    let answer = slow.join().unwrap().expect("an open request is answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.ended_up(), Some(0));
}

#[test]
fn a_server_that_dies_while_it_stops_is_not_taken_for_one_that_has_stopped() {
    let _turn = beside();
    let mut world = World::patient(1);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let mut slow = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    slow.write_all(b"GET /slow?ms=20000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    wait_for("it is open", 10, || {
        let status = world.status()?;
        (status["apps"][0]["pools"][0]["requests"] == 1).then_some(())
    });
    let mut down = world.command(&["down"]);
    let down = down.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("it stops", 10, || {
        let said = std::fs::read_to_string(world.path().join("up.log")).unwrap_or_default();
        said.contains("stopping").then_some(())
    });
    world.kill_up();
    let output = down.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("its proxy serves on"), "{}", said(&output));
    world.up();
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}
