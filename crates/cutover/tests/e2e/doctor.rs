//! `cutover doctor` against the sample app, and a tiny server that is not ours: each fault is found by its finding, a healthy app has none.
//!
//! All cases run side by side, since they wait more than they work.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{CUTOVER, World, beside, free_port, said, signal, turn};

/// What is wrong with the app, and what must be found of it.
struct Case {
    name: &'static str,
    /// Words after `cutover app --port {port}`.
    faults: &'static str,
    /// A change of the file.
    edit: (&'static str, &'static str),
    /// More words on doctor's command line.
    more: &'static [&'static str],
    code: i32,
    /// The findings, each with its race.
    found: &'static [&'static str],
}

const HEALTHY: Case =
    Case { name: "healthy", faults: "", edit: ("", ""), more: &[], code: 0, found: &[] };

const fn fault(name: &'static str, faults: &'static str, found: &'static [&'static str]) -> Case {
    Case { name, faults, code: 1, found, ..HEALTHY }
}

fn cases() -> Vec<Case> {
    let connects = ("path = \"/healthz\"", "tcp = true");
    let nowhere = ("path = \"/datetime\"", "path = \"/nothing\"");
    // Half of the hold is for the start, and more than half of that is much.
    let hurried = (
        "[app.demo.probe]",
        "[app.demo.rollout]\nstrategy = \"recreate\"\nhold = \"8s\"\n[app.demo.probe]",
    );
    let soon = ("deadline = \"60s\"", "deadline = \"1s\"");
    let locked = ("[\"CUTOVER\", \"app\"", "[\"./locked\", \"app\"");
    vec![
        Case { more: &["--slow-path", "/slow?ms=400"], ..HEALTHY },
        fault("idle", "--idle-close 300ms", &["closes-idle R2"]),
        fault("deaf", "--ignore-sigterm", &["ignores-sigterm R17"]),
        fault("abrupt", "--exit-on-sigterm", &["cuts-at-sigterm R8"]),
        fault("refusing", "--refuse-on-sigterm", &["turns-away R9"]),
        fault("lying", "--health-lies", &["health-lies R7"]),
        fault("failing", "--error-share 0.3", &["health-lies R7"]),
        fault("cutting", "--die-mid-response 5", &["cuts-answers R11"]),
        Case { edit: hurried, ..fault("late", "--start-delay 2500ms", &["slow-start R7"]) },
        fault("crash", "--drain-deadline nonsense", &["does-not-start R7"]),
        fault("elsewhere", "--port FREE", &["ignores-port R7"]),
        Case { edit: soon, ..fault("never", "--ready-delay 1m", &["never-ready R7"]) },
        Case { edit: nowhere, ..fault("lost", "", &["wrong-path R7"]) },
        Case { edit: locked, ..fault("single", "", &["one-copy-only R7"]) },
        Case {
            more: &["--slow-path", "/slow?ms=4500"],
            ..fault("slow", "", &["stop-timeout-too-short R18"])
        },
        Case {
            edit: ("path = \"/healthz\"", "command = [\"true\"]"),
            ..fault("pleased", "", &["health-survives-stall R6"])
        },
        Case { edit: foreign("all"), ..fault("all", "", &["health-is-catch-all R7"]) },
        Case { edit: foreign("stays"), code: 0, ..fault("stays", "", &["ready-to-the-end R8"]) },
        Case {
            name: "connecting",
            edit: connects,
            found: &["health-only-connects R16"],
            ..HEALTHY
        },
    ]
}

/// A change of the file to a server that is not ours.
const fn foreign(kind: &'static str) -> (&'static str, &'static str) {
    let instead = match kind.as_bytes() {
        b"all" => "[\"./all\"",
        _ => "[\"./stays\"",
    };
    ("[\"CUTOVER\", \"app\"", instead)
}

/// The foreign server, as a process of its own: it listens where PORT says. As `all` it sends one page for whatever
/// is asked, else it knows its paths.
#[test]
fn serves_as_a_foreign_app() {
    let Ok(kind) = std::env::var("DOCTOR_TEST_FOREIGN") else { return };
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let (mut stream, all) = (stream.unwrap(), kind == "all");
        std::thread::spawn(move || {
            let mut line = String::new();
            let mut lines = BufReader::new(&stream);
            lines.read_line(&mut line).unwrap();
            let known = all || ["/healthz", "/datetime"].iter().any(|path| line.contains(path));
            while line.len() > 2 {
                line.clear();
                lines.read_line(&mut line).unwrap();
            }
            let status = if known { "200 OK" } else { "404 Not Found" };
            let head =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 3\r\n\r\nhi\n");
            // Who asked may have gone.
            let _gone = stream.write_all(head.as_bytes());
        });
    }
}

/// A shell around it: it ends with its server, or a while after it was told to.
fn wrapped(folder: &Path, kind: &str) {
    let program = std::env::current_exe().unwrap();
    let serve = format!(
        "DOCTOR_TEST_FOREIGN={kind} exec {} --exact doctor::serves_as_a_foreign_app --nocapture",
        program.display()
    );
    let text = match kind {
        "all" => format!("#!/bin/sh\n{serve}\n"),
        _ => format!(
            "#!/bin/sh\n(trap '' TERM; {serve}) &\nserver=$!\ntrap 'sleep 1.5; kill -9 $server; exit 0' TERM\n\
             wait $server\n"
        ),
    };
    script(&folder.join(kind), &text);
}

