//! Operators: pause, resume, promote, set-weight, retry, rollback, and deploys that follow each other.
//!
//! Wishes that come at the wrong time are all tried with the machine (`rollout`, `wishes`), not here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::crowd::{Crowd, EVERYONE};
use crate::traffic::{Deploy, Shipped};
use crate::world::{World, beside, patient_config, said, signal, wait_for};

/// v1 is live, with this in place of the bake.
fn live(instances: u16, rollout: &str) -> World {
    let mut world = World::new(&patient_config(instances).replace("bake = \"1500ms\"", rollout));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    world
}

/// The app, as scripts see it.
fn app(world: &World) -> Value {
    world.status().map_or(Value::Null, |status| status["apps"][0].clone())
}

/// Waits until the app stands like that, and the candidate has so many basis points.
fn stands(world: &World, coarse: &str, points: u64) -> Value {
    wait_for(&format!("{coarse} at {points}"), 20, || {
        let app = app(world);
        let pools = app["pools"].as_array().unwrap().clone();
        let of_candidate = pools.iter().find(|pool| pool["version"] == "v2");
        let weight = of_candidate.map_or(0, |pool| pool["weight"].as_u64().unwrap());
        (app["coarse"] == coarse && weight == points).then_some(app)
    })
}

/// Refused with exit code 2 and these words; nothing else happens.
fn refused(world: &World, arguments: &[&str], words: &str) {
    let text = said(&world.expect(2, arguments));
    assert!(text.contains(words), "`{words}` is missing: {text}");
}

/// A command that says lines until it is interrupted.
struct Lines {
    child: Child,
    next: Receiver<String>,
    said: Vec<String>,
}

