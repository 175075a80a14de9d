//! The styles of pictures that are drawn on a terminal. Colour repeats what words and bars say already.
//!
//! None of them asks whether there is colour at all: `screen` does.

use anstyle::{AnsiColor, Style};

/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What matters more.
pub(crate) const BOLD: Style = Style::new().bold();
/// All is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something is waited for.
pub(crate) const WAIT: Style = AnsiColor::Yellow.on_default().bold();
/// Something failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
