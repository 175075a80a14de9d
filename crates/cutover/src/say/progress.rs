//! Who tells the steps of a rollout: a terminal, plain lines, or JSON lines, all on stderr.
//!
//! A renderer never fails the rollout: when stderr is gone, it is silent.

use std::io;

use super::json::Json;
use super::plain::Plain;
use super::screen::Look;
use super::step::Step;
use super::terminal::Terminal;

/// Tells steps as they come.
pub(crate) trait Progress: Send {
    /// Tells one step.
    fn step(&mut self, step: &Step);
}

/// The renderer that fits: JSON when asked for, the redrawing one on a terminal that can move its
/// cursor, else plain lines.
pub(crate) fn choose(json: bool, stderr_is_terminal: bool) -> Box<dyn Progress> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    match (json, stderr_is_terminal && !dumb) {
        (true, _) => Box::new(Json::new(io::stderr())),
        (_, true) => Box::new(Terminal::new(io::stderr(), Look::of_stderr())),
        _ => Box::new(Plain::new(io::stderr())),
    }
}
