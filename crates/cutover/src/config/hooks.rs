//! Reads `[[app.NAME.hooks]]`: what is called at which moment of a rollout.
//!
//! A moment that does not come with the strategy of the app is a mistake, not ignored. Which step is meant is
//! read in `hook_step`; whether a program is there is not seen here, but when it is called.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use model::{Call, Hook, Moment, OnFailure, Version};
use toml::de::DeValue;

use super::command::{check, fill_version};
use super::diagnostic::Diagnostic;
use super::field::kind;
use super::hook_step;
use super::names;
use super::post;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, Strategy};

const EXAMPLE: &str = "{ name = \"smoke\", after = \"start\", command = [\"./smoke\"] }";
const RESORTS: [&str; 3] = ["abort", "pause", "continue"];

impl AppConfig {
    /// What is called in a rollout of `version`.
    pub(crate) fn hooks(&self, version: &Version) -> Vec<Hook> {
        let mut hooks = self.hooks.clone();
        for hook in &mut hooks {
            if let Call::Program(command) = &mut hook.call {
                for text in command {
                    *text = fill_version(text, version.as_str());
                }
            }
        }
        hooks
    }
}

/// Reads them, in their order.
pub(crate) fn read(
    app: &Section<'_>,
    (strategy, folder): (&Strategy, &Path),
    reader: &mut Reader,
) -> Vec<Hook> {
    let Some(field) = app.field("hooks") else { return Vec::new() };
    let DeValue::Array(items) = field.value else {
        reader.wrong_kind(&field, "a list of hooks", &format!("[{EXAMPLE}]"));
        return Vec::new();
    };
    let (mut hooks, mut names) = (Vec::new(), BTreeSet::new());
    for item in items {
        let DeValue::Table(table) = item.get_ref() else {
            let what = format!("`hooks` holds {}", kind(item.get_ref()));
            let help = format!("write {EXAMPLE}");
            reader.push(
                Diagnostic::new(what).at(&item.span(), "every item must be a hook").help(help),
            );
            continue;
        };
        let section = Section::item(app, field.key, (table, item.span()), reader);
        let Some(hook) = one(&section, (strategy, folder), reader) else { continue };
        if !names.insert(hook.name.clone()) {
            let what = format!("there are two hooks `{}`", hook.name);
            let span = section.field("name").map_or(item.span(), |field| field.span);
            reader.push(Diagnostic::new(what).at(&span, "").help("give each a name of its own"));
        }
        hooks.push(hook);
    }
    hooks
}

fn one(
    hook: &Section<'_>,
    (strategy, folder): (&Strategy, &Path),
    reader: &mut Reader,
) -> Option<Hook> {
    let name = name(hook, reader);
    let moment = moment(hook, strategy, reader);
    let step = hook_step::read(hook, (strategy, moment), reader);
    let call = call(hook, folder, reader);
    let (least, most) = (Duration::from_millis(100), Duration::from_hours(1));
    let timeout = reader.duration(hook.field("timeout"), Duration::from_secs(30), least..=most);
    let retries = reader.count(hook.field("retries"), 0, 0..=10);
    let once = reader.switch(hook.field("once"), false);
    let rollback = reader.switch(hook.field("rollback"), false);
    if rollback {
        hook_step::not_in_rollbacks(hook, moment, reader);
    }
    let on_failure = on_failure(hook, moment?, reader);
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let (name, moment, call) = (name?, moment?, call?);
    Some(Hook { name, moment, step, call, timeout_ms, retries, on_failure, once, rollback })
}

fn name(hook: &Section<'_>, reader: &mut Reader) -> Option<String> {
    let Some(field) = hook.field("name") else {
        if !hook.probably_has("name") {
            let what = "a hook has no `name`";
            let help = "write `name = \"smoke\"`: reports and the journal call it so";
            reader.push(Diagnostic::new(what).at(&hook.span, "").help(help));
        }
        return None;
    };
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() > 40 || !text.bytes().all(plain) {
        let what = format!("`{}` cannot be the name of a hook", text.escape_debug());
        let help = "use lower-case letters, digits and `-`, at most 40";
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
        return None;
    }
    Some(text.to_owned())
}

