//! Results on stdout and remarks on stderr, where somebody may have gone away: a terminal that was closed, a full disk.
//!
//! Whoever prints goes on with its work: what it has begun must end well, told or not. It words nothing; what stdout did
//! not take is kept for `main`.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use model::Fault;

/// Why stdout did not take all of it, the first time.
static UNTOLD: OnceLock<String> = OnceLock::new();

/// Writes to stdout; colours only where they are wanted.
macro_rules! out {
    ($($text:tt)*) => { $crate::say::told::to_stdout(format_args!($($text)*)) };
}

/// The same with the end of the line.
macro_rules! outln {
    ($($text:tt)*) => { $crate::say::out!("{}\n", format_args!($($text)*)) };
}

/// Writes to stderr; colours only where they are wanted.
macro_rules! err {
    ($($text:tt)*) => { $crate::say::told::to_stderr(format_args!($($text)*)) };
}

/// The same with the end of the line.
macro_rules! errln {
    ($($text:tt)*) => { $crate::say::err!("{}\n", format_args!($($text)*)) };
}

pub(crate) use {err, errln, out, outln};

/// What `out!` comes to.
pub(crate) fn to_stdout(text: Arguments<'_>) {
    let mut stdout = anstream::stdout().lock();
    keep(stdout.write_fmt(text).and_then(|()| stdout.flush()));
}

/// What `err!` comes to. When stderr is gone there is nobody left to tell.
pub(crate) fn to_stderr(text: Arguments<'_>) {
    let _ = anstream::stderr().lock().write_fmt(text);
}

/// A reader who has read enough is no trouble.
fn keep(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = UNTOLD.set(error.to_string());
    }
}

/// That not all of the result could be told, and why.
pub(crate) fn untold() -> Option<Fault> {
    let why = UNTOLD.get()?;
    Some(Fault::environment(format!("the result could not be written to stdout: {why}")))
}
