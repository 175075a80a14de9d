//! The lines of the access log: one for each request, whatever it says and however it ends.
//!
//! What becomes of their file is in `access_log_file`, counters of the same requests in `metrics`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::admin::{AccessLog, LogFormat, Observation, Request, Settings};
use serde_json::Value;

use crate::authority::listen;
use crate::backend::{Backend, Then};
use crate::framed::{Framed, get, run, shop};
use crate::stage::{Stage, pool, wait_until};

pub(crate) fn log_to(stage: &mut Stage, path: &Path, format: LogFormat, query: bool) {
    let access_log = Some(AccessLog { path: path.to_owned(), format, query });
    let observation = Observation { access_log, metrics: None };
    stage.admin.done(&Request::Observe { observation });
}

/// A proxy before some instances, with a log of JSON.
pub(crate) fn logged(backends: &[&Backend]) -> (Stage, tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let mut stage = Stage::before(backends);
    log_to(&mut stage, &path, LogFormat::Json, true);
    (stage, directory, path)
}

/// The lines of a log as soon as there are so many.
pub(crate) fn lines(path: &Path, count: usize) -> Vec<String> {
    let mut text = String::new();
    wait_until("the lines are in the log", || {
        text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().count() >= count && text.ends_with('\n')
    });
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{text}");
    lines
}

pub(crate) fn objects(path: &Path, count: usize) -> Vec<Value> {
    lines(path, count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one line with this path.
pub(crate) fn of<'a>(lines: &'a [Value], path: &str) -> &'a Value {
    let mut fitting = lines.iter().filter(|line| line["path"] == path);
    let only = fitting.next().unwrap_or_else(|| panic!("{path} in {lines:?}"));
    assert!(fitting.next().is_none(), "{path} twice");
    only
}

/// Now, to the second, as lines say it.
fn wall_clock() -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    time::OffsetDateTime::now_utc().format(format).unwrap()
}

#[test]
fn a_line_says_who_asked_what_and_who_answered_when() {
    let backend = Backend::scripted("demo-1-1", |peer, head| {
        if head.starts_with("GET /slow") {
            std::thread::sleep(Duration::from_millis(60));
        }
        let body = peer.body(head).unwrap_or_default();
        peer.ok(&format!("got {}", body.len()))
    });
    let (stage, _directory, path) = logged(&[&backend]);
    let before = wall_clock();
    let mut client = stage.client();
    client.send(
        "POST /form?a=1&b=%22 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\
         Referer: http://shop.test/\r\nUser-Agent: me/1.0\r\nX-Request-Id: id-7\r\n\r\nhello",
    );
    assert_eq!(client.answer().unwrap().body, "got 5");
    client.get("/slow").unwrap();
    let lines = objects(&path, 2);
    let form = of(&lines, "/form?a=1&b=%22");
    let expected = serde_json::json!({
        "client": "127.0.0.1", "peer": "127.0.0.1", "method": "POST", "host": "shop.test", "path": "/form?a=1&b=%22",
        "protocol": "HTTP/1.1", "tls": false, "status": 200, "bytes_in": 5, "bytes_out": 5,
        "app": "demo", "release": 1, "version": "v1", "instance": "demo-1-1", "replays": 0,
        "open_ms": null, "request_id": "id-7", "referer": "http://shop.test/",
        "user_agent": "me/1.0", "error": null, "reason": null,
    });
    let mut told = form.as_object().unwrap().clone();
    let time = told.remove("time").unwrap();
    let [first, last] =
        ["first_byte_ms", "last_byte_ms"].map(|name| told.remove(name).unwrap().as_f64().unwrap());
    assert_eq!(Value::Object(told), expected);
    assert!(first <= last && last < 10_000.0, "{form}");
    let (time, after) = (time.as_str().unwrap(), wall_clock());
    assert!(before.as_str() <= time && time[..19] <= *after && time.len() == 24, "{form}");
    let slow = of(&lines, "/slow");
    assert!(slow["first_byte_ms"].as_f64().unwrap() >= 60.0, "{slow}");
}

