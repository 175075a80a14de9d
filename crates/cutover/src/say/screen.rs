//! The bottom of a terminal: lines that stay, and below them a few that are drawn again in place.
//!
//! Nothing that was printed to stay is ever erased. The cursor is neither hidden nor left anywhere
//! but below the last line, so that a kill at any instant leaves a usable terminal.

use std::fmt;
use std::io::Write;

use anstream::ColorChoice;

use super::line::Line;

/// What the terminal is like.
pub(crate) struct Look {
    /// Colours are wanted.
    pub(crate) colour: bool,
    /// Its width in columns, asked before each redraw.
    pub(crate) width: Box<dyn Fn() -> usize + Send>,
}

impl Look {
    /// What stderr is like; 80 columns when it does not say.
    pub(crate) fn of_stderr() -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stderr());
        let width = || {
            terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(w, _)| usize::from(w.0))
        };
        Self { colour: choice != ColorChoice::Never, width: Box::new(width) }
    }

    /// What stdout is like; 80 columns when it does not say.
    pub(crate) fn of_stdout() -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stdout());
        let width = || {
            terminal_size::terminal_size_of(std::io::stdout()).map_or(80, |(w, _)| usize::from(w.0))
        };
        Self { colour: choice != ColorChoice::Never, width: Box::new(width) }
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").field("colour", &self.colour).finish_non_exhaustive()
    }
}

/// Draws on a terminal.
#[derive(Debug)]
pub(crate) struct Screen<W> {
    out: W,
    look: Look,
    /// Widths of the live lines that are on the screen now, from the top.
    drawn: Vec<usize>,
}

impl<W: Write> Screen<W> {
    /// A screen that is drawn through `out`.
    pub(crate) fn new(out: W, look: Look) -> Self {
        Self { out, look, drawn: Vec::new() }
    }

    /// Columns that a live line may take. The last one stays free: some terminals wrap as soon as
    /// it is written.
    pub(crate) fn width(&self) -> usize {
        (self.look.width)().saturating_sub(1)
    }

    /// Prints lines that stay, whole, and draws the live ones again below them.
    pub(crate) fn draw(&mut self, stay: &[Line], live: Vec<Line>) {
        let width = self.width();
        let live: Vec<Line> = live.into_iter().map(|line| line.cut(width)).collect();
        // One write between the marks of a synchronised update: no flicker, no half lines.
        let mut text = String::from("\x1b[?2026h");
        text += &self.erase();
        for line in stay.iter().chain(&live) {
            text += &line.text(self.look.colour);
            text += "\r\n";
        }
        text += "\x1b[?2026l";
        self.drawn = live.iter().map(Line::columns).collect();
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Moves to the first live line and clears from there. Counts the rows that a line takes now,
    /// because the terminal may have become narrower since.
    fn erase(&self) -> String {
        let columns = (self.look.width)().max(1);
        let rows: usize = self.drawn.iter().map(|wide| wide.div_ceil(columns).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\x1b[{rows}A\r\x1b[J") }
    }
}
