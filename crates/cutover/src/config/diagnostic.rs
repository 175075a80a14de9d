//! One mistake in a file: what is wrong, where, and the exact fix.
//!
//! Keeps the text it speaks of, so that it can be drawn without reading the file again.

use std::ops::Range;
use std::sync::Arc;

use model::fault::Place;
use model::{Fault, Kind};

use crate::say;

/// A file's path as the user wrote it, and its text.
#[derive(Debug)]
pub(crate) struct Source {
    file: String,
    text: String,
}

impl Source {
    /// Takes copies, shared by all diagnostics of the file.
    pub(crate) fn new(file: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { file: file.to_owned(), text: text.to_owned() })
    }

    /// The same with asterisks in these places, each where a byte was; quotes and ends of lines stay.
    pub(crate) fn without(&self, secrets: &[Range<usize>]) -> Self {
        let hidden = |at: usize| secrets.iter().any(|secret| secret.contains(&at));
        let one = |(at, c): (usize, char)| {
            let shown = !hidden(at) || matches!(c, '"' | '\'' | '\n');
            if shown { c.to_string() } else { "*".repeat(c.len_utf8()) }
        };
        Self { file: self.file.clone(), text: self.text.char_indices().map(one).collect() }
    }
}

/// One mistake.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    what: String,
    source: Option<Arc<Source>>,
    span: Option<Range<usize>>,
    label: String,
    also: Option<(Range<usize>, String)>,
    help: Option<String>,
}

impl Diagnostic {
    /// A mistake without a place.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        let what = what.into();
        Self { what, source: None, span: None, label: String::new(), also: None, help: None }
    }

    /// Adds the bytes of the file it is about, and what to say below them.
    #[must_use]
    pub(crate) fn at(mut self, span: &Range<usize>, label: impl Into<String>) -> Self {
        self.span = Some(span.clone());
        self.label = label.into();
        self
    }

    /// Adds a second place that has to do with it.
    #[must_use]
    pub(crate) fn also(mut self, span: &Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span.clone(), label.into()));
        self
    }

    /// Adds the fix.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same in the file it is about.
    pub(crate) fn within(mut self, source: &Arc<Source>) -> Self {
        self.source = Some(Arc::clone(source));
        self
    }

    /// Where it begins, for sorting.
    pub(crate) fn start(&self) -> usize {
        self.span.as_ref().map_or(0, |span| span.start)
    }

    /// Whether it is about a place in the file, and not about the file as a whole.
    pub(crate) const fn has_place(&self) -> bool {
        self.span.is_some()
    }

    /// As rustc draws it, with colours.
    pub(crate) fn render(&self) -> String {
        let also = self.also.as_ref().map(|(span, label)| (span.clone(), label.as_str()));
        let excerpt = match (&self.source, &self.span) {
            (Some(source), Some(span)) => say::Excerpt::Lines {
                file: &source.file,
                text: &source.text,
                mark: (span.clone(), &self.label),
                also,
            },
            _ => say::Excerpt::None,
        };
        say::render(&self.what, &excerpt, &[], self.help.as_deref())
    }

    /// The place for people, counted from 1.
    pub(crate) fn place(&self) -> Option<Place> {
        let (source, span) = (self.source.as_ref()?, self.span.as_ref()?);
        let before = &source.text[..source.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX - 1) + 1;
        Some(Place {
            file: source.file.clone(),
            line: count(before.matches('\n').count()),
            column: count(before[line_start..].chars().count()),
        })
    }
}

impl From<&Diagnostic> for Fault {
    fn from(diagnostic: &Diagnostic) -> Self {
        let mut fault = Self::new(Kind::Config, &diagnostic.what);
        fault.place = diagnostic.place();
        fault.help.clone_from(&diagnostic.help);
        fault
    }
}

impl From<Diagnostic> for Fault {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::from(&diagnostic)
    }
}

/// Says all mistakes of a file on stderr.
pub(crate) fn say(diagnostics: &[Diagnostic]) {
    let drawn: Vec<String> = diagnostics.iter().map(Diagnostic::render).collect();
    say::print(&drawn.join("\n"));
}
