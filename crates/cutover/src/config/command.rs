//! The command of an app, and the placeholders in texts of the file.
//!
//! A placeholder is `{word}`. `${word}` and `{{word}}` are none: shells and templates own those.

use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::names;
use super::reader::Reader;
use super::section::Section;

const COMMAND: [&str; 4] = ["port", "version", "instance", "host"];
const DIRECTORY: [&str; 1] = ["version"];

/// The command of an app, which is required.
pub(crate) fn read(app: &Section<'_>, reader: &mut Reader) -> Vec<String> {
    let Some(field) = app.field("command") else {
        if app.probably_has("command") {
            return Vec::new();
        }
        reader.push(
            Diagnostic::new(format!("`[{}]` has no `command`", app.name))
                .at(&app.span, "this app cannot be started")
                .help("write `command = [\"./server\", \"--port\", \"{port}\"]`"),
        );
        return Vec::new();
    };
    list(&field, "[\"./server\", \"--port\", \"{port}\"]", reader)
}

/// A program and its arguments, with placeholders; `example` is one.
pub(crate) fn list(field: &Field<'_>, example: &str, reader: &mut Reader) -> Vec<String> {
    if let Some(text) = field.value.as_str() {
        reader.push(as_text(field, text));
        return Vec::new();
    }
    let Some(items) = reader.texts(Some(field)) else {
        return Vec::new();
    };
    if items.first().is_none_or(|(program, _)| program.is_empty()) {
        reader.push(
            Diagnostic::new("`command` names no program")
                .at(items.first().map_or(&field.span, |(_, span)| span), "")
                .help(format!("write `command = {example}`")),
        );
    }
    for (text, span) in &items {
        check(text, span, &COMMAND, reader);
    }
    items.into_iter().map(|(text, _)| text.to_owned()).collect()
}

/// The working directory of an app as it is written.
pub(crate) fn directory<'a>(app: &Section<'a>, reader: &mut Reader) -> &'a str {
    let field = app.field("directory");
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let text = reader.text(field).unwrap_or(".");
    check(text, &span, &DIRECTORY, reader);
    text
}

/// Reports unknown placeholders in a text.
pub(crate) fn check(text: &str, span: &Range<usize>, known: &[&str], reader: &mut Reader) {
    for (_, name) in placeholders(text) {
        if known.contains(&name) {
            continue;
        }
        let help = if let Some(nearest) = names::nearest(name, known) {
            format!("did you mean `{{{nearest}}}`?")
        } else {
            let braced: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
            let braced: Vec<&str> = braced.iter().map(String::as_str).collect();
            format!(
                "known here: {}; if the braces are for the program, put a blank inside",
                names::list(&braced)
            )
        };
        let what = format!("unknown placeholder `{{{name}}}`");
        reader.push(Diagnostic::new(what).at(span, "").help(help));
    }
}

/// Reports placeholders that are nearly `name`, where other braces are left alone.
pub(crate) fn check_nearly(text: &str, span: &Range<usize>, name: &str, reader: &mut Reader) {
    for (_, found) in placeholders(text) {
        if found != name && names::nearest(found, &[name]).is_some() {
            let what = format!("unknown placeholder `{{{found}}}`");
            let help = format!("did you mean `{{{name}}}`?");
            reader.push(Diagnostic::new(what).at(span, "").help(help));
        }
    }
}

/// The text with `{version}` filled in.
pub(crate) fn fill_version(text: &str, version: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut from = 0;
    for (at, name) in placeholders(text) {
        if name == "version" {
            filled += &text[from..at];
            filled += version;
            from = at + name.len() + 2;
        }
    }
    filled + &text[from..]
}

/// Where placeholders begin, and their names.
fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices('{').filter_map(|(at, _)| {
        let name = text[at + 1..].split_once('}')?.0;
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(word);
        let owned = text[..at].ends_with(['$', '{']);
        (is_word && !owned).then_some((at, name))
    })
}

/// A command written as one text: the fix is the list it should be.
fn as_text(field: &Field<'_>, text: &str) -> Diagnostic {
    let needs_shell = text.contains(['|', '&', ';', '<', '>', '$', '`', '*', '(']);
    let items = if needs_shell {
        // With `exec` the shell does not stand between the app and its signals.
        let exec = if text.contains(['|', '&', ';']) { "" } else { "exec " };
        vec!["sh".to_owned(), "-c".to_owned(), format!("{exec}{text}")]
    } else {
        words(text)
    };
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    Diagnostic::new("`command` must be a list of texts: the program and its arguments")
        .at(&field.span, "this is one text")
        .help(format!("write `command = [{}]`", items.join(", ")))
}

/// A text as a TOML string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Splits at blanks outside quotes, as a shell would.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
