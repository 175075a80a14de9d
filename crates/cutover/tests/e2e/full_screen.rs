//! `cutover probe --full-screen` on a real terminal (`terminal`): what is drawn, at which size,
//! and that the terminal is given back; also when Ctrl-C is pressed, and when the server wants to draw
//! itself.
//!
//! A probe on what is no terminal is watched in `watching`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::terminal::Tty;
use crate::world::{beside, wait_for};

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
struct Screen(Tty);

impl Screen {
    /// 80 columns and 24 rows; nothing where there is no `script`.
    fn start(folder: &Path, words: &str) -> Option<Self> {
        let address = hostile();
        let probe = format!(
            "probe http://{address}/ --rate 50 --lanes fresh --watch-version body --full-screen {words}"
        );
        Tty::start(folder, (80, 24), &probe).map(Self)
    }

    /// Waits for a picture that is so.
    fn picture(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        wait_for(what, 20, || {
            let shown = self.0.written();
            // The last one may not be whole yet.
            let frames: Vec<&str> = shown.split(FRAME).skip(1).collect();
            let whole = frames.len().checked_sub(2)?;
            Some(plain(frames[whole])).filter(|frame| is_so(frame))
        })
    }

    /// Waits for its end: its exit code and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.0.end();
        let last = "report  ";
        let shown = wait_for("its last words", 5, || {
            let shown = self.0.written();
            shown.rsplit(LEAVE).next().is_some_and(|end| end.contains(last)).then_some(shown)
        });
        (code, shown)
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
    screen.0.resize(40, 8);
    screen.picture("a smaller picture", |frame| fits(frame, 40, 8) && frame.contains("0 failed"));
    screen.0.resize(120, 40);
    screen.picture("a larger picture", |frame| {
        frame.lines().any(|line| line.chars().count() > 79) && fits(frame, 120, 40)
    });
    screen.0.interrupt();
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
