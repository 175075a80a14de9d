//! Fuzz bodies of what the proxy makes of requests, and of what it reads from its controller.
//!
//! Those of message boundaries are in `framing::fuzz`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use fuzz::{Target, corpus};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use model::admin::{self, Reply};

use crate::age::Age;
use crate::call::prepare;
use crate::forwarded::{self, Origin};
use crate::frames::{request_head, trailer_lines};
use crate::framing::{Body, Field, HeadScan, check_trailer, classify, read_request};
use crate::ledger::Ledger;
use crate::limits;
use crate::settings::Settings;
use crate::table::Table;

const NAMES: &[&str] = &[
    "Connection: ",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c\r\n",
    "Connection: Upgrade\r\n",
    "Connection: X-Forwarded-For, Host, Content-Length\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "X-Forwarded-For: 9.9.9.9\r\n",
    "X_Forwarded_For: 9.9.9.9\r\n",
    "Forwarded: for=9.9.9.9\r\n",
    "X-Request-Id: id\r\n",
    "X-Real-IP: 9.9.9.9\r\n",
    "Keep-Alive: 1\r\n",
    "TE: trailers\r\n",
    "Proxy-Authorization: x\r\n",
    "Expect: 100-continue\r\n",
    "cookie: canary=1\r\n",
    "HTTP/1.0",
    "\t",
];

fn heads() -> Target {
    corpus!("requests").words(NAMES)
}

/// Room for what came in and what we say ourselves.
const ROOM: usize = limits::FIELDS + 16;

/// What an instance is sent is one head again, says the same, and nothing that is of the connection
/// or that only we may say.
#[test]
fn what_is_sent_on_is_one_clean_head() {
    fuzz::run(heads(), |case| {
        let Ok(Some(length)) = HeadScan::default().advance(&case.bytes) else { return };
        let head = &case.bytes[..length];
        let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
        let Ok(request) = read_request(head, &mut room) else { return };
        let trusted = case.random.bool();
        let network = if trusted { "10.0.0.0/8" } else { "11.0.0.0/8" };
        let told =
            admin::Settings { trusted: vec![network.parse().unwrap()], ..Default::default() };
        let origin = Origin {
            peer: "10.0.0.9".parse().unwrap(),
            secure: case.random.bool(),
            over: None,
            age: Age::begins(),
        };
        let call = prepare(head, origin, (&Table::default(), &Settings::from(&told))).unwrap();
        assert!(call.head.len() <= 3 * head.len() + 512, "{} bytes", call.head.len());
        assert_eq!(HeadScan::default().advance(&call.head), Ok(Some(call.head.len())));

        let mut room = [httparse::EMPTY_HEADER; ROOM];
        let mut sent = httparse::Request::new(&mut room);
        assert!(sent.parse(&call.head).unwrap().is_complete());
        assert_eq!((sent.method, sent.path), (Some(request.method), Some(request.target)));
        assert_eq!(sent.version, Some(1));
        let mut counts = BTreeMap::new();
        for field in sent.headers.iter() {
            *counts.entry(field.name.to_ascii_lowercase()).or_insert(0) += 1;
            let kind = classify(field.name);
            assert_ne!(kind, Field::HopByHop, "{}", field.name);
            assert!(!(kind == Field::Forwarding && field.name.contains('_')), "{}", field.name);
            if kind == Field::Upgrade {
                let value = String::from_utf8_lossy(field.value).to_ascii_lowercase();
                let h2c = value.split(',').any(|protocol| protocol.trim() == "h2c");
                assert!(request.upgrade && !h2c, "{value}");
            }
            if kind == Field::Connection {
                assert!(request.upgrade && field.value == b"Upgrade");
            }
            if field.name == "x-forwarded-for" && !trusted {
                assert_eq!(field.value, b"10.0.0.9");
            }
        }
        let count = |name: &str| counts.get(name).copied().unwrap_or(0);
        for name in ["host", "x-forwarded-for", "x-forwarded-proto", "forwarded", "x-request-id"] {
            assert_eq!(count(name), 1, "{name}");
        }
        let lengths = (count("content-length"), count("transfer-encoding"));
        match request.body {
            Body::Chunked(_) => assert_eq!(lengths, (0, 1)),
            Body::Length(0) => assert!(lengths.0 <= 1 && lengths.1 == 0),
            _ => assert_eq!(lengths, (1, 0)),
        }
        let id = call.id();
        assert!((1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic));
    });
}

