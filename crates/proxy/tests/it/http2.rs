//! HTTP/2 towards clients: the same requests, the same answers, many at a time.
//!
//! What such clients may not do is in `http2_limits`, `floods` and `downgrade`.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Method};
use model::AppName;
use model::admin::{Reply, Request as Order};
use tokio::task::JoinSet;

use crate::authority::listen;
use crate::backend::{Backend, Then};
use crate::framed::{Framed, ask, get, next, run, shop, whole};
use crate::stage::{Stage, pool, wait_until};

/// Says what was asked and sent.
fn echo() -> Backend {
    Backend::scripted("echo", |peer, head| {
        let body = peer.body(head).unwrap_or_default();
        match head.split(' ').nth(1).unwrap_or("") {
            "/chunks" => {
                peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
                peer.say("3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n");
                Then::Keep
            }
            "/close" => {
                peer.say("HTTP/1.1 200 OK\r\n\r\nuntil the end");
                Then::Close
            }
            "/hints" => {
                peer.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
                peer.ok("hinted")
            }
            "/none" => {
                peer.say("HTTP/1.1 204 No Content\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n");
                Then::Keep
            }
            "/head" => {
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
                Then::Keep
            }
            _ => peer.ok(&body),
        }
    })
}

#[test]
fn requests_come_over_tls_and_with_prior_knowledge() {
    let directory = tempfile::tempdir().unwrap();
    let backend = echo();
    let mut stage = Stage::before(&[&backend]);
    let identity = shop(directory.path());
    let pairs = vec![identity.pair.clone()];
    assert_eq!(stage.admin.ask(&Order::Certify { pairs, forgiving: false }), Reply::Done);
    let secure = listen(&mut stage);
    run(async {
        for proto in ["http", "https"] {
            let mut client = match proto {
                "http" => Framed::plain(stage.address).await,
                _ => Framed::secure(secure, &identity).await,
            };
            let mut request = get("/x?y");
            for (name, value) in
                [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-request-id", "r-1")]
            {
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let answer = client.whole(request).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.field("connection")), (200, None));
            assert_eq!(answer.field("x-cutover-version"), Some("v1"));
            assert_eq!(answer.field("x-request-id"), Some("r-1"));
            let head = backend.heads.lock().unwrap().last().unwrap().clone();
            assert!(head.starts_with("GET /x?y HTTP/1.1\r\nhost: shop.test\r\n"), "{head}");
            assert!(head.contains("cookie: a=1; b=2\r\n") && !head.contains("trailers"), "{head}");
            assert!(head.contains(&format!("x-forwarded-proto: {proto}\r\n")), "{head}");
            let none = client.whole(get("/none")).await.unwrap();
            assert_eq!((none.status.as_u16(), none.field("x-hop")), (204, None));
            let head = client.whole(ask(Method::HEAD, "/head")).await.unwrap();
            assert_eq!((head.field("content-length"), head.body.as_str()), (Some("12"), ""));
            assert_eq!(client.upload(ask(Method::PUT, "/"), "put").await.unwrap().body.len(), 13);
            drop(client);
        }
    });
    assert_eq!(stage.admin.release(1).answers, [0, 8, 0, 0, 0]);
    wait_until("the connections have ended", || stage.admin.look().connections == 0);
}

#[test]
fn bodies_trailers_and_interim_answers_pass() {
    let backend = echo();
    let stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let chunks = client.whole(get("/chunks")).await.unwrap();
        assert_eq!(chunks.body, "abcdefg");
        assert_eq!(chunks.trailers.unwrap()["x-sum"], "7");
        assert_eq!(client.whole(get("/close")).await.unwrap().body, "until the end");

        let mut known = ask(Method::POST, "/");
        known.headers_mut().insert("content-length", "5".parse().unwrap());
        assert_eq!(client.upload(known, "hello").await.unwrap().body, "hello");

        // Without a length it is framed anew, and its trailers go along.
        let (answer, mut stream) = client.begin(ask(Method::POST, "/"), false).await.unwrap();
        for part in ["one", "and two"] {
            stream.send_data(Bytes::from(part), false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-mine", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let echoed = whole(answer).await.unwrap().body;
        assert!(
            echoed.ends_with("0\r\nx-mine: 1\r\n\r\n") && echoed.contains("and two"),
            "{echoed}"
        );

        let (mut answer, _) = client.begin(get("/hints"), true).await.unwrap();
        let hints = std::future::poll_fn(|context| answer.poll_informational(context)).await;
        assert_eq!(hints.unwrap().unwrap().status().as_u16(), 103);
        assert_eq!(whole(answer).await.unwrap().body, "hinted");
    });
}