/// Writes a program.
fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let mut mode = std::fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(path, mode).unwrap();
}

const FILE: &str = r#"
[app.demo]
command = ["CUTOVER", "app"FAULTS]
stop_timeout = "3s"
[app.demo.health]
path = "/healthz"
interval = "20ms"
timeout = "1s"
rise = 2
deadline = "60s"
[app.demo.probe]
path = "/datetime"
"#;

/// A program that only one can run at a time.
const LOCKED: &str = "#!/bin/sh\nmkdir held || exit 1\nexec CUTOVER \"$@\"\n";

/// Writes the case's directory.
fn set(folder: &Path, case: &Case) {
    let own = if case.faults.contains("--port") { "" } else { "--port {port}" };
    let faults = case.faults.replace("FREE", &free_port().to_string());
    let words = [own, &faults].join(" ");
    let words: Vec<String> = words.split_whitespace().map(|word| format!(", \"{word}\"")).collect();
    let (from, to) = case.edit;
    let text = FILE.replace(from, if from.is_empty() { "" } else { to });
    let text = if from.is_empty() { FILE.to_owned() } else { text };
    let text = text.replace("FAULTS", &words.concat()).replace("CUTOVER", CUTOVER);
    std::fs::create_dir_all(folder.join("tmp")).unwrap();
    std::fs::write(folder.join("cutover.toml"), text).unwrap();
    script(&folder.join("locked"), &LOCKED.replace("CUTOVER", CUTOVER));
    for kind in ["all", "stays"] {
        wrapped(folder, kind);
    }
}

fn doctor(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(CUTOVER);
    command.current_dir(folder).env("TMPDIR", folder.join("tmp")).args(["doctor", "demo"]);
    command.args(more).stdin(Stdio::null());
    command
}

/// Nothing runs of what was started in `folder`, and no file of it is left.
fn assert_clean(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder.join("tmp")).unwrap().flatten().collect();
    assert!(left.is_empty(), "left over: {left:?}");
    let mark = format!("CUTOVER_STATE={}/", folder.canonicalize().unwrap().display());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment);
        assert!(!text.contains(&mark), "{} still runs", entry.path().display());
    }
}

fn judge(case: &Case, output: &Output) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(case.code), "{}: {said}", case.name);
    let told: Value = serde_json::from_slice(&output.stdout).expect(&said);
    let findings = told["findings"].as_array().unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let found: Vec<String> =
        findings.iter().map(|one| format!("{} {}", text(one, "id"), text(one, "race"))).collect();
    for one in findings {
        assert!(!text(one, "what").is_empty() && !text(one, "fix").is_empty(), "{one}");
    }
    // One that has crashed, or ends as it likes, may be found wanting elsewhere, too.
    let exact = !["cutting", "pleased", "all", "stays"].contains(&case.name);
    let right = if exact { found == case.found } else { found.contains(&case.found[0].to_owned()) };
    assert!(right, "{}: {found:?}\n{said}", case.name);
    if case.name == "connecting" {
        let seen = findings[0]["seen"].to_string();
        assert!(seen.contains("stopped (SIGSTOP), it still passed"), "{seen}");
    }
    if case.name == HEALTHY.name {
        let stall = told["measured"]["stall_ms"].as_u64();
        assert!(stall.is_some_and(|ms| ms < 10_000), "{told}");
    }
    if case.code == 0 && case.name != "stays" {
        let measured = &told["measured"];
        assert!(measured["in_flight"].as_u64() > Some(0), "{measured}");
        assert_eq!(measured["in_flight"], measured["answered"], "{measured}");
        assert_eq!((&measured["idle_ms"], &measured["reuse_ms"]), (&4000.into(), &4000.into()));
        assert!(measured["ended_ms"].as_u64() < Some(3000), "{measured}");
    }
}

#[test]
fn each_fault_is_found_and_a_healthy_app_has_none() {
    // All the cases at once need all of the machine, and what is starved is found slow.
    let _turn = turn();
    let world = World::empty();
    std::thread::scope(|scope| {
        for case in cases() {
            let folder = world.path().join(case.name);
            scope.spawn(move || {
                set(&folder, &case);
                let output = doctor(&folder, &["--json"]).args(case.more).output().unwrap();
                judge(&case, &output);
                assert_clean(&folder);
            });
        }
    });
}

#[test]
fn what_it_finds_is_grouped_with_race_and_fix_and_ctrl_c_leaves_nothing() {
    let _turn = beside();
    let world = World::empty();
    let folder = world.path();
    let case =
        Case { edit: ("\"/datetime\"", "\"/nothing\""), ..fault("x", "--exit-on-sigterm", &[]) };
    set(folder, &case);
    let output = doctor(folder, &[]).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in ["2 found that lose requests, 0 that may", "loses requests\n  R7 ", "\n  R8 "] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.contains("fix   on SIGTERM finish what is open"), "{text}");
    assert!(text.contains("starting a throw-away instance"), "no progress: {text}");

    let mut child = doctor(folder, &[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("idle")).unwrap().unwrap();
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_clean(folder);
}
