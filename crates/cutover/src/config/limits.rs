//! Reads `[proxy.limits]` and `[app.NAME.limits]`: what clients and instances may take.
//!
//! Who keeps to them is the proxy's affair.

use std::ops::RangeInclusive;
use std::time::Duration;

use model::AppName;
use model::admin::Settings;
use model::limits::{AppLimits, Limits};

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::{address, field::Field};

const DAY: Duration = Duration::from_hours(24);
const NONE: Duration = Duration::ZERO;
/// The shortest of those that cannot be left out.
const SHORT: Duration = Duration::from_millis(1);
/// The proxy keeps heads in memory.
const HEAD: RangeInclusive<u64> = 1_024..=32 * 1_024;
/// It has room for as many.
const FIELDS: RangeInclusive<u32> = 1..=100;
/// Largest size of a body that can be named.
const BODY: u64 = 1 << 50;
/// More than a process can have open.
const OPEN: u32 = 1 << 20;
/// More than anybody serves.
const RATE: u32 = 1_000_000;

/// Reads the section into the settings; an absent one is all defaults.
pub(crate) fn of_proxy(proxy: &Section<'_>, settings: &mut Settings, reader: &mut Reader) {
    let own = Section::within(proxy, "limits", reader);
    let default = Settings::default();
    let mut time = |key, default, least| {
        ms(reader.duration(own.field(key), Duration::from_millis(default), least..=DAY))
    };
    settings.client_head_ms = time("head_timeout", default.client_head_ms, SHORT);
    settings.client_body_ms = time("body_timeout", default.client_body_ms, SHORT);
    settings.client_reads_ms = time("read_timeout", default.client_reads_ms, SHORT);
    let grace = time("body_grace", default.limits.body_grace_ms, SHORT);
    settings.limits = Limits {
        connect_ms: time("connect_timeout", default.limits.connect_ms, SHORT),
        instance_reads_ms: settings.client_body_ms,
        client_idle_ms: time("idle_timeout", default.limits.client_idle_ms, SHORT),
        client_age_ms: time("client_age", default.limits.client_age_ms, NONE),
        request_ms: time("request_timeout", default.limits.request_ms, NONE),
        head_bytes: reader.size(own.field("max_head"), *HEAD.end(), HEAD),
        fields: reader.count(own.field("max_fields"), *FIELDS.end(), FIELDS),
        body_bytes: reader.size(own.field("max_body"), 0, 0..=BODY),
        body_rate: reader.count(own.field("min_body_rate"), default.limits.body_rate, 0..=RATE),
        body_grace_ms: grace,
        client_connections: reader.count(own.field("client_connections"), 0, 0..=OPEN),
        client_requests: reader.count(own.field("client_requests"), 0, 0..=OPEN),
        client_rate: reader.count(own.field("client_rate"), 0, 0..=RATE),
        client_burst: burst(&own, reader),
        exempt: own
            .field("client_exempt")
            .map_or(default.limits.exempt, |field| address::networks(Some(&field), reader)),
    };
}

/// A burst of nothing that has a rate is a mistake.
fn burst(own: &Section<'_>, reader: &mut Reader) -> u32 {
    let field = own.field("client_burst");
    if let (Some(Field { span, .. }), None) = (&field, own.field("client_rate"))
        && !own.probably_has("client_rate")
    {
        let what = "`client_burst` does nothing here: there is no `client_rate`";
        let help = "add a line such as `client_rate = 50`, or remove this";
        reader.push(Diagnostic::new(what).at(span, "").help(help));
    }
    reader.count(field, 0, 0..=RATE)
}

/// Reads the section of one app.
pub(crate) fn of_app(
    app: &Section<'_>,
    name: &AppName,
    settings: &mut Settings,
    reader: &mut Reader,
) {
    let own = Section::within(app, "limits", reader);
    let mut time = |key| {
        let field = own.field(key);
        field.map(|field| ms(reader.duration(Some(field), NONE, NONE..=DAY)))
    };
    let own = AppLimits {
        app: name.clone(),
        answer_begins_ms: time("answer_begins"),
        answer_silence_ms: time("answer_silence"),
        request_ms: time("request_timeout"),
        body_bytes: own.field("max_body").map(|field| reader.size(Some(field), 0, 0..=BODY)),
    };
    let times = [own.answer_begins_ms, own.answer_silence_ms, own.request_ms];
    if times.iter().chain([&own.body_bytes]).any(Option::is_some) {
        settings.apps.push(own);
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What differs between two settings: key, before, after.
pub(crate) fn differ(before: &Settings, after: &Settings) -> Vec<(String, String, String)> {
    let differs = |(one, two): (&(&str, String), &(&str, String))| {
        (one != two).then(|| (format!("[proxy.limits] {}", one.0), one.1.clone(), two.1.clone()))
    };
    let (known, new) = (told(before), told(after));
    let mut found: Vec<_> = known.iter().zip(&new).filter_map(differs).collect();
    let names = before.apps.iter().chain(&after.apps).map(|own| &own.app);
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let own = |of: &Settings| of.apps.iter().find(|own| own.app == *name).map(of_one);
        let own = [own(before), own(after)].map(|own| own.unwrap_or_else(|| "none".to_owned()));
        if own[0] != own[1] {
            let [before, after] = own;
            found.push((format!("app.{name} limits"), before, after));
        }
    }
    found
}

/// All keys and their values.
fn told(of: &Settings) -> [(&'static str, String); 17] {
    let limits = &of.limits;
    let exempt: Vec<String> = limits.exempt.iter().map(ToString::to_string).collect();
    [
        ("connect_timeout (ms)", limits.connect_ms.to_string()),
        ("head_timeout (ms)", of.client_head_ms.to_string()),
        ("body_timeout (ms)", of.client_body_ms.to_string()),
        ("read_timeout (ms)", of.client_reads_ms.to_string()),
        ("idle_timeout (ms)", limits.client_idle_ms.to_string()),
        ("client_age (ms)", limits.client_age_ms.to_string()),
        ("request_timeout (ms)", limits.request_ms.to_string()),
        ("max_head", limits.head_bytes.to_string()),
        ("max_fields", limits.fields.to_string()),
        ("max_body", limits.body_bytes.to_string()),
        ("min_body_rate", limits.body_rate.to_string()),
        ("body_grace (ms)", limits.body_grace_ms.to_string()),
        ("client_connections", limits.client_connections.to_string()),
        ("client_requests", limits.client_requests.to_string()),
        ("client_rate", limits.client_rate.to_string()),
        ("client_burst", limits.client_burst.to_string()),
        ("client_exempt", exempt.join(" ")),
    ]
}

/// What is said of one app.
fn of_one(own: &AppLimits) -> String {
    let keys = [
        ("answer_begins (ms)", own.answer_begins_ms),
        ("answer_silence (ms)", own.answer_silence_ms),
        ("request_timeout (ms)", own.request_ms),
        ("max_body", own.body_bytes),
    ];
    let said = keys.iter().filter_map(|(key, value)| Some(format!("{key} {}", (*value)?)));
    said.collect::<Vec<_>>().join(", ")
}
