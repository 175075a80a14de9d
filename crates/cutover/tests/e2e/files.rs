//! Open files that run out: whoever comes is answered, nobody is blamed for it, and afterwards all is as
//! before.
//!
//! How they are shared out is in the proxy's own `files`; other limits are tried elsewhere.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::traffic::get;
use crate::world::{CUTOVER, World, beside, free_port, patient_config, wait_for};

/// Open files that the server and all that it starts may have.
const FILES: u32 = 220;
/// More than fit: each takes two of the proxy's.
const TUNNELS: usize = 150;
/// Far beyond any limit of time that is meant here.
const PATIENCE: Duration = Duration::from_secs(20);

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const GET: &str = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";

/// `cutover up` with few open files, as `ulimit -n` sets them.
fn up_with_few_files(world: &mut World) {
    let log = std::fs::File::create(world.path().join("up.log")).unwrap();
    let mut command = Command::new("/bin/sh");
    let script = format!("ulimit -n {FILES}; exec \"$0\" up");
    command.args(["-c", &script, CUTOVER]).current_dir(world.path()).process_group(0);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    world.take(command.spawn().unwrap());
    wait_for("`cutover up` answers", 20, || world.status().map(|_| ()));
}

/// Sends a request and reads the whole answer to it: its head.
fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut read, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end + 4]).to_lowercase();
            let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
                rest.split("\r\n").next().unwrap().parse::<usize>().unwrap()
            });
            if read.len() >= end + 4 + length {
                return head;
            }
        }
        match stream.read(&mut bytes) {
            Ok(0) => panic!("no whole answer: {}", String::from_utf8_lossy(&read)),
            Ok(count) => read.extend_from_slice(&bytes[..count]),
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&read)),
        }
    }
}

/// A refusal says when to come back.
fn status(head: &str) -> u16 {
    let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default();
    assert!(status != 503 || head.contains("\r\nretry-after: "), "{head}");
    status
}

/// The values of all samples of a metric with these words, together.
fn counted(port: u16, name: &str, words: &str) -> u64 {
    let text = get(port, "x", "/metrics").unwrap();
    let ours = text.lines().filter(|line| line.starts_with(name) && line.contains(words));
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Two instances behind such a proxy, and the port of its metrics.
fn world_of_few_files() -> (World, u16) {
    let metrics = free_port();
    let observed = format!("metrics = \"127.0.0.1:{metrics}\"\ndrain_timeout");
    let mut world = World::new(&patient_config(2).replacen("drain_timeout", &observed, 1));
    up_with_few_files(&mut world);
    world.expect(0, &["deploy", "demo", "v1"]);
    (world, metrics)
}

#[test]
fn more_tunnels_than_files_cost_nobody_an_answer_and_no_instance_its_place() {
    let _turn = beside();
    let (world, metrics) = world_of_few_files();
    let connect = || TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    let mut kept: Vec<_> = (0..5).map(|_| connect()).collect();
    for stream in &mut kept {
        assert_eq!(status(&ask(stream, GET)), 200);
    }
    let (mut tunnels, mut refused) = (Vec::new(), 0);
    for number in 0..TUNNELS {
        let mut stream = connect();
        match status(&ask(&mut stream, UPGRADE)) {
            101 => tunnels.push(stream),
            503 => refused += 1,
            other => panic!("{other} for tunnel {number}"),
        }
        let head = ask(&mut kept[number % 5], GET);
        assert!(matches!(status(&head), 200 | 503), "beside tunnel {number}: {head}");
    }
    assert!(tunnels.len() >= 30 && refused >= 10, "{} tunnels, {refused} refused", tunnels.len());
    assert_eq!(counted(metrics, "cutover_ejections_total", "demo"), 0, "nobody failed");
    assert_eq!(counted(metrics, "cutover_failures_total", "class=\"connect\""), 0, "nobody failed");
    let told = |class: &str| counted(metrics, "cutover_refusals_total", class);
    assert!(told("\"full\"") + told("\"no-socket\"") >= refused);
    // All sockets to instances at once, on connections that were let in before.
    drop(tunnels);
    wait_for("there is room again", 20, || {
        let mut stream = connect();
        (status(&ask(&mut stream, GET)) == 200).then_some(())
    });
    for stream in &mut kept {
        assert_eq!(status(&ask(stream, GET)), 200, "who was there goes on");
    }
    let instances = world.status().unwrap()["apps"][0]["instances"].to_string();
    assert_eq!(instances.matches("\"ready\"").count(), 2, "{instances}");
}

/// Clients that were let in while there was room, and then all want a tunnel.
#[test]
fn clients_who_are_there_already_are_answered_when_no_socket_is_left() {
    let _turn = beside();
    let (world, metrics) = world_of_few_files();
    let connect = || TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    let mut clients: Vec<_> = (0..70).map(|_| connect()).collect();
    let mut heads: Vec<u16> = Vec::new();
    for stream in &mut clients {
        heads.push(status(&ask(stream, UPGRADE)));
    }
    let count = |wanted: u16| heads.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(101) + count(503), heads.len(), "{heads:?}");
    assert!(count(101) >= 20 && count(503) >= 5, "{heads:?}");
    assert!(counted(metrics, "cutover_refusals_total", "\"no-socket\"") >= 1, "it has a name");
    assert_eq!(counted(metrics, "cutover_ejections_total", "demo"), 0, "nobody failed");
    assert_eq!(counted(metrics, "cutover_failures_total", "class=\"connect\""), 0, "nobody failed");
}
