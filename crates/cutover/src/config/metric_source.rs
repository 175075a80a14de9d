//! Reads whom a metric asks: a Prometheus, with a query and what it is shown, or a program.
//!
//! Nobody is asked here, and no secret is looked up: that is done in `server::gauge`.

use std::path::{Path, PathBuf};

use hyper::Uri;

use super::asked::{Asked, Login, Prometheus};
use super::diagnostic::Diagnostic;
use super::field::Field;
use super::reader::Reader;
use super::section::Section;
use super::{api, command};

/// Keys of what a Prometheus is shown, and shows.
const LOGIN: [&str; 4] = ["token", "user", "password", "ca"];
const TOKEN: (&str, &str) = ("PROMETHEUS_TOKEN", "prometheus.token");
const PASSWORD: (&str, &str) = ("PROMETHEUS_PASSWORD", "prometheus.password");

/// Reads the keys of one of the two; more or less than one of them is a mistake.
pub(crate) fn read(section: &Section<'_>, folder: &Path, reader: &mut Reader) -> Option<Asked> {
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
            let url = url(server, reader);
            let login = login(section, folder, reader);
            let ca = ca(section, (url.as_deref(), folder), reader);
            if query.is_none() && !section.probably_has("query") {
                let help = "add a line such as `query = 'sum(rate(errors_total[1m]))'`";
                lacks(section, "its `query`", help, reader);
            }
            let span = query.as_ref().map_or(0..0, |field| field.span.clone());
            let query = reader.text(query)?;
            command::check_nearly(query, &span, "version", reader);
            Some(Asked::Prometheus(Prometheus { url: url?, query: query.to_owned(), ca, login }))
        }
        (None, Some(program)) => {
            let foreign = LOGIN.into_iter().filter_map(|key| section.field(key));
            for field in query.into_iter().chain(foreign) {
                if matches!(field.key, "token" | "password") {
                    reader.hide(&field);
                }
                let key = field.key;
                let what = format!("a program is asked by its arguments, and knows no `{key}`");
                let help = format!("remove `{key}`, or write `prometheus` instead of `command`");
                reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
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

/// `http://` or `https://`, `host[:port][/prefix]`.
fn url(field: Field<'_>, reader: &mut Reader) -> Option<String> {
    let span = field.span.clone();
    let text = field.value.as_str().unwrap_or_default();
    if text.contains(['@', '?']) {
        // There may be a password in it.
        reader.hide(&field);
    }
    let text = reader.text(Some(field))?;
    let uri = text.parse::<Uri>().ok();
    let whole = uri.as_ref().is_some_and(|uri| {
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().is_some_and(|it| !it.is_empty());
        let authority = uri.authority().map_or("", |it| it.as_str());
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let port = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
        known && host && port && uri.query().is_none() && !authority.contains('@')
    });
    if whole {
        return Some(text.trim_end_matches('/').to_owned());
    }
    let what = "`prometheus` must be where it listens, without a password or a query in it";
    let help = "write it such as `prometheus = \"https://prometheus.example.org:9090\"`, and what it is to be \
                shown as `token`, or as `user` and `password`";
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
    None
}

/// A token, or a name and a password.
fn login(section: &Section<'_>, folder: &Path, reader: &mut Reader) -> Option<Login> {
    let [token, user, password] = ["token", "user", "password"].map(|key| section.field(key));
    if let Some((token, other)) = token.as_ref().zip(user.as_ref().or(password.as_ref())) {
        let what = "a Prometheus is shown a token, or a user and a password, and not both";
        let at = Diagnostic::new(what).at(&other.span, "").also(&token.span, "");
        let help = format!("remove `token`, or `{}`", other.key);
        reader.push(at.help(help));
    }
    let half = match (&user, &password) {
        (Some(user), None) => Some((user, "password", "{ from = \"PROMETHEUS_PASSWORD\" }")),
        (None, Some(password)) => Some((password, "user", "\"cutover\"")),
        _ => None,
    };
    if let Some((field, lacks, example)) = half.filter(|(_, lacks, _)| !section.probably_has(lacks))
    {
        let what = format!("there is a `{}`, and no `{lacks}`", field.key);
        let help = format!("add `{lacks} = {example}`, or remove it");
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    let place = |field: Option<Field<'_>>, names, reader: &mut Reader| {
        field.and_then(|field| api::place_of(&field, names, folder, reader))
    };
    let token = place(token, TOKEN, reader);
    let password = place(password, PASSWORD, reader);
    let user = user.and_then(|field| name(&field, reader));
    match (token, user, password) {
        (Some(token), ..) => Some(Login::Token(token)),
        (None, Some(user), Some(place)) => Some(Login::Password { user, place }),
        _ => None,
    }
}

/// A name that can be sent with a password.
fn name(field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    let span = field.span.clone();
    let text = reader.text(Some(field.clone()))?;
    if !text.contains(':') && !text.contains(char::is_control) {
        return Some(text.to_owned());
    }
    reader.hide(field);
    let what = "`user` is a name alone: what stands behind a `:` is the password";
    let help = "write `user = \"cutover\"` and `password = { from = \"PROMETHEUS_PASSWORD\" }`";
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
    None
}

/// Whose certificates are trusted; nothing where none is shown.
fn ca(
    section: &Section<'_>,
    (url, folder): (Option<&str>, &Path),
    reader: &mut Reader,
) -> Option<PathBuf> {
    let field = section.field("ca")?;
    if url.is_some_and(|url| !url.starts_with("https://")) {
        let what = "`ca` does nothing here: `http://` shows no certificate";
        reader
            .push(Diagnostic::new(what).at(&field.span, "").help("write `https://`, or remove it"));
    }
    reader.text(Some(field)).map(|file| folder.join(file))
}

/// Something that every metric has, or every one of its kind.
pub(crate) fn lacks(section: &Section<'_>, what: &str, help: &str, reader: &mut Reader) {
    let what = format!("a metric lacks {what}");
    reader.push(Diagnostic::new(what).at(&section.span, "").help(help.to_owned()));
}