/// Pairs of names and values, as they stand in lines of text.
fn fields(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(n, v)| (n, v.trim()))
        .collect()
}

/// Fields of a connection; h2 lets none of them through (RFC 9113 section 8.2.2).
const REFUSED_BEFORE: [&str; 5] =
    ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"];

/// A request that came as frames becomes one head as text, or is refused; its trailers stay trailers.
#[test]
fn frames_become_one_head_as_text() {
    fuzz::run(
        heads().words(&["CONNECT ", "*", "http://", "\u{e9}", "\"", "`", " HTTP/1.1", "//"]),
        |case| {
            let text = case.text();
            let mut words = text.lines().next().unwrap_or("").split(' ');
            let (Some(Ok(method)), Some(Ok(uri))) = (
                words.next().map(|word| Method::from_bytes(word.as_bytes())),
                words.next().map(str::parse::<Uri>),
            ) else {
                return;
            };
            let mut map = HeaderMap::new();
            for (name, value) in fields(&text).into_iter().take(90) {
                let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
                if let (Ok(name), Ok(value)) = pair
                    && !REFUSED_BEFORE.contains(&name.as_str())
                {
                    map.append(name, value);
                }
            }
            let lines = trailer_lines(&map);
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r\n").unwrap();
                assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
                let _either_way = check_trailer(line);
            }
            let mut parts = Request::builder().method(method.clone()).uri(uri).body(()).unwrap();
            *parts.headers_mut() = map;
            let (parts, ()) = parts.into_parts();
            let bodiless = case.random.bool();
            let Ok(head) = request_head(&parts, bodiless, limits::HEAD) else { return };
            let found = HeadScan::default().advance(&head);
            assert!(!matches!(found, Ok(None)), "it has an end");
            if let Ok(Some(length)) = found {
                assert_eq!(length, head.len(), "{}", head.escape_ascii());
                let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
                if let Ok(request) = read_request(&head, &mut room) {
                    assert_eq!((request.method, request.minor), (method.as_str(), 1));
                    assert!(!bodiless || !matches!(request.body, Body::Chunked(_)));
                }
            }
        },
    );
}

/// Whatever the controller's socket brings is a request or a refusal; what is taken can be said again,
/// and routes that are taken find an app or none.
#[test]
fn admin_messages_are_taken_or_refused() {
    let words =
        &["\"op\":", "publish", "null", "[]", "{}", "\"weight\":", "10000", "\\u0000", "\"/\""];
    fuzz::run(corpus!("admin").words(words), |case| {
        if let Ok(reply) = serde_json::from_slice::<Reply>(&case.bytes) {
            let again = serde_json::to_vec(&reply).unwrap();
            assert_eq!(serde_json::from_slice::<Reply>(&again).unwrap(), reply);
        }
        let Ok(request) = serde_json::from_slice::<admin::Request>(&case.bytes) else { return };
        let again = serde_json::to_vec(&request).unwrap();
        assert_eq!(serde_json::from_slice::<admin::Request>(&again).unwrap(), request);
        match request {
            admin::Request::Configure { settings } => {
                let _taken = Settings::from(&settings).trusts("10.0.0.9".parse().unwrap());
            }
            admin::Request::AdoptTicketKeys { keys } => {
                let _either_way = crate::tls::Tls::new().unwrap().adopt_ticket_keys(&keys);
            }
            admin::Request::Publish { epoch, expected, routes } => {
                let (mut ledger, mut table) = (Ledger::default(), Table::default());
                if ledger.publish(epoch, expected, routes.clone(), |new| table = new).is_err() {
                    return;
                }
                assert_eq!(ledger.seen()[0].routes, routes);
                let host = routes.hosts.first().map_or("any.test", String::as_str);
                let path = format!("{}/x", routes.path_prefix.trim_end_matches('/'));
                assert_eq!(table.find(host, &path).unwrap().name, routes.app);
                assert!(table.find(&format!("{host}:80"), &path).is_ok());
            }
            _ => {}
        }
    });
}

