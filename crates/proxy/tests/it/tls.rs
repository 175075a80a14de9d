//! TLS towards clients: which certificate is shown, what a reload may change, sessions that resume.
//!
//! What is carried over it is tried without TLS everywhere else.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use model::admin::{Reply, Request, Settings};
use model::limits::Limits;
use rustls::{ClientConfig, HandshakeKind};

use crate::authority::{Identity, connect, listen};
use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Stage, wait_until};

fn certify(stage: &mut Stage, identities: &[&Identity]) -> Reply {
    let pairs = identities.iter().map(|one| one.pair.clone()).collect();
    stage.admin.ask(&Request::Certify { pairs, forgiving: false })
}

/// Echoes bodies and says what it was told.
fn echo() -> Backend {
    Backend::scripted("echo", |peer, head| {
        if head.starts_with("GET /close") {
            peer.say("HTTP/1.0 200 OK\r\n\r\nuntil the end");
            return Then::Close;
        }
        let body = peer.body(head).unwrap_or_default();
        peer.ok(&body)
    })
}

#[test]
fn the_certificate_that_fits_the_name_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let backend = echo();
    let mut stage = Stage::before(&[&backend]);
    let shop = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    let wild = Identity::of(&directory.path().join("wild"), &["*.wild.test", "also.test"]);
    assert_eq!(certify(&mut stage, &[&shop, &wild]), Reply::Done);
    let address = listen(&mut stage);
    for (identity, name) in
        [(&shop, "shop.test"), (&wild, "a.wild.test"), (&wild, "ALSO.test"), (&shop, "SHOP.test")]
    {
        let mut client = connect(address, &identity.trusted(&[b"http/1.1"]), name).unwrap();
        assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..2 {
            assert_eq!(client.get("/").unwrap().status, 200, "{name}");
        }
    }
    let head = backend.heads.lock().unwrap()[0].clone();
    assert!(head.contains("x-forwarded-proto: https\r\n") && head.contains(";proto=https\r\n"));
    for (identity, name) in [(&wild, "b.a.wild.test"), (&wild, "wild.test"), (&wild, "other.test")]
    {
        let refused = connect(address, &identity.trusted(&[]), name).err().unwrap();
        assert!(refused.contains("certificate"), "{name} is shown the first: {refused}");
    }
    let seen = stage.admin.look();
    assert_eq!((seen.secure, seen.listening), (vec![address], vec![stage.address, address]));
}

/// Whoever is sent away while nothing is open is told so (RFC 9112 section 9.8): an end without a word could be
/// somebody else's.
#[test]
fn an_idle_connection_ends_with_a_close_notify() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let directory = tempfile::tempdir().unwrap();
    let backend = echo();
    let mut stage = Stage::before(&[&backend]);
    let shop = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    assert_eq!(certify(&mut stage, &[&shop]), Reply::Done);
    let limits = Limits { client_idle_ms: 300, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
    let address = listen(&mut stage);
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let mut client = connect(address, &shop.trusted(&[protocol]), "shop.test").unwrap();
        assert_eq!(client.stream.conn.alpn_protocol(), Some(protocol));
        if protocol == b"h2" {
            client.stream.write_all(PREFACE).unwrap();
        } else {
            assert_eq!(client.get("/").unwrap().status, 200);
        }
        // An end without it is an error here.
        let mut rest = Vec::new();
        client.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.is_empty(), protocol != b"h2");
    }
}

/// Files that cannot be used change nothing, and are named.
#[test]
fn a_reload_takes_up_new_files_and_refuses_broken_ones() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop");
    let backend = echo();
    let mut stage = Stage::before(&[&backend]);
    let early = Request::ListenTls { address: "127.0.0.1:1".parse().unwrap() };
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(stage.admin.ask_with(&early, &socket), Reply::Refused(_)), "no certificate");
    let first = Identity::of(&file, &["shop.test"]);
    assert_eq!(certify(&mut stage, &[&first]), Reply::Done);
    let address = listen(&mut stage);
    let mut old = connect(address, &first.trusted(&[]), "shop.test").unwrap();
    assert_eq!(old.get("/").unwrap().status, 200);

    let second = Identity::of(&file, &["shop.test"]);
    assert!(connect(address, &second.trusted(&[]), "shop.test").is_err(), "not read by itself");
    assert_eq!(certify(&mut stage, &[&second]), Reply::Done);
    assert!(connect(address, &second.trusted(&[]), "shop.test").is_ok());
    assert!(connect(address, &first.trusted(&[]), "shop.test").is_err());
    assert_eq!(old.get("/").unwrap().status, 200, "who is connected stays");

    // A good one before the broken one must not be taken up either.
    let third = Identity::of(&directory.path().join("third"), &["shop.test"]);
    for (what, broken) in broken_pairs(directory.path(), &second) {
        let pairs = vec![third.pair.clone(), broken];
        let fault = stage.admin.refused(&Request::Certify { pairs, forgiving: false });
        assert!(fault.what.contains(what), "{what}: {}", fault.what);
        assert!(connect(address, &second.trusted(&[]), "shop.test").is_ok(), "{what}");
    }
    stage.admin.refused(&Request::Certify { pairs: Vec::new(), forgiving: false });
}