/// Quotes, control characters and bytes that are no text: each stays within its field.
#[test]
fn nothing_that_is_sent_makes_a_line_or_ends_one() {
    let backend = Backend::named("demo-\"1\\");
    let (stage, _directory, path) = logged(&[&backend]);
    let mut client = stage.client();
    let mut head = b"GET /a\"b\\c HTTP/1.1\r\nHost: a.test\r\nUser-Agent: x\"} \\ \t".to_vec();
    head.extend_from_slice(b"\x80\xff\xe2\x80\xa8\xc2\x9b31m\r\n");
    head.extend_from_slice(b"Referer: \",\"status\":200}\\n{\"a\":\"\r\n\r\n");
    std::io::Write::write_all(&mut client.stream, &head).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    let raw = &lines(&path, 1)[0];
    assert!(raw.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{raw}");
    let line: Value = serde_json::from_str(raw).unwrap();
    assert_eq!(line["path"], "/a\"b\\c");
    assert_eq!(line["referer"], "\",\"status\":200}\\n{\"a\":\"");
    assert_eq!(line["user_agent"], "x\"} \\ \t\u{fffd}\u{fffd}\u{2028}\u{9b}31m");
    assert_eq!(line["instance"], "demo-\"1\\");
}

/// Every way a request can end has a class of its own.
#[test]
fn whatever_goes_wrong_is_named() {
    let dead = Backend::named("dead");
    dead.kill();
    let backend = Backend::scripted("demo-1-1", |peer, head| {
        match head.split(' ').nth(1).unwrap_or("") {
            "/closes" => return Then::Close,
            "/nonsense" => peer.say("no HTTP\r\n\r\n"),
            "/cut" => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234"),
            "/hangs" => {
                let _ = peer.stream.read(&mut [0]);
            }
            _ => return peer.ok("fine"),
        }
        Then::Close
    });
    let (mut stage, _directory, path) = logged(&[&backend]);
    let post =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    for (path, status) in [("/closes", 502), ("/nonsense", 502), ("/cut", 200)] {
        let mut client = stage.client();
        client.send(&post(path));
        assert_eq!(client.head().unwrap().status, status, "{path}");
    }
    let mut leaving = stage.client();
    leaving.send("GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it arrived", || backend.heads.lock().unwrap().iter().any(|h| h.contains("/hangs")));
    drop(leaving);
    let mut broken = stage.client();
    broken.send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(broken.head().unwrap().status, 400);
    let lines = objects(&path, 5);
    for (path, status, class) in [
        ("/closes", 502, "closed"),
        ("/nonsense", 502, "malformed"),
        ("/cut", 200, "cut"),
        ("/hangs", 0, "client-gone"),
    ] {
        let line = of(&lines, path);
        assert_eq!((&line["status"], &line["error"]), (&status.into(), &class.into()), "{line}");
        assert_eq!(line["instance"], "demo-1-1");
    }
    assert_eq!(of(&lines, "/cut")["bytes_out"], 4);
    let unread = of(&lines, "/bad");
    assert_eq!((&unread["status"], &unread["error"]), (&400.into(), &"bad-request".into()));

    stage.publish(vec![pool(1, 10_000, &[&dead])]);
    assert_eq!(stage.client().get("/dead").unwrap().status, 502);
    stage.publish(vec![pool(1, 10_000, &[])]);
    assert_eq!(stage.client().get("/nobody").unwrap().status, 503);
    stage.publish(vec![pool(1, 10_000, &[&dead]), pool(2, 0, &[&backend])]);
    assert_eq!(stage.client().get("/again").unwrap().status, 200);
    let lines = objects(&path, 8);
    assert_eq!(of(&lines, "/dead")["error"], "connect");
    assert_eq!(of(&lines, "/nobody")["error"], "no-instance");
    let again = of(&lines, "/again");
    assert_eq!((&again["replays"], &again["release"]), (&1.into(), &2.into()), "{again}");
    assert_eq!(again["error"], Value::Null, "it went well in the end");
}

#[test]
fn a_tunnel_is_one_line_when_it_ends_and_says_how_long_it_was_open() {
    let backend = Backend::scripted("demo-1-1", |peer, _| {
        peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        let _ = peer.until("\n");
        peer.say("bye");
        Then::Close
    });
    let (stage, _directory, path) = logged(&[&backend]);
    let mut client = stage.client();
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 101);
    let open = Instant::now();
    while open.elapsed() < Duration::from_millis(80) {
        std::thread::yield_now();
    }
    client.send("done\n");
    assert_eq!(client.take(3).unwrap(), "bye");
    drop(client);
    let line = &objects(&path, 1)[0];
    assert_eq!((&line["status"], &line["error"]), (&101.into(), &Value::Null), "{line}");
    assert!(line["open_ms"].as_f64().unwrap() >= 80.0, "{line}");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&5.into(), &3.into()), "{line}");
}

