//! `cutover status --watch` through a canary, on a real terminal, which `script` makes: every picture is put
//! together as a terminal would, and looked at. Beside it the same without a terminal, as in CI.
//!
//! What each row says is tested in `commands/board`, the whole of a terminal in `full_screen`.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::traffic::Deploy;
use crate::world::{CUTOVER, World, beside, patient_config, said, signal, wait_for};

const COLUMNS: usize = 90;
const ROWS: usize = 30;
/// What ends each picture.
const DRAWN: &str = "\x1b[?2026l";

/// The rows of a terminal that is tall enough, and where its cursor is.
#[derive(Default)]
struct Terminal {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Terminal {
    /// Takes what a program writes. What ours has no use for is an error, and so is a row that is too long.
    fn take(&mut self, text: &str) {
        let mut parts = text.split('\x1b');
        self.write(parts.next().unwrap());
        for part in parts {
            let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let (code, rest) = part.split_at(end + 1);
            self.obey(code);
            self.write(rest);
        }
    }

    fn write(&mut self, text: &str) {
        for one in text.chars() {
            match one {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                _ => self.put(one),
            }
        }
    }

    fn put(&mut self, one: char) {
        assert!(!one.is_control(), "{one:?}");
        assert!(self.column < COLUMNS, "a row is too long: {:?}", self.shown());
        self.rows.resize(self.rows.len().max(self.row + 1), Vec::new());
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = one;
        self.column += 1;
    }

    fn obey(&mut self, code: &str) {
        let inner = code.strip_prefix('[').unwrap_or_else(|| panic!("{code:?}"));
        match inner.split_at(inner.len() - 1) {
            (number, "A") => self.row -= number.parse::<usize>().unwrap(),
            ("", "J") => {
                self.rows.truncate(self.row + 1);
                if let Some(row) = self.rows.get_mut(self.row) {
                    row.truncate(self.column);
                }
            }
            (style, "m") => assert!(style.bytes().all(|b| b.is_ascii_digit() || b == b';')),
            ("?2026", "h" | "l") => {}
            _ => panic!("{code:?} is not ours"),
        }
    }

    /// What a person sees.
    fn shown(&self) -> Vec<String> {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }
}

/// A terminal on which the app is watched.
struct Watched {
    script: Child,
    keys: ChildStdin,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Watched {
    /// Nothing where there is no `script`.
    fn start(world: &World) -> Option<Self> {
        let words =
            format!("stty rows {ROWS} cols {COLUMNS} -echo; exec {CUTOVER} status demo --watch");
        let spawned = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &words, "/dev/null"])
            .current_dir(world.path())
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut script) = spawned else {
            println!("skipped: no script(1) here");
            return None;
        };
        let (keys, mut stdout) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut piece) {
                sink.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        Some(Self { script, keys, written })
    }

    /// Every picture until now, as it stood on the terminal.
    fn pictures(&self) -> Vec<Vec<String>> {
        let written = self.written.lock().unwrap().clone();
        let whole = String::from_utf8_lossy(&written).into_owned();
        let mut frames: Vec<&str> = whole.split_inclusive(DRAWN).collect();
        // The last one may not be whole yet.
        frames.retain(|frame| frame.ends_with(DRAWN));
        let mut terminal = Terminal::default();
        let draw = |frame: &str| {
            terminal.take(frame);
            terminal.shown()
        };
        frames.into_iter().map(draw).collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.script.try_wait().unwrap().is_none() {
            // Its terminal goes with it.
            signal(self.script.id(), Signal::TERM);
            let _ended = self.script.wait();
        }
    }
}

/// One board and nothing of the one before: each row once, shares of all traffic in one column.
fn expect_one_board(picture: &[String]) {
    let rows = |mark: &str| picture.iter().filter(|row| row.starts_with(mark)).collect::<Vec<_>>();
    assert!(picture.len() < ROWS, "{picture:#?}");
    assert!(picture[0].starts_with("cutover "), "{picture:#?}");
    for mark in ["cutover ", "demo  "] {
        assert_eq!(rows(mark).len(), 1, "{picture:#?}");
    }
    for mark in ["  steps ", "  for ", "  prober ", "  v1 ", "  v2 "] {
        assert!(rows(mark).len() <= 1, "{mark:?}: {picture:#?}");
    }
    let carried = [rows("  v1 "), rows("  v2 ")].concat();
    let columns: Vec<_> = carried.iter().map(|row| row.chars().position(|c| c == '%')).collect();
    assert!(columns.windows(2).all(|two| two[0] == two[1]), "{picture:#?}");
}

/// The pictures in which the app is in each of these phases come in this order.
fn expect_in_order(pictures: &[Vec<String>], phases: &[&str]) {
    let mut rest = pictures.iter();
    for phase in phases {
        let there = rest.any(|rows| rows.get(1).is_some_and(|row| row.contains(phase)));
        assert!(there, "{phase} was not shown, or not in its place: {:#?}", pictures.last());
    }
}

#[test]
fn a_canary_reads_well_on_a_terminal_and_without_one() {
    let _turn = beside();
    let canary = "strategy = \"canary\"\nsteps = [\"50%\"]\nstep_bake = \"1500ms\"\nbake = \"1s\"";
    let mut world = World::new(&patient_config(2).replace("bake = \"1500ms\"", canary));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let Some(mut watched) = Watched::start(&world) else { return };
    let mut plain = world.command(&["status", "demo", "--watch"]);
    let plain = plain.env("CI", "true").env("TERM", "xterm");
    let plain = plain.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let last = |picture: Option<&Vec<String>>, words: &str| {
        picture.is_some_and(|rows| rows.get(1).is_some_and(|row| row.starts_with(words)))
    };
    wait_for("v1 is shown", 20, || {
        last(watched.pictures().last(), "demo  v1  healthy").then_some(())
    });
    let shipped = Deploy::start(&world, "demo", "v2").end();
    assert!(matches!(shipped.code, Some(0 | 3)), "{}", shipped.said);
    wait_for("the end is shown", 20, || {
        last(watched.pictures().last(), "demo  v2  healthy").then_some(())
    });
    watched.keys.write_all(b"\x03").unwrap();
    let status = wait_for("Ctrl-C ends it", 20, || watched.script.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));

    let pictures = watched.pictures();
    for picture in &pictures {
        expect_one_board(picture);
    }
    expect_in_order(&pictures, &["v1  healthy", "canary  baking", "v2  healthy"]);
    let half = pictures.iter().find(|rows| rows.iter().any(|row| row.contains("● 50%")));
    let half = half.expect("the first share");
    println!("{}", half.join("\n"));
    for words in ["v1 → v2", "○ 100%", "step 1 of 2", "2/2 ready"] {
        assert!(half.iter().any(|row| row.contains(words)), "{words}: {half:#?}");
    }
    expect_plain(plain);
}

/// One line for each change, and nothing that only a terminal understands.
fn expect_plain(mut child: Child) {
    signal(child.id(), Signal::INT);
    let status = wait_for("it ends", 20, || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    let text = said(&output);
    assert!(status.success() && !text.contains(['\x1b', '\r']), "{text}");
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.iter().all(|line| line.contains("app=demo")), "{text}");
    assert!(lines.iter().any(|line| line.contains("phase=baking") && line.contains("v2:50.00%")));
    let end = lines.last().unwrap();
    assert!(end.contains("healthy") && end.contains("traffic=v2:100.00%"), "{text}");
    // No change is told twice in a row.
    let told = |line: &&str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    let told: Vec<_> = lines.iter().map(told).collect();
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{text}");
}
