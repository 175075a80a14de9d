//! Reads `[app.NAME.consul]`: what is registered of an app's instances beside what Cutover needs, for whoever
//! follows Consul; and refuses of an app what nobody can who only follows.

use model::Weight;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, HaProxyConfig, Registered, RouterConfig, Strategy};
use super::{command, source};

/// What may stand in tags and metadata.
const KNOWN: [&str; 2] = ["version", "instance"];

/// Reads the section; an absent one has nothing.
pub(crate) fn read(app: &Section<'_>, reader: &mut Reader) -> Registered {
    let section = Section::within(app, "consul", reader);
    let tags = reader.texts(section.field("tags").as_ref()).unwrap_or_default();
    for (text, span) in &tags {
        command::check(text, span, &KNOWN, reader);
    }
    let meta = source::meta(&section, &KNOWN, reader);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if let Some((odd, field)) =
        meta.keys().find(|key| !key.chars().all(fits)).zip(section.field("meta"))
    {
        let what = format!("Consul takes no metadata with the name `{odd}`");
        let help = "use letters, digits, `-` and `_`";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    Registered { tags: tags.into_iter().map(|(text, _)| text.to_owned()).collect(), meta }
}

/// Refuses it where nothing is registered.
pub(super) fn told(router: &RouterConfig, app: &Section<'_>, reader: &mut Reader) {
    let registers = matches!(
        router,
        RouterConfig::Follower(_) | RouterConfig::HaProxy(HaProxyConfig { consul: Some(_), .. })
    );
    let Some(field) = app.field("consul").filter(|_| !registers) else { return };
    let what = "nothing is registered at a Consul here";
    let help = "write `kind = \"consul\"` under `[router]`, or remove the section";
    reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
}

/// Why nobody who only follows Consul can carry an app, and what to do.
pub(super) fn unfit(app: &AppConfig) -> Option<(String, &'static str)> {
    const SHARES: &str = "use `steps = [{ instances = 1 }]`, `strategy = \"blue-green\"` or \"rolling\", or let a \
                          HAProxy follow Consul (remove `follower`)";
    if let Some(target) = app.rollout.targets.first() {
        let help = "remove `target`, or let a HAProxy follow Consul (remove `follower`)";
        return Some((format!("a target by the {}", target.mark), help));
    }
    let Strategy::Canary { steps, counts, .. } = &app.rollout.strategy else { return None };
    if !counts.is_empty() {
        return None;
    }
    let share = steps.iter().find(|step| **step > Weight::NONE && **step < Weight::ALL)?;
    Some((format!("a share of {share}: it gives every instance the same"), SHARES))
}
