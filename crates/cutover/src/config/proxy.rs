//! Reads `[proxy]`.

use std::time::Duration;

use super::address;
use super::reader::Reader;
use super::section::Section;
use super::shape::ProxyConfig;

const HOUR: Duration = Duration::from_hours(1);

/// Reads the section; an absent one is all defaults.
pub(crate) fn read(proxy: &Section<'_>, reader: &mut Reader) -> ProxyConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = u32::try_from(cores).unwrap_or(1).min(256);
    let threads = reader.count(proxy.field("threads"), cores, 1..=256);
    let drain = proxy.field("drain_timeout");
    ProxyConfig {
        listen: address::listen(proxy, reader),
        threads: threads as usize,
        drain_timeout: reader.duration(drain, Duration::from_secs(30), Duration::ZERO..=HOUR),
    }
}
