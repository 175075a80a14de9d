//! Where there is no room for another connection: nobody keeps a place by being slow, and one that is
//! free again is given at once.
//!
//! What is answered then is tried in `own_answers`, open files that run out in the tests of `cutover`.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::admin::{Request, Settings};

use crate::backend::Backend;
use crate::client::Client;
use crate::stage::{Stage, wait_until};

/// Connections that are allowed here.
const MOST: u64 = 5;
/// Those that are told at a time that they are one too many.
const TOLD: u64 = 64;
/// Accept loops of a stage.
const LOOPS: usize = 2;

/// A stage whose places are all taken: by clients that were answered, and by others that have begun
/// to ask.
fn full(backend: &Backend) -> (Stage, Vec<Client>, Vec<Client>) {
    let mut stage = Stage::before(&[backend]);
    let settings = Settings { max_connections: MOST, ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
    let mut kept: Vec<_> = (0..MOST).map(|_| stage.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    let mut slow: Vec<_> = (0..TOLD).map(|_| stage.client()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\n");
    }
    wait_until("every place is taken", || stage.admin.look().connections == MOST + TOLD);
    (stage, kept, slow)
}

/// How many wait in the kernel's queue of a listening socket.
fn queued(port: u16) -> Option<usize> {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listens = format!("0100007F:{port:04X} 00000000:0000 0A ");
    let queues = sockets.split_once(&listens)?.1.split_whitespace().next()?;
    usize::from_str_radix(queues.split_once(':')?.1, 16).ok()
}

/// It was neither answered nor closed.
fn waits(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let peeked = client.stream.peek(&mut [0; 1]);
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Whoever accepts waits for either: a place among those who are served, or among those who are told.
#[test]
fn a_place_that_is_free_again_is_given_at_once() {
    let backend = Backend::named("demo-1-1");
    // A machine that was busy until those who are slow had been given up shows nothing.
    let shown = (0..5).any(|_| {
        let (stage, kept, slow) = full(&backend);
        let mut late: Vec<_> = (0..=LOOPS).map(|_| stage.client()).collect();
        for client in &mut late {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let all_wait = || queued(stage.address.port()) == Some(1);
        wait_until("whoever accepts waits", || all_wait() || !slow.iter().all(waits));
        drop(kept);
        let answers: Vec<_> =
            late.iter_mut().map(|client| client.answer().unwrap().status).collect();
        let in_time = slow.iter().all(waits);
        assert!(!in_time || answers.iter().all(|status| *status == 200), "{answers:?}");
        in_time
    });
    assert!(shown, "they had to wait until somebody else was given up");
}

/// However busily they drip: before their answer, and after it.
#[test]
fn who_is_one_too_many_does_not_keep_the_place() {
    let backend = Backend::named("demo-1-1");
    let (stage, _kept, slow) = full(&backend);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for client in &slow {
                    // It goes on when nobody listens any more.
                    let _ = (&client.stream).write_all(b"A: b\r\n");
                }
                // So slowly that the head does not become too large.
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut late = stage.client();
        late.stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let answer = late.get("/").map(|answer| answer.status);
        over.store(true, Ordering::Relaxed);
        assert_eq!(answer, Ok(503));
    });
}
