//! Reads the `target` of a rollout: which users see the new version, or stay on the old one, whatever
//! the shares.
//!
//! What names and values may be is the model's to say; whether the router looks at such a name is found
//! by its preflight. A rule that could never match is a mistake.

use std::ops::Range;

use model::{Fault, Mark, Network, Selector, Wanted, Weight};
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::field::{Field, kind};
use super::names;
use super::reader::Reader;
use super::section::Section;
use super::shape::{Side, Strategy, Target};

/// What a request can be known by.
const ON: [&str; 4] = ["header", "cookie", "query", "source"];
/// What its value can be asked for.
const WANTED: [&str; 3] = ["value", "prefix", "present"];
const KEYS: [&str; 8] = ["header", "cookie", "query", "source", "value", "prefix", "present", "to"];
const SIDES: [&str; 2] = ["candidate", "stable"];
const EXAMPLE: &str = "{ header = \"x-canary\", value = \"new\" }";

/// One table of the file, and where it stands.
type Item<'a> = (&'a DeTable<'a>, Range<usize>);

/// Reads them; one that could never take effect is a mistake.
pub(crate) fn read(rollout: &Section<'_>, strategy: &Strategy, reader: &mut Reader) -> Vec<Target> {
    let Some(field) = rollout.field("target") else { return Vec::new() };
    let Some(items) = items(&field, reader) else { return Vec::new() };
    // What was meant by a strategy that is not known, nobody can say.
    let named = rollout.field("strategy").map(|field| field.value.as_str());
    if *strategy == Strategy::BlueGreen && matches!(named, None | Some(Some("blue-green"))) {
        let what = "`target` does nothing here: blue-green moves all requests at once";
        let help = "write `preview = \"5m\"` (or \"pause\") to let those see the new version before the \
                    switch, or `strategy = \"canary\"`, or remove `target`";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    if matches!(strategy, Strategy::Recreate { .. }) {
        let what = "`target` does nothing here: one version ends before the other starts";
        reader.push(Diagnostic::new(what).at(&field.span, "").help("remove `target`"));
    }
    let all = items.len();
    let mut targets: Vec<(Target, Range<usize>)> = Vec::new();
    for item in items {
        let Some(target) = one(&item, reader) else { continue };
        let covers = |(other, _): &&(Target, _)| other.mark.covers(&target.mark);
        if let Some((other, first)) = targets.iter().find(covers) {
            let what = format!("`{}` can never match: an earlier one takes it", target.mark);
            reader.push(
                Diagnostic::new(what)
                    .at(&item.1, "the first that matches wins")
                    .also(first, format!("`{}` is taken here", other.mark))
                    .help("put it before the other one, or remove it"),
            );
        }
        targets.push((target, item.1));
    }
    // What one that is wrong was to say, nobody knows.
    let stay = targets.iter().all(|(target, _)| target.to == Side::Stable);
    if stay && targets.len() == all && begins_unseen(strategy) {
        let what = "nobody would see the new version while it has no share: `target` names only who \
                    stays on the old one";
        let help = format!("add one without `to = \"stable\"`, such as `{EXAMPLE}`");
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    targets.into_iter().map(|(target, _)| target).collect()
}

/// True when the new version has no share at first: a preview, or a step of `"0%"`.
fn begins_unseen(strategy: &Strategy) -> bool {
    matches!(strategy, Strategy::Canary { steps, .. } if steps.first() == Some(&Weight::NONE))
}

/// The tables of one, or of a list of several.
fn items<'a>(field: &Field<'a>, reader: &mut Reader) -> Option<Vec<Item<'a>>> {
    let list = match field.value {
        DeValue::Table(table) => return Some(vec![(table, field.span.clone())]),
        DeValue::Array(list) if !list.is_empty() => list,
        _ => {
            reader.wrong_kind(field, "a table, or a list of tables", EXAMPLE);
            return None;
        }
    };
    let mut items = Vec::new();
    for item in list {
        match item.get_ref() {
            DeValue::Table(table) => items.push((table, item.span())),
            other => reader.push(
                Diagnostic::new(format!("`target` holds {}", kind(other)))
                    .at(&item.span(), "every item must be a table")
                    .help(format!("write `target = [{EXAMPLE}]`")),
            ),
        }
    }
    Some(items)
}

fn one((table, span): &Item<'_>, reader: &mut Reader) -> Option<Target> {
    let known = unknown(table, reader);
    let on = selector(table, (span, known), reader);
    let wanted = wanted(table, (span, known), on.as_ref(), reader);
    let to = side(table, reader);
    let mark = Mark::of(on?, wanted?);
    let mark = mark.map_err(|fault| refuse(fault, span, reader)).ok()?;
    Some(Target { mark, to: to? })
}