#[test]
fn streams_of_http2_and_tls_are_told_as_what_they_are() {
    let backend = Backend::scripted("demo-1-1", |peer, head| {
        let body = peer.body(head).unwrap_or_default();
        peer.ok(&body)
    });
    let (mut stage, directory, path) = logged(&[&backend]);
    let identity = shop(directory.path());
    stage.admin.done(&Request::Certify { pairs: vec![identity.pair.clone()], forgiving: false });
    let secure = listen(&mut stage);
    run(async {
        let mut client = Framed::secure(secure, &identity).await;
        assert_eq!(client.whole(get("/framed?x")).await.unwrap().status, 200);
        let post = crate::framed::ask(http::Method::POST, "/up");
        assert_eq!(client.upload(post, "content").await.unwrap().body.len(), 17);
    });
    let lines = objects(&path, 2);
    let framed = of(&lines, "/framed?x");
    assert_eq!((&framed["protocol"], &framed["tls"]), (&"HTTP/2.0".into(), &true.into()));
    assert_eq!(framed["host"], "shop.test");
    let up = of(&lines, "/up");
    assert_eq!((&up["bytes_in"], &up["bytes_out"]), (&7.into(), &17.into()), "{up}");
}

#[test]
fn the_combined_format_is_what_others_read_and_a_query_can_stay_out_of_it() {
    let backend = Backend::named("demo-1-1");
    let (mut stage, directory, _) = logged(&[&backend]);
    let path = directory.path().join("combined.log");
    log_to(&mut stage, &path, LogFormat::Combined, false);
    let mut client = stage.client();
    client.send(
        "GET /a?token=secret HTTP/1.1\r\nHost: a.test\r\nUser-Agent: say \"hi\"\r\n\
         Referer: http://a.test/b?secret=1\r\n\r\n",
    );
    assert_eq!(client.answer().unwrap().status, 200);
    let line = &lines(&path, 1)[0];
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let (time, rest) = line.split_once('[').unwrap().1.split_once("] ").unwrap();
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{line}");
    let expected = "\"GET /a HTTP/1.1\" 200 8 \"http://a.test/b\" \"say \\\"hi\\\"\" host=\"a.test\" \
                    app=\"demo\" release=\"1\" instance=\"demo-1-1\" request_id=\"";
    assert!(rest.starts_with(expected), "{line}");
    assert!(rest.contains(" error=\"-\" tls=false bytes_in=0 first_byte_ms="), "{line}");
    assert!(
        rest.ends_with(" open_ms=- replays=0 peer=127.0.0.1") && !line.contains("secret"),
        "{line}"
    );
}

