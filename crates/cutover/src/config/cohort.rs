//! Reads `sticky` and `cohort` of a canary: clients stay with the version that they were given.
//!
//! Which cohort a client is in is never decided here: that is the router's to say.

use model::{Cohorts, Mark, Selector, Wanted};
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::field::{Field, kind};
use super::names;
use super::reader::Reader;
use super::section::Section;

const EXAMPLE: &str = "{ header = \"x-user\" }";
const KEYS: [&str; 2] = ["header", "cookie"];

/// Reads both keys; the strategy has said whether they belong there.
pub(crate) fn read(rollout: &Section<'_>, reader: &mut Reader) -> Option<Cohorts> {
    let by = rollout.field("cohort");
    let Some(field) = rollout.field("sticky") else {
        if let Some(by) = by.filter(|_| !rollout.probably_has("sticky")) {
            reader.push(
                Diagnostic::new("`cohort` does nothing without `sticky`")
                    .at(&by.span, "")
                    .help("add a line `sticky = \"cohort\"`, or remove this"),
            );
        }
        return None;
    };
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    if text != "cohort" {
        let what = format!("`sticky = \"{text}\"` cannot be");
        let help = "write `sticky = \"cohort\"`, or remove it";
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
    }
    match by {
        Some(by) => table(&by, reader),
        None => Some(Cohorts { header: None, cookie: true }),
    }
}

fn table(field: &Field<'_>, reader: &mut Reader) -> Option<Cohorts> {
    let DeValue::Table(table) = field.value else {
        reader.wrong_kind(field, "a table", EXAMPLE);
        return None;
    };
    for (key, _) in table.iter().filter(|(key, _)| !KEYS.contains(&key.get_ref().as_ref())) {
        let help = match names::nearest(key.get_ref(), &KEYS) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("write `cohort = {EXAMPLE}`"),
        };
        let what = format!("unknown key `{}` in `cohort`", key.get_ref());
        reader.push(Diagnostic::new(what).at(&key.span(), "").help(help));
    }
    let header = match table.get("header") {
        Some(_) => Some(header(table, reader)?),
        None => None,
    };
    let cookie = match table.get("cookie") {
        None => header.is_none(),
        Some(value) => reader.switch(
            Some(Field { key: "cookie", value: value.get_ref(), span: value.span() }),
            true,
        ),
    };
    if header.is_none() && !cookie {
        reader.push(
            Diagnostic::new("`cohort` has neither a header nor a cookie: nobody would be in one")
                .at(&field.span, "")
                .help(format!("write `cohort = {EXAMPLE}`, or remove it for a cookie")),
        );
    }
    Some(Cohorts { header, cookie })
}

/// Its name, in lower case.
fn header(table: &DeTable<'_>, reader: &mut Reader) -> Option<String> {
    let value = table.get("header")?;
    let Some(text) = value.get_ref().as_str() else {
        let what =
            format!("`header` of `cohort` must be text, and this is {}", kind(value.get_ref()));
        let help = format!("put it between quotes, as in `cohort = {EXAMPLE}`");
        reader.push(Diagnostic::new(what).at(&value.span(), "").help(help));
        return None;
    };
    match Mark::of(Selector::Header(text.to_owned()), Wanted::Present) {
        Ok(_) => Some(text.to_ascii_lowercase()),
        Err(fault) => {
            let help = fault.help.unwrap_or_default();
            reader.push(Diagnostic::new(fault.what).at(&value.span(), "").help(help));
            None
        }
    }
}
