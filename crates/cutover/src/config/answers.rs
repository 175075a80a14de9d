//! Reads what the proxy answers in its own name: `error_pages` and `maintenance`, of `[proxy]` and of an
//! app.
//!
//! What is in the files is not known here: a judge is asked, if the caller has one.

use std::ops::Range;
use std::path::{Path, PathBuf};

use model::AppName;
use model::admin::{Maintenance, Page, Settings};
use toml::de::DeValue;

use super::Judge;
use super::diagnostic::Diagnostic;
use super::field::kind;
use super::names;
use super::reader::Reader;
use super::section::Section;

const EXAMPLE: &str = "{ 502 = \"502.html\", 503 = \"503.html\" }";

/// Statuses that the proxy answers before it knows an app, and all that it answers.
const ALL: [u16; 12] = [400, 404, 405, 408, 413, 417, 429, 431, 502, 503, 504, 505];
/// Those that it answers for an app.
const OF_AN_APP: [u16; 7] = [400, 408, 413, 429, 502, 503, 504];

/// Reads both keys of a section into the settings; `app` is whose section it is.
pub(crate) fn read(
    section: &Section<'_>,
    app: Option<&AppName>,
    (folder, judge): (&Path, Judge<'_>),
    settings: &mut Settings,
    reader: &mut Reader,
) {
    let file = |text: &str, span: &Range<usize>, reader: &mut Reader| -> Option<PathBuf> {
        let path = folder.join(text);
        if let Err(fault) = (judge.page)(&path) {
            let help = fault.help.unwrap_or_default();
            reader.push(Diagnostic::new(fault.what).at(span, "").help(help));
            return None;
        }
        Some(path)
    };
    for (status, text, span) in pages(section, app, reader) {
        let page = file(text, &span, reader);
        settings.pages.extend(page.map(|file| Page { app: app.cloned(), status, file }));
    }
    let Some(field) = section.field("maintenance") else { return };
    let page = match field.value {
        DeValue::Boolean(false) => return,
        DeValue::Boolean(true) => None,
        DeValue::String(_) => {
            let span = field.span.clone();
            reader.text(Some(field)).and_then(|text| file(text, &span, reader))
        }
        _ => return reader.wrong_kind(&field, "true, false or the name of a page", "true"),
    };
    settings.maintenance.push(Maintenance { app: app.cloned(), file: page });
}

/// Status, file and place of each page.
fn pages<'a>(
    section: &Section<'a>,
    app: Option<&AppName>,
    reader: &mut Reader,
) -> Vec<(u16, &'a str, Range<usize>)> {
    let Some(field) = section.field("error_pages") else { return Vec::new() };
    let DeValue::Table(table) = field.value else {
        reader.wrong_kind(&field, "a table of statuses and files", EXAMPLE);
        return Vec::new();
    };
    let known: &[u16] = if app.is_some() { &OF_AN_APP } else { &ALL };
    let mut pages = Vec::new();
    for (key, value) in table {
        let status = key.get_ref().parse::<u16>().ok();
        let Some(status) = status.filter(|status| known.contains(status)) else {
            reader.push(never_answered(key.get_ref(), &key.span(), known));
            continue;
        };
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() && !text.contains('\0') => {
                pages.push((status, text.as_ref(), value.span()));
            }
            other => reader.push(
                Diagnostic::new(format!(
                    "the page of {status} must be a file, and this is {}",
                    kind(other)
                ))
                .at(&value.span(), "")
                .help(format!("write `error_pages = {EXAMPLE}`")),
            ),
        }
    }
    pages
}

fn never_answered(key: &str, span: &Range<usize>, known: &[u16]) -> Diagnostic {
    let known: Vec<String> = known.iter().map(u16::to_string).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let what = format!("Cutover never answers `{}` here in its own name", key.escape_debug());
    let help = format!(
        "there are pages for {}; what an app answers is passed on as it is",
        names::list(&known)
    );
    Diagnostic::new(what).at(span, "").help(help)
}
