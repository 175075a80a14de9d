//! A server that is not ours: the page `docs/first-deploy.md`, run word for word.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::world::{CUTOVER, World, newest_report, said, turn, wait_for};

const PAGE: &str = include_str!("../../../../docs/first-deploy.md");
/// The port of the page.
const PORT: &str = "8080";
/// Stands in for curl where there is none.
const CURL: &str = "#!/usr/bin/env python3
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[-1], timeout=10).read().decode())
";

/// The blocks of the page that are marked as one of `kinds`, in order.
fn blocks(kinds: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in PAGE.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    found.retain(|(kind, _)| kinds.contains(&kind.as_str()));
    found
}

fn present(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A shell in the world's directory that finds the binary under test as `cutover`.
fn shell(world: &World, text: &str) -> Command {
    let bin = world.path().join("bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", text]).current_dir(world.path()).env("PATH", path);
    command.stdin(Stdio::null());
    command
}

fn run(world: &World, text: &str) -> Output {
    let output = shell(world, text).output().unwrap();
    assert!(output.status.success(), "{text}\n{}", said(&output));
    output
}

fn tools(directory: &Path) {
    std::fs::create_dir(directory).unwrap();
    symlink(CUTOVER, directory.join("cutover")).unwrap();
    if !present("curl") {
        let curl = directory.join("curl");
        std::fs::write(&curl, CURL).unwrap();
        std::fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn first_deploy() {
    if !present("python3") {
        eprintln!("skipped: no python3");
        return;
    }
    let _turn = turn();
    let mut world = World::empty();
    tools(&world.path().join("bin"));
    let port = world.port.to_string();
    let blocks = blocks(&["sh", "toml"]);
    let kinds: Vec<&str> = blocks.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["sh", "toml", "sh", "sh", "sh"], "the page has another shape now");
    let text = |number: usize| blocks[number].1.replace(PORT, &port);

    run(&world, &text(0));
    std::fs::write(world.path().join("cutover.toml"), text(1)).unwrap();
    let server = shell(&world, &text(2))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    world.take(server.unwrap());
    wait_for("`cutover up` answers", 20, || world.status());

    let output = run(&world, &text(3));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let at =
        |words: &str| told.find(words).unwrap_or_else(|| panic!("no `{words}`: {}", said(&output)));
    assert!(at("hello from v1") < at("PASS") && at("PASS") < at("hello from v2"), "{told}");
    let report = newest_report(world.path());
    assert_eq!(report["verdict"], "PASS", "{told}");
    assert_eq!((&report["from"], &report["to"]), (&"v1".into(), &"v2".into()));
    assert!(told.contains("proxy's stamp"), "{told}");
    assert_eq!(report["proof"]["weakest_witness"], "stamp", "{report}");

    run(&world, &text(4));
    assert_eq!(world.ended_up(), Some(0));
    world.assert_nothing_runs();
}
