//! The command line as a new user meets it: help, status in every state, progress while probing.
//!
//! What is wrong on it, and the exit codes for that, are in `bad_input`.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::traffic::Deploy;
use crate::world::{CUTOVER, World, beside, free_port, said, wait_for};

#[test]
fn every_command_explains_itself() {
    let world = World::new("");
    let commands: [(&[&str], &str); 22] = [
        (&[], "Exit codes: 0 pass"),
        (&["demo"], "cutover demo --inject kill-before-drain"),
        (&["up"], "cutover config example > cutover.toml"),
        (&["reload"], "cutover reload --yes --json"),
        (&["down"], "cutover down --json"),
        (&["deploy"], "cutover deploy shop v2"),
        (&["abort"], "cutover abort shop --json"),
        (&["pause"], "cutover pause shop --json"),
        (&["resume"], "cutover resume shop"),
        (&["promote"], "cutover promote shop --full"),
        (&["set-weight"], "cutover set-weight shop 10%"),
        (&["retry"], "cutover retry shop"),
        (&["rollback"], "cutover rollback shop --to v3"),
        (&["status"], "cutover status --json"),
        (&["history"], "cutover history shop --limit 50"),
        (&["logs"], "cutover logs shop --follow"),
        (&["report"], "Usage: cutover report"),
        (&["doctor"], "cutover doctor shop v2 --slow-path"),
        (&["completions"], "cutover completions bash"),
        (&["probe"], "cutover probe http://"),
        (&["app"], "--idle-close"),
        (&["config", "check"], "Usage: cutover config check"),
    ];
    for (command, words) in commands {
        let output = world.expect(0, &[command, &["--help"]].concat());
        assert!(said(&output).contains(words), "{command:?}: {}", said(&output));
    }
    let nothing = world.expect(2, &[]);
    assert!(said(&nothing).contains("Usage: cutover <COMMAND>"), "{}", said(&nothing));
    let version = world.expect(0, &["--version"]);
    assert!(said(&version).starts_with("cutover "), "{}", said(&version));
    let wrong = world.expect(2, &["depoy", "shop", "v2"]);
    assert!(said(&wrong).contains("'deploy'"), "{}", said(&wrong));
}

#[test]
fn the_example_configuration_is_right() {
    let world = World::new("");
    let example = world.expect(0, &["config", "example"]).stdout;
    std::fs::write(world.path().join("cutover.toml"), example).unwrap();
    let output = world.expect(0, &["config", "check"]);
    assert!(said(&output).contains("cutover.toml is right"), "{}", said(&output));
}

/// What `cutover status` shows, after its first line.
fn shown(world: &World) -> String {
    let output = world.expect(0, &["status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.contains(&format!("127.0.0.1:{}", world.port)), "{first}");
    rest.to_owned()
}

#[test]
fn status_tells_every_state() {
    let _turn = beside();
    let mut world = World::sample(1);
    world.up();
    let text = shown(&world);
    assert!(text.contains("demo  nothing deployed yet"), "{text}");
    world.expect(0, &["deploy", "demo", "v1"]);
    // At once: whoever was told that v1 is live is not told otherwise.
    let text = shown(&world);
    assert!(text.contains("demo  v1  Healthy"), "{text}");
    assert!(text.contains("100.00%") && text.contains("ready"), "{text}");
    assert!(!text.contains("rollout"), "{text}");
    let deploy = {
        let mut deploy = Deploy::start(&world, "demo", "v2");
        deploy.reach("baking");
        deploy
    };
    let text = shown(&world);
    assert!(text.contains("demo  v1  Progressing"), "{text}");
    assert!(text.contains("rollout to v2: baking"), "{text}");
    let output = world.expect(0, &["abort", "demo"]);
    assert!(said(&output).contains("users stay on v1 or return to it"), "{}", said(&output));
    deploy.end().expect(4, "PASS");
    let text = shown(&world);
    assert!(text.contains("demo  v1  Degraded"), "{text}");
    assert!(text.contains("last rollout: v2 aborted"), "{text}");
    let output = world.expect(0, &["abort", "demo"]);
    assert!(said(&output).contains("nothing to abort"), "{}", said(&output));
    world.expect(0, &["down"]);
    assert_eq!(world.ended_up(), Some(0));
    let output = world.expect(2, &["status"]);
    assert!(said(&output).contains("no server is running"), "{}", said(&output));
    world.assert_nothing_runs();
}

/// The soft and hard limits of open files of a process.
fn limits(pid: u32) -> (String, String) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut words = line.split_whitespace().skip(3).map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

/// A command started where few open files are allowed at first.
fn with_few_files(arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 64; exec \"$0\" \"$@\"", CUTOVER]).args(arguments);
    command.stdin(Stdio::null());
    command
}

