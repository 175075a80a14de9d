//! The whole of a terminal, drawn again in place, and given back as it was at the end.
//!
//! It is the terminal's other screen, so what was printed before is there again afterwards: when this is
//! dropped, and when something panics, so that the message can be read. No key is read and no mode of the
//! line changed: Ctrl-C stays Ctrl-C. Only a process that is killed (SIGKILL) leaves it; `reset` mends that.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::line::Line;
use super::screen::Look;

/// The other screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Draws on all of a terminal.
pub(crate) struct Whole<W: Write> {
    out: W,
    colour: bool,
    /// Columns and rows, asked before each redraw.
    size: Box<dyn Fn() -> (usize, usize) + Send>,
    /// It is ours.
    taken: Arc<AtomicBool>,
}

impl<W: Write> fmt::Debug for Whole<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Whole<io::Stderr> {
    /// Takes stderr, which must be a terminal.
    pub(crate) fn of_stderr() -> Self {
        let size = || {
            let size = terminal_size::terminal_size_of(io::stderr());
            size.map_or((80, 24), |(w, h)| (usize::from(w.0), usize::from(h.0)))
        };
        let whole = Self::new(io::stderr(), Look::of_stderr().colour, Box::new(size));
        let leave = whole.leaver();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave(&mut io::stderr());
            before(info);
        }));
        whole
    }
}

impl<W: Write> Whole<W> {
    /// Takes a terminal of this size that is written through `out`.
    pub(crate) fn new(
        mut out: W,
        colour: bool,
        size: Box<dyn Fn() -> (usize, usize) + Send>,
    ) -> Self {
        // When it is gone there is nobody left to show anything.
        let _ = out.write_all(ENTER.as_bytes()).and_then(|()| out.flush());
        Self { out, colour, size, taken: Arc::new(AtomicBool::new(true)) }
    }

    /// Gives the terminal back for somebody else, through a writer of their own.
    pub(crate) fn leaver(&self) -> impl Fn(&mut dyn Write) + Send + Sync + use<W> {
        let taken = Arc::clone(&self.taken);
        move |out| leave(&taken, out)
    }

    /// Columns and rows that lines may take. The last column stays free: some terminals wrap as soon as it
    /// is written.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (columns, rows) = (self.size)();
        (columns.saturating_sub(1), rows)
    }

    /// Draws from the top; what does not fit is left out.
    pub(crate) fn draw(&mut self, lines: Vec<Line>) {
        if !self.taken.load(Ordering::SeqCst) {
            return;
        }
        let (columns, rows) = self.size();
        // One write between the marks of a synchronised update: no flicker, no half lines.
        let mut text = String::from("\x1b[?2026h\x1b[H");
        for (number, line) in lines.into_iter().take(rows).enumerate() {
            if number > 0 {
                text += "\r\n";
            }
            text += &line.cut(columns).text(self.colour);
            text += "\x1b[K";
        }
        text += "\x1b[J\x1b[?2026l";
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl<W: Write> Drop for Whole<W> {
    fn drop(&mut self) {
        leave(&self.taken, &mut self.out);
    }
}

/// Gives the terminal back, once.
fn leave(taken: &AtomicBool, out: &mut (impl Write + ?Sized)) {
    if taken.swap(false, Ordering::SeqCst) {
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}
