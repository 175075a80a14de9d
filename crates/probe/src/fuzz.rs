//! Fuzz bodies of what the prober reads: answers, echoes, URLs, sample files, its control socket.
//!
//! No socket is opened: how bytes arrive is tried by cutting them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use fuzz::corpus;
use model::Attempt;
use model::attempt::Lane;

use crate::clock::Clock;
use crate::control::{FromProbe, ToProbe};
use crate::http::{Answer, Progress, Reading};
use crate::jars::Clients;
use crate::ledger::Ledger;
use crate::options::VersionFrom;
use crate::{Target, samples, text};

/// What is known of an answer in the end.
#[derive(Debug, PartialEq)]
enum Found {
    Open { until_close: bool },
    Whole { reusable: bool, said: (u16, u64, Option<String>, Option<String>) },
    Wrong,
}

fn attempt() -> Attempt {
    Ledger::new(Clock::start(), 1, None, Clients::default()).take(Lane::KeepAlive, 0)
}

/// Feeds pieces as a connection would, and what comes behind the end as surplus.
fn read(reading: &Reading, pieces: &[&[u8]]) -> Found {
    let mut answer = Answer::new(reading);
    let mut pieces = pieces.iter().filter(|piece| !piece.is_empty());
    while let Some(piece) = pieces.next() {
        match answer.feed(piece) {
            Progress::More => {}
            Progress::Wrong(why) => {
                assert!(!why.is_empty() && !why.contains(char::is_control), "{why:?}");
                return Found::Wrong;
            }
            Progress::Whole => {
                let reusable = answer.reusable() && pieces.next().is_none();
                let mut told = attempt();
                answer.tell(&mut told);
                assert!(!answer.excerpt().contains(char::is_control));
                let said = (told.status, told.bytes, told.version, told.instance);
                return Found::Whole { reusable, said };
            }
        }
    }
    assert!(!answer.first_bytes().contains(char::is_control));
    Found::Open { until_close: answer.ended_by_close() }
}

#[test]
fn answers_are_the_same_however_they_arrive() {
    let words = &[
        "HTTP/1.1 ",
        "100",
        "204",
        "\r\n\r\n",
        "Content-Length: ",
        "chunked",
        "x-app-version: v\r\n",
    ];
    fuzz::run(corpus!("answers").words(words), |case| {
        for from in [
            VersionFrom::Header("x-app-version".to_owned()),
            VersionFrom::Body,
            VersionFrom::JsonPath("version".to_owned()),
        ] {
            let reading = Reading::new(from, true);
            let found = case.however_cut(|pieces| read(&reading, pieces));
            if let Found::Whole { said: (_, bytes, version, _), .. } = found {
                assert!(bytes <= case.bytes.len() as u64);
                assert!(version.is_none_or(|version| version.chars().count() <= 120));
            }
        }
    });
}

/// What a peer said is short and plain where it is kept.
#[test]
fn words_of_peers_are_kept_short_and_plain() {
    fuzz::run(corpus!("messages").words(&["\u{1b}[31m", "\u{202e}", "\r", "\u{0}"]), |case| {
        let detail = text::detail(&case.bytes);
        assert!(!detail.contains(char::is_control), "{detail:?}");
        // One character in may be several out, spelled.
        assert!(detail.chars().count() <= 300 * 10);
        assert!(text::name(&case.bytes).is_none_or(|name| name.chars().count() <= 120));
    });
}

#[test]
fn urls_are_refused_or_say_themselves_again() {
    let words = &["http://", "@", "[::1]", ":0", "#", "?", "//", "\u{e9}", "%"];
    fuzz::run(corpus!("urls").words(words).most(400), |case| {
        let url = case.text();
        match Target::parse(&url) {
            Err(fault) => assert!(fault.help.is_some() && !fault.what.contains(char::is_control)),
            Ok(target) => {
                let again = Target::parse(&target.to_string()).unwrap();
                assert_eq!(again, target);
                assert!(target.path().starts_with('/') && target.port() > 0);
                let authority = target.authority();
                assert!(!authority.contains(['\r', '\n', ' ', '/']), "{authority:?}");
                let _either_way = target.with_host(&url);
            }
        }
    });
}

/// A sample file is read, or refused by its name; what it holds comes out as it was.
#[test]
fn sample_files_are_read_or_refused() {
    let directory = std::env::temp_dir().join(format!("cutover-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    fuzz::run(corpus!("samples").words(&["\n", "{\"line\":\"header\"", "null", "1e999"]), |case| {
        let directory = std::env::temp_dir().join(format!("cutover-fuzz-{}", std::process::id()));
        let path = directory.join("samples");
        let mut bytes = case.bytes.clone();
        if case.random.u8(..4) > 0 {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&case.bytes).unwrap();
            bytes = gzip.finish().unwrap();
            if case.random.bool() {
                let at = case.random.usize(..bytes.len());
                bytes[at] ^= 1 << case.random.u8(..8);
            }
            bytes.truncate(bytes.len() - case.random.usize(..4));
        }
        std::fs::write(&path, &bytes).unwrap();
        match samples::read(&path) {
            Err(fault) => assert!(fault.what.contains("samples"), "{}", fault.what),
            Ok(run) => {
                let lines = case.bytes.split(|byte| *byte == b'\n').count();
                assert!(
                    run.attempts.len() + run.connections.len() < lines.max(1) + case.bytes.len()
                );
            }
        }
    });
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Else every case made of it would be refused at once.
#[test]
fn what_cases_are_made_of_is_no_nonsense_itself() {
    let of = |folder: &str| {
        let path = format!("{}/tests/corpus/{folder}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
        files.map(|file| (file.display().to_string(), std::fs::read(file).unwrap())).collect()
    };
    let all: Vec<(String, Vec<u8>)> = of("control");
    assert!(all.len() >= 4);
    for (file, bytes) in all {
        let order = serde_json::from_slice::<ToProbe>(&bytes).is_ok();
        assert!(order || serde_json::from_slice::<FromProbe>(&bytes).is_ok(), "{file}");
    }
    let all: Vec<(String, Vec<u8>)> = of("urls");
    let targets = all.iter().filter_map(|(_, url)| str::from_utf8(url).ok());
    assert!(targets.filter(|url| Target::parse(url).is_ok()).count() >= 3);
    let reading = Reading::new(VersionFrom::Body, true);
    let whole = |(_, bytes): &&(String, Vec<u8>)| {
        matches!(read(&reading, &[bytes]), Found::Whole { said: (200.., ..), .. })
    };
    let all: Vec<(String, Vec<u8>)> = of("answers");
    assert!(all.iter().filter(whole).count() >= 4);
}

#[test]
fn control_messages_are_refused_or_say_themselves_again() {
    fuzz::run(corpus!("control").words(&["null", "\"what\":", "{}", "[]"]), |case| {
        if let Ok(order) = serde_json::from_slice::<ToProbe>(&case.bytes) {
            let text = serde_json::to_vec(&order).unwrap();
            assert_eq!(serde_json::from_slice::<ToProbe>(&text).unwrap(), order);
        }
        if let Ok(news) = serde_json::from_slice::<FromProbe>(&case.bytes) {
            let text = serde_json::to_vec(&news).unwrap();
            assert_eq!(serde_json::from_slice::<FromProbe>(&text).unwrap(), news);
        }
    });
}
