//! Instances are checked again by whoever starts next, and not taken for well: one that fails its checks gets
//! no request because `up`, or the proxy, was killed.
//!
//! Rise and fall of single checks are tried in the drivers' `adoption`, not here.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::traffic::{Users, get};
use crate::world::{World, beside, patient_config, signal, wait_for};

/// Two instances of v1 that serve; `/healthz` of each fails while there is a file with its port in the name,
/// and so many failures in a row count.
fn live(fall: u32, interval: &str) -> World {
    let config = patient_config(2)
        .replace("\"{version}\"]", "\"{version}\", \"--sick-file\", \"sick-{port}\"]")
        .replace("rise = 2", &format!("rise = 2\nfall = {fall}"))
        .replace("interval = \"50ms\"", &format!("interval = \"{interval}\""));
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    wait_for("both serve", 10, || (asked(&world, 20).len() == 2).then_some(()));
    world
}

/// The first instance's name and the file that makes it sick.
fn first(world: &World) -> (String, PathBuf) {
    let status = world.status().expect("a server answers");
    let one = &status["apps"][0]["instances"][0];
    (one["id"].as_str().unwrap().to_owned(), sick_file(world, one))
}

fn sick_file(world: &World, instance: &Value) -> PathBuf {
    let port = instance["address"].as_str().unwrap().rsplit(':').next().unwrap();
    world.path().join(format!("sick-{port}"))
}

/// Waits until an instance is shown as that.
fn shown(world: &World, id: &str, condition: &str) {
    let is = |one: &Value| one["id"] == id && one["condition"] == condition;
    wait_for(&format!("{id} is {condition}"), 20, || {
        let status = world.status()?;
        status["apps"][0]["instances"].as_array()?.iter().any(is).then_some(())
    });
}

/// Who answered so many requests, each of which was answered.
fn asked(world: &World, requests: usize) -> Vec<String> {
    let mut instances: Vec<String> = (0..requests).map(|_| answers(world)).collect();
    instances.sort();
    instances.dedup();
    instances
}

/// Who answered a request.
fn answers(world: &World) -> String {
    let answer = get(world.port, "x", "/version").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let line = answer.lines().find_map(|line| line.strip_prefix("x-app-instance: "));
    line.unwrap_or_else(|| panic!("nobody's answer: {answer}")).to_owned()
}

/// Asks while `meanwhile` lasts: that one must not answer. How many were asked.
fn never<T>(world: &World, id: &str, meanwhile: impl FnOnce() -> T + Send) -> usize
where
    T: Send,
{
    std::thread::scope(|scope| {
        let done = scope.spawn(meanwhile);
        let mut requests = 0;
        while !done.is_finished() || requests < 100 {
            assert_ne!(answers(world), id, "it fails its checks (request {requests})");
            requests += 1;
        }
        done.join().unwrap();
        requests
    })
}

/// R24: one check after the other fails on one instance, then on all: whoever asks has an answer, from those that
/// pass as long as there are any.
#[test]
fn r24_checks_that_fail_cost_no_request_one_by_one_or_all_at_once() {
    let _turn = beside();
    let world = live(3, "50ms");
    let users = Users::of(&world, None);
    let status = world.status().expect("a server answers");
    let instances = status["apps"][0]["instances"].as_array().unwrap().clone();
    let ids: Vec<&str> = instances.iter().map(|one| one["id"].as_str().unwrap()).collect();
    let files: Vec<_> = instances.iter().map(|one| sick_file(&world, one)).collect();
    std::fs::write(&files[0], "").unwrap();
    shown(&world, ids[0], "unready");
    never(&world, ids[0], || ());
    std::fs::write(&files[1], "").unwrap();
    for id in &ids {
        shown(&world, id, "fail-open");
    }
    wait_for("both are asked", 10, || (asked(&world, 20).len() == 2).then_some(()));
    for (id, file) in ids.iter().zip(&files) {
        std::fs::remove_file(file).unwrap();
        shown(&world, id, "ready");
    }
    users.expect_none_lost();
}

#[test]
fn who_failed_its_checks_when_up_was_killed_gets_no_request_from_the_next() {
    let _turn = beside();
    let mut world = live(3, "50ms");
    let (sick, file) = first(&world);
    std::fs::write(&file, "").unwrap();
    shown(&world, &sick, "unready");
    never(&world, &sick, || ());
    world.kill_up();
    let pid = world.launch();
    never(&world, &sick, || {
        wait_for("the next `up` answers", 20, || {
            world.status().is_some_and(|status| status["pid"] == pid).then_some(())
        });
        shown(&world, &sick, "unready");
    });
    // The proxy's successor is given the routes of now, and not all who are alive.
    for proxy in world.parts("proxy") {
        signal(proxy, Signal::KILL);
    }
    never(&world, &sick, || ());
    // Nor are those that it had last, where nobody is left who knows.
    world.kill_up();
    for proxy in world.parts("proxy") {
        signal(proxy, Signal::KILL);
    }
    world.launch();
    let served =
        || get(world.port, "x", "/version").ok().filter(|answer| answer.contains("200 OK"));
    let answer = wait_for("users are served again", 20, served);
    assert!(!answer.contains(&sick), "{answer}");
    never(&world, &sick, || shown(&world, &sick, "unready"));
    std::fs::remove_file(&file).unwrap();
    wait_for("it serves again", 20, || asked(&world, 20).contains(&sick).then_some(()));
}

#[test]
fn who_fell_sick_while_nobody_looked_gives_way_with_the_first_check() {
    let _turn = beside();
    // Half a minute of failures: nobody waits for that here.
    let mut world = live(100, "300ms");
    let (sick, file) = first(&world);
    world.kill_up();
    std::fs::write(&file, "").unwrap();
    world.up();
    shown(&world, &sick, "doubted");
    wait_for("nobody asks it", 5, || (!asked(&world, 50).contains(&sick)).then_some(()));
    never(&world, &sick, || ());
    std::fs::remove_file(&file).unwrap();
    wait_for("it serves again", 20, || asked(&world, 20).contains(&sick).then_some(()));
}
