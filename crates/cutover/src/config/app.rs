//! Reads `[app.NAME]` and its health and rollout sections: puts together what the readers of single keys
//! have read.
//!
//! Whether apps get in each other's way is not seen here, but in `claim`; what a deploy freezes of one is
//! `release`'s.

use std::path::Path;
use std::time::Duration;

use model::AppName;
use rollout::OnIncident;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::over_tls::{self, Served};
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, HealthConfig, RolloutConfig, Strategy};
use super::{
    Judge, address, analysis, cohort, command, environment, handover, hooks, metrics, registered,
    source, strategy, target, watch, words,
};
use crate::duration;

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
/// Half a basis point: less is rounded to nothing.
const LEAST_SHARE: f64 = 0.000_05;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The sections of all apps; reports when there is none.
pub(crate) fn sections<'a>(top: &Section<'a>, reader: &mut Reader) -> Vec<Section<'a>> {
    const FIRST: &str =
        "write a section for it:\n[app.web]\ncommand = [\"./server\", \"--port\", \"{port}\"]";
    let Some(field) = top.field("app") else {
        if top.probably_has("app") {
            return Vec::new();
        }
        reader.push(Diagnostic::new("no app is configured").at(&(0..0), "").help(FIRST));
        return Vec::new();
    };
    let DeValue::Table(apps) = field.value else {
        let what = "`app` must hold a section for each app";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(FIRST));
        return Vec::new();
    };
    if apps.is_empty() {
        reader.push(Diagnostic::new("no app is configured").at(&field.span, "").help(FIRST));
    }
    let mut sections = Vec::new();
    for (key, value) in apps {
        let name = key.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(table) => {
                if let Err(fault) = AppName::new(name) {
                    let help = fault.help.unwrap_or_default();
                    reader.push(Diagnostic::new(fault.what).at(&key.span(), "").help(help));
                }
                sections.push(Section::of("app", name, (table, key.span()), reader));
            }
            _ => reader.push(
                Diagnostic::new(format!("`{name}` stands in `[app]`, which holds only apps"))
                    .at(&key.span(), "")
                    .help("give the app a name: write `[app.web]` instead of `[app]`"),
            ),
        }
    }
    sections
}

