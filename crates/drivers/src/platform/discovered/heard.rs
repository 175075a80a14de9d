//! What a source said, whichever it is. Nobody is asked here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

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