/// A large body in both directions, and one whose reader stands still: the instance does too, and
/// so does nobody else on the connection.
#[test]
fn a_slow_stream_slows_its_instance_down_and_no_other_stream() {
    let written = Arc::new(Mutex::new(0_usize));
    let count = Arc::clone(&written);
    let total = 40_000_000_usize;
    let backend = Backend::scripted("big", move |peer, head| {
        if head.starts_with("POST") {
            let body = peer.body(head).unwrap_or_default();
            return peer.ok(&body);
        }
        if !head.starts_with("GET /big") {
            return peer.ok("small");
        }
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
        for _ in 0..40 {
            if peer.stream.write_all(&vec![b'x'; 1_000_000]).is_err() {
                return Then::Close;
            }
            *count.lock().unwrap() += 1_000_000;
        }
        Then::Keep
    });
    let stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let (answer, _) = client.begin(get("/big"), true).await.unwrap();
        let mut big = answer.await.unwrap().into_body();
        let mut seen = usize::MAX;
        wait_until("the instance stands still", || {
            std::thread::sleep(Duration::from_millis(100));
            let now = *written.lock().unwrap();
            std::mem::replace(&mut seen, now) == now
        });
        assert!(seen < total / 2, "{seen} of {total} bytes are somewhere in between");
        assert_eq!(client.whole(get("/small")).await.unwrap().body, "small");
        let mut left = total;
        while let Some(content) = next(&mut big).await.unwrap() {
            left -= content.len();
        }
        assert_eq!(left, 0);

        let body: String = (b'a'..=b'z').cycle().take(2_000_000).map(char::from).collect();
        let mut request = ask(Method::POST, "/");
        request.headers_mut().insert("content-length", body.len().into());
        assert!(client.upload(request, &body).await.unwrap().body == body);
    });
}

#[test]
fn streams_share_a_connection_and_do_not_wait_for_each_other() {
    let backend = Backend::scripted("app", |peer, head| {
        // A slow one among quick ones: that is what is tested.
        if head.starts_with("GET /slow") {
            std::thread::sleep(Duration::from_millis(500));
        }
        peer.ok(head.split(' ').nth(1).unwrap())
    });
    let mut stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let (slow, _) = client.begin(get("/slow"), true).await.unwrap();
        let mut open = JoinSet::new();
        for number in 0..300 {
            let path = format!("/{number}");
            let (answer, _) = client.begin(get(&path), true).await.unwrap();
            open.spawn(async move { (path, whole(answer).await.unwrap().body) });
        }
        let began = Instant::now();
        while let Some(one) = open.join_next().await {
            let (path, body) = one.unwrap();
            assert_eq!(path, body);
        }
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        assert_eq!(whole(slow).await.unwrap().body, "/slow");
    });
    assert_eq!(stage.admin.release(1).requests, 301);
}

/// A stream that is reset ends its exchange, the end of the connection ends all.
#[test]
fn a_stream_that_is_broken_off_frees_its_instance() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let backend = Backend::scripted("silent", move |peer, head| {
        if head.starts_with("GET /events") {
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        }
        if matches!(peer.stream.read(&mut [0; 1]), Ok(0) | Err(_)) {
            tell.lock().unwrap().send(()).unwrap();
        }
        Then::Close
    });
    let mut stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let paths = [("/events", Method::GET), ("/poll", Method::GET), ("/upload", Method::PUT)];
        for (number, (path, method)) in paths.into_iter().enumerate() {
            let upload = method == Method::PUT;
            let (answer, mut stream) = client.begin(ask(method, path), !upload).await.unwrap();
            // In the gate it is sooner than at the instance, which would never hear of it.
            wait_until("it is there", || backend.hits() == number + 1);
            assert_eq!(stage.admin.instance("silent").unwrap().requests, 1);
            let mut answer = Some(answer);
            if path == "/events" {
                let mut body = answer.take().unwrap().await.unwrap().into_body();
                assert_eq!(next(&mut body).await.unwrap().unwrap(), "one");
            }
            stream.send_reset(Reason::CANCEL);
            told.recv_timeout(Duration::from_secs(5)).unwrap();
            // Or the next one would be taken for there because of this one.
            let empty = || stage.admin.instance("silent").unwrap().requests == 0;
            wait_until("the gate is empty", empty);
        }
        assert_eq!(stage.admin.release(1).abandoned, 3);
        let mut open = Vec::new();
        for _ in 0..20 {
            open.push(client.begin(get("/poll"), true).await.unwrap());
        }
        wait_until("all are there", || stage.admin.instance("silent").unwrap().requests == 20);
        client.driver.abort();
        for _ in 0..20 {
            told.recv_timeout(Duration::from_secs(5)).unwrap();
        }
    });
    wait_until("the gate is empty", || stage.admin.instance("silent").unwrap().requests == 0);
    let release = stage.admin.release(1);
    assert_eq!((release.abandoned, release.failed), (23, 0));
}

