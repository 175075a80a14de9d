//! The end of a proxy: what is open finishes, idle connections lose no request, nothing lingers.
//!
//! Instances that end are in `races_departing`.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use model::Generation;
use model::admin::{Reply, Request};
use rustix::process::{Pid, Signal, kill_process};

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Admin, Stage, pool, routes, wait_until};

/// R1: requests that cross the stop on idle connections are answered, and told that it is over.
#[test]
fn r01_requests_that_cross_the_stop_are_answered() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let mut clients: Vec<_> = (0..60).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.get("/").unwrap();
    }
    std::thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            scope.spawn(move || {
                // Spread around the stop, and well into the linger.
                std::thread::sleep(Duration::from_millis(10 * number as u64));
                let answer = client.post("/", "crossing").unwrap();
                assert_eq!(answer.status, 200);
                if answer.field("connection") == Some("close") {
                    assert_eq!(client.rest().unwrap(), "");
                } else {
                    assert!(number < 40, "request {number} was not told of the end");
                }
            });
        }
        std::thread::sleep(Duration::from_millis(100));
        let began = Instant::now();
        stage.stop(10_000);
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    });
}

/// R1 in the very moment: two hundred idle connections, and a POST on each within a few milliseconds around the
/// one in which the proxy is told to stop: from 40 ms before it on, from 2 ms before it, and right after.
#[test]
fn r01_requests_in_the_moment_of_the_stop_are_answered_on_two_hundred_idle_connections() {
    const EACH: usize = 50;
    let backend = Backend::named("app");
    for lead in [40, 2, 0].map(Duration::from_millis) {
        let mut stage = Stage::before(&[&backend]);
        let mut clients: Vec<_> = (0..4 * EACH).map(|_| stage.client()).collect();
        for client in &mut clients {
            client.get("/").unwrap();
        }
        let stop_at = Instant::now() + Duration::from_millis(100);
        let (told, kept) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for part in clients.chunks_mut(EACH) {
                let (told, kept) = (&told, &kept);
                scope.spawn(move || {
                    for (number, client) in part.iter_mut().enumerate() {
                        let after = Duration::from_micros(4_000 * number as u64 / EACH as u64);
                        // A sleep is not as exact as this race is.
                        while Instant::now() + lead < stop_at + after {
                            std::hint::spin_loop();
                        }
                        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
                    }
                    for (number, client) in part.iter_mut().enumerate() {
                        let answer = client.answer();
                        let answer = answer.unwrap_or_else(|e| panic!("{lead:?}, {number}: {e}"));
                        assert_eq!((answer.status, answer.body.as_str()), (200, "app"));
                        let count =
                            if answer.field("connection") == Some("close") { told } else { kept };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            std::thread::sleep(stop_at.saturating_duration_since(Instant::now()));
            stage.stop(10_000);
        });
        let (told, kept) = (told.into_inner(), kept.into_inner());
        println!("from {lead:?} before: {kept} answered, {told} answered and told that it is over");
        assert_eq!(told + kept, 4 * EACH as u64);
    }
}

/// R4 and R5: proxies take turns on one listening socket under new connections; each is served by
/// the one or the other, none is refused or reset.
#[test]
fn r04_r05_new_connections_survive_a_change_of_proxies() {
    let backend = Backend::named("app");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = || Stage::on(&listener, Some(vec![pool(1, 10_000, &[&backend])]));
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let _last = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(Client::to(address).get("/").unwrap().body, "app");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut present = start();
        for _ in 0..8 {
            let mark = served.load(Ordering::Relaxed) + 100;
            wait_until("connections are served", || served.load(Ordering::Relaxed) > mark);
            let next = start();
            present.stop(10_000);
            present = next;
        }
        over.store(true, Ordering::Relaxed);
        // It must outlive the requests that are still under way.
        present
    });
    assert!(served.load(Ordering::Relaxed) > 800);
}

/// This test run again as a proxy process of its own: `serve` with the socket of the environment.
#[test]
fn child_serves() {
    let Ok(socket) = std::env::var("PROXY_TEST_SOCKET") else { return };
    let options = proxy::Options { admin_socket: socket.into(), threads: 2, allow_faults: false };
    proxy::serve(options).unwrap();
}