#[test]
fn the_proxy_takes_all_the_open_files_it_may_have_and_the_app_keeps_what_up_was_given() {
    let _turn = beside();
    let mut world = World::sample(1);
    let log = File::create(world.path().join("up.log")).unwrap();
    let mut up = with_few_files(&["up"]);
    up.current_dir(world.path()).process_group(0).stdout(log.try_clone().unwrap()).stderr(log);
    world.take(up.spawn().unwrap());
    wait_for("`cutover up` answers", 20, || world.status());
    world.expect(0, &["deploy", "demo", "v1"]);
    let (soft, hard) = limits(world.parts("proxy")[0]);
    assert_eq!(soft, hard, "the proxy's limit was not raised");
    assert_eq!(limits(world.running()[0].1).0, "64", "the app's limit was changed");
}

#[test]
fn a_probe_opens_more_connections_than_the_usual_limit_and_shows_how_it_goes() {
    let _turn = beside();
    let world = World::new("");
    let port = free_port();
    let mut app = world.command(&["app", "--port", &port.to_string()]);
    let mut app = app.stdout(Stdio::null()).spawn().unwrap();
    let url = format!("http://127.0.0.1:{port}/slow?ms=900");
    wait_for("the app listens", 10, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    // 150 connections open at a time.
    let output = with_few_files(&["probe", &url, "--lanes", "fresh", "--rate", "150"])
        .args(["--duration", "6s", "--late-after", "5s"])
        .current_dir(world.path())
        .output();
    app.kill().unwrap();
    app.wait().unwrap();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let steps = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = steps.lines().collect();
    assert!(lines[0].starts_with("probing http://"), "{steps}");
    assert_eq!(lines.len(), 3, "a version, and one line in six seconds: {steps}");
    assert!(lines[1].contains("Z version ") && lines[2].contains("Z live "), "{steps}");
    assert!(lines[2].contains(" sent=") && lines[2].contains(" failed=0 "), "{steps}");
}

/// Several of them, in one directory that none of them finds there.
#[test]
fn probes_that_begin_at_once_in_one_directory_are_runs_of_their_own() {
    let _turn = beside();
    let world = World::new("");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    // Nobody answers: each request is refused, and each prober says so.
    let begin = |_| {
        let words = ["probe", "--count", "3", "--lanes", "fresh", "--out", "all", &url];
        world.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let probes: Vec<_> = (0..40).map(begin).collect();
    for probe in probes {
        let output = probe.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    }
    let files = std::fs::read_dir(world.path().join("all")).unwrap();
    assert_eq!(files.count(), 80, "a page and the data of each");
}

/// The sample app serves every lane but HTTP/2, which is left to what stands before it.
#[test]
fn a_probe_of_all_lanes_speaks_for_those_that_are_served() {
    let _turn = beside();
    let world = World::new("");
    let port = free_port();
    let mut app = world.command(&["app", "--port", &port.to_string()]);
    let mut app = app.stdout(Stdio::null()).spawn().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    wait_for("the app listens", 10, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let words = ["probe", &url, "--lanes", "all", "--rate", "60", "--duration", "4s"];
    let short = ["--slowness", "500ms", "--idle-most", "1s", "--late-after", "5s"];
    // A machine that starves the prober meanwhile gets no verdict.
    let probe = |_| world.run(&[&words[..], &short].concat());
    let output = (0..5).map(probe).find(|output| output.status.code() != Some(3));
    app.kill().unwrap();
    app.wait().unwrap();
    let output = output.expect("no verdict in five runs");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("over all lanes that it serves"), "{text}");
    assert!(text.contains("not run: http2 (tried once: no HTTP/2 without TLS"), "{text}");
    let line = text.lines().find(|line| line.contains("this speaks for ")).unwrap();
    for lane in model::Lane::ALL.map(model::Lane::name) {
        assert_eq!(line.contains(lane), lane != "http2", "{lane}: {line}");
    }
}