/// Behind a sender that is trusted the user is whom it names; of anybody else nothing is believed.
#[test]
fn a_line_names_the_user_behind_a_trusted_sender() {
    let backend = Backend::named("demo-1-1");
    let (mut stage, directory, path) = logged(&[&backend]);
    let ask = |stage: &Stage, path: &str, named: &str| {
        let mut client = stage.client();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {named}\r\n\r\n"));
        assert_eq!(client.answer().unwrap().status, 200);
    };
    ask(&stage, "/stranger", "203.0.113.7");
    let settings =
        Settings { trusted: vec!["127.0.0.0/8".parse().unwrap()], ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
    for (path, named) in [
        ("/user", "6.6.6.6, 203.0.113.7"),
        ("/chain", "2001:db8::1, 127.0.0.9"),
        ("/junk", "unknown"),
    ] {
        ask(&stage, path, named);
    }
    let lines = objects(&path, 4);
    for (path, user) in [
        ("/stranger", "127.0.0.1"),
        ("/user", "203.0.113.7"),
        ("/chain", "2001:db8::1"),
        ("/junk", "127.0.0.1"),
    ] {
        let line = of(&lines, path);
        assert_eq!((&line["client"], &line["peer"]), (&user.into(), &"127.0.0.1".into()), "{line}");
    }
    let path = directory.path().join("combined.log");
    log_to(&mut stage, &path, LogFormat::Combined, true);
    ask(&stage, "/user", "203.0.113.7");
    let line = &self::lines(&path, 1)[0];
    assert!(line.starts_with("203.0.113.7 - - ["), "{line}");
    assert!(line.ends_with(" peer=127.0.0.1"), "{line}");
}

/// A head that is refused leaves what is known of it: from where, by TLS or not, its first line as far as it
/// is one, and why.
#[test]
fn a_head_that_was_refused_says_what_is_known_of_it() {
    let backend = Backend::named("demo-1-1");
    let (mut stage, directory, path) = logged(&[&backend]);
    let identity = shop(directory.path());
    stage.admin.done(&Request::Certify { pairs: vec![identity.pair.clone()], forgiving: false });
    let secure = listen(&mut stage);
    let long = format!("/{}", "x".repeat(40_000));
    for (head, status) in [
        ("GET /twice?a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("GET /odd\x1b[31m\"\x7f HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        (format!("GET {long} HTTP/1.1\r\n"), 431),
        ("\x16\x03\x01nonsense / HTTP/1.1\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = stage.client();
        client.send(&head);
        assert_eq!(client.head().unwrap().status, status, "{}", &head[..20]);
    }
    run(async {
        let mut client = Framed::secure(secure, &identity).await;
        let mut many = get("/framed?b");
        for number in 0..101 {
            let name = http::HeaderName::from_bytes(format!("a{number}").as_bytes()).unwrap();
            many.headers_mut().insert(name, "b".parse().unwrap());
        }
        assert_eq!(client.whole(many).await.unwrap().status.as_u16(), 431);
    });
    let raw = lines(&path, 5);
    assert!(raw.iter().all(|line| line.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
    let lines: Vec<Value> = raw.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_status = |status: u16, tls: bool, path: &str| {
        let line = of(&lines, path);
        assert_eq!((&line["status"], &line["tls"]), (&status.into(), &tls.into()), "{line}");
        assert_eq!((&line["method"], &line["peer"]), (&"GET".into(), &"127.0.0.1".into()));
        (line["protocol"].clone(), line["reason"].clone(), line["error"].clone())
    };
    let told = |protocol: &str, reason: &str, error: &str| {
        (Value::from(protocol), Value::from(reason), Value::from(error))
    };
    let twice = told("HTTP/1.1", "more than one Host field", "bad-request");
    assert_eq!(of_status(400, false, "/twice?a"), twice);
    assert_eq!(of_status(400, false, "/odd\x1b[31m\"\x7f").2, "bad-request");
    assert_eq!(of_status(431, false, &long[..1024]).2, "too-large");
    let framed = told("HTTP/2.0", "too many header fields", "too-large");
    assert_eq!(of_status(431, true, "/framed?b"), framed);
    let nonsense = lines.iter().find(|line| line["method"].is_null()).unwrap();
    assert_eq!((&nonsense["status"], &nonsense["path"]), (&400.into(), &Value::Null), "{nonsense}");
    assert!(nonsense["reason"].is_string(), "{nonsense}");

    let path = directory.path().join("combined.log");
    log_to(&mut stage, &path, LogFormat::Combined, false);
    let mut client = stage.client();
    client.send("GET /twice?secret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 400);
    let line = &self::lines(&path, 1)[0];
    assert!(line.contains("] \"GET /twice HTTP/1.1\" 400 "), "{line}");
    assert!(line.ends_with(" peer=127.0.0.1 reason=\"more than one Host field\""), "{line}");
}