impl Lines {
    fn of(world: &World, arguments: &[&str]) -> Self {
        let mut child = world.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, next) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, next, said: Vec::new() }
    }

    /// Waits for a line with all of these words.
    fn wait(&mut self, words: &[&str]) {
        loop {
            let line = self.next.recv_timeout(Duration::from_secs(20));
            let line = line.unwrap_or_else(|_| panic!("no {words:?} in {:#?}", self.said));
            let found = words.iter().all(|word| line.contains(word));
            self.said.push(line);
            if found {
                return;
            }
        }
    }

    /// Interrupts it; that is how it ends well.
    fn end(mut self) {
        signal(self.child.id(), Signal::INT);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Promoted, and the prober saw no failure; on a machine that is too busy it cannot vouch for all of it.
fn ended_well(shipped: &Shipped) {
    let report = &shipped.report;
    let well = report["outcome"] == "promoted" && report["failed"] == 0;
    assert!(well && matches!(shipped.code, Some(0 | 3)), "{}{}", shipped.why(), shipped.said);
}

#[test]
fn a_canary_is_paused_by_hand_given_a_share_and_promoted_in_full() {
    let _turn = beside();
    let steps =
        "strategy = \"canary\"\nsteps = [\"25%\", \"pause\", \"50%\"]\nstep_bake = \"500ms\"";
    let world = live(1, &format!("{steps}\nbake = \"500ms\""));
    for command in ["pause", "resume", "promote"] {
        let words = format!("nothing to {command}: no rollout of demo is under way");
        refused(&world, &[command, "demo"], &words);
    }
    let mut watch = Lines::of(&world, &["status", "demo", "--watch"]);
    let crowd = Crowd::of(&world, &EVERYONE);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("shifting");
    world.expect(0, &["pause", "demo", "--reason", "to look"]);
    deploy.reach("baking");
    crowd.mark();
    let paused = stands(&world, "Paused", 2_500);
    assert_eq!(paused["paused"], "asked to pause: to look", "{paused}");
    refused(&world, &["pause", "demo"], "nothing to pause: it is paused already");
    // The step at which the file says to wait for a person comes all the same.
    world.expect(0, &["resume", "demo"]);
    wait_for("the step waits", 20, || {
        app(&world)["paused"].as_str().is_some_and(|why| why.contains("v2 has 25 %")).then_some(())
    });
    world.expect(0, &["set-weight", "demo", "10%"]);
    deploy.reach("baking");
    crowd.mark();
    stands(&world, "Paused", 1_000);
    watch.wait(&["paused ", "phase=baking", "v2:10.00%"]);
    refused(&world, &["set-weight", "demo", "100%"], "write a percentage");
    world.expect(0, &["promote", "demo", "--full", "--detach"]);
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    ended_well(&shipped);
    let shares = shipped.report["shares"].as_array().unwrap();
    let wanted: Vec<_> = shares.iter().map(|share| share["wanted_bp"].as_u64()).collect();
    assert_eq!(wanted, [Some(2_500), Some(1_000), Some(10_000)], "{}", shipped.said);
    watch.wait(&["healthy ", "stable=v2", "traffic=v2:100.00%"]);
    // A deploy that nobody follows.
    let began = said(&world.expect(0, &["deploy", "demo", "v3", "--detach"]));
    assert!(began.contains("demo: began run "), "{began}");
    assert_eq!(app(&world)["rollout"][1], "v3");
    world.expect(0, &["abort", "demo"]);
    watch.end();
}

#[test]
fn an_abort_that_comes_too_late_is_refused_and_says_what_takes_users_back() {
    let _turn = beside();
    let world = live(1, "bake = \"300ms\"");
    // Open on v1 when users leave it, so that its drain lasts.
    let mut slow = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    slow.write_all(b"GET /slow?ms=30000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("draining");
    let text = said(&world.expect(2, &["abort", "demo"]));
    assert!(text.contains("nothing to abort: v2 is promoted already"), "{text}");
    assert!(text.contains("`cutover rollback demo` takes users back"), "{text}");
    let shipped = deploy.end();
    assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.said);
    // Where no rollout is under way there is nothing to undo, and nothing was.
    let text = said(&world.expect(0, &["abort", "demo"]));
    assert!(text.contains("nothing to abort: no rollout of demo is under way"), "{text}");
}

#[test]
fn a_rollback_under_load_costs_nothing_and_runs_what_ran() {
    let _turn = beside();
    let world = live(2, "bake = \"500ms\"");
    refused(&world, &["rollback", "demo"], "nothing to roll back to");
    refused(&world, &["retry", "demo"], "nothing to retry: the last rollout of demo ended well");
    ended_well(&Deploy::start(&world, "demo", "v2").end());
    let crowd = Crowd::of(&world, &EVERYONE);
    let mut rollback = Deploy::run(&world, &["rollback", "demo", "--json"]);
    rollback.reach("shifting");
    crowd.mark();
    let shipped = rollback.end();
    crowd.expect_nothing_lost();
    ended_well(&shipped);
    assert_eq!(app(&world)["stable"], "v1");
    // The very release, not a new one of its version.
    let running = world.running();
    assert!(running.iter().all(|(id, _)| id.starts_with("demo-1-")), "{running:?}");
    refused(&world, &["rollback", "demo", "--to", "v1"], "users of demo are on v1 already");
    refused(&world, &["rollback", "demo", "--to", "v9"], "served before: v2");
    // What was given up is shipped again as it was.
    let mut deploy = Deploy::start(&world, "demo", "v3");
    deploy.reach("starting");
    refused(&world, &["rollback", "demo"], "nothing to roll back: v3 of demo is not promoted yet");
    world.expect(0, &["abort", "demo"]);
    assert_eq!(deploy.end().code, Some(4));
    let shipped = Deploy::run(&world, &["retry", "demo", "--json"]).end();
    ended_well(&shipped);
    let running = world.running();
    assert!(running.iter().all(|(id, _)| id.starts_with("demo-3-")), "{running:?}");
    // Not to the one before, but to the one that is named.
    ended_well(&Deploy::run(&world, &["rollback", "demo", "--to", "v2", "--json"]).end());
    let running = world.running();
    assert!(running.iter().all(|(id, _)| id.starts_with("demo-2-")), "{running:?}");
}

#[test]
fn a_deploy_follows_the_one_under_way_also_when_up_is_killed_in_between() {
    let _turn = beside();
    let mut world = live(1, "bake = \"20s\"");
    let crowd = Crowd::of(&world, &EVERYONE);
    let mut second = Deploy::start(&world, "demo", "v2");
    second.reach("baking");
    crowd.mark();
    // Users go back first; then the next one is shipped, with v1 as its way back.
    let third = Deploy::start(&world, "demo", "v3");
    let next = wait_for("v3 is to follow", 10, || {
        let app = app(&world);
        (app["next"][0] == "v3" || app["rollout"][1] == "v3").then_some(app)
    });
    world.kill_up();
    world.up();
    assert_eq!(second.end().code, Some(4), "{next}");
    wait_for("v3 is on trial", 30, || {
        let app = app(&world);
        (app["rollout"][1] == "v3" && app["rollout"][2] == "baking").then_some(())
    });
    crowd.mark();
    // The version that users are on: an abort.
    let again = Deploy::start(&world, "demo", "v1").end();
    assert_eq!((again.code, third.end().code), (Some(4), Some(4)), "{}", again.said);
    crowd.expect_nothing_lost();
    assert_eq!(app(&world)["stable"], "v1");
    let running = world.running();
    assert!(running.iter().all(|(id, _)| id.starts_with("demo-1-")), "{running:?}");
}