/// After a crash the others are shown all the same; what is wrong is said.
#[test]
fn one_pair_that_went_bad_takes_nothing_from_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let backend = echo();
    let mut stage = Stage::before(&[&backend]);
    let good = Identity::of(&directory.path().join("good"), &["good.test"]);
    let kept = Identity::of(&directory.path().join("kept"), &["kept.test"]);
    assert_eq!(certify(&mut stage, &[&kept]), Reply::Done);
    let address = listen(&mut stage);
    let second = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    for (what, broken) in broken_pairs(directory.path(), &second) {
        let pairs = vec![broken.clone(), good.pair.clone()];
        let reply = stage.admin.ask(&Request::Certify { pairs, forgiving: true });
        let Reply::Warned { words } = reply else { panic!("{what}: {reply:?}") };
        assert!(words.len() == 1 && words[0].contains(what), "{what}: {words:?}");
        // The one that can be used is the first now.
        for name in ["good.test", "unknown.test"] {
            let shown = connect(address, &good.trusted(&[]), name).err();
            let wrong = shown.filter(|why| name == "good.test" || !why.contains("not valid for"));
            assert_eq!(wrong, None, "{what}");
        }
        let stage = &mut stage;
        let reply =
            stage.admin.refused(&Request::Certify { pairs: vec![broken], forgiving: false });
        assert!(reply.what.contains(what), "{}", reply.what);
    }
    // What is shown already is shown on when its file goes bad.
    assert_eq!(certify(&mut stage, &[&good, &kept]), Reply::Done);
    std::fs::write(&kept.pair.key, "").unwrap();
    let pairs = vec![good.pair.clone(), kept.pair.clone()];
    let reply = stage.admin.ask(&Request::Certify { pairs, forgiving: true });
    assert!(matches!(&reply, Reply::Warned { words } if words[0].contains("the one before")));
    connect(address, &kept.trusted(&[]), "kept.test").unwrap();
    // Nothing that can be used is no reason to forget what there was.
    let nothing = Identity::of(&directory.path().join("nothing"), &["kept.test"]);
    std::fs::write(&nothing.pair.key, "").unwrap();
    stage.admin.refused(&Request::Certify { pairs: vec![nothing.pair], forgiving: true });
    connect(address, &kept.trusted(&[]), "kept.test").unwrap();
}

fn broken_pairs(directory: &Path, good: &Identity) -> Vec<(&'static str, model::admin::KeyPair)> {
    let other = Identity::of(&directory.join("other"), &["shop.test"]).pair;
    let past = Identity::valid(&directory.join("past"), &["shop.test"], (2001, 2002)).pair;
    let ahead = Identity::valid(&directory.join("ahead"), &["shop.test"], (3001, 3002)).pair;
    let with = |chain: &Path, key: &Path| model::admin::KeyPair {
        chain: chain.to_owned(),
        key: key.to_owned(),
    };
    let empty = directory.join("empty");
    std::fs::write(&empty, "").unwrap();
    vec![
        ("does not belong to the certificate", with(&good.pair.chain, &other.key)),
        ("has expired", past),
        ("is not valid yet", ahead),
        ("nowhere cannot be read", with(&directory.join("nowhere"), &other.key)),
        ("empty holds no certificate", with(&empty, &other.key)),
        ("empty cannot be read", with(&good.pair.chain, &empty)),
        ("shop.key holds no certificate", with(&good.pair.key, &good.pair.key)),
    ]
}

