//! `examples/nginx-websocket`, run as its readers run it, on a real nginx (`nginx_bed`).
//!
//! What Cutover does behind nginx is tested in `nginx` and `strategies`; here it is the example's
//! scripts, and that its naive half delays and loses what its README says.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::browser::Browser;
use crate::example::{self, Script};
use crate::nginx_bed::nginx;
use crate::sample::whole;
use crate::traffic::starved;
use crate::world::{CUTOVER, newest_report, turn, wait_for};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/nginx-websocket")
}

fn run(words: &[&str], nginx: &Path) -> (Option<i32>, Value, String) {
    example::run(words, &folder(), ("NGINX", nginx))
}

/// Beside the prober somebody has the app's page open in a browser, if there is one on this machine.
#[test]
fn run_ships_v2_under_load_and_a_page_in_a_browser_stays_connected() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let cutover = Path::new(CUTOVER);
    let mut script = Script::start(&["run.sh"], &folder(), ("NGINX", &program), cutover);
    wait_for("v1 is live", 60, || script.said().contains("in a browser").then_some(()));
    let page = Browser::open(&format!("http://127.0.0.1:{}/", script.port));
    script.enter();
    wait_for("v2 is live", 60, || script.said().contains("promoted: users").then_some(()));
    let seen = page.map(|mut page| page.settled_on("v2"));
    let (code, said) = (script.end().code(), script.said());
    let report = newest_report(script.path());
    if !starved(&report) {
        assert_eq!((code, &report["verdict"]), (Some(0), &"PASS".into()), "{said}");
        assert!(said.contains("PASS  0 of"), "{said}");
    }
    assert_eq!((&report["failed"], &report["late_after_us"]), (&0.into(), &500_000.into()));
    assert!(said.contains("lacks nothing"), "{said}");
    assert_eq!(report["lanes"].as_array().map(Vec::len), Some(3), "{said}");
    assert_eq!(report["proof"]["regressions"], 0, "{said}");
    let trust = &report["trust"];
    let lost = ["ws_lost", "ws_doubled", "ws_reordered"].map(|name| trust[name].as_u64());
    assert_eq!(lost, [Some(0); 3], "{trust}");
    assert!(trust["ws_reconnects"].as_u64() > Some(0), "nobody told the sockets: {trust}");
    if let Some(seen) = seen {
        println!("the page: {seen}");
        assert_eq!((&seen["state"], &seen["failed"]), (&"open".into(), &"0".into()), "{seen}");
        assert_eq!(seen["reconnects"], "1", "{seen}");
        let log = seen["log"].as_str().unwrap();
        assert!(log.contains("told to reconnect") && !log.contains("socket closed"), "{seen}");
    }
}

#[test]
fn the_demos_script_makes_users_wait_for_two_seconds() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let mut runs = (0..2).map(|_| run(&["naive/naive.sh"], &program));
    // A request that comes in the moment between the old server's end and the silence is refused: nginx
    // then knows, and nobody waits. Hence a second run.
    let caught = runs.find(|(_, report, _)| report["failed"] != 0);
    let (code, report, said) = caught.expect("lucky twice");
    assert_eq!((code, &report["verdict"]), (Some(1), &"FAIL".into()), "{said}");
    assert!(said.contains("s  done"), "{said}");
    let failures = report["failures"].as_array().unwrap();
    println!("{} of {}: {}", report["failed"], report["sent"], report["sentence"]);
    let waited = |row: &&Value| row["class"] == "late" && row["ttlb_us"].as_u64() > Some(1_900_000);
    assert!(failures.iter().filter(waited).count() >= 10, "{said}");
}

#[test]
fn a_new_version_that_starts_slowly_makes_the_demos_script_lose_requests() {
    if !whole() {
        aside::say("skipped: only with CUTOVER_FULL=1");
        return;
    }
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let (code, report, said) = run(&["naive/naive.sh", "--slow-start"], &program);
    println!("{} of {}: {}", report["failed"], report["sent"], report["sentence"]);
    assert_eq!((code, &report["verdict"]), (Some(1), &"FAIL".into()), "{said}");
    let failures = report["failures"].as_array().unwrap();
    assert!(failures.iter().filter(|row| row["status"] == 502).count() >= 10, "{said}");
}
