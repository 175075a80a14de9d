//! Reads `[app.NAME.probe]`: how the users' view is measured.
//!
//! How a lane asks is the prober's affair, what its answers come to the report's.

use std::ops::Range;
use std::time::Duration;

use model::Lane;
use probe::Pace;

use super::diagnostic::Diagnostic;
use super::probed::ProbeConfig;
use super::reader::Reader;
use super::section::Section;
use super::words::one_of;
use super::{address, names};
use crate::duration;

/// How long what is slow on purpose takes by itself, unless half of the timeout is less.
const SLOWNESS: Duration = Duration::from_secs(2);

/// What may be paid for sending on time; the first is the default.
fn paces() -> [(&'static str, Pace); 3] {
    [("steady", Pace::default()), ("frugal", Pace::Frugal), ("exact", Pace::Exact)]
}

/// Reads the section; paths default to places below the app's own prefix.
pub(crate) fn read(probe: &Section<'_>, prefix: &str, reader: &mut Reader) -> ProbeConfig {
    let bare = prefix.trim_end_matches('/');
    let second = Duration::from_secs;
    let smallest = Duration::from_millis(1);
    let timeout = reader.duration(probe.field("timeout"), second(10), smallest..=second(300));
    let rests = smallest..=Duration::from_hours(1);
    let mut place =
        |key, usual: &str| address::path(probe.field(key), &format!("{bare}{usual}"), reader);
    let [websocket_path, upload_path, download_path, events_path, orders_path] = [
        place("websocket_path", "/ws"),
        place("upload_path", "/upload"),
        place("download_path", "/download?bytes=4194304"),
        place("events_path", "/events"),
        place("orders_path", "/orders"),
    ];
    let config = ProbeConfig {
        enabled: reader.switch(probe.field("enabled"), true),
        rate: reader.count(probe.field("rate"), 50, 1..=5000),
        pace: one_of(probe, "pace", &paces(), reader),
        path: address::path(probe.field("path"), prefix, reader),
        // Read in `over_tls`, when more is known.
        host: None,
        tls: None,
        lanes: lanes(probe, reader),
        websocket_path,
        sockets: reader.count(probe.field("sockets"), 4, 1..=1000),
        upload_path,
        download_path,
        events_path,
        orders_path,
        slowness: reader.duration(
            probe.field("slowness"),
            SLOWNESS.min(timeout / 2),
            Duration::ZERO..=second(150),
        ),
        idle_most: reader.duration(probe.field("idle_most"), second(20), rests),
        late_after: reader.duration(probe.field("late_after"), second(1), smallest..=second(300)),
        timeout,
        version_header: header(probe, reader),
    };
    reaches_the_app(probe, "path", (&config.path, prefix), reader);
    for (key, path) in [
        ("websocket_path", &config.websocket_path),
        ("upload_path", &config.upload_path),
        ("download_path", &config.download_path),
        ("events_path", &config.events_path),
        ("orders_path", &config.orders_path),
    ] {
        reaches_the_app(probe, key, (path, prefix), reader);
    }
    can_be_late(probe, &config, reader);
    can_be_slow(probe, &config, reader);
    config
}

/// Where requests are to wait, waiting is not late unless the file says so.
pub(crate) fn wait_along(probe: &Section<'_>, hold: Duration, config: &mut ProbeConfig) {
    let given = |key| probe.field(key).is_some();
    if !given("late_after") && !given("timeout") {
        config.late_after += hold;
        config.timeout += hold;
    }
}

fn lanes(probe: &Section<'_>, reader: &mut Reader) -> Vec<Lane> {
    let default = vec![Lane::KeepAlive, Lane::Fresh];
    let field = probe.field("lanes");
    let Some(texts) = reader.texts(field.as_ref()) else {
        return default;
    };
    let known = Lane::ALL.map(Lane::name);
    if let Some(field) = field.filter(|_| texts.is_empty()) {
        reader.push(
            Diagnostic::new("`lanes` is empty, so nothing would be measured")
                .at(&field.span, "")
                .help("name one at least, or write `enabled = false`"),
        );
    }
    let mut taken: Vec<(Lane, Range<usize>)> = Vec::new();
    for (text, span) in texts {
        let Some(lane) = Lane::ALL.into_iter().find(|lane| lane.name() == text) else {
            let help = match names::nearest(text, &known) {
                Some(nearest) => format!("did you mean \"{nearest}\"?"),
                None => format!("the lanes are {}", names::list(&known)),
            };
            reader.push(Diagnostic::new(format!("unknown lane `{text}`")).at(&span, "").help(help));
            continue;
        };
        match taken.iter().find(|(other, _)| *other == lane) {
            Some((_, first)) => reader.push(
                Diagnostic::new(format!("`{text}` is in `lanes` twice"))
                    .at(&span, "")
                    .also(first, "first here")
                    .help("remove one of the two"),
            ),
            None => taken.push((lane, span)),
        }
    }
    taken.into_iter().map(|(lane, _)| lane).collect()
}

fn header(probe: &Section<'_>, reader: &mut Reader) -> String {
    const DEFAULT: &str = "x-app-version";
    let field = probe.field("version_header");
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let Some(text) = reader.text(field) else {
        return DEFAULT.to_owned();
    };
    // `tchar` of RFC 9110, 5.6.2.
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !text.chars().all(token) {
        reader.push(
            Diagnostic::new(format!("`{text}` is not the name of a header"))
                .at(&span, "")
                .help(format!("write the name alone, such as \"{DEFAULT}\"")),
        );
    }
    text.to_ascii_lowercase()
}

/// A probe outside the app's prefix would measure another app, or nothing.
fn reaches_the_app(
    probe: &Section<'_>,
    key: &'static str,
    (path, prefix): (&str, &str),
    reader: &mut Reader,
) {
    let Some(field) = probe.field(key) else {
        return;
    };
    let bare = prefix.trim_end_matches('/');
    let rest = path.split('?').next().unwrap_or(path).strip_prefix(bare);
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) || !path.starts_with('/') {
        return;
    }
    reader.push(
        Diagnostic::new(format!("`{key} = \"{path}\"` is not below the app's prefix `{prefix}`"))
            .at(&field.span, "another app would answer, or none")
            .help(format!("write `{key} = \"{bare}{path}\"`")),
    );
}

fn can_be_late(probe: &Section<'_>, config: &ProbeConfig, reader: &mut Reader) {
    if config.late_after <= config.timeout {
        return;
    }
    let fields = ["late_after", "timeout"].map(|key| probe.field(key));
    let span = fields.into_iter().flatten().next().map_or(0..0, |field| field.span);
    let (late, timeout) = (duration::show(config.late_after), duration::show(config.timeout));
    reader.push(
        Diagnostic::new(format!("`late_after` ({late}) is longer than `timeout` ({timeout})"))
            .at(&span, "")
            .help("an attempt is given up at its timeout: make `timeout` the longer of the two"),
    );
}

fn can_be_slow(probe: &Section<'_>, config: &ProbeConfig, reader: &mut Reader) {
    if config.slowness.saturating_mul(2) <= config.timeout {
        return;
    }
    let span = probe.field("slowness").map_or(0..0, |field| field.span);
    let (slow, timeout) = (duration::show(config.slowness), duration::show(config.timeout));
    let most = duration::show(config.timeout / 2);
    reader.push(
        Diagnostic::new(format!("`slowness` ({slow}) is more than half of `timeout` ({timeout})"))
            .at(&span, "")
            .help(format!("write `slowness = \"{most}\"` at most, or a longer `timeout`")),
    );
}
