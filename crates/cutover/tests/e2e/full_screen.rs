//! `cutover probe --full-screen` on a real terminal, which `script` makes: what is drawn, at which size,
//! and that the terminal is given back; also when Ctrl-C is pressed, and when the server wants to draw
//! itself.
//!
//! A probe on what is no terminal is watched in `watching`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::world::{CUTOVER, beside, signal, wait_for};

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const FRAME: &str = "\x1b[?2026h";

/// A version that clears screens, names windows, rings and leaves the other screen.
const HOSTILE: &str = "v1\x1b[2J\x1b]0;owned\x07\x1b[?1049l\x1b[31mred\u{9b}2J";

/// A server whose answers name that version in their body.
fn hostile() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{HOSTILE}",
                HOSTILE.len()
            );
            // Who has gone wants no answer.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// A terminal with a probe on it.
struct Screen {
    script: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    /// 80 columns and 24 rows; nothing where there is no `script`.
    fn start(folder: &Path, words: &str) -> Option<Self> {
        let address = hostile();
        let probe = format!(
            "stty rows 24 cols 80; tty; exec {CUTOVER} probe http://{address}/ --rate 50 --lanes fresh \
             --watch-version body --full-screen --out {} {words}",
            folder.display()
        );
        let spawned = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &probe, "/dev/null"])
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
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut piece) {
                seen.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        Some(Self { script, keys, shown })
    }

    /// All that came so far.
    fn shown(&self) -> String {
        String::from_utf8(self.shown.lock().unwrap().clone()).unwrap_or_default()
    }

    /// Waits for a picture that is so.
    fn picture(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        wait_for(what, 20, || {
            let shown = self.shown();
            // The last one may not be whole yet.
            let frames: Vec<&str> = shown.split(FRAME).skip(1).collect();
            let whole = frames.len().checked_sub(2)?;
            Some(plain(frames[whole])).filter(|frame| is_so(frame))
        })
    }

    /// Gives the terminal another size.
    fn resize(&self, columns: u16, rows: u16) {
        let shown = self.shown();
        let tty = shown.lines().find(|line| line.starts_with("/dev/")).unwrap().trim();
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let status =
            Command::new("stty").args(["-F", tty, "cols", &columns, "rows", &rows]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end: its exit code and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let status = wait_for("the probe ends", 20, || self.script.try_wait().unwrap());
        let last = "report  ";
        let shown = wait_for("its last words", 5, || {
            let shown = self.shown();
            shown.rsplit(LEAVE).next().is_some_and(|end| end.contains(last)).then_some(shown)
        });
        (status.code(), shown)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.script.try_wait().unwrap().is_none() {
            // Its terminal goes with it, and the probe hangs up.
            signal(self.script.id(), Signal::TERM);
            let _ = self.script.wait();
        }
    }
}

/// Text without what moves and colours it. Anything but what the picture needs is an error.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('\x1b');
    out.push_str(parts.next().unwrap());
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(part.len());
        let (code, rest) = part.split_at((end + 1).min(part.len()));
        let digits = |tail: char| {
            let inner = code.strip_prefix('[').and_then(|inner| inner.strip_suffix(tail));
            inner.is_some_and(|inner| inner.bytes().all(|b| b.is_ascii_digit() || b == b';'))
        };
        let ours = ["[H", "[K", "[J", "[?2026h", "[?2026l", "[?1049h", "[?1049l", "[?25h", "[?25l"];
        assert!(ours.contains(&code) || digits('m'), "{code:?} is not ours");
        out.push_str(rest);
    }
    assert!(!out.contains(['\x07', '\u{9b}']), "{out:?}");
    // The terminal adds one to each line feed.
    out.replace('\r', "")
}

/// The terminal was taken once and given back once, with the report behind it.
fn expect_given_back(shown: &str) {
    plain(shown);
    let (before, rest) = shown.split_once(ENTER).unwrap();
    assert!(!before.contains(FRAME));
    let (within, after) = rest.split_once(LEAVE).unwrap();
    assert!(!within.contains(ENTER) && !after.contains(LEAVE) && !after.contains(FRAME), "{after}");
    assert!(after.contains("requests failed at http://"), "{after}");
}

#[test]
fn figures_are_drawn_at_every_size_and_ctrl_c_gives_the_terminal_back() {
    let _turn = beside();
    let folder = tempfile::tempdir().unwrap();
    let Some(mut screen) = Screen::start(folder.path(), "--duration 60s") else { return };
    let fits = |frame: &str, columns: usize, rows: usize| {
        let mut lines = frame.lines();
        lines.clone().count() <= rows && lines.all(|line| line.chars().count() < columns)
    };
    let frame = screen.picture("answers are counted", |frame| {
        frame.contains("0 failed") && frame.contains("nothing has failed") && frame.contains("v1")
    });
    assert!(fits(&frame, 80, 24) && frame.contains("to last byte p50"), "{frame}");
    screen.resize(40, 8);
    screen.picture("a smaller picture", |frame| fits(frame, 40, 8) && frame.contains("0 failed"));
    screen.resize(120, 40);
    screen.picture("a larger picture", |frame| {
        frame.lines().any(|line| line.chars().count() > 79) && fits(frame, 120, 40)
    });
    screen.keys.write_all(b"\x03").unwrap();
    let (code, shown) = screen.end();
    assert_eq!(code, Some(130), "{shown}");
    expect_given_back(&shown);
}

#[test]
fn a_run_that_ends_by_itself_gives_the_terminal_back() {
    let _turn = beside();
    let folder = tempfile::tempdir().unwrap();
    let Some(screen) = Screen::start(folder.path(), "--count 40") else { return };
    let (code, shown) = screen.end();
    assert!(matches!(code, Some(0 | 3)), "{code:?}: {shown}");
    expect_given_back(&shown);
}
