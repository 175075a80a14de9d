//! Bad input: what cannot work is refused with a clear sentence and the right exit code, nothing of
//! it is started, and users are served all the while.
//!
//! Every mistake in the file, word by word, is in the configuration's own `mistakes`.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use rustix::process::Signal;

use crate::nobody::Nobody;
use crate::traffic::{Deploy, Users, get};
use crate::world::{CUTOVER, World, beside, said};

/// An app whose releases are files, so that one can be missing, broken or wrong.
const FILES: &str = r#"
[proxy]
listen = ["127.0.0.1:PORT"]
drain_timeout = "5s"

[app.demo]
command = ["./run-{version}", "--port", "{port}", "--version", "{version}"]

[app.demo.health]
path = "/healthz"
interval = "50ms"
rise = 2
deadline = "3s"

[app.demo.rollout]
bake = "1s"
preview_requests = 5

[app.demo.probe]
rate = 100
path = "/datetime"
lanes = ["keep-alive", "fresh"]
late_after = "500ms"
"#;

/// Writes `run-VERSION`, which may be started if `mode` says so.
fn release(world: &World, version: &str, script: &str, mode: u32) {
    let path = world.path().join(format!("run-{version}"));
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A release that serves.
fn good_release(world: &World, version: &str) {
    let script = format!("exec '{CUTOVER}' app \"$@\"");
    release(world, version, &script, 0o755);
}

/// A world that serves v1.
fn live() -> World {
    let mut world = World::new(FILES);
    good_release(&world, "v1");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    world
}

/// What a person reads holds every one of `words`, and nothing that is meant for programmers.
fn clear(output: &Output, words: &[&str]) {
    let text = said(output);
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    for noise in ["panicked", "backtrace", "Err(", "Some(", "src/"] {
        assert!(!text.contains(noise), "`{noise}` is no word for people: {text}");
    }
}

impl World {
    /// Refused with exit code 2, these words, and a way out.
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        clear(&self.expect(2, arguments), words);
    }

    /// No rollout was even begun: one release serves, and nothing says otherwise.
    fn still_at(&self, version: &str) {
        let status = self.status().expect("a server answers");
        let app = &status["apps"][0];
        assert_eq!(app["stable"], version, "{status}");
        assert!(app["rollout"].is_null(), "{status}");
        assert_eq!(self.running().len(), 1, "{:?}", self.running());
        let answer = get(self.port, "x", "/version").unwrap();
        assert!(answer.contains(version), "{answer}");
        let log = std::fs::read_to_string(self.path().join("up.log")).unwrap_or_default();
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn a_busy_port_is_named_and_nothing_is_started() {
    let _turn = beside();
    let world = World::new(FILES);
    let other = TcpListener::bind(("127.0.0.1", world.port)).unwrap();
    let address = other.local_addr().unwrap().to_string();
    world.refused(&["up"], &[&address, "cannot be listened on", "help:", "change `listen`"]);
    let checked = ["another program listens on", &address, "cutover.toml:", "^^^", "help: end it"];
    world.refused(&["config", "check"], &checked);
    world.assert_nothing_runs();
    drop(other);
    world.expect(0, &["config", "check"]);
    let app = world.port.to_string();
    let other = TcpListener::bind(("127.0.0.1", world.port)).unwrap();
    world.refused(&["app", "--port", &app], &["in use", "help:", "--port"]);
    drop(other);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    let _turn = beside();
    for (state, word) in [
        ("cutover.toml", "cutover.toml is not a directory"),
        ("cutover.toml/state", "cutover.toml is not a directory"),
        ("/proc/state", "/proc/state"),
    ] {
        let world = World::new(&format!("state_dir = \"{state}\"\n{FILES}"));
        world.refused(&["up"], &["state directory cannot be used", word, "help:", "`state_dir`"]);
    }
    let world = World::new(&format!("state_dir = \"theirs/state\"\n{FILES}"));
    let theirs = world.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::set_permissions(&theirs, Permissions::from_mode(0o555)).unwrap();
    let nobody = Nobody::owning(world.path(), &["", "cutover.toml"]);
    if let Some(output) = nobody.says(&["up"]) {
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        for word in ["state directory cannot be used", "Permission denied", "help:", "`state_dir`"]
        {
            assert!(text.contains(word), "`{word}` is missing: {text}");
        }
    }
    let long = format!("state_dir = \"{}\"\n{FILES}", "d/".repeat(60));
    let world = World::new(&long);
    for arguments in [&["up"][..], &["status"], &["deploy", "demo", "v1"], &["down"]] {
        world.refused(arguments, &["too long", "help: set `state_dir`"]);
    }
}

#[test]
fn a_malformed_file_is_shown_with_its_line_and_its_fix() {
    let _turn = beside();
    let world = live();
    let users = Users::of(&world, None);
    let file = world.path().join("cutover.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let cases = [
        (good.replace("bake =", "bakes ="), &["unknown key `bakes`", "^^^^^", "`bake`"][..]),
        (good.replace("[proxy]", "[proxy"), &["cutover.toml:2:", "^"]),
        (good.replace("\"1s\"", "1"), &["`bake` must be a duration", "write `bake = \"1s\"`"]),
        (good.replace("127.0.0.1", "127.0.0.999"), &["cutover.toml:3:", "help:"]),
        ("\u{0}\u{1b}[2J".to_owned(), &["this is not TOML"]),
    ];
    for (text, words) in cases {
        std::fs::write(&file, text).unwrap();
        for arguments in [&["config", "check"][..], &["up"], &["deploy", "demo", "v2"]] {
            let output = world.expect(2, arguments);
            clear(&output, words);
            assert!(!said(&output).contains('\u{1b}'), "control characters: {output:?}");
        }
    }
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    world.refused(&["up"], &["is not UTF-8"]);
    std::fs::remove_file(&file).unwrap();
    let output = world.expect(2, &["status"]);
    clear(&output, &["no cutover.toml in", "cutover demo"]);
    assert!(!said(&output).contains("mistake"), "a missing file is no mistake in it");
    std::fs::write(&file, good).unwrap();
    world.still_at("v1");
    users.expect_pass();
}

#[test]
fn deploys_that_cannot_work_are_refused_before_anything_starts() {
    let _turn = beside();
    let world = live();
    release(&world, "locked", "exec true", 0o644);
    std::fs::create_dir(world.path().join("run-folder")).unwrap();
    let users = Users::of(&world, None);
    let before = world.running();
    let cases: [(&[&str], &[&str]); 14] = [
        (&["demo", "gone"], &["run-gone` was not found", "help:"]),
        (&["demo", "locked"], &["not executable", "chmod +x"]),
        (&["demo", "folder"], &["is a directory"]),
        (&["dem", "v2"], &["no app `dem`", "did you mean `demo`?"]),
        (&["zebra", "v2"], &["no app `zebra`", "`demo`"]),
        (&["De mo", "v2"], &["`De mo` cannot be the name of an app", "help:"]),
        (&["demo", ""], &["`` cannot be a version", "help:"]),
        (&["demo", "../v2"], &["`../v2` cannot be a version", "help:"]),
        (&["demo", "v2;rm -rf /"], &["cannot be a version"]),
        (&["demo", "v2\n\u{1b}[2J"], &["`v2\\n\\u{1b}[2J` cannot be a version"]),
        (&["demo", "vé"], &["cannot be a version"]),
        (&["demo", "--", "-v"], &["`-v` cannot be a version"]),
        (&["demo", "v1", "--out", "cutover.toml/x"], &["reports cannot be written", "--out"]),
        (&["demo", "v1", "--out", "/proc/x"], &["reports cannot be written", "/proc/x", "--out"]),
    ];
    for (arguments, words) in cases {
        world.refused(&[&["deploy"], arguments].concat(), words);
    }
    world.refused(&["deploy", "demo"], &["<VERSION>", "Usage"]);
    world.refused(&["abort", "dem"], &["no app `dem`", "`demo`"]);
    assert_eq!(world.running(), before, "an instance was started or replaced");
    world.still_at("v1");
    users.expect_pass();
}

#[test]
fn a_command_that_exits_at_once_shows_its_last_words_and_users_stay() {
    let _turn = beside();
    let world = live();
    release(&world, "v2", "echo 'no database at db:5432' >&2; exit 7", 0o755);
    let users = Users::of(&world, None);
    let output = world.expect(4, &["deploy", "demo", "v2"]);
    clear(&output, &["aborted", "users are on v1", "status 7", "no database at db:5432"]);
    // Its evidence is told once, in the result, and not with every step.
    let steps = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!steps.contains("no database"), "{steps}");
    let report = world.report();
    assert_eq!((&report["verdict"], &report["outcome"]), (&"PASS".into(), &"aborted".into()));
    world.still_at("v1");
    users.expect_pass();
}

#[test]
fn a_first_version_that_exits_at_once_leaves_nothing_running() {
    let _turn = beside();
    let mut world = World::new(FILES);
    release(&world, "v1", "echo 'no database at db:5432' >&2; exit 7", 0o755);
    world.up();
    let output = world.expect(4, &["deploy", "demo", "v1"]);
    clear(&output, &["aborted", "nothing serves demo", "status 7", "no database at db:5432"]);
    let steps = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!steps.contains("INCONCLUSIVE"), "nobody probed, so nobody can doubt: {steps}");
    assert!(world.running().is_empty());
    good_release(&world, "v2");
    world.expect(0, &["deploy", "demo", "v2"]);
    world.still_at("v2");
}