/// What is looked at. What was misspelled has been said.
fn selector(
    table: &DeTable<'_>,
    (span, known): (&Range<usize>, bool),
    reader: &mut Reader,
) -> Option<Selector> {
    let there: Vec<&str> = ON.into_iter().filter(|key| table.contains_key(*key)).collect();
    match there.as_slice() {
        [key] => {
            let name = text(table, key, reader)?;
            Some(match *key {
                "header" => Selector::Header(name.to_owned()),
                "cookie" => Selector::Cookie(name.to_owned()),
                "query" => Selector::Query(name.to_owned()),
                _ => {
                    let place = table.get(*key).map_or(span.clone(), toml::Spanned::span);
                    let range = name.parse::<Network>();
                    Selector::Source(range.map_err(|fault| refuse(fault, &place, reader)).ok()?)
                }
            })
        }
        [] => {
            if known {
                lacks("`header`, `cookie`, `query` or `source`", span, reader);
            }
            None
        }
        several => {
            reader.push(
                Diagnostic::new(format!("`target` names {} at once", names::list(several)))
                    .at(span, "")
                    .help("keep one of them; for any of several write a list of tables"),
            );
            None
        }
    }
}

/// What its value must be; a source has none.
fn wanted(
    table: &DeTable<'_>,
    (span, known): (&Range<usize>, bool),
    on: Option<&Selector>,
    reader: &mut Reader,
) -> Option<Wanted> {
    let there: Vec<&str> = WANTED.into_iter().filter(|key| table.contains_key(*key)).collect();
    match there.as_slice() {
        [] if matches!(on, Some(Selector::Source(_))) => Some(Wanted::Present),
        ["value"] => Some(Wanted::Exactly(text(table, "value", reader)?.to_owned())),
        ["prefix"] => Some(Wanted::Prefix(text(table, "prefix", reader)?.to_owned())),
        ["present"] => present(table, reader),
        [] => {
            if known && on.is_some() {
                lacks("`value`, `prefix` or `present = true`", span, reader);
            }
            None
        }
        several => {
            reader.push(
                Diagnostic::new(format!("`target` has {} at once", names::list(several)))
                    .at(span, "")
                    .help("keep one of them"),
            );
            None
        }
    }
}

/// Only `true` says something: nobody can be known by what is not there.
fn present(table: &DeTable<'_>, reader: &mut Reader) -> Option<Wanted> {
    let value = table.get("present")?;
    if matches!(value.get_ref(), DeValue::Boolean(true)) {
        return Some(Wanted::Present);
    }
    let what = format!("`present` must be `true`, and this is {}", kind(value.get_ref()));
    let help = "write `present = true`, or a `value`";
    reader.push(Diagnostic::new(what).at(&value.span(), "").help(help));
    None
}

fn side(table: &DeTable<'_>, reader: &mut Reader) -> Option<Side> {
    if !table.contains_key("to") {
        return Some(Side::Candidate);
    }
    let text = text(table, "to", reader)?;
    let help = match text {
        "candidate" => return Some(Side::Candidate),
        "stable" => return Some(Side::Stable),
        other => match names::nearest(other, &SIDES) {
            Some(nearest) => format!("did you mean `to = \"{nearest}\"`?"),
            None => format!("use {}", names::list(&SIDES)),
        },
    };
    let span = table.get("to").map_or(0..0, toml::Spanned::span);
    reader.push(Diagnostic::new(format!("`to = \"{text}\"` cannot be")).at(&span, "").help(help));
    None
}

fn lacks(what: &str, span: &Range<usize>, reader: &mut Reader) {
    let help = format!("write `target = {EXAMPLE}`");
    reader.push(Diagnostic::new(format!("`target` lacks {what}")).at(span, "").help(help));
}

fn refuse(fault: Fault, span: &Range<usize>, reader: &mut Reader) {
    let help = fault.help.unwrap_or_default();
    reader.push(Diagnostic::new(fault.what).at(span, "").help(help));
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

/// A key's text; what is none has been said.
fn text<'a>(table: &'a DeTable<'a>, key: &str, reader: &mut Reader) -> Option<&'a str> {
    let value = table.get(key)?;
    if let Some(text) = value.get_ref().as_str() {
        return Some(text);
    }
    let what = format!("`{key}` of `target` must be text, and this is {}", kind(value.get_ref()));
    let help = format!("put it between quotes, as in `target = {EXAMPLE}`");
    reader.push(Diagnostic::new(what).at(&value.span(), "").help(help));
    None
}
