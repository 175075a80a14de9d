//! Reads `[proxy]`, the keys that are about the proxy itself; its sections have readers of their own.
//!
//! Where it listens is read in `address`. Nothing is bound and no file is opened here.

use std::path::Path;
use std::time::Duration;

use model::admin::Settings;

use super::reader::Reader;
use super::section::Section;
use super::shape::ProxyConfig;
use super::{Judge, address, answers, certificates, limits, observed, outliers};

const HOUR: Duration = Duration::from_hours(1);
/// More than a process can have open.
const MOST_CONNECTIONS: u32 = 1 << 20;
const DAY: Duration = Duration::from_hours(24);

/// Reads the section; an absent one is all defaults.
pub(crate) fn read(
    proxy: &Section<'_>,
    folder: &Path,
    judge: Judge<'_>,
    reader: &mut Reader,
) -> ProxyConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = u32::try_from(cores).unwrap_or(1).min(256);
    let threads = reader.count(proxy.field("threads"), cores, 1..=256);
    let drain = proxy.field("drain_timeout");
    let upgrade = proxy.field("upgrade_timeout");
    let places = address::of_proxy(proxy, judge, reader);
    let mut settings = settings(proxy, reader);
    limits::of_proxy(proxy, &mut settings, reader);
    answers::read(proxy, None, (folder, judge), &mut settings, reader);
    let config = ProxyConfig {
        listen: places.plain,
        tls_listen: places.secure,
        certificates: certificates::read(proxy, folder, judge, reader),
        settings,
        observation: observed::read(proxy, places.metrics, folder, reader),
        threads: threads as usize,
        drain_timeout: reader.duration(drain, Duration::from_secs(30), Duration::ZERO..=HOUR),
        upgrade_timeout: reader.duration(upgrade, HOUR, Duration::ZERO..=DAY),
    };
    certificates::must_be_used(proxy, reader);
    config
}

fn settings(proxy: &Section<'_>, reader: &mut Reader) -> Settings {
    let default = Settings::default();
    let mut limit = |key, default| {
        let default = Duration::from_millis(default);
        let found = reader.duration(proxy.field(key), default, Duration::ZERO..=DAY);
        u64::try_from(found.as_millis()).unwrap_or(u64::MAX)
    };
    Settings {
        answer_begins_ms: limit("answer_begins", default.answer_begins_ms),
        answer_silence_ms: limit("answer_silence", default.answer_silence_ms),
        trusted: address::networks(proxy.field("trusted").as_ref(), reader),
        max_connections: reader
            .count(proxy.field("max_connections"), 0, 0..=MOST_CONNECTIONS)
            .into(),
        outliers: outliers::read(&Section::within(proxy, "outliers", reader), reader),
        ..default
    }
}
