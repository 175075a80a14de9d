//! A probe that tells how it goes, in lines: on a real terminal (`terminal`), in a log, and as JSON for programs; all
//! three at once on one app that fails at times, is away for a while and comes back as another version.
//!
//! Each of them accounts for every failure of its report. How lines look is tested in `commands::probe`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::terminal::{Tty, pictures};
use crate::world::{World, beside, free_port, newest_report, signal, wait_for};

/// Wide enough for the longest line.
const COLUMNS: usize = 250;
const ROWS: usize = 40;

/// The sample app, until it is dropped.
struct App(Child);

impl App {
    fn start(world: &World, port: u16, version: &str, words: &[&str]) -> Self {
        let port_text = port.to_string();
        let mut command = world.command(&["app", "--port", &port_text, "--version", version]);
        let app = Self(command.args(words).stdout(Stdio::null()).spawn().unwrap());
        wait_for("the app listens", 20, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        app
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// A probe that writes to files instead of a terminal.
struct Piped {
    child: Child,
    folder: PathBuf,
}

impl Piped {
    fn start(world: &World, url: &str, folder: &Path, words: &[&str]) -> Self {
        let mut command = world.command(&["probe", url, "--rate", "40", "--duration", "60s"]);
        command.args(["--late-after", "5s", "--out"]).arg(folder).args(words);
        let [out, err] = ["out", "err"].map(|name| File::create(folder.join(name)).unwrap());
        let child = command.stdout(out).stderr(err).spawn().unwrap();
        Self { child, folder: folder.to_owned() }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// Waits until this was said.
    fn hears(&self, words: &str) {
        wait_for(words, 30, || self.read("err").contains(words).then_some(()));
    }

    fn end(mut self) -> (String, String) {
        signal(self.child.id(), Signal::INT);
        let status = wait_for("the probe ends", 20, || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(130), "{}", self.read("err"));
        (self.read("out"), self.read("err"))
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

#[test]
fn whoever_watches_a_probe_sees_versions_and_every_failure_as_they_happen() {
    let _turn = beside();
    let world = World::new("");
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/datetime");
    let folders = ["seen", "logged", "read"].map(|name| world.path().join(name));
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    let first = App::start(&world, port, "v1", &["--error-share", "0.02"]);
    let words = format!("probe {url} --rate 40 --duration 60s --late-after 5s --out seen");
    let Some(mut screen) = Tty::start(world.path(), (COLUMNS, ROWS), &words) else { return };
    let log = Piped::start(&world, &url, &folders[1], &[]);
    let json = Piped::start(&world, &url, &folders[2], &["--json"]);
    let shown = |what: &str, rows: [&dyn Fn(&str) -> bool; 2]| {
        wait_for(what, 30, || {
            let pictures = pictures(&screen.written(), COLUMNS);
            let picture = pictures.last()?;
            rows.iter().all(|is_so| picture.iter().any(|row| is_so(row))).then_some(())
        });
    };
    log.hears("version=v1 after=-");
    json.hears("\"step\":\"version\"");
    let failed = |row: &str| row.contains(" bad status v1 ");
    let status = |row: &str| row.contains(" /s   p50 ") && row.contains("failed ");
    shown("a failure, as it happens", [&failed, &status]);
    drop(first);
    let more = |row: &str| row.contains(" more failed in that second: ");
    shown("an absence, summed up", [&more, &status]);
    let _second = App::start(&world, port, "v2", &[]);
    let new = |row: &str| row.ends_with(" v2 answers for the first time");
    let all = |row: &str| row.trim_start().starts_with("v2 100% ");
    shown("the new version, which answers all", [&new, &all]);
    screen.interrupt();
    assert_eq!(screen.end(), Some(130));
    expect_seen(&screen.written(), &folders[0]);
    log.hears("version=v2 after=v1");
    log.hears("Z live ");
    expect_logged(&log.end().1, &folders[1]);
    json.hears("\"version\":\"v2\"");
    wait_for("a percentile", 30, || json.read("err").lines().any(has_percentile).then_some(()));
    let (out, err) = json.end();
    expect_read(&err, &serde_json::from_str(&out).unwrap());
}

fn has_percentile(line: &str) -> bool {
    line.contains("\"step\":\"live\"") && !line.contains("\"p99_us\":null")
}

fn failed(folder: &Path) -> u64 {
    newest_report(folder)["failed"].as_u64().unwrap()
}

/// The status is below all the rest and gone at the end; rows account for every failure.
fn expect_seen(written: &str, folder: &Path) {
    let pictures = pictures(written, COLUMNS);
    let status = |row: &String| row.contains(" s   sent ");
    for picture in &pictures[..pictures.len() - 1] {
        assert!(picture.iter().filter(|row| status(row)).count() <= 1, "{picture:#?}");
        let at = picture.iter().position(status);
        assert!(at.is_none_or(|at| at + 3 > picture.len()), "{picture:#?}");
    }
    let last = pictures.last().unwrap();
    assert!(!last.iter().any(status), "{last:#?}");
    println!("{}", last.join("\n"));
    let told = ["more failed in that second", " answers", " for the first time", "Z ending, "];
    let one = |row: &&String| {
        row.as_bytes().get(12) == Some(&b'Z') && !told.iter().any(|words| row.contains(words))
    };
    let more: u64 = last.iter().filter_map(|row| number(row, "Z ", " more failed")).sum();
    assert_eq!(last.iter().filter(one).count() as u64 + more, failed(folder), "{last:#?}");
}

/// The number between two words.
fn number(row: &str, before: &str, after: &str) -> Option<u64> {
    let (_, rest) = row.split_once(before)?;
    rest.split_once(after)?.0.trim().replace(',', "").parse().ok()
}

fn expect_logged(text: &str, folder: &Path) {
    assert!(!text.contains(['\x1b', '\r']), "{text}");
    let told = |what: &str| {
        let what = format!("Z {what:<18} ");
        text.lines().filter(|line| line.contains(&what)).map(str::to_owned).collect::<Vec<_>>()
    };
    let [live, versions, one, more] = ["live", "version", "failure", "failures"].map(told);
    assert!(live.iter().all(|line| line.contains(" sent=") && line.contains(" p50_us=")), "{text}");
    assert!(!live.is_empty() && live.iter().all(|line| line.contains(" rps=")), "{text}");
    assert_eq!(versions.len(), 2, "{text}");
    assert!(versions[1].ends_with("version=v2 after=v1"), "{text}");
    assert!(one.iter().any(|line| line.contains(" class=refused version=- ")), "{text}");
    let more: u64 = more.iter().map(|line| number(line, "more=", " classes").unwrap()).sum();
    assert_eq!(one.len() as u64 + more, failed(folder), "{text}");
}

/// What a program reads agrees with the report.
fn expect_read(text: &str, report: &Value) {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |step: &str| lines.iter().filter(|line| line["step"] == step).collect::<Vec<_>>();
    let (began, ended) = (&lines[0], lines.last().unwrap());
    assert_eq!((&began["step"], &began["rate"]), (&"began".into(), &40.into()), "{text}");
    assert_eq!((&ended["step"], &ended["verdict"]), (&"ended".into(), &report["verdict"]));
    assert_eq!((&ended["sent"], &ended["failed"]), (&report["sent"], &report["failed"]));
    let versions: Vec<_> = of("version").iter().map(|line| line["version"].clone()).collect();
    assert_eq!(versions, ["v1", "v2"], "{text}");
    let more = of("failures");
    let more: u64 = more.iter().map(|line| line["more"].as_u64().unwrap()).sum();
    let one = of("failure");
    assert_eq!(one.len() as u64 + more, report["failed"].as_u64().unwrap(), "{text}");
    let failures = report["failures"].as_array().unwrap();
    for line in one {
        let row = failures.iter().find(|row| row["id"] == line["id"]).expect("it is in the report");
        assert_eq!((&row["class"], &row["lane"]), (&line["class"], &line["lane"]), "{row}");
    }
    let live = of("live");
    let times: Vec<u64> = live.iter().map(|line| line["at_ms"].as_u64().unwrap()).collect();
    assert!(times.len() >= 2 && times.windows(2).all(|two| two[1] >= two[0] + 1_000), "{times:?}");
    let named = |line: &&Value| !line["per_version"].as_array().unwrap().is_empty();
    assert!(live.iter().any(|line| line["p99_us"].is_u64()), "{text}");
    assert!(live.iter().any(named), "{text}");
}
