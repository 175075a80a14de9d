//! What the proxy was told about all apps, in the form the request path reads.
//!
//! Swapped whole by the admin thread; a request keeps what held when it began.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Network, Outliers, admin};

use crate::cohort::Signer;
use crate::pages::Pages;

/// What holds for all apps.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long instances are waited for.
    pub(crate) patience: Patience,
    /// What cohorts are signed with, once it is known.
    pub(crate) signer: Option<Arc<Signer>>,
    trusted: Vec<Network>,
    /// Most client connections at a time.
    pub(crate) connections: u64,
    /// What is answered in the proxy's own name.
    pub(crate) pages: Pages,
    /// Which instances are left out.
    pub(crate) outliers: Outliers,
}

impl Settings {
    /// The same key with other settings.
    pub(crate) fn told(&self, told: &admin::Settings) -> Self {
        Self { signer: self.signer.clone(), ..Self::from(told) }
    }

    /// The same settings with another key.
    pub(crate) fn signing(&self, key: &admin::CohortKey) -> Self {
        let signer = Some(Arc::new(Signer::from(key)));
        Self { signer, ..self.clone() }
    }

    /// True when what this sender says of others is believed.
    pub(crate) fn trusts(&self, sender: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(sender))
    }
}

/// How long an instance may be silent, and a client slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Before its answer begins, from the moment the whole request was sent.
    pub(crate) begins: Duration,
    /// In mid-answer.
    pub(crate) silence: Duration,
    /// Until a client's head is whole, from its first byte on.
    pub(crate) head: Duration,
    /// While a client sends nothing of a body.
    pub(crate) body: Duration,
    /// While a client takes nothing of an answer.
    pub(crate) reads: Duration,
}

impl From<&admin::Settings> for Settings {
    fn from(told: &admin::Settings) -> Self {
        let patience = Patience {
            begins: limit(told.answer_begins_ms),
            silence: limit(told.answer_silence_ms),
            head: limit(told.client_head_ms),
            body: limit(told.client_body_ms),
            reads: limit(told.client_reads_ms),
        };
        let connections = if told.max_connections == 0 { u64::MAX } else { told.max_connections };
        let (trusted, pages) = (told.trusted.clone(), Pages::read(told));
        let outliers = told.outliers;
        Self { patience, signer: None, trusted, connections, pages, outliers }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&admin::Settings::default())
    }
}

/// 0 is no limit.
const fn limit(ms: u64) -> Duration {
    if ms == 0 { Duration::MAX } else { Duration::from_millis(ms) }
}
