//! A proxy that does not answer on its admin socket for a while, as on a machine that swaps: it is
//! not gone, nothing is started in its place, and what is open on it is not cut.
//!
//! One that is killed is in `parts`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::traffic::get;
use crate::world::{World, beside, signal, wait_for};

/// Longer than the 2 s that an answer of the proxy may take.
const MUTE: Duration = Duration::from_millis(2600);

/// A process that is stopped, and goes on at the latest when the test is over.
struct Stopped(u32);

impl Stopped {
    fn now(pid: u32) -> Self {
        signal(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

/// A world with a release that serves, and its proxy.
fn serving(drain: &str) -> (World, u32) {
    let config = crate::world::patient_config(1)
        .replace("drain_timeout = \"5s\"", &format!("drain_timeout = \"{drain}\""));
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let proxy = world.parts("proxy")[0];
    (world, proxy)
}

fn spawn_up(world: &World) -> Child {
    use std::os::unix::process::CommandExt as _;
    let log = std::fs::File::create(world.path().join("up.log")).unwrap();
    let mut command = world.command(&["up"]);
    command.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// The sockets that a process has open, by inode.
fn sockets(pid: u32) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let targets = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).collect()
}

fn status_pid(world: &World) -> u32 {
    world.status().unwrap()["pid"].as_u64().unwrap().try_into().unwrap()
}

fn proxy_log(world: &World) -> String {
    std::fs::read_to_string(world.state().join("logs/proxy.log")).unwrap_or_default()
}

fn assert_serves(world: &World) {
    let answer = get(world.port, "x", "/version").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A request that takes `ms`, open on the proxy.
fn open_request(world: &World, ms: u32) -> std::thread::JoinHandle<std::io::Result<String>> {
    let port = world.port;
    let slow = std::thread::spawn(move || get(port, "x", &format!("/slow?ms={ms}")));
    wait_for("a request is open", 10, || {
        let status = world.status()?;
        (status["apps"][0]["pools"][0]["requests"].as_u64() > Some(0)).then_some(())
    });
    slow
}

#[test]
fn no_second_proxy_is_started_beside_one_that_is_mute_right_after_it_was_taken_over() {
    let _turn = beside();
    let (mut world, proxy) = serving("5s");
    world.kill_up();
    let before = proxy_log(&world);
    let theirs = sockets(proxy);
    let up = spawn_up(&world);
    let pid = up.id();
    world.take(up);
    // It has the listeners, and has not asked anything else yet.
    let deadline = Instant::now() + Duration::from_secs(20);
    while sockets(pid).is_disjoint(&theirs) {
        assert!(Instant::now() < deadline, "the proxy was not taken over");
        std::hint::spin_loop();
    }
    let stopped = Stopped::now(proxy);
    std::thread::sleep(MUTE);
    drop(stopped);
    wait_for("`cutover up` answers", 20, || world.status());
    // Time for some hundred starts, if there were any.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(world.parts("proxy"), [proxy]);
    let log = proxy_log(&world);
    let started = log[before.len()..].lines().count();
    assert_eq!(started, 0, "what further proxies said, in lines");
    assert_serves(&world);
}

#[test]
fn a_proxy_that_is_mute_while_up_starts_is_waited_for() {
    let _turn = beside();
    let (mut world, proxy) = serving("5s");
    world.kill_up();
    let stopped = Stopped::now(proxy);
    let up = spawn_up(&world);
    world.take(up);
    std::thread::sleep(MUTE);
    let said = world.said();
    drop(stopped);
    wait_for("`cutover up` answers", 20, || world.status());
    assert_eq!(world.parts("proxy"), [proxy]);
    assert!(said.contains(&format!("the proxy (pid {proxy})")), "{said}");
    assert_serves(&world);
}

#[test]
fn a_proxy_that_is_mute_for_a_while_during_a_stop_finishes_what_is_open() {
    let _turn = beside();
    for adopted in [false, true] {
        let (mut world, proxy) = serving("20s");
        let mut up = status_pid(&world);
        if adopted {
            world.kill_up();
            up = world.up();
        }
        let slow = open_request(&world, 6000);
        let stopped = Stopped::now(proxy);
        signal(up, Signal::TERM);
        std::thread::sleep(MUTE);
        drop(stopped);
        let answer = slow.join().unwrap().expect("an open request is answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(world.ended_up(), Some(0));
        assert!(world.left_over().is_empty(), "adopted: {adopted}");
    }
}

#[test]
fn a_taken_over_proxy_that_stays_mute_is_gone_before_up_says_stopped() {
    let _turn = beside();
    let (mut world, proxy) = serving("1s");
    world.kill_up();
    let up = world.up();
    let _stopped = Stopped::now(proxy);
    signal(up, Signal::TERM);
    assert_eq!(world.ended_up(), Some(0));
    assert!(world.said().contains("stopped"), "{}", world.said());
    assert!(world.left_over().is_empty(), "{:?}", world.parts("proxy"));
}

#[test]
fn a_proxy_that_cannot_start_is_tried_again_after_growing_pauses() {
    let _turn = beside();
    let (world, proxy) = serving("5s");
    let before = proxy_log(&world).len();
    let socket = world.state().join("proxy.sock");
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "in the way").unwrap();
    signal(proxy, Signal::KILL);
    std::thread::sleep(Duration::from_secs(3));
    let tried = proxy_log(&world)[before..].matches("is not a socket").count();
    // At once, and after 100, 200, 400, 800 and 1600 ms.
    assert!((2..=6).contains(&tried), "{tried} starts in 3 s");
    std::fs::remove_file(&socket).unwrap();
    wait_for("a proxy runs", 10, || (world.parts("proxy").len() == 1).then_some(()));
    assert_serves(&world);
}

#[test]
fn a_proxy_that_serves_already_is_gone_on_with_and_not_taken_for_the_one_just_started() {
    let _turn = beside();
    let (world, proxy) = serving("5s");
    let before = proxy_log(&world).len();
    let stopped = Stopped::now(status_pid(&world));
    signal(proxy, Signal::KILL);
    wait_for("the proxy is gone", 10, || world.parts("proxy").is_empty().then_some(()));
    let socket = world.state().join("proxy.sock").display().to_string();
    let mut command = world.command(&["proxy", "--admin", &socket, "--threads", "1"]);
    let mut other = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let connects = || std::os::unix::net::UnixStream::connect(&socket).ok();
    drop(wait_for("another proxy serves", 10, connects));
    drop(stopped);
    assert_serves(&world);
    std::thread::sleep(Duration::from_secs(1));
    let refused = proxy_log(&world)[before..].matches("already serving").count();
    assert_eq!((refused, world.parts("proxy")), (1, vec![other.id()]));
    assert_serves(&world);
    world.expect(0, &["down"]);
    wait_for("it was ended too", 10, || other.try_wait().unwrap());
}
