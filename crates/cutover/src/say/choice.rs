//! Which renderer tells the steps of a rollout: a terminal, plain lines, or JSON lines, all on
//! stderr. It tells nothing itself.

use std::io::{self, IsTerminal as _};

use super::json::Json;
use super::plain::Plain;
use super::progress::Progress;
use super::screen::Look;
use super::terminal::Terminal;
use crate::clock::unix_ms;

/// True when stderr is a terminal that can move its cursor.
pub(crate) fn redraws() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && !dumb
}

/// One for an app among several that are told of at once: lines, which do not get in each other's way.
pub(crate) fn among(app: &str, json: bool) -> Box<dyn Progress> {
    if json {
        return Box::new(Json::of(io::stderr(), app));
    }
    Box::new(Plain::new(io::stderr(), app, unix_ms))
}

/// The renderer that fits: JSON when asked for, the redrawing one on a terminal that can move its
/// cursor, else plain lines.
pub(crate) fn choose(app: &str, json: bool) -> Box<dyn Progress> {
    match (json, redraws()) {
        (true, _) => Box::new(Json::new(io::stderr())),
        (_, true) => Box::new(Terminal::new(io::stderr(), Look::of_stderr())),
        _ => Box::new(Plain::new(io::stderr(), app, unix_ms)),
    }
}
