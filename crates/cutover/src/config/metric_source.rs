//! Reads whom a metric asks: a Prometheus, with a query, or a program.
//!
//! Nobody is asked here: that is done in `server::gauge`.

use std::ops::Range;

use hyper::Uri;

use super::command;
use super::diagnostic::Diagnostic;
use super::field::Field;
use super::reader::Reader;
use super::section::Section;
use super::shape::Asked;

/// Reads the keys of one of the two; more or less than one of them is a mistake.
pub(crate) fn read(section: &Section<'_>, reader: &mut Reader) -> Option<Asked> {
    let (server, program) = (section.field("prometheus"), section.field("command"));
    let query = section.field("query");
    match (server, program) {
        (Some(server), Some(program)) => {
            let what = "a metric asks both a Prometheus and a program";
            let at = Diagnostic::new(what).at(&server.span, "").also(&program.span, "");
            reader.push(at.help("make two metrics of it"));
            None
        }
        (Some(server), None) => {
            let span = server.span.clone();
            let url = reader.text(Some(server)).and_then(|text| url(text, &span, reader));
            if query.is_none() && !section.probably_has("query") {
                let help = "add a line such as `query = 'sum(rate(errors_total[1m]))'`";
                lacks(section, "its `query`", help, reader);
            }
            let span = query.as_ref().map_or(0..0, |field| field.span.clone());
            let query = reader.text(query)?;
            command::check_nearly(query, &span, "version", reader);
            Some(Asked::Prometheus { url: url?, query: query.to_owned() })
        }
        (None, Some(program)) => {
            if let Some(query) = query {
                let what = "a program is asked by its arguments, and knows no `query`";
                let help = "remove `query`, or write `prometheus` instead of `command`";
                reader.push(Diagnostic::new(what).at(&query.span, "").help(help));
            }
            let command = program_of(&program, reader)?;
            Some(Asked::Command(command))
        }
        (None, None) => {
            if !section.probably_has("command") && !section.probably_has("prometheus") {
                let help =
                    "add `prometheus = \"http://127.0.0.1:9090\"` and a `query`, or a `command`";
                lacks(section, "somebody to ask", help, reader);
            }
            None
        }
    }
}

fn program_of(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<String>> {
    let texts = reader.texts(Some(field))?;
    if texts.first().is_none_or(|(program, _)| program.is_empty()) {
        let help = "write `command = [\"./queue-length\", \"{version}\"]`";
        let what = "`command` names no program";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
        return None;
    }
    for (text, span) in &texts {
        command::check(text, span, &["version", "stable"], reader);
    }
    Some(texts.into_iter().map(|(text, _)| text.to_owned()).collect())
}

/// `http://host[:port][/prefix]`.
fn url(text: &str, span: &Range<usize>, reader: &mut Reader) -> Option<String> {
    let uri = text.parse::<Uri>().ok();
    let plain = uri.as_ref().is_some_and(|uri| {
        let whole = uri.scheme_str() == Some("http") && uri.host().is_some_and(|it| !it.is_empty());
        let user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
        whole && uri.query().is_none() && !user
    });
    if plain {
        return Some(text.trim_end_matches('/').to_owned());
    }
    let what = format!("`prometheus = \"{text}\"` cannot be asked");
    let help = "write where it listens, as in `prometheus = \"http://127.0.0.1:9090\"`; it is asked over \
                plain HTTP and without a password";
    reader.push(Diagnostic::new(what).at(span, "").help(help));
    None
}

/// Something that every metric has, or every one of its kind.
pub(crate) fn lacks(section: &Section<'_>, what: &str, help: &str, reader: &mut Reader) {
    let what = format!("a metric lacks {what}");
    reader.push(Diagnostic::new(what).at(&section.span, "").help(help.to_owned()));
}
