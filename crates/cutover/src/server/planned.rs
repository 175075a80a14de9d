//! What a deploy would do, as the API says it. Types only.

use model::{AppName, Phase};
use serde::{Deserialize, Serialize};

/// What a deploy would do. Nothing of it was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// The app.
    pub(crate) app: AppName,
    /// Version users are on, if any.
    pub(crate) from: Option<String>,
    /// Version that would be shipped.
    pub(crate) to: String,
    /// The order of things, in words: `canary, 25.00% then everything`.
    pub(crate) strategy: String,
    /// Instances of each version.
    pub(crate) instances: u16,
    /// What the router can do.
    pub(crate) router: RouterPlanned,
    /// What would be worse than it could be, and why; sentences.
    pub(crate) degrades: Vec<String>,
    /// What would be done at once.
    pub(crate) first: FirstPlanned,
    /// Who would watch; `None` when nobody does.
    pub(crate) probe: Option<ProbePlanned>,
    /// What users' requests show while both versions have a share; none where they are not compared.
    #[serde(default)]
    pub(crate) compared: Vec<Compared>,
    /// What users' requests may end, and by which limits: sentences; none where the router does not tell of
    /// them.
    #[serde(default)]
    pub(crate) judged: Vec<String>,
    /// What is measured beside requests, with its limit; sentences.
    #[serde(default)]
    pub(crate) measured: Vec<String>,
    /// Who moves the tunnels that are open on what leaves, how and how fast, in words.
    #[serde(default)]
    pub(crate) handover: String,
    /// What is called and when, and what follows when it fails; in words.
    #[serde(default)]
    pub(crate) hooks: Vec<String>,
    /// What runs beside both versions, or goes on when the rollout is over; sentences.
    #[serde(default)]
    pub(crate) kept: Vec<String>,
    /// The phases to come, if all goes well.
    pub(crate) phases: Vec<PhasePlanned>,
    /// Why the changes of the later phases are not known, where they are not; a sentence.
    #[serde(default)]
    pub(crate) unforeseen: Option<String>,
    /// How many requests a second `compared` is told for.
    #[serde(default)]
    pub(crate) users: Option<UsersPlanned>,
}

/// What the router can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouterPlanned {
    /// What it is called.
    pub(crate) name: String,
    /// How the end of open requests is known: `counted`, `timed` or `none`.
    pub(crate) drain: String,
    /// How a change takes effect: `atomic`, `eventual` or `mixed`.
    pub(crate) change: String,
    /// Finest step of a share, basis points.
    pub(crate) finest_weight: u16,
    /// Requests can be routed by a header or cookie.
    pub(crate) header_rules: bool,
    /// What it can say about requests: `per-request`, `counters` or `prober-only`.
    pub(crate) evidence: String,
}

/// What would be done at once, each in the words of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FirstPlanned {
    /// Changes of the platform.
    pub(crate) platform: Vec<String>,
    /// Changes of the router.
    pub(crate) router: Vec<String>,
    /// What is waited for already.
    pub(crate) waiting: Vec<String>,
}

/// Who would watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProbePlanned {
    /// Attempts per second, all lanes together.
    pub(crate) rate: u32,
    /// The lanes.
    pub(crate) lanes: Vec<String>,
    /// A later answer is late, ms.
    pub(crate) late_after_ms: u64,
    /// No answer after this is a failure, ms.
    pub(crate) timeout_ms: u64,
    /// As many errors abort a rollout ...
    pub(crate) max_errors: u32,
    /// ... if they are more than this share of the attempts, basis points.
    pub(crate) max_error_share: u16,
}

/// A phase to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhasePlanned {
    /// The phase.
    pub(crate) phase: Phase,
    /// How long it lasts at most, ms; of *baking*, how long it lasts.
    pub(crate) limit_ms: Option<u64>,
    /// Versions and their shares of new requests, basis points.
    pub(crate) traffic: Vec<(String, u16)>,
    /// What the prober would find in it; `None` where it judges nothing.
    pub(crate) finds: Option<Finds>,
    /// Who judges the new version in it beside health checks and the prober.
    #[serde(default)]
    pub(crate) judges: Vec<String>,
    /// What the drivers would change in it, in this order.
    #[serde(default)]
    pub(crate) changes: Vec<ChangePlanned>,
}

/// A change that a driver would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangePlanned {
    /// Whose it is.
    pub(crate) by: Driver,
    /// In the words of the journal. What is not known yet is told as such: "on a free port".
    pub(crate) words: String,
}

/// Who makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// What runs instances.
    Platform,
    /// What carries requests to them.
    Router,
}

/// How many requests there are to compare by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UsersPlanned {
    /// Requests a second.
    pub(crate) per_second: f64,
    /// Users' own, as the router counted them for so long until now, ms; `None` where nobody knows
    /// theirs and as many as the prober's are supposed.
    pub(crate) counted_ms: Option<u64>,
}

/// What the prober finds in a phase, if the candidate fails in answers that name its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finds {
    /// Answers of the candidate that are expected.
    pub(crate) answers: u64,
    /// A candidate that fails each of them is found after this, ms; `None`: not in this phase.
    pub(crate) all_failing_ms: Option<u64>,
    /// The smallest share of errors that is found 95 of 100 times, basis points; `None`: not even all.
    pub(crate) floor: Option<u16>,
}

/// What the comparison of both versions finds at a share, from what the proxy counts of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// The new version's share, basis points.
    pub(crate) share: u16,
    /// So many errors of it, and none of the old one, end the rollout.
    pub(crate) errors: u64,
    /// About so many requests of both until 1 % of errors is found where the old version has 0.1 %.
    pub(crate) requests: u64,
    /// About how long they take to come, ms, at the rate of [`Planned::users`].
    #[serde(default)]
    pub(crate) requests_ms: Option<u64>,
    /// About so many until it is found that answers slower than the old version's 99th percentile come
    /// twice as often; `None` where latencies are not compared.
    #[serde(default)]
    pub(crate) slow_requests: Option<u64>,
    /// About how long these take to come, ms.
    #[serde(default)]
    pub(crate) slow_ms: Option<u64>,
}
