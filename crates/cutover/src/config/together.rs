//! Reads `[together.NAME]`: apps that can be rolled out in one rollout. What that comes to is not known here.

use std::collections::BTreeMap;
use std::ops::Range;

use model::AppName;
use toml::de::{DeArray, DeValue};

use super::diagnostic::Diagnostic;
use super::names;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, Strategy};

type Apps = BTreeMap<AppName, AppConfig>;
/// An app as it is named, and where.
type Named = (AppName, Range<usize>);

const FIX: &str = "write `apps = [\"message\", \"credit\"]` with the names of two apps or more";

/// The groups; reports names that mean no app, or two groups, and strategies that cannot go together.
pub(crate) fn read(
    top: &Section<'_>,
    apps: &Apps,
    reader: &mut Reader,
) -> BTreeMap<AppName, Vec<AppName>> {
    let mut groups = BTreeMap::new();
    let Some(field) = top.field("together") else { return groups };
    let DeValue::Table(table) = field.value else {
        let what = "`together` must hold a section for each group of apps";
        let help = "write `[together.NAME]` with `apps` below it";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
        return groups;
    };
    let known = known(top);
    let mut taken = BTreeMap::new();
    for (key, value) in table {
        let (name, span) = (key.get_ref().as_ref(), key.span());
        let DeValue::Table(inner) = value.get_ref() else {
            let what = format!("`together.{name}` must be a section");
            reader.push(Diagnostic::new(what).at(&span, "").help(FIX));
            continue;
        };
        let section = Section::of("together", name, (inner, span.clone()), reader);
        let group = checked(name, &span, &known, reader);
        let members = members(&section, &known, reader);
        once(&members, (name, &mut taken), reader);
        in_step(&members, apps, reader);
        if let Some(group) = group {
            groups.insert(group, members.into_iter().map(|(app, _)| app).collect());
        }
    }
    groups
}

/// The names of all apps of the file, those with mistakes too.
fn known<'a>(top: &Section<'a>) -> Vec<&'a str> {
    match top.field("app").map(|field| field.value) {
        Some(DeValue::Table(apps)) => apps.iter().map(|(key, _)| key.get_ref().as_ref()).collect(),
        _ => Vec::new(),
    }
}

/// A name that no app has: commands take either.
fn checked(
    name: &str,
    span: &Range<usize>,
    known: &[&str],
    reader: &mut Reader,
) -> Option<AppName> {
    if known.contains(&name) {
        let what = format!("`{name}` is an app, and apps together need a name of their own");
        let help = format!("write `[together.{name}-all]`");
        reader.push(Diagnostic::new(what).at(span, "").help(help));
        return None;
    }
    AppName::new(name)
        .map_err(|fault| {
            let help = fault.help.unwrap_or_default();
            reader.push(Diagnostic::new(fault.what).at(span, "").help(help));
        })
        .ok()
}

fn members(section: &Section<'_>, known: &[&str], reader: &mut Reader) -> Vec<Named> {
    let Some(field) = section.field("apps") else {
        if !section.probably_has("apps") {
            let what = format!("`[{}]` names no apps", section.name);
            reader.push(Diagnostic::new(what).at(&section.span, "").help(FIX));
        }
        return Vec::new();
    };
    let DeValue::Array(list) = field.value else {
        reader.wrong_kind(&field, "a list of apps", FIX);
        return Vec::new();
    };
    let members = named(list, known, reader);
    if list.len() < 2 {
        let what = "one app alone goes together with nobody";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(FIX));
    }
    members
}

fn named(list: &DeArray<'_>, known: &[&str], reader: &mut Reader) -> Vec<Named> {
    let mut members: Vec<Named> = Vec::new();
    for one in list {
        let span = one.span();
        let DeValue::String(text) = one.get_ref() else {
            let what = "an app is named by text";
            reader.push(Diagnostic::new(what).at(&span, "").help(FIX));
            continue;
        };
        let app = AppName::new(text.to_string()).ok().filter(|app| known.contains(&app.as_str()));
        let Some(app) = app else {
            let help = match names::nearest(text, known) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known in this file: {}", names::list(known)),
            };
            let what = format!("there is no app `{}`", text.escape_debug());
            reader.push(Diagnostic::new(what).at(&span, "").help(help));
            continue;
        };
        if let Some((_, first)) = members.iter().find(|(known, _)| *known == app) {
            let what = format!("`{app}` is named twice");
            let again = Diagnostic::new(what).at(&span, "here again").also(first, "first here");
            reader.push(again.help("remove one of them"));
            continue;
        }
        members.push((app, span));
    }
    members
}

/// An app goes together with one group only: nobody could say which is meant when it is under way.
fn once(
    members: &[Named],
    (name, taken): (&str, &mut BTreeMap<AppName, (String, Range<usize>)>),
    reader: &mut Reader,
) {
    for (app, span) in members {
        if let Some((other, first)) = taken.get(app) {
            let what = format!("`{app}` is in `together.{other}` already");
            let help = "an app goes together with one group only: remove it from one of them";
            reader.push(Diagnostic::new(what).at(span, "").also(first, "here").help(help));
        } else {
            taken.insert(app.clone(), (name.to_owned(), span.clone()));
        }
    }
}

/// They take their shares step by step together, and blue-green, which has none, would be at everything with
/// the first of them. What goes instance by instance is in no step with anybody, and may.
fn in_step(members: &[Named], apps: &Apps, reader: &mut Reader) {
    let steps = |(app, _): &Named| match &apps.get(app)?.rollout.strategy {
        // By instances the shares follow from how many each app has.
        Strategy::Canary { counts, .. } if !counts.is_empty() => Some((counts.len(), &[][..])),
        Strategy::Canary { steps, .. } => Some((0, &steps[..])),
        _ => None,
    };
    let Some(first) = members.iter().find(|one| steps(one).is_some()) else { return };
    let at_once = |(app, _): &Named| {
        apps.get(app).is_some_and(|app| app.rollout.strategy == Strategy::BlueGreen)
    };
    let differs = |one: &&Named| at_once(one) || steps(one).is_some() && steps(one) != steps(first);
    if let Some((app, span)) = members.iter().find(differs) {
        let what = format!("`{app}` and `{}` do not take the same steps", first.0);
        let help = "those that go together take their shares together: give both the same `steps` (or `preview`)";
        reader.push(Diagnostic::new(what).at(span, "").also(&first.1, "and this").help(help));
    }
}
