//! The commands from outside, with a script in place of cargo: order, stop, exit code, summary.
//!
//! What the real cargo says to this repository is not tested here.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A workspace that has only what the laws ask for, and a cargo that writes down its calls.
struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// `cargo_does` is shell; `$*` are the arguments.
    fn new(name: &str, cargo_does: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("crates/model/src")).unwrap();
        let new = Self { root };
        new.write("Cargo.toml", "[workspace]\n");
        new.write("ARCHITECTURE.md", "# model\n");
        new.write("crates/model/Cargo.toml", "[package]\n");
        new.write("crates/model/src/lib.rs", "//! Nouns, and nothing else.\n");
        new.write(".gitignore", "/ignored.rs\n");
        fs::create_dir_all(new.root.join("xtask")).unwrap();
        // In place of what comes from Debian: a program that says a version.
        let says = "#!/bin/sh\\necho HAProxy version 9.9.9\\n";
        let fetch = format!(
            "mkdir -p \"$(dirname \"$1$4\")\"; printf '{says}' >\"$1$4\"; chmod +x \"$1$4\"\n"
        );
        new.write("xtask/testbed.sh", &fetch);
        let note = "echo \"$* full=$CUTOVER_FULL rustdoc=$RUSTDOCFLAGS\" >> \"$PWD/calls.log\"";
        new.write("cargo", &format!("#!/bin/sh\n{note}\n{cargo_does}\n"));
        let cargo = new.root.join("cargo");
        fs::set_permissions(cargo, fs::Permissions::from_mode(0o755)).unwrap();
        new
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.root.join(path), text).unwrap();
    }

    fn xtask(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.xtask_with(arguments, &[])
    }

    fn xtask_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .current_dir("/")
            .env("CARGO_MANIFEST_DIR", self.root.join("xtask"))
            .env("CARGO", self.root.join("cargo"))
            // This workspace lies in the ignored build folder of another repository.
            .env("GIT_CEILING_DIRECTORIES", self.root.parent().unwrap())
            .env_remove("CUTOVER_FULL")
            .env_remove("TESTBED")
            .envs(more.iter().copied())
            .output()
            .unwrap();
        said(&output)
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.root.join("calls.log")).unwrap_or_default()
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The two calls that run at once in the order in which they are started.
fn in_order(calls: &str) -> String {
    let mut lines: Vec<&str> = calls.lines().collect();
    if let Some(at) = lines.iter().position(|line| line.contains("--test engines"))
        && lines.get(at + 1).is_some_and(|line| line.contains("--lib"))
    {
        lines.swap(at, at + 1);
    }
    lines.join("\n") + "\n"
}

#[test]
fn every_step_runs_in_order() {
    let space = Workspace::new("order", "");
    let (code, text) = space.xtask(&["test"]);
    assert_eq!(code, Some(0), "{text}");
    let expected = "\
fmt --all --check full= rustdoc=
deny --version full= rustdoc=
deny check bans licenses sources full= rustdoc=
clippy --workspace --all-targets -- -D warnings full= rustdoc=
doc --workspace --no-deps full= rustdoc=-D warnings
test --workspace --no-run full= rustdoc=
test --workspace --no-fail-fast --lib --bins --test [!e]* --example canary full= rustdoc=
test --workspace --no-fail-fast --test engines full= rustdoc=
test --workspace --no-fail-fast --test e2e full= rustdoc=
test --workspace --no-fail-fast --doc full= rustdoc=
";
    assert_eq!(in_order(&space.calls()), expected);
    assert!(text.contains(" files, 0 findings, 0 notes"), "{text}");
    assert!(text.contains("\nall passed in "), "{text}");
}

