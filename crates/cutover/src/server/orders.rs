//! What the outside asks of an app's controller, and what it shows.
//!
//! Types only: the API sends them, the controller answers.

use std::sync::Arc;

use model::admin::HoldSeen;
use model::{AppName, Coarse, Event, Fault, Offenders, Phase, Routes, Version};
use rollout::Start;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::bus::Bus;
use super::kept::KeptStatus;
use super::planned::Planned;
use super::progress::Progress;
use crate::config::AppConfig;
use crate::store::Run;

/// A rollout that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Its id.
    pub(crate) run: String,
    /// What is worse than it could be, and why; sentences.
    #[serde(default)]
    pub(crate) degrades: Vec<String>,
}

/// What will happen now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// In words.
    pub(crate) text: String,
    /// The run that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<String>,
}

/// What an order to abort comes to.
#[derive(Debug)]
pub(super) struct Aborted {
    /// What will happen now, in words.
    pub(super) text: String,
    /// False when another rollout was meant than there is: nothing was done.
    pub(super) heard: bool,
}

/// Which release is shipped again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The one whose rollout was aborted or got stuck.
    Retry,
    /// One that users were on: of that version, or the one before.
    Rollback(Option<Version>),
}

/// What is to be shipped together with others.
#[derive(Clone, Debug)]
pub(super) enum Shipping {
    /// That version.
    Version(Version),
    /// A release that ran before.
    Again(Again),
}

/// What it takes to begin a rollout. Nothing of it has begun.
#[derive(Debug)]
pub(super) struct Offer {
    /// The machine's start.
    pub(super) start: Start,
    /// The app's own routes as they are.
    pub(super) original_routes: Option<Routes>,
    /// What is worse than it could be, and why; sentences.
    pub(super) degrades: Vec<String>,
}

/// An order to one app's controller.
#[derive(Debug)]
pub(super) enum Order {
    /// Ship a version; answered once it is journaled.
    Deploy {
        /// The version.
        version: Version,
        /// Id of the run.
        run: String,
        /// The answer.
        reply: oneshot::Sender<Result<Begun, Fault>>,
    },
    /// Offer to ship a release together with others, and wait for the word: the run that was begun, or
    /// nothing, when not all can.
    Join {
        /// What.
        what: Shipping,
        /// The offer.
        reply: oneshot::Sender<Result<Offer, Fault>>,
        /// The word.
        go: oneshot::Receiver<Run>,
    },
    /// Say what shipping a version would do.
    Plan {
        /// The version.
        version: Version,
        /// The answer; nothing was done for it.
        reply: oneshot::Sender<Result<Planned, Fault>>,
    },
    /// Pause, resume, promote, give the candidate a share: refused where it would change nothing.
    Wish {
        /// The wish, as the machine is told.
        wish: Event,
        /// The answer: what will happen now.
        reply: oneshot::Sender<Result<Told, Fault>>,
    },
    /// Ship a release that ran before, exactly as it ran; answered once it is journaled.
    Again {
        /// Which.
        which: Again,
        /// Id of the run.
        run: String,
        /// The answer.
        reply: oneshot::Sender<Result<Begun, Fault>>,
    },
    /// Undo the rollout under way.
    Abort {
        /// Who or why.
        reason: String,
        /// The command that asked for the rollout was interrupted.
        interrupted: bool,
        /// This one alone: another one goes on.
        run: Option<String>,
        /// What will happen now.
        reply: oneshot::Sender<Result<Aborted, Fault>>,
    },
    /// Work with another configuration from now on; refused while a rollout is under way.
    Configure {
        /// The whole.
        config: Box<AppConfig>,
        /// The answer.
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    /// Is no rollout under way? Refused if there is one.
    Idle {
        /// The answer.
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    /// The server is about to stop: end an open rollout where it stands and change nothing more;
    /// answered when it is journaled.
    Halt {
        /// The answer.
        reply: oneshot::Sender<()>,
    },
    /// Stop every instance and end; answered when nothing runs any more. May be given again.
    Stop {
        /// Give them a second only.
        now: bool,
        /// The answer.
        reply: oneshot::Sender<()>,
    },
}

/// One instance, for `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InstanceStatus {
    /// Its id.
    pub(crate) id: String,
    /// Its version.
    pub(crate) version: String,
    /// Where it listens.
    pub(crate) address: String,
    /// Process id; 0 of one that somebody else started.
    pub(crate) pid: u32,
    /// In one word: starting, adopted (it was ready under the server before), doubted (adopted, and it failed
    /// a check since, so it gets requests only when nobody better is there), ready, standby (ready, and in no
    /// pool), ejected (ready, but it failed requests in a row and gets none for a while), unready, fail-open
    /// (unready, but too few others are ready, so it gets requests), ended; and of those that users left and
    /// somebody else ends: draining, drained.
    pub(crate) condition: String,
}

/// One release as the router carries it, for `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PoolStatus {
    /// Its version.
    pub(crate) version: String,
    /// Share of new requests, basis points.
    pub(crate) weight: u16,
    /// Serving or retiring.
    pub(crate) state: String,
    /// Requests open now.
    pub(crate) requests: u64,
    /// Tunnels open now.
    pub(crate) tunnels: u64,
}

