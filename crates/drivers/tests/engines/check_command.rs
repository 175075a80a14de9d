//! Programs that judge: what passes, what is shown when one does not, and that nothing of them stays.
//!
//! Checks over HTTP and by connecting are in `check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Site, alive, release, round, running, settle};
use drivers::check::command::{Judged, Program, run};
use drivers::platform::process::find_program;
use drivers::platform::{Condition, FleetHave, Platform};
use model::{Release, ReleaseId};

const ONE: ReleaseId = ReleaseId(1);
const LONG: Duration = Duration::from_secs(10);

fn shell(script: &str, directory: &Path) -> Program {
    Program {
        file: PathBuf::from("/bin/sh"),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        directory: directory.to_owned(),
        environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
    }
}

async fn judged(script: &str) -> Judged {
    run(&shell(script, Path::new("/")), LONG).await
}

/// The pid that a script writes into `file`.
async fn pid_in(file: &Path) -> u32 {
    let written = || std::fs::read_to_string(file).ok()?.trim().parse().ok();
    let wait = async {
        loop {
            if let Some(pid) = written() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

async fn goes(pid: u32) {
    let gone = async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{pid} stays"));
}

#[tokio::test]
async fn status_0_passes_and_everything_else_is_said_with_the_last_lines() {
    let fine = judged("echo fine").await;
    assert!(fine.passed && fine.words.starts_with("status 0 in "), "{fine:?}");
    let failed = judged("seq 1 90000; printf '\\033[31mno database\\n' >&2; exit 3").await;
    assert!(!failed.passed && failed.words.starts_with("status 3 in "), "{failed:?}");
    let last: Vec<_> = failed.tail.iter().map(String::as_str).collect();
    assert_eq!(last, ["89997", "89998", "89999", "90000", " [31mno database"]);
    let killed = judged("kill -9 $$").await;
    assert!(!killed.passed && killed.words.starts_with("was ended by signal 9"), "{killed:?}");
    let missing = Program { file: "/no/such/program".into(), ..shell("", Path::new("/")) };
    let missing = run(&missing, LONG).await;
    assert!(!missing.passed && missing.words.contains("could not be started"), "{missing:?}");
}

#[tokio::test]
async fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
    let site = Site::new();
    let file = site.path().join("pid");
    let script = "echo begun; trap '' TERM; sleep 50 & echo $! > pid; wait";
    let begun = Instant::now();
    let late = run(&shell(script, &site.path()), Duration::from_millis(700)).await;
    assert!(begun.elapsed() < LONG);
    assert_eq!((late.passed, &*late.words), (false, "did not end within 700 ms and was killed"));
    assert_eq!(late.tail, ["begun"]);
    goes(pid_in(&file).await).await;
}

#[tokio::test]
async fn nothing_stays_of_one_that_passed_or_that_nobody_waits_for() {
    let site = Site::new();
    let file = site.path().join("pid");
    let left = run(&shell("sleep 50 & echo $! > pid", &site.path()), LONG).await;
    assert!(left.passed, "it does not wait for what holds its output: {left:?}");
    goes(pid_in(&file).await).await;
    std::fs::remove_file(&file).unwrap();
    let program = shell("echo $$ > pid; exec sleep 50", &site.path());
    let waiting = tokio::spawn(async move { run(&program, LONG).await });
    let pid = pid_in(&file).await;
    assert!(alive(pid));
    waiting.abort();
    goes(pid).await;
}

/// A release whose check fails while there is a file `sick` in its directory.
fn checked(site: &Site) -> Release {
    let mut release = release(1, &[]);
    site.path().to_str().unwrap().clone_into(&mut release.directory);
    release.health.path = None;
    release.health.timeout_ms = 5_000;
    let script = "test \"$CUTOVER_ADDRESS\" = \"127.0.0.1:$PORT\" && test \"$1\" = \"$PORT\" && \
                  test \"$VERSION/$CUTOVER_INSTANCE\" = v1/demo-1-1 && test -z \"$CUTOVER_STATE\" || \
                  { env; exit 4; }; test ! -e sick || { echo the disk is full; exit 3; }";
    release.health.command = ["sh", "-c", script, "check", "{port}"].map(str::to_owned).into();
    release
}

async fn until_seen(
    platform: &dyn Platform,
    release: &Release,
    enough: impl Fn(&FleetHave) -> bool,
) -> FleetHave {
    let want = running(release, 1);
    let rounds = async {
        loop {
            let (have, _) = round(platform, &want).await;
            if enough(&have) {
                return have;
            }
            // Single results are not announced: look again soon.
            let soon = Duration::from_millis(20);
            let _either = tokio::time::timeout(soon, platform.changed(have.change)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.unwrap()
}

#[tokio::test]
async fn an_instance_is_ready_when_its_program_says_so_and_not_when_it_says_no() {
    let site = Site::new();
    let (platform, release) = (site.open(), checked(&site));
    let have = settle(&platform, &running(&release, 1)).await;
    assert_eq!(have.seen(ONE).ready, 1, "{have:?}");
    let pid = have.instances[0].pid.unwrap();
    std::fs::write(site.path().join("sick"), "").unwrap();
    let unready = |have: &FleetHave| have.instances[0].condition == Condition::Unready;
    let have = until_seen(&platform, &release, unready).await;
    let trouble = have.seen(ONE).trouble.join("\n");
    assert!(trouble.contains(": status 3 in ") && trouble.contains("it said: the disk is full"));
    assert_eq!(have.failing(ONE).count(), 1);
    std::fs::remove_file(site.path().join("sick")).unwrap();
    let ready = |have: &FleetHave| have.instances[0].condition == Condition::Ready;
    let have = until_seen(&platform, &release, ready).await;
    assert_eq!(have.instances[0].pid, Some(pid), "nobody was ended for a check");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_before_and_while_it_is_asked() {
    let site = Site::new();
    let mut release = checked(&site);
    release.health.command = vec!["./check".to_owned()];
    let fault = find_program(&release).unwrap_err();
    assert!(fault.what.starts_with("the health check: `./check` was not found"), "{fault:?}");
    let platform = site.open();
    let told = |have: &FleetHave| {
        have.seen(ONE).trouble.join("\n").contains("`./check`: the health check: `./check` was not")
    };
    assert_eq!(until_seen(&platform, &release, told).await.seen(ONE).ready, 0);
}
