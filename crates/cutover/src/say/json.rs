//! Progress as newline-delimited JSON, one step per line, for programs.
//!
//! It tells every step and leaves none out; what stands in one is said in `step`.

use std::fmt;
use std::io::Write;

use serde::Serialize;

use super::clean::clean_json;
use super::progress::Progress;
use super::step::Step;

/// One line of JSON without its end, that may be shown on a terminal.
pub(crate) fn json_line(value: &impl Serialize) -> Option<String> {
    let json = serde_json::to_string(value).ok()?;
    Some(clean_json(&json).into_owned())
}

/// Writes each step as one line of JSON.
pub(crate) struct Json<W> {
    out: W,
    /// Added to each line, where several apps are told of at once.
    app: Option<String>,
}

impl<W: Write> Json<W> {
    /// A renderer that writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self { out, app: None }
    }

    /// The same, of one app among several.
    pub(crate) fn of(out: W, app: &str) -> Self {
        Self { out, app: Some(app.to_owned()) }
    }
}

impl<W> fmt::Debug for Json<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl<W: Write + Send> Progress for Json<W> {
    fn step(&mut self, step: &Step) {
        let Ok(mut value) = serde_json::to_value(step) else {
            return;
        };
        if let (Some(app), Some(object)) = (&self.app, value.as_object_mut()) {
            object.insert("app".to_owned(), app.as_str().into());
        }
        let Some(line) = json_line(&value) else { return };
        let _ = self.out.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.out.flush());
    }
}