/// A child that does not outlive a test that failed.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn child(socket: &Path, listener: &TcpListener, backend: &Backend) -> (Process, Admin) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ending::child_serves", "--nocapture"])
        .env("PROXY_TEST_SOCKET", socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    let mut admin = Admin::to(socket);
    assert_eq!(admin.hand_over(listener.local_addr().unwrap(), listener), Reply::Done);
    let routes = routes(1, vec![pool(1, 10_000, &[backend])]);
    admin.done(&Request::Publish { epoch: 1, expected: Generation(0), routes });
    (process, admin)
}

fn signal(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.0.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn sigterm_drains_and_ends_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("proxy.sock");
    let (tell, told) = channel::<()>();
    let told = Mutex::new(told);
    let backend = Backend::scripted("app", move |peer, head| {
        if head.starts_with("GET /slow") {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfirst");
            told.lock().unwrap().recv().unwrap();
            peer.say("end");
            return Then::Keep;
        }
        peer.ok("app")
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut process, mut admin) = child(&socket, &listener, &backend);
    let (mut slow, mut idle) = (Client::to(address), Client::to(address));
    assert_eq!(idle.get("/").unwrap().body, "app");
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(slow.head().unwrap().status, 200);
    for ignored in [Signal::HUP, Signal::INT] {
        signal(&process, ignored);
    }
    assert_eq!(idle.get("/").unwrap().field("connection"), None, "those are not for it");
    signal(&process, Signal::TERM);
    let answer = loop {
        let answer = idle.get("/").unwrap();
        if answer.field("connection").is_some() {
            break answer;
        }
    };
    assert_eq!((answer.body.as_str(), answer.field("connection")), ("app", Some("close")));
    wait_until("the slow one alone is open", || admin.app().instances[0].requests == 1);
    assert!(process.0.try_wait().unwrap().is_none());
    tell.send(()).unwrap();
    assert_eq!(slow.take(8).unwrap(), "firstend");
    drop((slow, idle));
    assert!(process.0.wait().unwrap().success());
    assert!(admin.closed() && !socket.exists(), "it tidied up");

    // The listening socket lives on with us: a successor serves it, over a stale socket file too.
    std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (mut successor, _admin) = child(&socket, &listener, &backend);
    assert_eq!(Client::to(address).get("/").unwrap().body, "app");
    signal(&successor, Signal::TERM);
    assert!(successor.0.wait().unwrap().success());
}

#[test]
fn a_second_sigterm_hurries() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::scripted("stuck", |peer, _| {
        // Until the proxy goes.
        let _ = peer.stream.read(&mut [0; 1]);
        Then::Close
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut process, mut admin) = child(&directory.path().join("p.sock"), &listener, &backend);
    let mut client = Client::to(listener.local_addr().unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request is open", || admin.app().instances[0].requests == 1);
    let began = Instant::now();
    signal(&process, Signal::TERM);
    signal(&process, Signal::TERM);
    wait_until("the process has ended", || {
        // The first two may have become one.
        signal_if_running(&mut process);
        process.0.try_wait().unwrap().is_some()
    });
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

fn signal_if_running(process: &mut Process) {
    if process.0.try_wait().unwrap().is_none() {
        signal(process, Signal::TERM);
    }
}

/// The deadline of a stop holds, whatever is stuck.
#[test]
fn a_stop_ends_at_its_deadline() {
    let backend = Backend::scripted("stuck", |peer, _| {
        let _ = peer.stream.read(&mut [0; 1]);
        Then::Close
    });
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request is open", || stage.admin.app().instances[0].requests == 1);
    let began = Instant::now();
    stage.stop(300);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(client.answer().is_err());
}

/// A stop that gives idle connections longer: whoever comes later than the usual moment is still
/// answered, and told that it was the last.
#[test]
fn idle_connections_stay_for_as_long_as_the_stop_says() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let mut clients: Vec<_> = (0..2).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.get("/").unwrap();
    }
    stage.admin.done(&Request::Stop { within_ms: 20_000, linger_ms: 2_500 });
    std::thread::sleep(Duration::from_millis(1_500));
    let answer = clients[0].post("/", "late").unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    let began = Instant::now();
    assert_eq!(clients[1].rest().unwrap(), "", "closed without a word, not reset");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    stage.stop(0);
}
