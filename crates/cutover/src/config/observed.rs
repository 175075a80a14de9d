//! Reads what the own proxy tells of itself: the access log and where metrics can be asked for.
//!
//! Checks what is written; whether the file can be opened and the port is free is found by the proxy. No
//! file is opened here.

use std::net::SocketAddr;
use std::path::Path;

use model::admin::{AccessLog, LogFormat, Observation};

use super::diagnostic::Diagnostic;
use super::names;
use super::reader::Reader;
use super::section::Section;

const FORMATS: [(&str, LogFormat); 2] =
    [("json", LogFormat::Json), ("combined", LogFormat::Combined)];

/// Reads it; `metrics` was read with the other addresses.
pub(crate) fn read(
    proxy: &Section<'_>,
    metrics: Option<SocketAddr>,
    folder: &Path,
    reader: &mut Reader,
) -> Observation {
    let (format, query) = (format(proxy, reader), reader.switch(proxy.field("log_query"), true));
    let path = reader.text(proxy.field("access_log"));
    if proxy.field("access_log").is_none() && !proxy.probably_has("access_log") {
        for field in ["log_format", "log_query"].iter().filter_map(|key| proxy.field(key)) {
            let what = format!("`{}` does nothing here: there is no access log", field.key);
            let help = "add a line such as `access_log = \"access.log\"`, or remove this";
            reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
        }
    }
    let access_log = path.map(|path| AccessLog { path: folder.join(path), format, query });
    Observation { access_log, metrics }
}

fn format(proxy: &Section<'_>, reader: &mut Reader) -> LogFormat {
    let Some(field) = proxy.field("log_format") else { return LogFormat::default() };
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return LogFormat::default() };
    if let Some((_, format)) = FORMATS.iter().find(|(name, _)| *name == text) {
        return *format;
    }
    let known = FORMATS.map(|(name, _)| name);
    let help = match names::nearest(text, &known) {
        Some(nearest) => format!("did you mean `log_format = \"{nearest}\"`?"),
        None => format!("this version knows {}", names::list(&known)),
    };
    let what = format!("unknown format `{text}` of the access log");
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
    LogFormat::default()
}
