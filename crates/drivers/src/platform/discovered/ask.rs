//! Asks a source, whichever it is. It keeps nothing of an earlier answer but the place in it.

use model::{Fault, Source};

use super::heard::Heard;
use super::{catalog, dns};

/// Asks a source. One that can tell of changes is asked for what came after `place`, and keeps silent
/// until something did, or for a while.
pub(super) async fn hear(source: &Source, place: &mut u64) -> Result<Heard, Fault> {
    match source {
        Source::Consul(from) => catalog::ask(from, place).await,
        Source::Dns(zone) => dns::ask(zone).await,
    }
}
