//! An error with the place in the file it speaks of, drawn as rustc draws it.
//!
//! Gives text with colours in it; who prints it strips them where they do not belong. It does
//! *not* read files.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use anstyle::{AnsiColor, Style};

use super::clean::clean;

/// Longer titles and labels are still shown whole: lines of the file are cut to this width.
const WIDTH: usize = 120;

/// What to show of a file.
#[derive(Debug)]
pub(crate) enum Excerpt<'a> {
    /// Nothing.
    None,
    /// The place alone, because the file cannot be read: path, line and column, from 1.
    Place(&'a str, u32, u32),
    /// The line with a caret.
    Lines {
        /// Path as the user wrote it.
        file: &'a str,
        /// The whole text.
        text: &'a str,
        /// Bytes to underline, and what to say there.
        mark: (Range<usize>, &'a str),
        /// A second place that has to do with it.
        also: Option<(Range<usize>, &'a str)>,
    },
}

/// Draws `error: what`, the excerpt, the notes and `help: …`, each on its own lines.
pub(crate) fn render(
    what: &str,
    excerpt: &Excerpt<'_>,
    notes: &[String],
    help: Option<&str>,
) -> String {
    let title = Level::ERROR.primary_title(clean(what).into_owned());
    let group = match excerpt {
        Excerpt::None => Group::with_title(title),
        Excerpt::Place(file, line, column) => title.element(
            Origin::path(clean(file).into_owned())
                .line(*line as usize)
                .char_column(*column as usize),
        ),
        Excerpt::Lines { file, text, mark, also } => {
            title.element(snippet(file, text, mark, also.as_ref()))
        }
    };
    let drawn = Renderer::styled().term_width(WIDTH).render(&[group]);
    // The renderer shows the file's control characters below 0x20 as signs and passes those above.
    let mut out = drawn.replace(|c: char| c >= '\u{7f}' && c.is_control(), "\u{fffd}");
    out.push('\n');
    for line in notes.iter().flat_map(|note| note.lines()) {
        let _ = writeln!(out, "  {}", clean(line));
    }
    if let Some(help) = help {
        append_help(&mut out, help);
    }
    out
}

fn snippet<'a>(
    file: &str,
    text: &'a str,
    mark: &(Range<usize>, &'a str),
    also: Option<&(Range<usize>, &'a str)>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let label = |text: &'a str| (!text.is_empty()).then(|| clean(text));
    let primary = AnnotationKind::Primary.span(within(text, &mark.0)).label(label(mark.1));
    let second = also
        .map(|(span, words)| AnnotationKind::Context.span(within(text, span)).label(label(words)));
    Snippet::source(text).path(clean(file).into_owned()).annotation(primary).annotations(second)
}

/// The part of `span` that lies in the text and on its first line.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.floor_char_boundary(span.end.max(start));
    let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
    start..end.min(line_end).max(start)
}

/// Help of several lines keeps its shape below its first line, so that it can be copied.
fn append_help(out: &mut String, help: &str) {
    let style: Style = AnsiColor::BrightCyan.on_default().bold();
    let mut lines = help.lines();
    let first = lines.next().unwrap_or_default();
    let _ = writeln!(out, "{style}help{style:#}: {}", clean(first));
    for line in lines {
        let _ = writeln!(out, "      {}", clean(line));
    }
}
