//! The trait that every router implements, and what one can be asked beforehand.
//!
//! The shape is that of a platform: look, plan (pure), act. Nothing here knows a driver.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use model::admin::{HoldSeen, ReleaseSeen};
use model::receipt::{Question, Receipts};
use model::{
    AppName, Change, Counters, Fault, InstanceId, Offenders, Plan, ReleaseId, Routes, Survey,
    Surveyed, Weight,
};

/// A driver of something that carries users' requests to instances.
#[async_trait]
pub trait Router: fmt::Debug + Send + Sync {
    /// What is carried of one app, and what is open.
    async fn look(&self, app: &AppName) -> Result<RoutesHave, Fault>;

    /// What stands between `have` and `want`: pure, and the same for the same arguments. The
    /// generation in `want` is ignored, the change carries the one after what is there. `None`
    /// wants the app to be carried no more. Other apps are left alone.
    fn plan(&self, want: Option<&Routes>, have: &RoutesHave) -> Plan;

    /// What a look would find after a change of a plan, once it is in effect and what was open has ended:
    /// pure, for plans of what is to come. `None` where nobody can say, such as of a refusal.
    fn foretell(&self, _change: &Change, _have: &RoutesHave) -> Option<RoutesHave> {
        None
    }

    /// Takes one step of a plan. Refused without effect when `epoch` is older than the newest seen
    /// or when what the change relies on no longer holds.
    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault>;

    /// Has units counted (see `model::survey`) and tells those of the ticks after `after_s`. `None`
    /// where the router can say nothing about single requests, as its evidence tells.
    async fn survey(&self, survey: &Survey, after_s: u64) -> Result<Option<Surveyed>, Fault> {
        let _no_evidence = (survey, after_s);
        Ok(None)
    }

    /// Has a receipt written of each request of a prober (see `model::receipt`) and tells those that were
    /// not taken. `None` where the router can say nothing about single requests.
    async fn receipts(&self, question: &Question) -> Result<Option<Receipts>, Fault> {
        let _no_evidence = question;
        Ok(None)
    }

    /// Nobody asks for receipts of the prober with this key any more.
    async fn forget_receipts(&self, key: &str) -> Result<(), Fault> {
        let _no_evidence = key;
        Ok(())
    }

    /// What these instances have had open for longest; nothing where the router cannot name it.
    async fn offenders(&self, app: &AppName, instances: &[InstanceId]) -> Result<Offenders, Fault> {
        let _nameless = (app, instances);
        Ok(Offenders::default())
    }

    /// All instances of an app have ended, and nobody starts others: what still names them elsewhere, such as in a
    /// catalog, goes. Nothing where nobody else was told of them.
    async fn forget(&self, app: &AppName) -> Result<(), Fault> {
        let _told_nobody = app;
        Ok(())
    }

    /// What this router can do.
    fn can(&self) -> RouterCapabilities;
}

/// What is open on a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Requests open now.
    pub requests: u64,
    /// Tunnels open now.
    pub tunnels: u64,
}

impl Open {
    /// Adds what is open elsewhere.
    pub(crate) const fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tunnels = self.tunnels.saturating_add(other.tunnels);
    }
}

/// What a router carries of one app.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutesHave {
    /// The app.
    pub app: AppName,
    /// Its routes; `None` when it is not carried.
    pub routes: Option<Routes>,
    /// What is open, per release that the router knows.
    pub open: BTreeMap<ReleaseId, Open>,
    /// What is open, per instance that the router knows.
    pub instances: BTreeMap<InstanceId, Open>,
    /// Open tunnels that the router could move by itself, per instance that has any.
    pub sockets: BTreeMap<InstanceId, u64>,
    /// Instances in other routes of the app than `routes`, which are still in effect for some users: those of
    /// a proxy that is being replaced and has not taken the new ones.
    pub elsewhere: BTreeSet<InstanceId>,
    /// Instances that the router leaves out for a while because they failed requests in a row.
    pub ejected: BTreeSet<InstanceId>,
    /// Counters since the router first knew a release; they only grow (until the router restarts).
    pub totals: BTreeMap<ReleaseId, ReleaseSeen>,
    /// The same counters, by who counts them, such as a process or one server of it. Each begins at 0
    /// when it comes into being: what goes on counting after a reload, and what began anew, are two.
    pub counters: BTreeMap<String, ReleaseSeen>,
    /// Requests to releases whose own counters it has given up, since they left its routes long ago.
    pub past: u64,
    /// What users were answered, by who counts, where the router tells that and nothing of single requests: a request that
    /// was sent again is one, and what has no answer yet is not in it. Tunnels are left out where they are told apart.
    pub answered: Counters,
    /// Requests that wait, or waited, since the router first knew the app.
    pub held: HoldSeen,
    /// Newest fencing epoch seen.
    pub epoch: u64,
    /// Process of the router where it has one: another one means that counters began anew.
    pub pid: Option<u32>,
    /// The driver's own data, for its plan; opaque to everyone else.
    pub detail: serde_json::Value,
}

impl RoutesHave {
    /// Nothing of an app, for whoever knows of little: what a router does not count stays empty.
    pub fn nothing(app: AppName) -> Self {
        Self {
            app,
            routes: None,
            open: BTreeMap::new(),
            instances: BTreeMap::new(),
            sockets: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            ejected: BTreeSet::new(),
            totals: BTreeMap::new(),
            counters: BTreeMap::new(),
            past: 0,
            answered: Counters::new(),
            held: HoldSeen::default(),
            epoch: 0,
            pid: None,
            detail: serde_json::Value::Null,
        }
    }

    /// True when an instance is in routes that are in effect, be it for some users.
    pub fn routed(&self, id: &InstanceId) -> bool {
        let pools = self.routes.iter().flat_map(|routes| &routes.pools);
        self.elsewhere.contains(id)
            || pools.flat_map(|pool| &pool.instances).any(|one| one.id == *id)
    }

    /// What is open on one release; nothing when the router does not know it.
    pub fn open_on(&self, release: ReleaseId) -> Open {
        self.open.get(&release).copied().unwrap_or_default()
    }
}

/// How a router knows that nothing is open on a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It counts what is open.
    Counted,
    /// It is known only by waiting as long as the longest request may take.
    Timed,
    /// It cannot be known.
    None,
}

/// How a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// For every request at one instant.
    Atomic,
    /// Sooner or later, here earlier than there; a connection does not go back.
    Eventual,
    /// Sooner or later, and each request meanwhile goes to one or the other.
    Mixed,
}

/// What a router can say about requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Something about each request.
    PerRequest,
    /// Counters per release.
    Counters,
    /// Nothing: only the prober knows.
    ProberOnly,
}

/// What a router can do; asked before anything starts.
#[expect(clippy::struct_excessive_bools, reason = "abilities that do not depend on each other")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterCapabilities {
    /// Finest step of a weight.
    pub finest_weight: Weight,
    /// How the end of open requests is known.
    pub drain: Drain,
    /// How a change takes effect.
    pub change: ChangeKind,
    /// Requests can be routed by a header or cookie with exactly one value.
    pub header_rules: bool,
    /// Requests can wait while nobody may serve an app.
    pub hold: bool,
    /// It can tell the clients of WebSockets to leave.
    pub hand_over: bool,
    /// They can be routed by their query or source too, and by parts or the presence of a value.
    pub other_rules: bool,
    /// Clients can be kept with a release by cohorts, and instances be started slowly.
    pub spread: bool,
    /// What it can say about requests.
    pub evidence: Evidence,
}
