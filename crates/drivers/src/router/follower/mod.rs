//! The driver of whatever follows Consul and is nobody's that Cutover could ask: consul-template with the
//! server that it writes for, Fabio, a resolver of DNS.
//!
//! Instances are registered when they are to get requests, put into maintenance when they are to get none,
//! and removed when they are gone. That the follower has followed is seen as users see it: it is asked where
//! they come in, on new connections and on kept ones, and its answers say from whom they are. What is open on
//! an instance is counted by the connections that it has. Who follows, its start and its end, are somebody
//! else's; shares and rules it has none.

mod act;
mod asked;
mod cast;
mod foretell;
mod open_on;
mod plan;
mod record;
mod seen;
mod serving;
mod sight;
mod step;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use model::{AppName, Change, Fault, Kind, Plan, Routes, Weight};

use super::consul::Consul;
use super::driver::{ChangeKind, Drain, Evidence, Router, RouterCapabilities, RoutesHave};
use super::fenced::Fenced as _;
use cast::Cast;
use record::Record;
use seen::Seen;
use sight::Sight;
use step::Step;

/// What the driver must be told beside its Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Where users come in: every one of these has to follow.
    pub entrances: Vec<SocketAddr>,
    /// The apps.
    pub apps: Vec<AppSetup>,
}

/// How the follower is asked who answers for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSetup {
    /// Its name, which is that of its service, too.
    pub name: AppName,
    /// The host that is asked for.
    pub host: String,
    /// The path that is asked for.
    pub path: String,
    /// Header in which the app says its version, in lower case.
    pub version_header: String,
}

/// Whoever follows a Consul.
#[derive(Debug)]
pub struct Follower {
    consul: Consul,
    setup: Setup,
    /// One change at a time: a step looks, compares and changes.
    acting: tokio::sync::Mutex<()>,
    /// What was seen of each app since its last change.
    sights: Mutex<BTreeMap<AppName, Arc<tokio::sync::Mutex<Sight>>>>,
}

impl Follower {
    /// Nothing is asked until the first look.
    pub fn new(consul: Consul, setup: Setup) -> Self {
        Self { consul, setup, acting: tokio::sync::Mutex::default(), sights: Mutex::default() }
    }

    /// Whether Consul is there. Of kind `Environment` when it is away or has no leader.
    pub async fn reach(&self) -> Result<(), Fault> {
        self.consul.reach().await
    }

    /// Whether Consul lets us work, and whether the follower's answers say from whom they are where anybody
    /// answers. Nothing is touched.
    pub async fn preflight(&self, apps: &[AppName]) -> Result<(), Fault> {
        self.consul.ready(apps).await?;
        for app in apps {
            let (record, _) = Record::read(&self.consul, app).await?;
            let serves =
                record.carried.as_ref().is_some_and(|routes| !serving::serving(routes).is_empty());
            let Some(setup) = self.app(app).filter(|_| serves) else { continue };
            for entrance in &self.setup.entrances {
                asked::names_its_origin(*entrance, setup).await?;
            }
        }
        Ok(())
    }

    /// Refuses when another controller ships one of these apps through this Consul. Nothing is touched.
    pub async fn unheld(&self, apps: &[AppName]) -> Result<(), Fault> {
        self.consul.unheld(apps).await
    }

    fn app(&self, app: &AppName) -> Option<&AppSetup> {
        self.setup.apps.iter().find(|one| one.name == *app)
    }

    fn sight(&self, app: &AppName) -> Arc<tokio::sync::Mutex<Sight>> {
        let mut all = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(app.clone()).or_default())
    }

    /// Everything about one app; asks the follower while it is not known to have followed.
    async fn seen(&self, app: &AppName) -> Result<Seen, Fault> {
        let (record, _) = Record::read(&self.consul, app).await?;
        let entries = self.consul.entries(app).await?;
        let of_another = record.is_of_another(&self.consul);
        let mut seen = Seen { of_another, ..Seen::of(app, record, &entries) };
        if of_another {
            // What is theirs is not asked after: nobody here waits for it.
            return Ok(seen);
        }
        if let Some(setup) = self.app(app).filter(|_| !seen.record.followed) {
            let cast = Cast::of(&seen);
            let sight = self.sight(app);
            let mut sight = sight.lock().await;
            let at = (seen.record.generation, &self.setup.entrances[..]);
            sight.look(at, setup, &cast).await;
            seen.sighted = sight.judge(&cast, &seen.record);
        }
        Ok(seen)
    }
}

/// What a look came to. What another controller has on record is not carried for us.
fn have(seen: &Seen) -> RoutesHave {
    // Also then: who is asked something is not to be ended.
    let (open, instances) = open_on::open_on(seen);
    RoutesHave {
        routes: seen.record.carried.clone().filter(|_| !seen.of_another),
        open,
        instances,
        epoch: if seen.of_another { 0 } else { seen.record.epoch },
        // None that counts anything: it says that Consul answered.
        pid: Some(0),
        detail: serde_json::to_value(seen).unwrap_or_default(),
        ..RoutesHave::nothing(seen.app.clone())
    }
}

#[async_trait]
impl Router for Follower {
    async fn look(&self, app: &AppName) -> Result<RoutesHave, Fault> {
        self.consul.stay().await;
        Ok(have(&self.seen(app).await?))
    }

    fn plan(&self, want: Option<&Routes>, have: &RoutesHave) -> Plan {
        match serde_json::from_value::<Seen>(have.detail.clone()) {
            Ok(seen) => plan::plan(want, &seen),
            // Not from a look of this driver: nothing can be said but that it is not settled.
            Err(_) => Plan { changes: Vec::new(), waiting: vec!["a look at Consul".to_owned()] },
        }
    }

    fn foretell(&self, change: &Change, before: &RoutesHave) -> Option<RoutesHave> {
        let seen = serde_json::from_value(before.detail.clone()).ok()?;
        foretell::after(Step::read(change).ok()?, seen).map(|seen| have(&seen))
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        let step = Step::read(change)?;
        let app = step.relies_on().0.clone();
        let Some(setup) = self.app(&app) else {
            let what = format!("{app} is none of the apps that Consul is told of");
            return Err(Fault::new(Kind::Internal, what));
        };
        let _one_at_a_time = self.acting.lock().await;
        let sight = self.sight(&app);
        let entrances = &self.setup.entrances;
        let acting = act::Acting { consul: &self.consul, setup, entrances, sight: &sight };
        acting.take((step, &change.words), epoch).await
    }

    async fn forget(&self, app: &AppName) -> Result<(), Fault> {
        self.consul.forget(app).await
    }

    fn can(&self) -> RouterCapabilities {
        RouterCapabilities {
            // Shares are those of the numbers of instances.
            finest_weight: Weight::ALL,
            // Requests and tunnels are connections alike.
            drain: Drain::Timed,
            change: ChangeKind::Mixed,
            header_rules: false,
            hold: false,
            hand_over: false,
            other_rules: false,
            spread: false,
            evidence: Evidence::ProberOnly,
        }
    }
}
