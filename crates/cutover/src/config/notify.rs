//! Reads `[[notify]]`: who is told what happens.
//!
//! Nobody is told anything here.

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::field::kind;
use super::names;
use super::post;
use super::reader::Reader;
use super::section::Section;
use super::shape::{NotifyConfig, Told};

const EXAMPLE: &str = "{ url = \"https://hooks.example.org/cutover\" }";

/// Reads them, in their order.
pub(crate) fn read(top: &Section<'_>, folder: &Path, reader: &mut Reader) -> Vec<NotifyConfig> {
    let Some(field) = top.field("notify") else { return Vec::new() };
    let DeValue::Array(items) = field.value else {
        let what = format!("`notify` must be a list, and this is {}", kind(field.value));
        let help = format!("write `[[notify]]` above its keys, or `notify = [{EXAMPLE}]`");
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
        return Vec::new();
    };
    let mut all = Vec::new();
    for item in items {
        let DeValue::Table(table) = item.get_ref() else {
            let what = format!("`notify` holds {}", kind(item.get_ref()));
            let help = format!("write `notify = [{EXAMPLE}]`");
            reader.push(Diagnostic::new(what).at(&item.span(), "").help(help));
            continue;
        };
        let section = Section::item(top, field.key, (table, item.span()), reader);
        let to = post::read(&section, folder, reader);
        if section.field("url").is_none() && !section.probably_has("url") {
            let what = "nobody is told anything: there is no `url`";
            let help = "write `url = \"https://hooks.example.org/cutover\"`";
            reader.push(Diagnostic::new(what).at(&section.span, "").help(help));
        }
        let (least, most) = (Duration::from_millis(100), Duration::from_mins(5));
        let usual = Duration::from_secs(10);
        let timeout = reader.duration(section.field("timeout"), usual, least..=most);
        let events = events(&section, reader);
        all.extend(to.map(|to| NotifyConfig { to, events, timeout }));
    }
    all
}

fn events(section: &Section<'_>, reader: &mut Reader) -> Vec<Told> {
    let Some(field) = section.field("events") else { return Told::ALL.to_vec() };
    let Some(items) = reader.texts(Some(&field)) else { return Vec::new() };
    if items.is_empty() {
        let what = "`events` is empty: nobody would be told anything";
        let help = format!("name some of {}, or remove it", names::list(&Told::NAMES));
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    let mut events: Vec<Told> = Vec::new();
    for (text, span) in items {
        match Told::ALL.into_iter().find(|told| told.name() == text) {
            Some(told) if !events.contains(&told) => events.push(told),
            Some(_) => {}
            None => {
                let what = format!("`{}` is nothing that happens", text.escape_debug());
                let help = match names::nearest(text, &Told::NAMES) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => format!("use {}", names::list(&Told::NAMES)),
                };
                reader.push(Diagnostic::new(what).at(&span, "").help(help));
            }
        }
    }
    events
}
