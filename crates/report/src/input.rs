//! What a run leaves behind, as the report wants it handed over.
//!
//! It does not read files: whoever calls has read the samples and the journal.

use model::attempt::{BlindWindow, Connection, RunFooter, RunHeader};
use model::{AppName, Attempt, Outcome, Phase, Weight};
use serde::{Deserialize, Serialize};

use crate::assertion::Assertion;
use crate::ledger::Account;
use crate::outage::OutageSpan;
use crate::router_count::RouterCount;

/// One phase of the rollout on the time axis of the samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseSpan {
    /// The phase.
    pub phase: Phase,
    /// When it was entered, us since the probe run began; negative when it was entered before.
    pub from_us: i64,
    /// When it was left.
    pub to_us: i64,
    /// Why it was entered, in words for people.
    pub why: String,
}

/// One share of the traffic that the candidate was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareSpan {
    /// The candidate's share wanted.
    pub share: Weight,
    /// When it was asked for, us on the samples' axis.
    pub from_us: i64,
    /// When the router was seen to carry it; `None` if never.
    pub settled_us: Option<i64>,
    /// When the next share was asked for, or the rollout turned.
    pub to_us: i64,
    /// What the router counted while it was in effect; `None` where nobody asked it.
    pub counted: Option<ShareCount>,
}

/// Requests of everybody, as the router counted them while a share was in effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareCount {
    /// To both releases.
    pub requests: u64,
    /// To the one being shipped.
    pub new: u64,
}

/// Settings of the deploy that a cause may advise to change, `None` when not known, and what its router is
/// like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How long requests open on the old release may take to finish, ms.
    pub drain_timeout_ms: Option<u64>,
    /// How long tunnels on the old release may take to move, ms.
    pub handover_timeout_ms: Option<u64>,
    /// How long an instance may take to end after SIGTERM, ms.
    pub stop_timeout_ms: Option<u64>,
    /// While the router takes a change up, each request of a connection may go to either version.
    pub mixes: bool,
}

/// What a person asked of the run beyond the built-in rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The run was to see the version change, from `Input::from` to `Input::to`.
    pub switch: bool,
    /// Demands. One on how many attempts may fail takes the place of the rule that none may.
    pub assertions: Vec<Assertion>,
}

/// Everything that is known of one run.
#[derive(Clone, Debug)]
pub struct Input {
    /// Names the run and its files.
    pub run_id: String,
    /// Version of Cutover that ran it.
    pub cutover_version: String,
    /// The app, when it was a deploy.
    pub app: Option<AppName>,
    /// What the prober asked.
    pub url: String,
    /// Version users were on.
    pub from: Option<String>,
    /// Version being shipped.
    pub to: Option<String>,
    /// How the rollout ended.
    pub outcome: Outcome,
    /// Whether the run was cut short by the operator.
    pub interrupted: bool,
    /// Why it was aborted or got stuck: a sentence, then lines of trouble.
    pub ending_note: Option<String>,
    /// Phases, in order, on the same axis as the attempts.
    pub phases: Vec<PhaseSpan>,
    /// The candidate's shares, in order: blue-green gives one of all traffic, a probe of somebody
    /// else's deploy none.
    pub shares: Vec<ShareSpan>,
    /// Times in which the router was away, in order.
    pub outages: Vec<OutageSpan>,
    /// What the router counted, where one of ours steered it.
    pub router: Option<RouterCount>,
    /// What it wrote down of the prober's requests one by one, where it is ours.
    pub account: Option<Account>,
    /// First line of the samples.
    pub header: RunHeader,
    /// Attempts, in any order.
    pub attempts: Vec<Attempt>,
    /// Connections, in any order.
    pub connections: Vec<Connection>,
    /// Times in which the prober saw nothing.
    pub blind: Vec<BlindWindow>,
    /// Last line of the samples; missing when the prober died.
    pub footer: Option<RunFooter>,
    /// Settings for advice.
    pub settings: Settings,
    /// What was asked of it in particular.
    pub asked: Asked,
}