/// Reads one app; `None` when its name cannot be one.
pub(crate) fn read(
    app: &Section<'_>,
    (folder, judge, served): (&Path, Judge<'_>, Served),
    reader: &mut Reader,
) -> Option<AppConfig> {
    let name = AppName::new(app.name.strip_prefix("app.")?).ok();
    let health = health(&Section::within(app, "health", reader), reader);
    let rollout = Section::within(app, "rollout", reader);
    let probed = Section::within(app, "probe", reader);
    let path_prefix = address::path(app.field("path_prefix"), "/", reader);
    let probe = watch::read(&probed, &path_prefix, reader);
    let (instances, source) = source::read(app, folder, reader);
    let mut read = AppConfig {
        name: name.clone().or_else(|| AppName::new("unnamed").ok())?,
        command: if source.is_none() { command::read(app, reader) } else { Vec::new() },
        directory: folder.join(command::directory(app, reader)),
        environment: environment::read(app, reader),
        instances,
        source,
        hosts: address::hosts(app, reader),
        path_prefix,
        slow_start: reader.duration(app.field("slow_start"), Duration::ZERO, Duration::ZERO..=HOUR),
        registered: registered::read(app, reader),
        stop_timeout: reader.duration(app.field("stop_timeout"), seconds(10), ms(100)..=DAY),
        health,
        rollout: rollout_of(&rollout, (instances, &probe.path), folder, reader),
        hooks: Vec::new(),
        probe,
    };
    read.hooks = hooks::read(app, (&read.rollout.strategy, folder), reader);
    strategy::can_be_held(&rollout, &read, reader);
    source::no_other(&read, app, reader);
    if let Strategy::Recreate { hold, .. } = read.rollout.strategy {
        watch::wait_along(&probed, hold, &mut read.probe);
    }
    over_tls::read((app, &probed), &mut read, (folder, judge, served), reader);
    name.map(|_| read)
}

fn health(health: &Section<'_>, reader: &mut Reader) -> HealthConfig {
    let tcp = reader.switch(health.field("tcp"), false);
    let path = address::path(health.field("path"), "/", reader);
    let command = health.field("command");
    one_kind(health, tcp, reader);
    let asks = command.is_some() || health.probably_has("command");
    let example = "[\"./check\", \"{port}\"]";
    let config = HealthConfig {
        path: (!tcp && !asks).then_some(path),
        command: command.map_or_else(Vec::new, |field| command::list(&field, example, reader)),
        interval: reader.duration(health.field("interval"), ms(500), ms(10)..=HOUR),
        timeout: reader.duration(health.field("timeout"), seconds(2), ms(10)..=seconds(300)),
        rise: reader.count(health.field("rise"), 3, 1..=100),
        fall: reader.count(health.field("fall"), 3, 1..=100),
        deadline: reader.duration(health.field("deadline"), seconds(60), ms(100)..=DAY),
        fail_open: reader.percent(health.field("fail_open"), 50, 0..=100),
    };
    can_be_ready(health, &config, reader);
    config
}

/// Refuses checks that ask in two ways.
fn one_kind(health: &Section<'_>, tcp: bool, reader: &mut Reader) {
    const WAYS: [(&str, &str); 3] =
        [("path", "asks with GET"), ("tcp", "only connects"), ("command", "asks a program")];
    let used = |key: &str| key != "tcp" || tcp;
    let found = WAYS.iter().filter(|(key, _)| used(key));
    let found: Vec<_> = found.filter_map(|(key, how)| Some((health.field(key)?, how))).collect();
    let [(one, asks), (other, asks_too), ..] = &found[..] else { return };
    let help = match (one.key, other.key) {
        ("path", "tcp") => "remove one of the two; `path` sees more",
        _ => "remove one of the two: a program can ask whatever it likes itself",
    };
    let what = format!("`[{}]` asks for both `{}` and `{}`", health.name, one.key, other.key);
    reader
        .push(Diagnostic::new(what).at(&one.span, **asks).also(&other.span, **asks_too).help(help));
}

/// Refuses checks that take longer than the deadline even when all of them pass.
fn can_be_ready(health: &Section<'_>, config: &HealthConfig, reader: &mut Reader) {
    let least = config.interval * (config.rise - 1);
    if least < config.deadline {
        return;
    }
    let fields = ["deadline", "interval", "rise"].map(|key| health.field(key));
    let span = fields.into_iter().flatten().next().map_or(0..0, |field| field.span);
    let (least, deadline) = (duration::show(least), duration::show(config.deadline));
    let what = format!(
        "no instance could become ready: {} passes take at least {least}, and the deadline is \
         {deadline}",
        config.rise
    );
    let roomy = duration::show((config.interval * config.rise * 2).min(DAY));
    let help = format!("write `deadline = \"{roomy}\"`, or lower `interval` or `rise`");
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
}

fn rollout_of(
    rollout: &Section<'_>,
    (instances, probe_path): (u16, &str),
    folder: &Path,
    reader: &mut Reader,
) -> RolloutConfig {
    let drain = rollout.field("drain_timeout");
    let handover_timeout = rollout.field("handover_timeout");
    let (strategy, pause_after) = strategy::read(rollout, instances, reader);
    let pause_timeout = rollout.field("pause_timeout");
    let drain_timeout = reader.duration(drain, seconds(30), Duration::ZERO..=DAY);
    let return_home = strategy::returns_home(rollout, &strategy, reader);
    RolloutConfig {
        return_home,
        keep_old: strategy::keep_old(rollout, (&strategy, return_home), reader),
        targets: target::read(rollout, &strategy, reader),
        cohorts: cohort::read(rollout, reader),
        analysis: analysis::read(rollout, &strategy, reader),
        incident: words::one_of(
            rollout,
            "incident",
            &[("pause", OnIncident::Pause), ("resume", OnIncident::Resume)],
            reader,
        ),
        metrics: metrics::read(rollout, (&strategy, folder), reader),
        strategy,
        pause_after,
        pause_timeout: reader.duration(pause_timeout, DAY, seconds(1)..=30 * DAY),
        preview_requests: reader.count(rollout.field("preview_requests"), 20, 0..=10_000),
        preview_path: address::path(rollout.field("preview_path"), probe_path, reader),
        bake: reader.duration(rollout.field("bake"), seconds(10), Duration::ZERO..=DAY),
        longest_request: longest_request(rollout, drain_timeout, reader),
        drain_timeout,
        handover_timeout: reader.duration(handover_timeout, seconds(30), Duration::ZERO..=DAY),
        handover: handover::read(rollout, reader),
        max_errors: reader.count(rollout.field("max_errors"), 3, 0..=1_000_000),
        max_error_share: error_share(rollout, reader),
    }
}

/// A share is judged in basis points: of less there would be no limit at all.
fn error_share(rollout: &Section<'_>, reader: &mut Reader) -> f64 {
    let field = rollout.field("max_error_share");
    let span = field.as_ref().map(|field| field.span.clone());
    let share = reader.share(field, 0.01);
    if let Some(span) = span.filter(|_| share < LEAST_SHARE) {
        let what = "`max_error_share` is 0.0001 (1 of 10,000) at the least";
        let help = "for the strictest limit write `max_error_share = 0.0001`; `max_error_share = 1.0` sets none";
        reader.push(Diagnostic::new(what.to_owned()).at(&span, "").help(help));
    }
    share
}

/// A drain that is timed ends after this; by default after a third of the time it may take.
fn longest_request(rollout: &Section<'_>, drain: Duration, reader: &mut Reader) -> Duration {
    let field = rollout.field("longest_request");
    let span = field.as_ref().map(|field| field.span.clone());
    let longest = reader.duration(field, drain / 3, Duration::ZERO..=DAY);
    if let Some(span) = span.filter(|_| longest >= drain) {
        let (long, drain) = (duration::show(longest), duration::show(drain));
        let what =
            format!("`longest_request` ({long}) is not shorter than `drain_timeout` ({drain})");
        let help = "a drain is given up at its timeout: make `drain_timeout` the longer of the two";
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
    }
    longest
}