/// When: before or after what.
fn moment(hook: &Section<'_>, strategy: &Strategy, reader: &mut Reader) -> Option<Moment> {
    let given: Vec<_> = ["before", "after"].iter().filter_map(|key| hook.field(key)).collect();
    let [field] = &given[..] else {
        let meant = ["before", "after"].iter().any(|key| hook.probably_has(key));
        let (what, span) = match given.get(1) {
            Some(second) => ("a hook is called before or after something, not both", &second.span),
            None => ("a hook says neither `before` nor `after` what it is called", &hook.span),
        };
        let help = "write `before = \"switch\"` or `after = \"switch\"`";
        if !meant {
            reader.push(Diagnostic::new(what).at(span, "").help(help));
        }
        return None;
    };
    let (side, span) = (field.key, field.span.clone());
    let text = reader.text(Some(field.clone()))?;
    let of_side = || Moment::ALL.into_iter().filter(|moment| moment.side() == side);
    let Some(moment) = of_side().find(|moment| moment.phase() == text) else {
        let known: Vec<&str> = of_side().map(Moment::phase).collect();
        let what = format!("there is no moment {side} `{}`", text.escape_debug());
        let help = match names::nearest(text, &known) {
            Some(nearest) => format!("did you mean `{side} = \"{nearest}\"`?"),
            None => format!("there is {}", names::list(&known)),
        };
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
        return None;
    };
    never_comes(moment, strategy).map_or(Some(moment), |why| {
        let what = format!("the moment {moment} does not come here: {why}");
        let help = if moment.is_of_steps() {
            format!("write `{side} = \"switch\"`, or use `strategy = \"canary\"` with `steps`")
        } else {
            "use another moment, or another strategy".to_owned()
        };
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
        None
    })
}

fn never_comes(moment: Moment, strategy: &Strategy) -> Option<&'static str> {
    use Moment::{AfterDrain, AfterStart, BeforeDrain, BeforeSwitch};
    match (strategy, moment) {
        (Strategy::Canary { .. }, moment) if moment.is_of_steps() => None,
        (Strategy::Rolling { .. }, moment) if moment.is_of_steps() => {
            Some("steps are a canary's, and \"rolling\" has batches")
        }
        (_, moment) if moment.is_of_steps() => {
            Some("steps are a canary's, and here all users come at once")
        }
        (Strategy::Recreate { .. }, AfterStart | BeforeSwitch | BeforeDrain | AfterDrain) => {
            Some("with \"recreate\" requests wait then, and must not wait for a hook")
        }
        (Strategy::Rolling { .. }, BeforeDrain | AfterDrain) => {
            Some("with \"rolling\" each batch of the old version drains by itself")
        }
        _ => None,
    }
}

/// What: a program, or an address.
fn call(hook: &Section<'_>, folder: &Path, reader: &mut Reader) -> Option<Call> {
    let (command, url) = (hook.field("command"), hook.field("url"));
    let post = post::read(hook, folder, reader);
    match (command, url) {
        (Some(command), None) => {
            for key in ["token", "ca"] {
                if let Some(field) = hook.field(key) {
                    let what = format!("`{key}` does nothing here: a program is called");
                    let help = "remove it; a program finds secrets in the app's `environment`";
                    reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
                }
            }
            let items = reader.texts(Some(&command))?;
            program(items, &command.span, reader).map(Call::Program)
        }
        (None, Some(_)) => post.map(Call::Post),
        (Some(_), Some(url)) => {
            let what = "a hook calls a program or an address, not both";
            reader.push(Diagnostic::new(what).at(&url.span, "").help("write two hooks"));
            None
        }
        (None, None) => {
            if !hook.probably_has("command") && !hook.probably_has("url") {
                let what = "a hook says nothing to call";
                let help = "write `command = [\"./smoke\", \"{version}\"]` or a `url`";
                reader.push(Diagnostic::new(what).at(&hook.span, "").help(help));
            }
            None
        }
    }
}

fn program(
    items: Vec<(&str, Range<usize>)>,
    span: &Range<usize>,
    reader: &mut Reader,
) -> Option<Vec<String>> {
    if items.first().is_none_or(|(program, _)| program.is_empty()) {
        let what = "`command` names no program";
        let help = "write `command = [\"./smoke\", \"{version}\"]`";
        reader.push(Diagnostic::new(what).at(span, "").help(help));
        return None;
    }
    for (text, span) in &items {
        check(text, span, &["version"], reader);
    }
    Some(items.into_iter().map(|(text, _)| text.to_owned()).collect())
}

/// What follows when it fails: while the rollout can turn back it does, by default.
fn on_failure(hook: &Section<'_>, moment: Moment, reader: &mut Reader) -> OnFailure {
    let turns = moment.can_turn_back();
    let usual = if turns { OnFailure::Abort } else { OnFailure::Continue };
    let Some(field) = hook.field("on_failure") else { return usual };
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return usual };
    let found = match text {
        "abort" => OnFailure::Abort,
        "pause" => OnFailure::Pause,
        "continue" => OnFailure::Continue,
        other => {
            let what = format!("`on_failure = \"{}\"` cannot be", other.escape_debug());
            let help = match names::nearest(other, &RESORTS) {
                Some(nearest) => format!("did you mean `on_failure = \"{nearest}\"`?"),
                None => format!("use {}", names::list(&RESORTS)),
            };
            reader.push(Diagnostic::new(what).at(&span, "").help(help));
            return usual;
        }
    };
    if !turns && found != OnFailure::Continue {
        let what =
            format!("`on_failure = \"{text}\"` comes too late {moment}: the rollout is final");
        let help = "write `on_failure = \"continue\"`, or use an earlier moment";
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
    }
    found
}