#[test]
fn r30_of_two_deploys_at_once_the_second_follows_and_nothing_is_lost() {
    let _turn = beside();
    let world = live();
    good_release(&world, "v2");
    good_release(&world, "v3");
    let users = Users::of(&world, None);
    let mut first = Deploy::start(&world, "demo", "v2");
    first.reach("starting");
    world.refused(
        &["deploy", "demo", "v2"],
        &["demo is being moved to v2", "help: wait for it, or `cutover abort demo`"],
    );
    Deploy::start(&world, "demo", "v3").end().expect(0, "PASS");
    assert_eq!(first.end().code, Some(4));
    world.still_at("v3");
    users.expect_pass();
}

#[test]
fn r30_ctrl_c_takes_back_what_its_own_command_began_and_nothing_else() {
    let _turn = beside();
    let mut world = World::new(&FILES.replace("bake = \"1s\"", "bake = \"4s\""));
    let stubborn = format!("exec '{CUTOVER}' app --ignore-sigterm \"$@\"");
    for version in ["v2", "v4"] {
        release(&world, version, &stubborn, 0o755);
    }
    for version in ["v1", "v3", "v5"] {
        good_release(&world, version);
    }
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(&world, None);
    // The first of two, while users are taken back for the second.
    let mut first = Deploy::start(&world, "demo", "v2");
    first.reach("baking");
    let second = Deploy::start(&world, "demo", "v3");
    first.reach("stopping-candidate");
    first.signal(Signal::INT);
    let first = first.end();
    assert_eq!(first.code, Some(130), "{}", first.said);
    assert!(first.said.contains("is ending already, and v3 follows"), "{}", first.said);
    assert_eq!(first.report["interrupted"], true, "{}", first.said);
    second.end().expect(0, "PASS");
    world.still_at("v3");
    // The second of two, before it has begun.
    let mut first = Deploy::start(&world, "demo", "v4");
    first.reach("baking");
    let second = Deploy::start(&world, "demo", "v5");
    first.reach("stopping-candidate");
    second.signal(Signal::INT);
    assert_eq!(second.end().code, Some(130));
    let first = first.end();
    assert_eq!(first.code, Some(4), "{}", first.said);
    assert_eq!(first.report["interrupted"], false, "{}", first.said);
    world.still_at("v3");
    users.expect_pass();
}

