//! h2spec, the published suite for HTTP/2 and HPACK, on the proxy itself. It is in no registry from which the test bed
//! comes: an `h2spec` on PATH is run, and without one this says that it was skipped.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use model::admin::{Reply, Request};

use crate::authority::{Identity, listen};
use crate::backend::Backend;
use crate::stage::Stage;

/// A case, and what became of it: `None` is well.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    name: String,
    trouble: Option<String>,
}

/// Cases of the published suite; another one may have a few more or fewer.
const CASES: usize = 140;

/// On a port that takes HTTP/1.1, too, the preface is what tells HTTP/2 from it (RFC 9113 section 3.3): what begins
/// otherwise is no HTTP/2 with a broken preface but text, which is answered with 400 in its own words before the
/// connection ends. The suite cannot read these words.
const TAKEN_FOR_TEXT: &str = "http2/3.5: Sends invalid connection preface";

/// The cases in a report in the words of JUnit.
fn cases(report: &str) -> Vec<Case> {
    let value = |text: &str, name: &str| {
        let rest = text.split_once(&format!(" {name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let case = |text: &str| {
        let (head, rest) = text.split_once('>')?;
        let name = format!("{}: {}", value(head, "package")?, value(head, "classname")?);
        let inside = rest.split("</testcase>").next().unwrap_or_default().trim();
        let trouble = (!inside.is_empty()).then(|| inside.to_owned());
        Some(Case { name, trouble })
    };
    report.split("<testcase").skip(1).map(|text| case(text).unwrap()).collect()
}

/// Runs all of it, the strict cases too; nothing when it is not here.
fn run(address: SocketAddr, secure: bool, directory: &Path) -> Option<Vec<Case>> {
    let report = directory.join("report.xml");
    let mut command = Command::new("h2spec");
    command.args(["--strict", "-h", "127.0.0.1", "-p", &address.port().to_string(), "-j"]);
    command.arg(&report).stdin(Stdio::null());
    if secure {
        command.args(["-t", "-k"]);
    }
    let ran = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            aside::say("skipped: no h2spec on PATH");
            return None;
        }
        ran => ran.unwrap(),
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    let report = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {said}"));
    Some(cases(&report))
}

/// All of it holds but for these, which must still be so: an exception that is none any more goes.
fn holds(address: SocketAddr, secure: bool, directory: &Path, but: &[&str]) {
    let Some(cases) = run(address, secure, directory) else { return };
    assert!(cases.len() >= CASES, "{} cases", cases.len());
    let bad: Vec<_> = cases.iter().filter(|case| case.trouble.is_some()).collect();
    let names: Vec<_> = bad.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, but, "{bad:#?}");
}

/// It reads what it is sent, in chunks too.
fn app() -> Backend {
    Backend::scripted("app", |peer, head| {
        peer.body(head);
        // Some cases want a few bytes of an answer to play with.
        peer.ok("answered by the app")
    })
}

#[test]
fn the_suite_holds_with_prior_knowledge() {
    let directory = tempfile::tempdir().unwrap();
    let backend = app();
    let stage = Stage::before(&[&backend]);
    holds(stage.address, false, directory.path(), &[TAKEN_FOR_TEXT]);
}

#[test]
fn the_suite_holds_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let backend = app();
    let mut stage = Stage::before(&[&backend]);
    let shop = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    let request = Request::Certify { pairs: vec![shop.pair.clone()], forgiving: false };
    assert_eq!(stage.admin.ask(&request), Reply::Done);
    let address = listen(&mut stage);
    holds(address, true, directory.path(), &[]);
}

/// Broken things are not green because they were not understood.
#[test]
fn a_report_is_read_case_by_case() {
    let report = "<testsuites><testsuite name=\"x\" tests=\"3\">\
        <testcase package=\"http2/3.5\" classname=\"Sends it\" time=\"0.1\"></testcase>\
        <testcase package=\"http2/4.2\" classname=\"Too large\" time=\"0.1\"><failure>GOAWAY</failure></testcase>\
        <testcase package=\"hpack/2\" classname=\"Left out\" time=\"0\"><skipped></skipped></testcase>\
        </testsuite></testsuites>";
    let case = |name: &str, trouble: Option<&str>| Case {
        name: name.to_owned(),
        trouble: trouble.map(ToOwned::to_owned),
    };
    let wanted = [
        case("http2/3.5: Sends it", None),
        case("http2/4.2: Too large", Some("<failure>GOAWAY</failure>")),
        case("hpack/2: Left out", Some("<skipped></skipped>")),
    ];
    assert_eq!(cases(report), wanted);
}
