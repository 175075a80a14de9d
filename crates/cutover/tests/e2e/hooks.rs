//! Hooks and notifications, with the real binary: what they are told, what their failure does, and a kill
//! of `up` while one is called.
//!
//! Every moment and every failure is not tried here, but with the machine (`rollout`, `tests/transcripts`).

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::traffic::Deploy;
use crate::world::{World, beside, patient_config, said, wait_for};

const HOOKS: &str = r#"
[[app.demo.hooks]]
name = "gate"
before = "switch"
command = ["sh", "-c", "echo no database; test ! -e closed"]
[[app.demo.hooks]]
name = "slow"
after = "switch"
command = ["sh", "slow.sh"]
[[app.demo.hooks]]
name = "clean-up"
after = "abort"
command = ["sh", "clean-up.sh"]
[[notify]]
url = "http://127.0.0.1:NOTIFY/x"
"#;

/// In files of their own: in its configuration a world knows other variables.
const SLOW: &str = "echo $CUTOVER_KEY $CUTOVER_FROM $CUTOVER_TO >> slow\n\
    while test -e hold; do sleep 0.05; done\n";
const CLEAN_UP: &str = "echo $CUTOVER_RUN $CUTOVER_WHEN $CUTOVER_PHASE > aborted\n";

/// Takes every document; they are in their order.
fn receiver() -> (u16, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&got);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut bytes, mut more) = (Vec::new(), [0; 4096]);
            let value = loop {
                let Ok(count @ 1..) = stream.read(&mut more) else { break None };
                bytes.extend_from_slice(&more[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                if let Ok(value) = serde_json::from_str::<Value>(body) {
                    break Some(value);
                }
            };
            let _answered = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            sink.lock().unwrap().extend(value);
        }
    });
    (port, got)
}

