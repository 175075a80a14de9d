//! A real terminal, which `script` makes, with the product on it, and how what is written there looks.
//!
//! What should be seen is not said here, but by those who look.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::world::{CUTOVER, signal, wait_for};

/// A terminal on which a command runs.
pub(crate) struct Tty {
    script: Child,
    keys: ChildStdin,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Tty {
    /// So many columns and rows, in this folder; nothing where there is no `script`.
    pub(crate) fn start(
        folder: &Path,
        (columns, rows): (usize, usize),
        words: &str,
    ) -> Option<Self> {
        let shell = format!("stty rows {rows} cols {columns} -echo; tty; exec {CUTOVER} {words}");
        let spawned = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &shell, "/dev/null"])
            .current_dir(folder)
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut script) = spawned else {
            aside::say("skipped: no script(1) here");
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

    /// All that was written so far by `stty` and its like, which name the terminal, and by the command.
    fn both(&self) -> (String, String) {
        let written = self.written.lock().unwrap().clone();
        // A character may have come by half.
        let whole = String::from_utf8_lossy(&written);
        let (name, rest) = whole.split_once("\r\n").unwrap_or_default();
        (name.to_owned(), rest.to_owned())
    }

    /// All that the command wrote so far.
    pub(crate) fn written(&self) -> String {
        self.both().1
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, columns: usize, rows: usize) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let status = Command::new("stty")
            .args(["-F", &self.both().0, "cols", &columns, "rows", &rows])
            .status();
        assert!(status.unwrap().success());
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        self.keys.write_all(b"\x03").unwrap();
    }

    /// Waits for the end of the command: its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        wait_for("the command ends", 20, || self.script.try_wait().unwrap()).code()
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        if self.script.try_wait().unwrap().is_none() {
            // Its terminal goes with it, and the command hangs up.
            signal(self.script.id(), Signal::TERM);
            let _ended = self.script.wait();
        }
    }
}

/// The rows of a terminal that is tall enough, and where its cursor is.
pub(crate) struct Sheet {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Sheet {
    /// Nothing is written on it.
    pub(crate) const fn new(columns: usize) -> Self {
        Self { columns, rows: Vec::new(), row: 0, column: 0 }
    }

    /// Takes what a program writes. What ours has no use for is an error, and so is a row that is too long.
    pub(crate) fn take(&mut self, text: &str) {
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
        assert!(self.column < self.columns, "a row is too long: {:?}", self.shown());
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
    pub(crate) fn shown(&self) -> Vec<String> {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }
}

/// What ends each picture.
const DRAWN: &str = "\x1b[?2026l";

/// Every whole picture of a text, as it stood on a terminal of so many columns.
pub(crate) fn pictures(text: &str, columns: usize) -> Vec<Vec<String>> {
    let mut frames: Vec<&str> = text.split_inclusive(DRAWN).collect();
    frames.retain(|frame| frame.ends_with(DRAWN));
    let mut sheet = Sheet::new(columns);
    let draw = |frame: &str| {
        sheet.take(frame);
        sheet.shown()
    };
    frames.into_iter().map(draw).collect()
}