#[test]
fn r30_two_deploys_of_one_version_that_wait_end_as_its_rollout_does() {
    let _turn = beside();
    let config = FILES.replace("bake = \"1s\"", "bake = \"4s\"");
    let mut world = World::new(&config.replace("deadline = \"3s\"", "deadline = \"25s\""));
    release(&world, "v2", &format!("exec '{CUTOVER}' app --ignore-sigterm \"$@\""), 0o755);
    for version in ["v1", "v3"] {
        good_release(&world, version);
    }
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let mut under_way = Deploy::start(&world, "demo", "v2");
    under_way.reach("baking");
    let first = Deploy::start(&world, "demo", "v3");
    under_way.reach("stopping-candidate");
    // Once more, by two others; one of them is interrupted, and takes nothing back.
    let second = Deploy::start(&world, "demo", "v3");
    let detached = said(&world.expect(0, &["deploy", "demo", "v3", "--detach"]));
    assert!(detached.contains("v3 was asked for already, and follows as run"), "{detached}");
    let mut third = Deploy::start(&world, "demo", "v3");
    third.says("v3 was asked for already");
    third.signal(Signal::INT);
    assert_eq!(third.end().code, Some(130));
    assert_eq!(under_way.end().code, Some(4));
    let [first, second] = [first, second].map(Deploy::end);
    assert_eq!(first.report["run_id"], second.report["run_id"], "{}", second.said);
    for shipped in [first, second] {
        assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.said);
        // On a machine that is too busy the prober cannot vouch for all of it.
        assert!(matches!(shipped.code, Some(0 | 3)), "{}", shipped.said);
    }
    world.still_at("v3");
}

