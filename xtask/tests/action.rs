//! The GitHub Action: what it declares is what it uses, and its script does its part, with a script in place
//! of the prober.
//!
//! GitHub itself is not here: that it reads the file as meant is not tested.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The prober's part: says that it began, tells once that it sent something, waits for the switch (a file)
/// or the signal, writes a summary.
const PROBER: &str = r###"#!/usr/bin/env bash
here=$(dirname "$0")
printf '%s\n' "$@" >"$here/arguments"
while [ $# -gt 0 ]; do
    case $1 in --summary) summary=$2 ;; esac
    shift
done
end() { echo "## told $1" >"$summary"; exit "$2"; }
trap 'end interrupted 130' INT
[ -e "$here/dead" ] && exit 2
# Words of a server, which begin no deploy.
echo "12:00:04.000Z failure            id=1 lane=fresh detail=\"Z live sent=1\"" >&2
for _ in 1 2 3 4 5 6; do sleep 0.05; [ -e "$here/switched" ] && exit 9; done
echo "12:00:05.000Z live               sent=250 failed=0" >&2
case $(cat "$here/arguments") in *--until-switch*) ;; *) end whole 0 ;; esac
until [ -e "$here/switched" ]; do sleep 0.02; done
end "$(cat "$here/switched")" "$(cat "$here/switched")"
"###;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a run of the script left behind.
struct Ran {
    code: Option<i32>,
    summary: String,
    outputs: String,
    said: String,
    arguments: Vec<String>,
}

fn run(name: &str, deploy: &str, dead: bool) -> Ran {
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("action-{name}"));
    let _ = fs::remove_dir_all(&here);
    fs::create_dir_all(&here).unwrap();
    let prober = here.join("prober");
    fs::write(&prober, PROBER).unwrap();
    fs::set_permissions(&prober, fs::Permissions::from_mode(0o755)).unwrap();
    if dead {
        fs::write(here.join("dead"), "").unwrap();
    }
    let file = |name: &str| here.join(name);
    // A shell cannot trap a signal that is ignored when it begins, as one is for what runs in the background.
    let output = Command::new("timeout")
        .args(["60", "env", "--default-signal=INT"])
        .arg(root().join("action/probe.sh"))
        .current_dir(&here)
        .envs([
            ("CUTOVER_URL", "http://x/$(touch owned)"),
            ("CUTOVER_DEPLOY", deploy),
            ("CUTOVER_WATCH_VERSION", "header:x-app-version"),
            ("CUTOVER_RATE", "50"),
            ("CUTOVER_LANES", "fresh"),
            ("CUTOVER_DURATION", "1m"),
            ("CUTOVER_SETTLE", "2s"),
            // Whom others starve must still be in time, where the version does change.
            ("CUTOVER_WITHIN", if name == "never" { "1" } else { "30" }),
            ("CUTOVER_ARGUMENTS", "--assert\np99 < 250ms\n\n"),
        ])
        .env("CUTOVER_BINARY", &prober)
        .env("CUTOVER_REPORT", file("report"))
        .env("GITHUB_STEP_SUMMARY", file("summary"))
        .env("GITHUB_OUTPUT", file("outputs"))
        .output()
        .unwrap();
    assert!(!file("owned").exists(), "the URL was carried out");
    let read = |name: &str| fs::read_to_string(file(name)).unwrap_or_default();
    Ran {
        code: output.status.code(),
        summary: read("summary"),
        outputs: read("outputs"),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        arguments: read("arguments").lines().map(str::to_owned).collect(),
    }
}

#[test]
fn the_probers_exit_code_and_summary_are_passed_on() {
    for code in [0, 1, 3] {
        let ran = run(&format!("ends-{code}"), &format!("echo {code} >switched"), false);
        assert_eq!(ran.code, Some(code), "{}", ran.said);
        assert_eq!(ran.summary, format!("## told {code}\n"));
        assert!(ran.outputs.contains(&format!("exit-code={code}\n")), "{}", ran.outputs);
        assert!(ran.outputs.contains("report=") && ran.said.contains("sent=250"));
        assert_eq!(ran.arguments[..2], ["probe", "http://x/$(touch owned)"]);
        let last = &ran.arguments[ran.arguments.len() - 2..];
        assert_eq!(last, ["--assert", "p99 < 250ms"], "a line is an argument");
    }
}

#[test]
fn a_deploy_that_fails_ends_the_probe_and_its_code_wins() {
    let ran = run("fails", "exit 7", false);
    assert_eq!(ran.code, Some(7), "{}", ran.said);
    assert_eq!(ran.summary, "## told interrupted\n", "the report is shown all the same");
}

#[test]
fn a_version_that_never_changes_is_inconclusive() {
    let ran = run("never", "true", false);
    assert_eq!(ran.code, Some(3), "{}", ran.said);
    assert!(ran.said.contains("has not changed 1 s after the deploy"), "{}", ran.said);
}

#[test]
fn nothing_is_deployed_when_the_prober_does_not_begin() {
    let ran = run("dead", "touch deployed", true);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
    let deployed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("action-dead/deployed");
    assert!(!deployed.exists(), "{}", ran.said);
}

#[test]
fn without_a_deploy_the_service_is_asked_for_its_time() {
    let ran = run("alone", "", false);
    assert_eq!((ran.code, ran.summary.as_str()), (Some(0), "## told whole\n"), "{}", ran.said);
}

/// Words of `text` between `before` and the first byte that cannot be part of a name.
fn names(text: &str, before: &str) -> BTreeSet<String> {
    let part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(before).skip(1).map(|rest| rest.chars().take_while(part).collect()).collect()
}

/// Keys one level below a key that begins a line.
fn keys(text: &str, key: &str) -> BTreeSet<String> {
    let block = text.split(&format!("\n{key}:\n")).nth(1).unwrap();
    let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let own = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    own.map(|line| line.trim().split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn what_the_action_declares_is_what_it_uses() {
    let action = fs::read_to_string(root().join("action.yml")).unwrap();
    let script = fs::read_to_string(root().join("action/probe.sh")).unwrap();
    assert!(!action.contains('\t'), "YAML takes no tabs");
    assert_eq!(keys(&action, "inputs"), names(&action, "inputs."));
    let set: BTreeSet<String> =
        names(&action, "        CUTOVER_").into_iter().filter(|name| !name.is_empty()).collect();
    assert_eq!(set, names(&script, "CUTOVER_"), "environment of the script");
    for output in keys(&action, "outputs") {
        assert!(script.contains(&format!("{output}=%s")), "{output} is never written");
    }
    for line in action.lines().filter(|line| line.trim_start().starts_with("run:")) {
        assert!(!line.contains("${{"), "an input would be carried out: {line}");
    }
    for place in ["action/probe.sh", "crates/cutover"] {
        assert!(action.contains(place) && root().join(place).exists(), "{place}");
    }
    // Each step of a composite action that runs something names its shell.
    assert_eq!(action.matches("run: ").count(), action.matches("shell: bash").count());
    let mode = fs::metadata(root().join("action/probe.sh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "it can be run");
}