/// The apps that a rollout goes together with, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TogetherStatus {
    /// What they are called together.
    pub(crate) name: String,
    /// The others.
    pub(crate) with: Vec<AppName>,
    /// They are waited for: where they are to come to, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<String>,
}

impl TogetherStatus {
    /// In words: `with credit (shop), waits for it to come to the switch`.
    pub(crate) fn words(&self) -> String {
        let with: Vec<&str> = self.with.iter().map(AppName::as_str).collect();
        let whom = if with.len() == 1 { "it" } else { "all of them" };
        let waits =
            self.waits.as_ref().map(|place| format!(", waits for {whom} to come to {place}"));
        format!("with {} ({}){}", with.join(" and "), self.name, waits.unwrap_or_default())
    }
}

/// One app, for `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppStatus {
    /// The app.
    pub(crate) app: AppName,
    /// The phase scripts may rely on.
    pub(crate) coarse: Coarse,
    /// Version users are on.
    pub(crate) stable: Option<String>,
    /// Version being shipped, with its run and phase.
    pub(crate) rollout: Option<(String, String, Phase)>,
    /// How far that is.
    #[serde(default)]
    pub(crate) progress: Option<Progress>,
    /// The apps that the rollout under way goes together with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) together: Option<TogetherStatus>,
    /// A person is waited for, and why; a sentence.
    #[serde(default)]
    pub(crate) paused: Option<String>,
    /// The hook that is being called: its name and moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hook: Option<String>,
    /// What follows when the rollout under way is over: version and run.
    #[serde(default)]
    pub(crate) next: Option<(String, String)>,
    /// How the last rollout ended, in words, if it did not promote.
    pub(crate) last: Option<String>,
    /// The version that users left and could be back on at once: it still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<KeptStatus>,
    /// Instances.
    pub(crate) instances: Vec<InstanceStatus>,
    /// The router answered; if not, `pools` is empty and says nothing.
    #[serde(default)]
    pub(crate) router_seen: bool,
    /// Pools.
    pub(crate) pools: Vec<PoolStatus>,
    /// Requests that wait because nobody may serve them, or waited.
    #[serde(default)]
    pub(crate) held: HoldSeen,
    /// What has been open for long on instances that get nothing new.
    #[serde(default)]
    pub(crate) lingering: Offenders,
    /// What is good to know, such as whom users have left; sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// What is wrong now, if something is.
    pub(crate) trouble: Option<String>,
}

impl AppStatus {
    /// True when users have somebody: an instance that passed its checks, and routes to it.
    pub(crate) fn served(&self) -> bool {
        let mut instances = self.instances.iter();
        self.router_seen
            && self.pools.iter().any(|pool| pool.weight > 0)
            && instances.any(|instance| matches!(&*instance.condition, "ready" | "ejected"))
    }

    /// An app of which nothing is known yet.
    pub(crate) const fn unknown(app: AppName) -> Self {
        Self {
            app,
            coarse: Coarse::Healthy,
            stable: None,
            rollout: None,
            progress: None,
            together: None,
            paused: None,
            hook: None,
            next: None,
            last: None,
            kept: None,
            instances: Vec::new(),
            router_seen: false,
            pools: Vec::new(),
            held: HoldSeen { now: 0, bytes: 0, total: 0, refused: 0, longest_ms: 0 },
            lingering: Offenders { oldest: Vec::new(), more: 0 },
            notes: Vec::new(),
            trouble: None,
        }
    }
}

/// The way to an app's controller.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    /// Orders to it.
    pub(super) orders: mpsc::Sender<Order>,
    /// What it says.
    pub(super) bus: Arc<Bus>,
    /// What it shows.
    pub(super) status: watch::Receiver<AppStatus>,
}

impl Desk {
    /// Sends an order and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> Order,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Fault::environment("the server is stopping");
        self.orders.send(order(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}
