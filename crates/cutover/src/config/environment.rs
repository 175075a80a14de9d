//! Reads the `environment` of an app: plain values, and names of secrets.
//!
//! The value of a secret is never read here: `secret` knows which variables are some, and whose.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::field::{bare, kind};
use super::reader::Reader;
use super::section::Section;
use super::shape::EnvironmentValue;
use super::{command, names};

/// Variables that Cutover sets for each instance.
const OWN: [&str; 2] = ["PORT", "VERSION"];

/// Reads the variables.
pub(crate) fn read(app: &Section<'_>, reader: &mut Reader) -> BTreeMap<String, EnvironmentValue> {
    let Some(field) = app.field("environment") else {
        return BTreeMap::new();
    };
    let DeValue::Table(table) = field.value else {
        reader.wrong_kind(&field, "a table", "{ KEY = \"value\" }");
        return BTreeMap::new();
    };
    let mut variables = BTreeMap::new();
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        check_name(name, &key.span(), reader);
        if let Some(value) = read_value(name, value.get_ref(), &value.span(), reader) {
            variables.insert(name.to_owned(), value);
        }
    }
    variables
}

fn check_name(name: &str, span: &Range<usize>, reader: &mut Reader) {
    if name.is_empty() || name.contains(['=', '\0']) {
        let what = format!("`{}` cannot be the name of a variable", name.escape_debug());
        reader.push(Diagnostic::new(what).at(span, "").help("use letters, digits and `_`"));
    }
    if OWN.contains(&name) {
        reader.push(
            Diagnostic::new(format!("Cutover sets `{name}` itself, for each instance"))
                .at(span, "")
                .help("remove it; an app that needs another name gets it in `command`"),
        );
    }
}

fn read_value(
    name: &str,
    value: &DeValue<'_>,
    span: &Range<usize>,
    reader: &mut Reader,
) -> Option<EnvironmentValue> {
    match value {
        DeValue::String(text) if !text.contains('\0') => {
            check_version(text, span, reader);
            Some(EnvironmentValue::Plain(text.to_string()))
        }
        DeValue::Table(table) => from_variable(name, table, span, reader),
        other => {
            let what = format!("the value of `{name}` must be text, and this is {}", kind(other));
            let fix = bare(other).filter(|text| !text.contains('\0'));
            let fix = fix.unwrap_or_else(|| "…".to_owned());
            let help = format!("write `{name} = \"{fix}\"`");
            reader.push(Diagnostic::new(what).at(span, "").help(help));
            None
        }
    }
}

/// Only `{version}` is filled in here. Other braces are the app's own, unless they are a
/// placeholder of the command or nearly `{version}`.
fn check_version(text: &str, span: &Range<usize>, reader: &mut Reader) {
    for own in ["port", "instance"] {
        if text.contains(&format!("{{{own}}}")) {
            reader.push(
                Diagnostic::new(format!("`{{{own}}}` is filled in only in `command`"))
                    .at(span, "")
                    .help("the port is in the variable PORT, the version in VERSION"),
            );
        }
    }
    command::check_nearly(text, span, "version", reader);
}

fn from_variable(
    name: &str,
    table: &DeTable<'_>,
    span: &Range<usize>,
    reader: &mut Reader,
) -> Option<EnvironmentValue> {
    let fix = format!("write `{name} = {{ from = \"{name}\" }}`");
    for (key, _) in table {
        if key.get_ref() != "from" {
            let what = format!("unknown key `{}` in the value of `{name}`", key.get_ref());
            let help = match names::nearest(key.get_ref(), &["from"]) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => fix.clone(),
            };
            reader.push(Diagnostic::new(what).at(&key.span(), "").help(help));
        }
    }
    match table.get("from").map(|from| from.get_ref().as_str()) {
        Some(Some(from)) if !from.is_empty() && !from.contains(['=', '\0']) => {
            Some(EnvironmentValue::From(from.to_owned()))
        }
        None if !table.is_empty() => None,
        _ => {
            let what = format!("`from` of `{name}` must be the name of a variable");
            reader.push(Diagnostic::new(what).at(span, "").help(fix));
            None
        }
    }
}