#[test]
fn a_second_up_on_one_state_directory_is_refused_and_the_first_serves_on() {
    let _turn = beside();
    let world = live();
    let users = Users::of(&world, None);
    let pid = world.status().unwrap()["pid"].to_string();
    let holder = format!("another `cutover up` (pid {pid})");
    world.refused(&["up"], &[&holder, "help:", "`cutover down`"]);
    world.still_at("v1");
    users.expect_pass();
}

#[test]
fn commands_say_that_no_server_runs() {
    let _turn = beside();
    let world = World::new(FILES);
    good_release(&world, "v1");
    for arguments in [&["status"][..], &["deploy", "demo", "v1"], &["abort", "demo"], &["down"]] {
        world.refused(arguments, &["no server is running", "help: start it with `cutover up`"]);
    }
}

#[test]
fn a_probe_of_what_cannot_be_probed_says_why() {
    let _turn = beside();
    let world = World::new(FILES);
    let url = format!("http://127.0.0.1:{}/", world.port);
    // A machine that starves the prober meanwhile gets no verdict.
    let probe = |_| world.run(&["probe", &url, "--count", "20"]);
    let output = (0..5).map(probe).find(|output| output.status.code() == Some(1)).unwrap();
    clear(&output, &["FAIL  20 of 20 requests failed", "refused", "nothing was listening"]);
    let cases: [(&[&str], &[&str]); 19] = [
        (&["https://127.0.0.1/", "--ca", "absent.pem"], &["absent.pem cannot be read"]),
        (&[&url, "--assert", "p99<250"], &["p99<250", "compared with a time"]),
        (&[&url, "--watch-version", "cookie:v"], &["`cookie:v` is no place of a version"]),
        (
            &[&url, "--method", "HEAD", "--watch-version", "json:build.version"],
            &["an answer to HEAD has no body", "--watch-version header:NAME"],
        ),
        (&[&url, "--method", "HEAD", "--body", "x"], &["a request with HEAD has no body", "help:"]),
        (&[&url, "--method", "TRACE"], &["`TRACE` cannot be probed", "HEAD"]),
        (&[&url, "--basic-from", "NOT_SET"], &["variable NOT_SET is not set", "help:"]),
        (&[&url, "--header", "no colon"], &["`no colon` cannot be sent", "help:"]),
        (&[&url, "--resolve", "a:80"], &["`a:80` names no host"]),
        (&[&url, "--lanes-file", "cutover.toml"], &["cutover.toml", "help:"]),
        (&["ftp://127.0.0.1/"], &["the scheme `ftp` is not supported", "help:"]),
        (&["127.0.0.1:80"], &["has no scheme", "help:"]),
        (&[&url, "--lanes", "keepalive"], &["no lane `keepalive`", "keep-alive"]),
        (&[&url, "--lanes", "fresh,fresh"], &["a lane is named twice", "help:"]),
        (&[&url, "--lanes", "fresh,all"], &["`all` names every lane already", "help:"]),
        (&[&url, "--rate", "0"], &["'0'", "--rate"]),
        (&[&url, "--duration", "5"], &["'5'", "with its unit: 500ms, 10s or 1m30s"]),
        (&[&url, "--host", "a b"], &["`a b` cannot be a Host header", "help:"]),
        (&[&url, "--out", "cutover.toml/x"], &["reports cannot be written", "--out"]),
    ];
    for (arguments, words) in cases {
        world.refused(&[&["probe"], arguments].concat(), words);
    }
}
