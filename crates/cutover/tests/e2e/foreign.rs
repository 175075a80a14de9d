//! Servers that are not ours: one built on a stranger's crate (`examples/foreign_server.rs`), which
//! needs nothing but cargo, and two pages run word for word: the README's shop with that server, and
//! `docs/first-deploy.md` with Python's.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::crowd::{Crowd, Kind};
use crate::traffic::{Deploy, Users, get};
use crate::world::{CUTOVER, World, beside, newest_report, said, wait_for};

const PAGE: &str = include_str!("../../../../docs/first-deploy.md");
const README: &str = include_str!("../../../../README.md");
/// The part of it that is run.
const SHOP: &str = "## Use it for your own service";
/// The port of both pages.
const PORT: &str = "8080";
/// Stands in for curl where there is none.
const CURL: &str = "#!/usr/bin/env python3
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[-1], timeout=10).read().decode())
";

/// The blocks of a page that are marked as one of `kinds`, in order.
fn blocks(page: &str, kinds: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
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

/// Runs the block of the first terminal, which ends with `cutover up`, until that answers.
fn serve(world: &mut World, text: &str) {
    let log = std::fs::File::create(world.path().join("up.log")).unwrap();
    let server =
        shell(world, text).stdout(log.try_clone().unwrap()).stderr(log).process_group(0).spawn();
    world.take(server.unwrap());
    wait_for("`cutover up` answers", 20, || world.status());
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
        aside::say("skipped: no python3");
        return;
    }
    let _turn = beside();
    let mut world = World::empty();
    tools(&world.path().join("bin"));
    let port = world.port.to_string();
    let blocks = blocks(PAGE, &["sh", "toml"]);
    let kinds: Vec<&str> = blocks.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["sh", "toml", "sh", "sh", "sh"], "the page has another shape now");
    let text = |number: usize| blocks[number].1.replace(PORT, &port);

    run(&world, &text(0));
    std::fs::write(world.path().join("cutover.toml"), text(1)).unwrap();
    serve(&mut world, &text(2));

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

/// The README's shop: its file and both terminals, with servers named as it names them. Its
/// `--port` is given and not needed: this one reads the environment.
#[test]
fn the_shop_of_the_readme() {
    let _turn = beside();
    let mut world = World::empty();
    tools(&world.path().join("bin"));
    for version in ["shop-v1", "shop-v2"] {
        std::fs::copy(foreign_server(), world.path().join(version)).unwrap();
    }
    let port = world.port.to_string();
    let shop = README.split(SHOP).nth(1).expect("the README has the part");
    let blocks = blocks(shop, &["sh", "toml"]);
    let text = |number: usize| blocks[number].1.replace(PORT, &port);
    let [toml, first, second] = [0, 1, 2].map(text);
    assert!(toml.contains("[app.shop]") && toml.contains("./shop-{version}"), "{toml}");
    assert!(first.contains("cutover config check") && first.contains("cutover up"), "{first}");

    std::fs::write(world.path().join("cutover.toml"), toml).unwrap();
    serve(&mut world, &first);
    let (deploys, rest) = second.split_at(second.find("cutover status").expect("it looks"));
    let told = run(&world, deploys);
    let report = newest_report(world.path());
    assert_eq!(report["verdict"], "PASS", "{}", said(&told));
    assert_eq!((&report["from"], &report["to"]), (&"v1".into(), &"v2".into()));
    assert_eq!((&report["failed"], &report["rate"]), (&0.into(), &50.into()));
    assert!(String::from_utf8_lossy(&told.stdout).contains("PASS"), "{}", said(&told));
    assert!(get(world.port, "x", "/").unwrap().ends_with("hello from v2\n"));
    for (id, pid) in world.running() {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        let wanted = world.path().join("shop-v2").canonicalize().unwrap();
        assert_eq!(program, wanted, "{id} is another program");
    }
    assert_eq!(world.running().len(), 2);

    let told = run(&world, rest);
    assert!(String::from_utf8_lossy(&told.stdout).contains("v2"), "{}", said(&told));
    assert_eq!(world.ended_up(), Some(0));
    world.assert_nothing_runs();
}

/// What its owner writes about it: it is found, its port and version come from the environment.
const FOREIGN: &str = r#"
[proxy]
listen = ["127.0.0.1:PORT"]

[app.shop]
command = ["SERVER"]
instances = 2

[app.shop.health]
interval = "50ms"

[app.shop.rollout]
bake = "100ms"

[app.shop.probe]
rate = 100
late_after = "5s"
"#;

/// The example, which `cargo test` builds beside the tests.
fn foreign_server() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).unwrap();
    let path = built.join("examples/foreign_server");
    assert!(
        path.is_file(),
        "{} is not there. `cargo test` builds it; `--test e2e` alone does not: \
         `cargo build -p cutover --example foreign_server` does",
        path.display()
    );
    path
}

#[test]
fn r08_a_server_on_a_strangers_crate_goes_from_v1_to_v2_and_users_lose_nothing() {
    let _turn = beside();
    let server = foreign_server();
    let mut world = World::new(&FOREIGN.replace("SERVER", server.to_str().unwrap()));
    world.up();
    world.expect(0, &["deploy", "shop", "v1"]);
    let greeting = || get(world.port, "x", "/").unwrap();
    assert!(greeting().ends_with("hello from v1\n"), "{}", greeting());
    let old = world.running();
    assert_eq!(old.len(), 2, "{old:?}");
    for (_, pid) in &old {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        assert_eq!(program, server.canonicalize().unwrap(), "users are on another program");
    }

    let users = Users::of(&world, None);
    let uploads = Crowd::of(&world, &[Kind::Upload, Kind::ChunkedUpload]);
    let shipped = Deploy::start(&world, "shop", "v2").end();
    shipped.expect(0, "PASS");
    users.expect_pass();
    uploads.expect_nothing_lost();
    let report = shipped.report;
    assert_eq!((&report["from"], &report["to"]), (&"v1".into(), &"v2".into()));
    assert_eq!((&report["failed"], &report["proof"]["regressions"]), (&0.into(), &0.into()));
    let answers = |number: usize| report["versions"][number]["answers"].as_u64().unwrap();
    assert!(answers(0) >= 10 && answers(1) >= 10, "both were asked: {}", report["versions"]);
    // It names no version, so the evidence is where requests were sent.
    assert_eq!(report["proof"]["weakest_witness"], "stamp");
    assert!(greeting().ends_with("hello from v2\n"), "{}", greeting());
    let new = world.running();
    assert!(new.len() == 2 && new.iter().all(|one| !old.contains(one)), "{old:?} {new:?}");
}
