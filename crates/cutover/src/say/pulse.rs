//! Progress of a probe that runs alone: one live line on a terminal, else a line every five seconds.
//!
//! It shows what the prober's windows hold and has no clock of its own. The result is not its affair.

use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use model::Window;

use super::choice::redraws;
use super::figure;
use super::line::Line;
use super::plain::utc;
use super::screen::{Look, Screen};

/// Least time between two plain lines, us.
const PLAIN_EVERY_US: u64 = 5_000_000;
/// Least time over which a rate is taken, us.
const RATE_OVER_US: u64 = 900_000;

/// Where it shows.
pub(crate) enum Place<W> {
    /// One line that is drawn again in place.
    Screen(Screen<W>),
    /// Lines that stay.
    Lines(W),
}

/// What stderr is.
pub(crate) fn stderr() -> Place<io::Stderr> {
    if redraws() {
        return Place::Screen(Screen::new(io::stderr(), Look::of_stderr()));
    }
    Place::Lines(io::stderr())
}

/// Sums up windows and shows them.
pub(crate) struct Pulse<W> {
    place: Place<W>,
    began_unix_ms: u64,
    now_us: u64,
    sent: u64,
    failed: u64,
    p50_us: Option<u64>,
    /// Attempts since the last rate was taken, and when that was.
    recent: (u64, u64),
    rate: Option<f64>,
    said_us: u64,
}

impl<W> fmt::Debug for Pulse<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl<W: Write> Pulse<W> {
    /// Nothing is shown yet. `began_unix_ms` is the wall clock at the start of the probe.
    pub(crate) const fn new(place: Place<W>, began_unix_ms: u64) -> Self {
        Self {
            place,
            began_unix_ms,
            now_us: 0,
            sent: 0,
            failed: 0,
            p50_us: None,
            recent: (0, 0),
            rate: None,
            said_us: 0,
        }
    }

    /// Adds a window and shows how things stand.
    pub(crate) fn beat(&mut self, window: &Window) {
        self.now_us = window.to_us;
        let all: u64 = window.by_version.values().map(model::Tally::all).sum();
        self.sent += all;
        self.failed += window.by_version.values().map(model::Tally::failures).sum::<u64>();
        self.p50_us = window.p50_us.or(self.p50_us);
        self.recent.0 += all;
        let over_us = self.now_us.saturating_sub(self.recent.1);
        if over_us >= RATE_OVER_US {
            self.rate = Some(self.recent.0 as f64 * 1e6 / over_us as f64);
            self.recent = (0, self.now_us);
        }
        self.show();
    }

    /// Takes the live line away.
    pub(crate) fn end(mut self) {
        if let Place::Screen(screen) = &mut self.place {
            screen.draw(&[], Vec::new());
        }
    }

    fn show(&mut self) {
        let line = self.line();
        match &mut self.place {
            Place::Screen(screen) => screen.draw(&[], vec![line]),
            Place::Lines(out) if self.now_us >= self.said_us + PLAIN_EVERY_US => {
                self.said_us = self.now_us;
                let time = utc(self.began_unix_ms + self.now_us / 1000);
                let rps = self.rate.map_or_else(String::new, |rate| format!(" rps={rate:.0}"));
                let p50 = self.p50_us.map_or_else(String::new, |us| format!(" p50_us={us}"));
                let (sent, failed) = (self.sent, self.failed);
                let line = format!("{time} probing sent={sent} failed={failed}{rps}{p50}\n");
                // When stderr is gone there is nobody left to tell.
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            }
            Place::Lines(_) => {}
        }
    }

    fn line(&self) -> Line {
        let red = AnsiColor::Red.on_default().bold();
        let style = if self.failed > 0 { red } else { Style::new() };
        let mut line = Line::default()
            .plain(format!(
                "  {:>5} s   sent {}   ",
                self.now_us / 1_000_000,
                figure::count(self.sent)
            ))
            .styled(style, format!("failed {}", figure::count(self.failed)));
        if let Some(rate) = self.rate {
            line = line.plain(format!("   {rate:.0} /s"));
        }
        if let Some(us) = self.p50_us {
            line = line.plain(format!("   p50 {}", figure::short(us)));
        }
        line
    }
}
