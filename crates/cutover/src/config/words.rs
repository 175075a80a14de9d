//! Reads a key whose value is one of a few words. What a word means is the caller's affair.

use super::diagnostic::Diagnostic;
use super::names;
use super::reader::Reader;
use super::section::Section;

/// One of some words; the first is the default.
pub(crate) fn one_of<T: Copy>(
    section: &Section<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    reader: &mut Reader,
) -> T {
    let field = section.field(key);
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let Some(text) = reader.text(field) else { return words[0].1 };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return *value;
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let help = match names::nearest(text, &known) {
        Some(nearest) => format!("did you mean `{key} = \"{nearest}\"`?"),
        None => format!("use {}", names::list(&known)),
    };
    reader
        .push(Diagnostic::new(format!("`{key} = \"{text}\"` cannot be")).at(&span, "").help(help));
    words[0].1
}
