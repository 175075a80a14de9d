//! `cutover probe` on a running app, asked otherwise than usual: with HEAD, and by a name of two addresses.
//!
//! What a server may do wrong is not tried here, but in the tests of `probe`.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::world::{CUTOVER, World, beside, free_port, said, wait_for};

/// The sample app, until it is dropped.
struct App(Child);

impl App {
    fn start(world: &World, port: u16) -> Self {
        let port_is = port.to_string();
        let mut app = world.command(&["app", "--version", "v1", "--port", &port_is]);
        let app = Self(app.stdout(Stdio::null()).spawn().unwrap());
        wait_for("the app listens", 10, || TcpStream::connect(("127.0.0.1", port)).ok());
        app
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// The first of five runs that has a verdict: a machine that starves the prober gets none.
fn judged(mut run: impl FnMut() -> Output) -> Output {
    let output = (0..5).map(|_| run()).find(|output| output.status.code() != Some(3));
    output.expect("no verdict in five runs")
}

#[test]
fn a_service_is_probed_with_head_and_says_its_version_there() {
    let _turn = beside();
    let world = World::new("");
    let port = free_port();
    let _app = App::start(&world, port);
    let url = format!("http://127.0.0.1:{port}/download?bytes=1000000");
    let lanes = ["--lanes", "keep-alive,fresh,idle", "--idle-most", "200ms", "--late-after", "5s"];
    let words = ["probe", &url, "--method", "HEAD", "--count", "90", "--assert", "share(v1)=100%"];
    let output = judged(|| world.run(&[&words[..], &lanes].concat()));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("this speaks for keep-alive, fresh and idle"), "{text}");
}

/// A command in a world of its own mounts, where names and addresses are these.
fn with_hosts(hosts: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
    command.arg(hosts).arg(CUTOVER).args(arguments).current_dir(hosts.parent().unwrap());
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn connections_that_took_the_second_address_of_a_name_are_told_and_none_is_hidden() {
    let _turn = beside();
    let world = World::new("");
    let hosts = world.path().join("hosts");
    std::fs::write(&hosts, "::1 both.test\n127.0.0.1 both.test\n").unwrap();
    let six = TcpListener::bind("[::1]:0").is_ok();
    if !six || !with_hosts(&hosts, &["--version"]).status.success() {
        aside::say("skipped: no names of its own can be mounted here, or no IPv6");
        return;
    }
    let port = free_port();
    let url = format!("http://both.test:{port}/datetime");
    let words = ["probe", &url, "--lanes", "keep-alive,fresh", "--count", "60", "--json"];
    let app = App::start(&world, port);
    let output = judged(|| with_hosts(&hosts, &[&words[..], &["--late-after", "5s"]].concat()));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let many = report["mended"]["other_address"].as_u64().unwrap();
    let fresh = report["lanes"].as_array().unwrap().iter().find(|lane| lane["lane"] == "fresh");
    let fresh = fresh.unwrap()["sent"].as_u64().unwrap();
    assert!(fresh > 0 && many > fresh && many <= fresh + 8, "{many} of {fresh} and some kept");
    // Where nobody listens at either, each attempt is one failure, which names both.
    drop(app);
    let output = with_hosts(&hosts, &words);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["mended"]["other_address"], 0);
    assert_eq!(report["failed"], report["trust"]["sent"], "{report}");
    let rows = report["failures"].as_array().unwrap();
    let both = |row: &Value| {
        let detail = row["detail"].as_str().unwrap();
        row["class"] == "refused" && detail.contains("::1: ") && detail.contains("127.0.0.1: ")
    };
    assert!(!rows.is_empty() && rows.iter().all(both), "{rows:?}");
}
