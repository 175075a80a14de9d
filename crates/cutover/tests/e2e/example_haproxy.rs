//! `examples/haproxy-blue-green`, run as its readers run it, on a real HAProxy (`haproxy_bed`).
//!
//! What Cutover does behind HAProxy is tested in `haproxy` and `strategies`; here it is the example's
//! scripts, its files, and that its naive half loses what its README says.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use crate::example::{self, Script};
use crate::haproxy_bed::{Real, programs};
use crate::load::Load;
use crate::traffic::Deploy;
use crate::world::{CUTOVER, free_port, patient_config, signal, turn, wait_for};

/// Where the files of the example would lie; its own copy has no place yet.
const HOME: &str = "/srv/cms/";

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/haproxy-blue-green")
}

/// Runs a script to its end.
fn run(words: &[&str], haproxy: &Path) -> (Option<i32>, Value, String) {
    example::run(words, &example(), ("HAPROXY", haproxy))
}

fn start(haproxy: &Path, cutover: &Path) -> Script {
    Script::start(&["run.sh"], &example(), ("HAPROXY", haproxy), cutover)
}

#[test]
fn run_ships_v2_under_load_without_a_loss() {
    let _turn = turn();
    for program in programs() {
        let (code, report, said) = run(&["run.sh"], &program);
        assert_eq!(report["failed"], 0, "{said}");
        assert_eq!(report["verdict"], "PASS", "{said}");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("PASS  0 of") && said.contains("lacks nothing"), "{said}");
        assert_eq!(report["lanes"].as_array().map(Vec::len), Some(3), "{said}");
        assert!(report["sent"].as_u64() > Some(600), "{said}");
        assert_eq!(report["proof"]["regressions"], 0, "{said}");
        let roles = report["versions"].as_array().unwrap();
        let label =
            |role: &str| roles.iter().find(|one| one["role"] == role).unwrap()["label"].clone();
        assert_eq!((label("old"), label("new")), ("v1".into(), "v2".into()), "{said}");
    }
}

#[test]
fn run_answers_the_code_of_the_deploy_and_ends_what_it_started() {
    let _turn = turn();
    for program in programs() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        let text = format!(
            "#!/bin/sh\n[ \"$1 $2 $3\" = 'deploy cms v2' ] && exit 4\nexec '{CUTOVER}' \"$@\"\n"
        );
        fs::write(&other, text).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
        let mut script = start(&program, &other);
        assert_eq!(script.end().code(), Some(4), "{}", script.said());
        // In mid-deploy somebody has seen enough.
        let mut script = start(&program, Path::new(CUTOVER));
        wait_for("v2 is on its way", 60, || script.said().contains("ship v2").then_some(()));
        assert!(script.left_over().len() > 4, "{:?}", script.left_over());
        signal(script.child.id(), Signal::TERM);
        assert_eq!(script.end().code(), Some(143), "{}", script.said());
    }
}

/// Failures of these classes are what the README says of a naive deploy.
fn lost(report: &Value, said: &str) -> u64 {
    let failures = report["failures"].as_array().unwrap();
    let classes = ["late", "http_5xx", "timeout"];
    let expected = |row: &&Value| classes.iter().any(|class| row["class"] == **class);
    assert_eq!(failures.iter().filter(expected).count(), failures.len(), "{failures:?}");
    let failed = report["failed"].as_u64().unwrap();
    println!("{failed} of {} lost: {}\n{said}", report["sent"], report["sentence"]);
    failed
}

#[test]
fn the_demos_script_is_caught() {
    let _turn = turn();
    for program in programs() {
        let mut runs = (0..2).map(|_| run(&["naive/naive.sh"], &program));
        // When one of HAProxy's checks, 2 s apart, falls into the tenth of a second between the end of
        // the old server and the script's look, the script waits by luck: hence a second run.
        let caught = runs.find(|(_, report, _)| report["failed"] != 0);
        let (code, report, said) = caught.expect("lucky twice");
        assert_eq!((code, &report["verdict"]), (Some(1), &"FAIL".into()), "{said}");
        assert!(said.contains("blue status: UP") && said.contains("s  done"), "{said}");
        assert!(lost(&report, &said) >= 10, "{said}");
    }
}

#[test]
fn a_reload_in_the_midst_of_the_demos_script_takes_users_back() {
    if std::env::var_os("CUTOVER_FULL").is_none() {
        aside::say("skipped: only with CUTOVER_FULL=1");
        return;
    }
    let _turn = turn();
    for program in programs() {
        let (code, report, said) = run(&["naive/naive.sh", "--reload"], &program);
        assert_eq!((code, &report["verdict"]), (Some(1), &"FAIL".into()), "{said}");
        assert!(lost(&report, &said) >= 10, "{said}");
        let versions = report["versions"].as_array().unwrap();
        let of = |name: &str| versions.iter().find(|one| one["label"] == name).unwrap();
        let (last, first) = (of("v1")["last_sent_us"].as_u64(), of("v2")["first_sent_us"].as_u64());
        assert!(last > first.map(|us| us + 500_000), "{versions:?} {said}");
    }
}