/// R31: sessions of clients that come back resume at a successor that adopted the keys, and are
/// made anew, not failed, at one that did not.
#[test]
fn r31_sessions_resume_at_a_successor() {
    let directory = tempfile::tempdir().unwrap();
    let backend = echo();
    let identity = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    let mut stages = [(); 3].map(|()| {
        let mut stage = Stage::before(&[&backend]);
        assert_eq!(certify(&mut stage, &[&identity]), Reply::Done);
        let address = listen(&mut stage);
        (stage, address)
    });
    let Reply::TicketKeys { keys } = stages[0].0.admin.ask(&Request::TicketKeys) else {
        panic!("no keys")
    };
    stages[1].0.admin.done(&Request::AdoptTicketKeys { keys });
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = ClientConfig::clone(&identity.trusted(&[]));
        let provider = config.crypto_provider().clone();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(identity.der.clone()).unwrap();
        config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = config.into();
        for (at, kind) in [
            (0, HandshakeKind::Full),
            (0, HandshakeKind::Resumed),
            (1, HandshakeKind::Resumed),
            (2, HandshakeKind::Full),
        ] {
            let mut client = connect(stages[at].1, &config, "shop.test").unwrap();
            assert_eq!(client.get("/").unwrap().status, 200);
            assert_eq!(client.stream.conn.handshake_kind(), Some(kind), "{version:?} at {at}");
        }
    }
}

#[test]
fn bodies_and_ends_are_whole_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let backend = echo();
    let mut stage = Stage::before(&[&backend]);
    let identity = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    assert_eq!(certify(&mut stage, &[&identity]), Reply::Done);
    let address = listen(&mut stage);
    let trusted = identity.trusted(&[]);
    let mut client = connect(address, &trusted, "shop.test").unwrap();
    let body: String = (b'a'..=b'z').cycle().take(600_000).map(char::from).collect();
    for _ in 0..3 {
        let answer = client.post("/", &body).unwrap();
        assert!(answer.body == body, "{} bytes", answer.body.len());
    }
    // What is sent ahead in one record is answered in order.
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(client.answer().unwrap().field("connection"), Some("close"));
    assert_eq!(client.rest().unwrap(), "", "the end was said");
    let mut client = connect(address, &trusted, "shop.test").unwrap();
    client.send("GET /close HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().unwrap().body, "until the end");

    // Who does not speak TLS is not answered, and a client that goes frees the instance.
    let mut odd = Client::to(address);
    odd.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = odd.stream.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

/// What rustls keeps because the socket is full is sent when there is room: answers of every length
/// around what the kernel takes arrive whole at a client that reads late.
#[test]
fn a_late_reader_over_tls_gets_the_last_byte() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::scripted("long", |peer, head| {
        let length: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        peer.ok(&"x".repeat(length))
    });
    let mut stage = Stage::before(&[&backend]);
    let identity = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    assert_eq!(certify(&mut stage, &[&identity]), Reply::Done);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Accepted connections inherit it, and with it a limit that does not grow.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, 32 * 1024).unwrap();
    let address = listener.local_addr().unwrap();
    let request = Request::ListenTls { address };
    assert_eq!(stage.admin.ask_with(&request, &listener), Reply::Done);
    let trusted = identity.trusted(&[]);
    for length in (0..56).map(|step| step * 16 * 1024) {
        let mut client = connect(address, &trusted, "shop.test").unwrap();
        let limit = 32 * 1024;
        rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream.sock, limit).unwrap();
        client.send(&format!("GET /{length} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let began = std::time::Instant::now();
        // Until all is written, or as much as goes.
        while began.elapsed() < Duration::from_millis(20)
            || (began.elapsed() < Duration::from_millis(60)
                && stage.admin.instance("long").unwrap().requests > 0)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(client.answer().unwrap().body.len(), length);
    }
}

#[test]
fn a_client_that_vanishes_over_tls_frees_the_instance() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::scripted("silent", |peer, _| {
        let _ = peer.stream.read(&mut [0; 1]);
        Then::Close
    });
    let mut stage = Stage::before(&[&backend]);
    let identity = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    assert_eq!(certify(&mut stage, &[&identity]), Reply::Done);
    let address = listen(&mut stage);
    let mut client = connect(address, &identity.trusted(&[]), "shop.test").unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it is there", || stage.admin.instance("silent").unwrap().requests == 1);
    let linger = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&client.stream.sock, linger).unwrap();
    drop(client);
    wait_until("it has left", || stage.admin.instance("silent").unwrap().requests == 0);
    assert_eq!(stage.admin.release(1).abandoned, 1);
}