#[test]
fn a_server_that_cannot_be_had_is_said_and_fails_only_where_it_is_required() {
    let space = Workspace::new("bed", "");
    space.write("xtask/testbed.sh", "echo no mirror here >&2; exit 1\n");
    let (code, text) = space.xtask(&["testbed"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("skipped: no HAProxy 3.0: no mirror here\n"), "{text}");
    assert_eq!(space.xtask_with(&["testbed"], &[("TESTBED", "required")]).0, Some(1));
}

#[test]
fn nothing_is_fetched_where_that_is_not_wanted() {
    let space = Workspace::new("none", "");
    let none = [("TESTBED", "none")];
    let (code, text) = space.xtask_with(&["testbed"], &none);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("skipped: no HAProxy 3.2: ") && !text.contains("fetching"), "{text}");
    // What is there counts.
    assert_eq!(space.xtask(&["testbed"]).0, Some(0));
    let (_, text) = space.xtask_with(&["testbed"], &none);
    assert!(text.contains("HAProxy 3.2: HAProxy version 9.9.9"), "{text}");
}

#[test]
fn the_table_of_switches_is_what_the_tests_tell() {
    let told = |routers: &str| {
        format!(
            "case \"$*\" in *--exact*) for s in blue-green canary header-targeted; do \
             for r in {routers}; do echo \"switch | $s | $r | 3 ms | 1 ms |\"; done; done;; esac"
        )
    };
    let space = Workspace::new("switches", &told("'own proxy' HAProxy nginx 'Consul + HAProxy'"));
    let (code, text) = space.xtask(&["switches"]);
    assert_eq!(code, Some(0), "{text}");
    let begins =
        "|---|---|---|---|\n| blue-green | own proxy | 3 ms | 1 ms |\n| blue-green | HAProxy";
    assert!(text.contains(begins), "{text}");
    let calls = space.calls();
    assert!(calls.contains("--test e2e") && calls.contains("full=1"), "{calls}");
    // A table with a hole is told, and is no success.
    let space = Workspace::new("holes", &told("'own proxy' HAProxy nginx"));
    let (code, text) = space.xtask(&["switches"]);
    assert!(code == Some(1) && text.contains("| canary | nginx | 3 ms |"), "{text}");
    let space = Workspace::new("silent", "echo no table");
    assert_eq!(space.xtask(&["switches"]).0, Some(1));
}