/// What a hook wrote, line by line.
fn lines(world: &World, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(world.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Shells of the hook with that key.
fn shells(key: &str) -> usize {
    let read = |process: &Path, name| std::fs::read(process.join(name)).unwrap_or_default();
    let mark = format!("CUTOVER_KEY={key}");
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let marked = all.filter(|process| {
        let environment = read(process, "environ");
        let words = read(process, "cmdline");
        String::from_utf8_lossy(&words).contains("slow.sh\0")
            && String::from_utf8_lossy(&environment).contains(&mark)
    });
    marked.count()
}

/// What was told of a version, each thing once: after a restart it is told again.
fn events(told: &[Value], version: &str) -> String {
    let mut events: Vec<&str> = Vec::new();
    for one in told.iter().filter(|one| one["to"] == version) {
        let event = one["event"].as_str().unwrap();
        if !events.contains(&event) {
            events.push(event);
        }
    }
    events.join(" ")
}

#[test]
fn a_hook_holds_the_rollout_ends_it_and_is_called_again_after_a_crash() {
    let _turn = beside();
    let (port, got) = receiver();
    let config = patient_config(1).replace("bake = \"1500ms\"", "bake = \"300ms\"");
    let mut world = World::new(&(config + &HOOKS.replace("NOTIFY", &port.to_string())));
    let file = |name: &str| world.path().join(name);
    let (closed, hold) = (file("closed"), file("hold"));
    std::fs::write(file("slow.sh"), SLOW).unwrap();
    std::fs::write(file("clean-up.sh"), CLEAN_UP).unwrap();
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    assert_eq!(lines(&world, "slow").len(), 1, "called once");

    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    assert!(plan.contains("before switch: gate, `sh -c"), "{plan}");
    std::fs::write(&closed, "").unwrap();
    let told = said(&world.expect(4, &["deploy", "demo", "v2"]));
    assert!(told.contains("the hook gate (before switch) failed: status 1"), "{told}");
    assert!(told.contains("no database"), "{told}");
    let aborted = lines(&world, "aborted").join("");
    let run = aborted.strip_suffix(" after abort").expect(&aborted);
    let log = std::fs::read_to_string(world.state().join("runs").join(run).join("hooks.log"));
    let log = log.unwrap();
    assert!(log.contains("--- gate (before switch), attempt 1\nno database\n"), "{log}");

    std::fs::remove_file(&closed).unwrap();
    std::fs::write(&hold, "").unwrap();
    let deploy = Deploy::start(&world, "demo", "v3");
    wait_for("the hook is called", 20, || (lines(&world, "slow").len() == 2).then_some(()));
    let status = said(&world.expect(0, &["status"]));
    assert!(status.contains("calling: slow (after switch)"), "{status}");
    world.kill_up();
    world.up();
    let called = wait_for("it is called again", 20, || {
        let lines = lines(&world, "slow");
        (lines.len() == 3).then_some(lines)
    });
    assert!(called[1] == called[2] && called[2].ends_with("/slow v1 v3"), "{called:?}");
    let key = called[2].split(' ').next().unwrap();
    assert_eq!(shells(key), 1, "the one that was called before still runs");
    std::fs::remove_file(&hold).unwrap();
    let shipped = deploy.end();
    // On a machine that is too busy the prober cannot vouch for all of it.
    assert!(matches!(shipped.code, Some(0 | 3)), "{}", shipped.said);

    let told = wait_for("its end is told", 10, || {
        let told = got.lock().unwrap().clone();
        let last = told.last().is_some_and(|one| one["to"] == "v3" && one["event"] == "finished");
        last.then_some(told)
    });
    assert_eq!(events(&told, "v1"), "started switched finished");
    assert_eq!(events(&told, "v2"), "started aborted");
    assert_eq!(events(&told, "v3"), "started switched finished");
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}

const OF_STEPS: &str = r#"
[[app.demo.hooks]]
name = "grow"
before = "step"
command = ["sh", "grow.sh"]
[[app.demo.hooks]]
name = "look"
after = "step"
step = "25%"
command = ["sh", "-c", "echo look >> calls"]
"#;

const GROW: &str = "echo $CUTOVER_HOOK $CUTOVER_STEP $CUTOVER_SHARE >> calls\n\
    while test -e hold-$CUTOVER_STEP; do sleep 0.05; done\n";

/// `up` is killed while the hook before the last step is called: that one is called again, and no other is.
#[test]
fn each_step_of_a_canary_waits_for_its_hooks_also_after_a_crash() {
    let _turn = beside();
    let canary =
        "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"300ms\"\nbake = \"300ms\"";
    let config = patient_config(1).replace("bake = \"1500ms\"", canary);
    let mut world = World::new(&(config + OF_STEPS));
    std::fs::write(world.path().join("grow.sh"), GROW).unwrap();
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    assert_eq!(lines(&world, "calls"), [""; 0], "the first deploy has no steps");

    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    for words in ["before step 1: grow, `sh", "before step 2: grow, `sh", "after step 1: look, `sh"]
    {
        assert!(plan.contains(words), "`{words}` is missing: {plan}");
    }
    let hold = world.path().join("hold-2");
    std::fs::write(&hold, "").unwrap();
    let deploy = Deploy::start(&world, "demo", "v2");
    let called = wait_for("the hook before the last step is called", 30, || {
        let lines = lines(&world, "calls");
        (lines.len() >= 3).then_some(lines)
    });
    assert_eq!(called, ["grow 1 25.00%", "look", "grow 2 100.00%"]);
    let status = said(&world.expect(0, &["status"]));
    assert!(status.contains("calling: grow (before step 2)"), "{status}");
    world.kill_up();
    world.up();
    let called = wait_for("it is called again", 30, || {
        let lines = lines(&world, "calls");
        (lines.len() >= 4).then_some(lines)
    });
    assert_eq!(called[3], "grow 2 100.00%");
    std::fs::remove_file(&hold).unwrap();
    let shipped = deploy.end();
    assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.said);
    assert_eq!(lines(&world, "calls").len(), 4, "{:?}", lines(&world, "calls"));
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}
