//! Reads `[history]`: how much is kept of what is over. What is removed when is not known here.

use super::reader::Reader;
use super::section::Section;
use super::shape::HistoryConfig;

const MIB: u64 = 1 << 20;

/// Reads the section; an absent one is all defaults.
pub(crate) fn read(history: &Section<'_>, reader: &mut Reader) -> HistoryConfig {
    HistoryConfig {
        runs: reader.count(history.field("runs"), 50, 1..=100_000),
        log_bytes: MIB * u64::from(reader.count(history.field("log_mib"), 64, 1..=65_536)),
    }
}
