//! Progress as newline-delimited JSON, one step per line, for programs.

use std::fmt;
use std::io::Write;

use super::progress::Progress;
use super::step::Step;

/// Writes each step as one line of JSON.
pub(crate) struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    /// A renderer that writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W> fmt::Debug for Json<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl<W: Write + Send> Progress for Json<W> {
    fn step(&mut self, step: &Step) {
        let Ok(mut line) = serde_json::to_vec(step) else {
            return;
        };
        line.push(b'\n');
        let _ = self.out.write_all(&line).and_then(|()| self.out.flush());
    }
}
