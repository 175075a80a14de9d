//! What the proxy was told about all apps, in the form the request path reads.
//!
//! Swapped whole by the admin thread; a request keeps what held when it began. What nobody can set is in
//! `limits`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::limits::AppLimits;
use model::{AppName, Network, Outliers, admin};

use crate::cohort::Signer;
use crate::limits;
use crate::pages::Pages;
use crate::prober::Probers;
use crate::share::Share;

/// What holds for all apps.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long everybody is waited for, where an app has nothing of its own.
    patience: Patience,
    /// What cohorts are signed with, once it is known.
    pub(crate) signer: Option<Arc<Signer>>,
    trusted: Vec<Network>,
    /// Most client connections at a time.
    pub(crate) connections: u64,
    /// What is answered in the proxy's own name.
    pub(crate) pages: Pages,
    /// Largest head of a request, bytes.
    pub(crate) head: usize,
    /// Most fields in it.
    pub(crate) fields: usize,
    /// What one client may take.
    pub(crate) share: Share,
    body: u64,
    apps: Vec<AppLimits>,
    /// Which instances are left out.
    pub(crate) outliers: Outliers,
    /// Probers whose requests get receipts; usually there are none.
    pub(crate) probers: Option<Arc<Probers>>,
}

impl Settings {
    /// Other settings; the key stays, and what clients have open, and who is a prober.
    pub(crate) fn told(&self, told: &admin::Settings) -> Self {
        let (signer, probers) = (self.signer.clone(), self.probers.clone());
        Self { signer, probers, ..Self::read(told, &self.share) }
    }

    /// The same settings with other probers.
    pub(crate) fn probed(&self, probers: Option<Arc<Probers>>) -> Self {
        Self { probers, ..self.clone() }
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

    /// How long everybody is waited for before an app is known.
    pub(crate) const fn patience(&self) -> &Patience {
        &self.patience
    }

    /// How long everybody is waited for with a request of this app, and the largest body it may have,
    /// bytes.
    pub(crate) fn terms(&self, app: Option<&AppName>) -> (Patience, u64) {
        let Some(own) = self.apps.iter().find(|own| Some(&own.app) == app) else {
            return (self.patience, self.body);
        };
        let patience = Patience {
            begins: own.answer_begins_ms.map_or(self.patience.begins, limit),
            silence: own.answer_silence_ms.map_or(self.patience.silence, limit),
            whole: own.request_ms.map_or(self.patience.whole, limit),
            ..self.patience
        };
        (patience, own.body_bytes.map_or(self.body, unless_zero))
    }
}

/// How long an instance may be silent, and a client slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Until an instance takes a connection.
    pub(crate) connect: Duration,
    /// While an instance takes nothing of a request.
    pub(crate) takes: Duration,
    /// Before its answer begins, from the moment the whole request was sent.
    pub(crate) begins: Duration,
    /// In mid-answer.
    pub(crate) silence: Duration,
    /// From a request's head to its end, whoever is slow.
    pub(crate) whole: Duration,
    /// While a client's connection brings no request.
    pub(crate) idle: Duration,
    /// Until a client's connection is old enough to give way to a new one.
    pub(crate) age: Duration,
    /// Until a client's head is whole, from its first byte on.
    pub(crate) head: Duration,
    /// While a client sends nothing of a body.
    pub(crate) body: Duration,
    /// Bytes a second at which a body must come on the average, or an answer be taken over HTTP/2; 0 for any.
    pub(crate) rate: u64,
    /// Until that is looked at.
    pub(crate) grace: Duration,
    /// While a client takes nothing of an answer.
    pub(crate) reads: Duration,
}

impl From<&admin::Settings> for Settings {
    fn from(told: &admin::Settings) -> Self {
        Self::read(told, &Share::default())
    }
}

impl Settings {
    /// `share` says what clients have open.
    fn read(told: &admin::Settings, share: &Share) -> Self {
        let limits = &told.limits;
        let patience = Patience {
            connect: limit(limits.connect_ms),
            takes: limit(limits.instance_reads_ms),
            begins: limit(told.answer_begins_ms),
            silence: limit(told.answer_silence_ms),
            whole: limit(limits.request_ms),
            idle: limit(limits.client_idle_ms),
            age: limit(limits.client_age_ms),
            head: limit(told.client_head_ms),
            body: limit(told.client_body_ms),
            rate: limits.body_rate.into(),
            grace: limit(limits.body_grace_ms),
            reads: limit(told.client_reads_ms),
        };
        let at_most = |told: u64, most: usize| {
            usize::try_from(unless_zero(told)).map_or(most, |told| told.min(most))
        };
        Self {
            patience,
            signer: None,
            trusted: told.trusted.clone(),
            connections: unless_zero(told.max_connections),
            pages: Pages::read(told),
            head: at_most(limits.head_bytes, limits::HEAD),
            fields: at_most(limits.fields.into(), limits::FIELDS),
            share: share.told(limits),
            body: unless_zero(limits.body_bytes),
            apps: told.apps.clone(),
            outliers: told.outliers,
            probers: None,
        }
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

/// 0 is no limit.
const fn unless_zero(most: u64) -> u64 {
    if most == 0 { u64::MAX } else { most }
}