#[test]
fn the_demos_script_waits_for_ever_for_sockets() {
    if std::env::var_os("CUTOVER_FULL").is_none() {
        aside::say("skipped: only with CUTOVER_FULL=1");
        return;
    }
    let _turn = turn();
    for program in programs() {
        let (code, report, said) = run(&["naive/naive.sh", "--sockets"], &program);
        // How sure the prober is has to do with the machine; nobody lost anything.
        assert!(code != Some(1) && report["failed"] == 0, "{said}");
        assert!(
            said.contains("the script would still wait") && !said.contains("stop blue"),
            "{said}"
        );
        assert_eq!(report["trust"]["ws_reconnects"], 0, "somebody told the sockets: {said}");
    }
}

/// A process that does not outlive the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A server that reads each request and then closes the connection without a word, but for `GET`,
/// which is HAProxy's check; it counts the others.
fn closing() -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    // It lives as long as the process of the tests; it has nothing to give back.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 2048];
            let read = stream.read(&mut head).unwrap_or_default();
            if head[..read].starts_with(b"GET") {
                let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            } else if read > 0 {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (port, count)
}

#[test]
fn the_demos_configuration_repeats_a_post_and_cutovers_does_not() {
    let _turn = turn();
    for program in programs() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hosts.map"), "STATIC blue\n").unwrap();
        let ((blue, posts), port) = (closing(), free_port());
        let mut command = Command::new(&program);
        command.arg("-db").arg("-f").arg(example().join("naive/haproxy.cfg"));
        command.current_dir(folder.path()).env("PORT", port.to_string());
        command.env("API", free_port().to_string()).env("BLUE", blue.to_string());
        command.env("GREEN", free_port().to_string());
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _haproxy = Ending(quiet.spawn().unwrap());
        let mut wire =
            wait_for("HAProxy listens", 10, || TcpStream::connect(("127.0.0.1", port)).ok());
        wire.write_all(b"POST /order HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        wait_for("it is executed again", 10, || (posts.load(Ordering::Relaxed) > 3).then_some(()));
    }
    // Cutover's half is measured where its driver is tested (`drivers`, `tests/haproxy`); here only
    // that the files of the example have the line that sees to it.
    let text = fs::read_to_string(example().join("installed/cutover-cms.cfg")).unwrap();
    let backends = text.matches("\nbackend ").count();
    assert_eq!((backends, text.matches("http-request disable-l7-retry").count()), (4, 4));
}

#[test]
fn the_files_are_what_install_writes() {
    let _turn = turn();
    for program in programs() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(&program, bin.join("haproxy")).unwrap();
        fs::copy(example().join("cutover.toml"), folder.path().join("cutover.toml")).unwrap();
        let mut command = Command::new(CUTOVER);
        command.args(["haproxy", "install"]).current_dir(folder.path()).env("PATH", &bin);
        assert!(command.output().unwrap().status.success());
        let home = format!("{}/", folder.path().display());
        let listed = |path: PathBuf, from: &str| {
            let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
            let text = |path: PathBuf| fs::read_to_string(path).unwrap().replace(from, HOME);
            let files = files.map(|file| (file.file_name(), text(file.path())));
            let mut files: Vec<_> = files.collect();
            files.sort();
            files
        };
        let written = listed(folder.path().join("haproxy"), &home);
        assert_eq!(written.len(), 3);
        assert_eq!(written, listed(example().join("installed"), HOME), "copy what install writes");
    }
}

/// `hey -n 200000 -c 200`, the demo's own load (a tenth of it without `CUTOVER_FULL`), held while v2 is
/// shipped: as the README of the demo has it, and with every answer checked.
#[test]
fn the_demos_own_load_is_held() {
    let _turn = turn();
    let full = std::env::var_os("CUTOVER_FULL").is_some();
    let requests = if full { 200_000 } else { 20_000 };
    for program in programs() {
        // The prober is there for the switch to be seen; what it would call late, the load makes so.
        let config = patient_config(2).replace("rate = 100", "rate = 20");
        let real = Real::live(&program, &config);
        let load = Load::start(real.world.port, 200, requests);
        wait_for("the load is under way", 30, || (load.answered() >= requests / 4).then_some(()));
        let shipped = Deploy::start(&real.world, "demo", "v2").end();
        let held = load.end();
        let sum = held.answers[0] + held.answers[1];
        let rate = sum as f64 / held.took.as_secs_f64();
        let (proof, verdict) = (&shipped.report["proof"], &shipped.report["verdict"]);
        println!("{}: {sum} in {:?}, {rate:.0}/s: {held:?}", program.display(), held.took);
        println!("{verdict} {} {proof}", shipped.report["reasons"]);
        assert_eq!(held.lost, Vec::<String>::new(), "{}", shipped.said);
        assert_eq!(held.told_to_close, 0, "a switch closes no connection of a user: {held:?}");
        assert!(sum >= requests && held.answers.iter().all(|count| *count >= 1_000), "{held:?}");
        assert_eq!(shipped.report["outcome"], "promoted", "{} {}", shipped.why(), shipped.said);
        assert_eq!(shipped.report["failed"], 0, "{} {}", shipped.why(), shipped.said);
    }
}