#[test]
fn the_first_failure_ends_the_run() {
    let space = Workspace::new("stop", "case \"$1\" in clippy) exit 7;; esac");
    let (code, text) = space.xtask(&["test"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(space.calls().lines().last().unwrap().starts_with("clippy"));
    assert!(text.contains("exit status: 7 from: cargo clippy --workspace"), "{text}");
    assert!(
        text.contains("not run  docs\nnot run  build\nnot run  testbed\nnot run  tests\n"),
        "{text}"
    );
    assert!(text.trim_end().ends_with(": clippy"), "{text}");
}

#[test]
fn keep_going_runs_the_rest_and_still_fails() {
    let space = Workspace::new("keep", "case \"$1\" in fmt|doc) exit 1;; esac");
    let (code, text) = space.xtask(&["test", "--keep-going"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(space.calls().lines().last().unwrap().starts_with("test"));
    assert!(text.trim_end().ends_with(": fmt, docs"), "{text}");
}

#[test]
fn full_reaches_the_tests_and_their_servers_only() {
    let space = Workspace::new("full", "");
    let older = |arguments: &[&str]| {
        let (code, text) = space.xtask(arguments);
        assert_eq!(code, Some(0), "{text}");
        text.contains("nginx 1.22: ")
    };
    assert!(!older(&["test"]), "a short run does without the older servers");
    fs::remove_file(space.root.join("calls.log")).unwrap();
    assert!(older(&["test", "--full"]), "a whole run asks for every server");
    let calls = space.calls();
    let (full, rest): (Vec<&str>, Vec<&str>) =
        calls.lines().partition(|line| line.contains("full=1"));
    assert_eq!(full.len(), 4, "{calls}");
    assert!(
        full.iter().all(|line| line.starts_with("test --workspace --no-fail-fast ")),
        "{calls}"
    );
    assert!(!rest.iter().any(|line| line.contains("no-fail-fast")), "{calls}");
    let demos: Vec<&str> =
        rest.into_iter().filter(|line| line.starts_with("run --release -- demo ")).collect();
    assert!(
        demos.len() == 2 && demos[0].contains(" 1 ") && demos[1].contains(" 2 "),
        "with one instance and with two: {calls}"
    );
    // It is the release build that is asked, and its word counts.
    let space = Workspace::new("no-proof", "case \"$*\" in *\" demo \"*2) exit 3;; esac");
    let (code, text) = space.xtask(&["test", "--full"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.trim_end().ends_with(": demo"), "{text}");
}

#[test]
fn a_missing_cargo_deny_is_said_loudly() {
    let space = Workspace::new("deny", "case \"$1\" in deny) exit 101;; esac");
    let (code, text) = space.xtask(&["test"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("!!! skipped: cargo-deny is not installed"), "{text}");
    assert!(text.trim_end().ends_with("but SKIPPED: deny"), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_test_that_leaves_a_process_behind_fails_the_run() {
    let leave = "case \"$*\" in *e2e) sleep 600 >/dev/null 2>&1 & ;; esac";
    let space = Workspace::new("leftover", leave);
    let (code, text) = space.xtask(&["test"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("tests left processes running: "), "{text}");
    assert!(text.contains("(sleep 600)"), "{text}");
}

#[test]
fn tidy_alone_names_the_breach() {
    let space = Workspace::new("tidy", "");
    assert_eq!(space.xtask(&["tidy"]).0, Some(0));
    space.write("crates/model/src/lib.rs", "fn nothing() {}\n");
    let (code, text) = space.xtask(&["tidy"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("error: crates/model/src/lib.rs:1: a file opens with"), "{text}");
    let (_, text) = space.xtask(&["test"]);
    assert!(text.trim_end().ends_with(": tidy"), "{text}");
}

#[test]
fn every_law_is_applied() {
    let space = Workspace::new("laws", "");
    space.write("ARCHITECTURE.md", "");
    space.write("crates/model/Cargo.toml", "[dependencies]\nserde = \"1\"\n");
    space.write("crates/model/src/a.rs", "//! Not B.\nuse crate::b::B;\n");
    space.write(
        "crates/model/src/b.rs",
        &format!("//! Not A.\nuse crate::a::A;{}", "\n".repeat(300)),
    );
    space.write("notes.md", concat!("cd /", "work/here\n"));
    let (code, text) = space.xtask(&["tidy"]);
    assert_eq!(code, Some(1), "{text}");
    for breach in [
        "error: ARCHITECTURE.md:1: no section on the crate `model`",
        "error: crates/model/src/a.rs:2: modules in a circle: a -> b",
        "error: notes.md:1: ",
        "note: crates/model/src/b.rs:301: 301 lines",
        "3 findings, 1 notes",
    ] {
        assert!(text.contains(breach), "{breach}: {text}");
    }
}

#[test]
fn tidy_leaves_ignored_files_alone_where_there_is_git() {
    let space = Workspace::new("ignored", "");
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(&space.root).status();
    if !git.is_ok_and(|status| status.success()) {
        println!("no git on this machine: nothing to test");
        return;
    }
    space.write("ignored.rs", "no opening\n");
    assert_eq!(space.xtask(&["tidy"]).0, Some(0));
    space.write("seen.rs", "no opening\n");
    let (code, text) = space.xtask(&["tidy"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("seen.rs:1: "), "{text}");
    assert!(!text.contains("ignored.rs"), "{text}");
}

#[test]
fn wrong_words_are_refused() {
    let space = Workspace::new("usage", "");
    for words in [vec![], vec!["tests"], vec!["tidy", "--full"], vec!["test", "--fll"]] {
        let (code, text) = space.xtask(&words);
        assert_eq!(code, Some(2), "{words:?}: {text}");
        assert!(text.contains("Usage: cargo xtask COMMAND"), "{words:?}: {text}");
    }
    assert_eq!(space.calls(), "");
}

#[test]
fn fmt_formats() {
    let space = Workspace::new("fmt", "");
    assert_eq!(space.xtask(&["fmt"]).0, Some(0));
    assert!(space.calls().starts_with("fmt --all full="));
}