/// Whoever is not trusted is the client itself, and one who is names it or is it.
#[test]
fn a_client_is_its_sender_or_whom_a_trusted_one_names() {
    let words = &[
        "X-Forwarded-For: ",
        "9.9.9.9",
        "10.1.1.1",
        ", ",
        "[::1]:80",
        "unknown",
        "::ffff:9.9.9.9",
    ];
    fuzz::run(heads().words(words), |case| {
        let Ok(Some(length)) = HeadScan::default().advance(&case.bytes) else { return };
        let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
        let Ok(request) = read_request(&case.bytes[..length], &mut room) else { return };
        let peer: IpAddr = if case.random.bool() { [10, 0, 0, 9] } else { [11, 0, 0, 9] }.into();
        let origin = Origin { peer, secure: false, over: None, age: Age::begins() };
        let trusted = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
        let client = forwarded::client(&request, origin, trusted);
        assert_eq!(forwarded::client(&request, origin, |_| false), peer);
        if !trusted(peer) {
            return assert_eq!(client, peer);
        }
        let lines = request
            .fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case("x-forwarded-for"));
        let named = lines.flat_map(|line| line.value.split(|byte| *byte == b','));
        let address = |text: &[u8]| {
            let text = std::str::from_utf8(text).ok()?.trim_ascii();
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            let alone = bare.parse::<IpAddr>().ok();
            alone.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
        };
        let mut known = named.filter_map(address).map(|ip| ip.to_canonical());
        assert!(client == peer || known.any(|ip| ip == client), "{client}");
    });
}

/// Hosts, paths and cookies find the app and the release that a plain second look finds.
#[test]
fn rules_are_matched_as_a_second_look_does() {
    let words = &["canary=1", "; ", "Cookie: ", "X-Canary: new\r\n", "a.test", "/shop", "CANARY=1"];
    fuzz::run(corpus!("requests").words(words), |case| {
        let mut ledger = Ledger::default();
        let mut table = Table::default();
        let publish = include_str!("../tests/corpus/admin/publish");
        let Ok(admin::Request::Publish { epoch, expected, routes }) = serde_json::from_str(publish)
        else {
            panic!("the corpus has a publication")
        };
        ledger.publish(epoch, expected, routes, |new| table = new).unwrap();
        let Ok(Some(length)) = HeadScan::default().advance(&case.bytes) else { return };
        let head = &case.bytes[..length];
        let origin = Origin {
            peer: "10.0.0.9".parse().unwrap(),
            secure: false,
            over: None,
            age: Age::begins(),
        };
        let Ok(call) = prepare(head, origin, (&table, &Settings::default())) else { return };
        let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
        let request = read_request(head, &mut room).unwrap();
        let host = request.host.to_ascii_lowercase();
        let host = host.split(':').next().unwrap().trim_end_matches('.');
        let prefix = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?']);
        let routed = host == "a.test" && request.target.strip_prefix("/x").is_some_and(prefix);
        // A trailing dot names the same host once.
        if !request.host.contains("..") {
            assert_eq!(call.app.is_some(), routed, "{host} {}", request.target);
        }
        let text = String::from_utf8_lossy(head);
        let cookie = |value: &str| {
            value.split(';').any(|pair| {
                pair.split_once('=').is_some_and(|(n, v)| n.trim() == "canary" && v.trim() == "1")
            })
        };
        let marked = fields(&text).into_iter().any(|(name, value)| {
            (name.eq_ignore_ascii_case("x-canary") && value == "new")
                || (name.eq_ignore_ascii_case("cookie") && cookie(value))
        });
        assert_eq!(call.meant.is_some(), routed && marked && call.app.is_some());
    });
}
