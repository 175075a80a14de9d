//! What a source said, and whom to ask. It keeps nothing of an earlier answer but the place in it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use model::{Fault, Source};

use super::{catalog, dns};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Where instances are; nobody may be anywhere.
    pub(super) addresses: BTreeSet<SocketAddr>,
    /// What of it cannot be used, in words.
    pub(super) odd: Vec<String>,
    /// When it is to be asked again.
    pub(super) again: Duration,
}

/// Asks a source. One that can tell of changes is asked for what came after `place`, and keeps silent
/// until something did, or for a while.
pub(super) async fn hear(source: &Source, place: &mut u64) -> Result<Heard, Fault> {
    match source {
        Source::Consul(from) => catalog::ask(from, place).await,
        Source::Dns(zone) => dns::ask(zone).await,
    }
}