/// R3: an early answer to an upload arrives whole, though most of the body was never taken.
#[test]
fn r03_an_early_answer_to_a_large_upload_arrives_whole() {
    let backend = Backend::scripted("early", |peer, head| {
        if head.starts_with("POST") {
            peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large");
            return Then::Close;
        }
        peer.ok("next")
    });
    let stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        for _ in 0..20 {
            let (answer, mut stream) = client.begin(ask(Method::POST, "/"), false).await.unwrap();
            // Refused at some point, which is as it should be.
            let _ = stream.send_data(Bytes::from(vec![b'x'; 3_000_000]), true);
            let answer = whole(answer).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (413, "too large"));
            assert_eq!(client.whole(get("/")).await.unwrap().body, "next");
        }
    });
}

/// R12: streams that are opened while the end is announced are answered, also those that waited in
/// the client's own queue when it learned of it; what is open finishes.
#[test]
fn r12_streams_that_cross_the_end_are_answered() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let (go, going) = channel::<()>();
    let going = Mutex::new(going);
    let backend = Backend::scripted("app", move |peer, head| {
        if head.starts_with("GET /slow") {
            going.lock().unwrap().recv().unwrap();
        }
        count.fetch_add(1, Ordering::SeqCst);
        peer.ok("app")
    });
    let mut stage = Stage::before(&[&backend]);
    let address = stage.address;
    let mut clients = Vec::new();
    let stop = std::thread::spawn(move || {
        wait_until("requests are under way", || served.load(Ordering::SeqCst) > 300);
        stage.admin.done(&Order::stop(20_000));
        std::thread::sleep(Duration::from_millis(300));
        go.send(()).unwrap();
        // Ends when all is done, well before its deadline.
        let began = Instant::now();
        stage.stop(20_000);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    });
    run(async {
        let mut patient = Framed::plain(address).await;
        let (slow, _) = patient.begin(get("/slow"), true).await.unwrap();
        for _ in 0..4 {
            let mut client = Framed::plain(address).await;
            clients.push(tokio::spawn(async move {
                let mut open = JoinSet::new();
                let mut sent = 0;
                // Until the client knows that it is over.
                while let Ok((answer, _)) = client.begin(get("/"), true).await {
                    sent += 1;
                    open.spawn(whole(answer));
                    if sent % 20 == 0 {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
                let mut answered = 0;
                while let Some(one) = open.join_next().await {
                    match one.unwrap() {
                        Ok(answer) => {
                            assert_eq!(answer.body, "app");
                            answered += 1;
                        }
                        Err(error) => panic!("one of {sent}: {error:?}"),
                    }
                }
                assert_eq!(answered, sent);
                answered
            }));
        }
        let mut answered = 0;
        for client in clients {
            answered += client.await.unwrap();
        }
        assert_eq!(whole(slow).await.unwrap().body, "app", "what is open finishes");
        assert_eq!(answered + 1, backend.hits(), "nothing else was executed");
    });
    stop.join().unwrap();
}

/// Instances that fail are treated as for any other client: replays, honest failures, and nothing
/// cut short that looks whole.
#[test]
fn failures_are_decided_in_the_same_way() {
    let (dead, alive) = (Backend::named("dead"), Backend::named("alive"));
    dead.kill();
    let mut stage = Stage::before(&[&dead, &alive]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        for _ in 0..50 {
            assert_eq!(client.whole(get("/")).await.unwrap().body, "alive");
            assert_eq!(client.upload(ask(Method::POST, "/"), "x").await.unwrap().body, "alive");
        }
    });
    assert!(stage.admin.release(1).replayed > 0 && stage.admin.release(1).failed == 0);

    let cut = Backend::scripted("cut", |peer, head| {
        if head.starts_with("POST") {
            return Then::Close;
        }
        let chunked = head.starts_with("GET /chunked");
        peer.say("HTTP/1.1 200 OK\r\n");
        peer.say(if chunked {
            "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"
        } else {
            "Content-Length: 9\r\n\r\n12345"
        });
        Then::Close
    });
    let mut stage = Stage::before(&[&cut]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        for path in ["/", "/chunked"] {
            let error = client.whole(get(path)).await.err().unwrap();
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{path}: {error}");
        }
        let answer = client.whole(ask(Method::POST, "/")).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.field("x-cutover-instance")),
            (502, Some("cut"))
        );
    });
    assert_eq!(stage.admin.release(1).failed, 3);
    assert_eq!(cut.hits(), 3, "nothing was executed twice");

    stage.publish(vec![pool(1, 10_000, &[])]);
    let whole = Backend::named("whole");
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let answer = client.whole(get("/")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.field("retry-after")), (503, Some("1")));
        stage.publish(vec![pool(1, 10_000, &[&whole])]);
        let app = AppName::new("demo").unwrap();
        stage.admin.done(&Order::Truncate { app, bodies: 1 });
        assert!(client.whole(get("/")).await.is_err(), "an injected fault");
        assert_eq!(client.whole(get("/")).await.unwrap().body, "whole");
    });
}
