//! Bodies are written to the one side from where they were read to from the other: the check for every way
//! in which HTTP/1.1 carries them, and for tunnels; over TLS and with HTTP/2: `over_tls`.
//!
//! A whole proxy connection on the thread of the test, with real sockets. What the bytes mean is not looked
//! at.

mod over_tls;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Spread, Version,
    Weight,
};
use tokio::runtime::{Builder, LocalOptions};

use crate::age::Age;
use crate::client;
use crate::files::Files;
use crate::forwarded::Origin;
use crate::ledger::Ledger;
use crate::life::Shared;
use crate::limits;
use crate::thread::Worker;
use crate::tls::Tls;
use crate::tracks::{self, Tracks, WORD, words};

/// Words in a body: 1 MiB.
const WORDS: u32 = (1 << 20) / 8;

fn routes(instance: &TcpListener) -> Routes {
    let id = InstanceId("one".to_owned());
    let address = instance.local_addr().unwrap();
    Routes {
        app: AppName::new("demo").unwrap(),
        generation: Generation(1),
        hosts: Vec::new(),
        path_prefix: "/".into(),
        pools: vec![Pool {
            release: ReleaseId(1),
            version: Version::new("v1").unwrap(),
            weight: Weight::ALL,
            state: PoolState::Serving,
            instances: vec![Instance { id, address }],
        }],
        rules: Vec::new(),
        spread: Spread::default(),
        hold: None,
        hand_over: None,
    }
}

/// One connection through a proxy, from this client to this instance.
fn carried(asks: impl FnOnce(TcpStream) + Send, answers: impl FnOnce(TcpStream) + Send) -> Tracks {
    carried_by((Tls::new().unwrap(), false), asks, answers)
}

/// The same over TLS, if `secure`.
fn carried_by(
    (tls, secure): (Tls, bool),
    asks: impl FnOnce(TcpStream) + Send,
    answers: impl FnOnce(TcpStream) + Send,
) -> Tracks {
    let (front, behind) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let entrance = front.local_addr().unwrap();
    let shared = Arc::new(Shared::new(Files::of(1_024, 1), tls));
    let mut ledger = Ledger::default();
    let swap = |table| shared.table.store(Arc::new(table));
    ledger.publish(1, Generation(0), routes(&behind), swap).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || asks(TcpStream::connect(entrance).unwrap()));
        scope.spawn(move || answers(behind.accept().unwrap().0));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        let worker = Rc::new(Worker::new(Arc::clone(&shared)));
        let (accepted, from) = front.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let origin = Origin { peer: from.ip(), secure, over: None, age: Age::begins() };
        tracks::begin();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(accepted).unwrap();
            let served = async {
                if secure {
                    client::secure(&worker, stream, origin).await;
                } else {
                    client::plain(&worker, stream, origin).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), served).await.unwrap();
        });
        tracks::end()
    })
}

/// Reads a head; gives what came behind it.
fn head(stream: &mut TcpStream) -> usize {
    let (mut read, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let bytes = stream.read(&mut room).unwrap();
        assert!(bytes > 0, "{}", read.escape_ascii());
        read.extend_from_slice(&room[..bytes]);
        if let Some(at) = memchr::memmem::find(&read, b"\r\n\r\n") {
            return read.len() - at - 4;
        }
    }
}

/// Reads on, to so many bytes.
fn takes(stream: &mut TcpStream, bytes: usize) {
    let mut room = vec![0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let most = left.min(room.len());
        left -= stream.read(&mut room[..most]).unwrap();
    }
}

/// As chunks of no round size.
fn chunked(content: &[u8]) -> Vec<u8> {
    let chunks = content.chunks(9_992);
    let framed = chunks
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    framed.chain(*b"0\r\n\r\n").collect()
}

/// All but those that a read or a write has cut in two, and what is joined to a head.
#[track_caller]
fn stay(tracks: &Tracks, words: u32) {
    let words = usize::try_from(words).unwrap();
    assert!(tracks.moved * WORD <= limits::JOINED, "{} of {words} were copied", tracks.moved);
    assert!(tracks.stayed * 100 >= words * 95, "{} of {words} were seen", tracks.stayed);
}

fn download(request: &str, (answer, body): (&str, &[u8])) -> Tracks {
    carried(
        |mut client| {
            client.write_all(request.as_bytes()).unwrap();
            let mut whole = Vec::new();
            client.read_to_end(&mut whole).unwrap();
            assert!(whole.len() >= 8 * WORDS as usize, "{}", whole.escape_ascii());
        },
        |mut instance| {
            head(&mut instance);
            instance.write_all(&[answer.as_bytes(), body].concat()).unwrap();
        },
    )
}

#[test]
fn downloads_are_not_copied() {
    let body = words(0..WORDS);
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let closing = "HTTP/1.1 200 OK\r\n\r\n";
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (request, answer, body) in [
        (request, &*length, body.clone()),
        (request, chunks, chunked(&body)),
        (request, closing, body.clone()),
        ("GET / HTTP/1.0\r\n\r\n", chunks, chunked(&body)),
    ] {
        stay(&download(request, (answer, &body)), WORDS);
    }
}

#[test]
fn uploads_are_not_copied() {
    let small = words(0..1_000);
    let (large, chunks) = (words(0..WORDS), chunked(&words(0..WORDS)));
    for (framing, body, words) in [
        (format!("Content-Length: {}", small.len()), &small, 1_000),
        (format!("Content-Length: {}", large.len()), &large, WORDS),
        ("Transfer-Encoding: chunked".to_owned(), &chunks, WORDS),
    ] {
        let head_of =
            format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n");
        let tracks = carried(
            |mut client| {
                client.write_all(&[head_of.as_bytes(), body].concat()).unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            },
            |mut instance| {
                let come = head(&mut instance);
                takes(&mut instance, body.len() - come);
                instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            },
        );
        stay(&tracks, words);
    }
}

/// One message of a WebSocket; the mask of zeros leaves it as it is.
fn message(content: &[u8], masked: bool) -> Vec<u8> {
    let length = (content.len() as u64).to_be_bytes();
    let (bit, mask): (u8, &[u8]) = if masked { (0x80, &[0; 4]) } else { (0, &[]) };
    [&[0x82, 127 | bit][..], &length, mask, content].concat()
}

#[test]
fn tunnels_copy_nothing() {
    let (there, back) = (words(0..WORDS), words(WORDS..2 * WORDS));
    for (protocol, there, back) in [
        ("raw", there.clone(), back.clone()),
        ("websocket", message(&there, true), message(&back, false)),
    ] {
        let upgrade = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        let (asks, says) = (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}"),
            format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}"),
        );
        let tracks = carried(
            |mut client| {
                client.write_all(asks.as_bytes()).unwrap();
                let come = head(&mut client);
                client.write_all(&there).unwrap();
                takes(&mut client, back.len() - come);
            },
            |mut instance| {
                let come = head(&mut instance);
                instance.write_all(says.as_bytes()).unwrap();
                takes(&mut instance, there.len() - come);
                instance.write_all(&back).unwrap();
            },
        );
        stay(&tracks, 2 * WORDS);
    }
}
