//! Reads the `target` of a rollout: which users see the new version whatever its share.
//!
//! What names and values may be is the model's to say; whether the router looks at such a name is found
//! by its preflight.

use model::{Fault, Mark, Selector};
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::field::{Field, kind};
use super::names;
use super::reader::Reader;
use super::section::Section;
use super::shape::Strategy;

const KEYS: [&str; 3] = ["header", "cookie", "value"];
const EXAMPLE: &str = "{ header = \"x-canary\", value = \"new\" }";

/// Reads it; one that could never take effect is a mistake.
pub(crate) fn read(
    rollout: &Section<'_>,
    strategy: &Strategy,
    reader: &mut Reader,
) -> Option<Mark> {
    let field = rollout.field("target")?;
    let DeValue::Table(table) = field.value else {
        reader.wrong_kind(&field, "a table", EXAMPLE);
        return None;
    };
    // What was meant by a strategy that is not known, nobody can say.
    let named = rollout.field("strategy").map(|field| field.value.as_str());
    if *strategy == Strategy::BlueGreen && matches!(named, None | Some(Some("blue-green"))) {
        let what = "`target` does nothing here: blue-green moves all requests at once";
        let help = "write `strategy = \"canary\"`, or remove `target`";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    if matches!(strategy, Strategy::Recreate { .. }) {
        let what = "`target` does nothing here: one version ends before the other starts";
        reader.push(Diagnostic::new(what).at(&field.span, "").help("remove `target`"));
    }
    let known = unknown(table, reader);
    let header = text(table, "header", reader);
    let cookie = text(table, "cookie", reader);
    let value = text(table, "value", reader);
    let (on, value) = match (header, cookie, value) {
        (Ok(Some(name)), Ok(None), Ok(Some(value))) => (Selector::Header(name), value),
        (Ok(None), Ok(Some(name)), Ok(Some(value))) => (Selector::Cookie(name), value),
        (Ok(Some(_)), Ok(Some(_)), _) => {
            one_of_two(&field, reader);
            return None;
        }
        (Ok(header), Ok(cookie), Ok(value)) => {
            let lacks = if value.is_none() { "`value`" } else { "`header` or `cookie`" };
            // What was misspelled has been said.
            if known && (value.is_none() || (header.is_none() && cookie.is_none())) {
                let help = format!("write `target = {EXAMPLE}`");
                reader.push(
                    Diagnostic::new(format!("`target` lacks {lacks}"))
                        .at(&field.span, "")
                        .help(help),
                );
            }
            return None;
        }
        _ => return None,
    };
    let mark = Mark::new(on, value);
    mark.map_err(|fault| refuse(fault, &field, reader)).ok()
}

fn refuse(fault: Fault, field: &Field<'_>, reader: &mut Reader) {
    let help = fault.help.unwrap_or_default();
    reader.push(Diagnostic::new(fault.what).at(&field.span, "").help(help));
}

fn one_of_two(field: &Field<'_>, reader: &mut Reader) {
    reader.push(
        Diagnostic::new("`target` names both a header and a cookie")
            .at(&field.span, "")
            .help("keep one of the two"),
    );
}

/// True when every key is known.
fn unknown(table: &DeTable<'_>, reader: &mut Reader) -> bool {
    let mut known = true;
    for (key, _) in table.iter().filter(|(key, _)| !KEYS.contains(&key.get_ref().as_ref())) {
        known = false;
        let help = match names::nearest(key.get_ref(), &KEYS) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("write `target = {EXAMPLE}`"),
        };
        let what = format!("unknown key `{}` in `target`", key.get_ref());
        reader.push(Diagnostic::new(what).at(&key.span(), "").help(help));
    }
    known
}

/// `Err` when it is not text, and that has been said.
fn text(table: &DeTable<'_>, key: &str, reader: &mut Reader) -> Result<Option<String>, ()> {
    let Some(value) = table.get(key) else { return Ok(None) };
    if let Some(text) = value.get_ref().as_str() {
        return Ok(Some(text.to_owned()));
    }
    let what = format!("`{key}` of `target` must be text, and this is {}", kind(value.get_ref()));
    let help = format!("put it between quotes, as in `target = {EXAMPLE}`");
    reader.push(Diagnostic::new(what).at(&value.span(), "").help(help));
    Err(())
}
