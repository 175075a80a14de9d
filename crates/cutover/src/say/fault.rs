//! Shows a [`Fault`]: its sentence, the line of the file it names, its notes and its help.
//!
//! Reads the file again only to show the line; when that fails the place is shown without it.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;

use model::Fault;
use model::fault::Place;
use serde_json::json;

use super::excerpt::{Excerpt, render};
use super::json::json_line;

/// No configuration is larger; a file that is shows its place only.
const LARGEST: u64 = 1 << 20;

/// Says it on stderr.
pub(crate) fn fault(fault: &Fault) {
    print(&render_fault(fault));
}

/// Says it to a program, on stdout: `{"fault": …}`, one line.
pub(crate) fn fault_as_json(fault: &Fault) {
    let Some(line) = json_line(&json!({ "fault": fault })) else { return };
    // When stdout is gone there is no program left to tell.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes text that was rendered for people to stderr; colours only where they are wanted.
pub(crate) fn print(text: &str) {
    // When stderr is gone there is nobody left to tell.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// The fault in words, with colours.
pub(super) fn render_fault(fault: &Fault) -> String {
    let draw = |excerpt| render(&fault.what, &excerpt, &fault.notes, fault.help.as_deref());
    let Some(place) = &fault.place else {
        return draw(Excerpt::None);
    };
    let text = read(&place.file);
    let span = text.as_deref().and_then(|text| span(text, place));
    match (&text, span) {
        (Some(text), Some(span)) => {
            draw(Excerpt::Lines { file: &place.file, text, mark: (span, ""), also: None })
        }
        _ => draw(Excerpt::Place(&place.file, place.line, place.column)),
    }
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    let size = File::open(path).ok()?.take(LARGEST + 1).read_to_string(&mut text).ok()?;
    (size as u64 <= LARGEST).then_some(text)
}

/// The bytes of the word or quoted text at a place; `None` when the file has no such place.
fn span(text: &str, place: &Place) -> Option<Range<usize>> {
    let before = place.line.checked_sub(1)? as usize;
    let line = text.split_inclusive('\n').nth(before)?;
    let line_start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    let line = line.trim_end_matches(['\n', '\r']);
    let column = place.column.checked_sub(1)? as usize;
    let at = line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(column)?;
    let start = line_start + at;
    Some(start..start + word_length(&line[at..]))
}

fn word_length(rest: &str) -> usize {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    if let Some(quote) = quote {
        return rest[1..].find(quote).map_or(rest.len(), |end| end + 2);
    }
    rest.find([' ', '\t', '=', ']', '}', ',', '#']).unwrap_or(rest.len()).max(1).min(rest.len())
}
