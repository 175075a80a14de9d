//! The report as data: what is saved as JSON and what every renderer reads.
//!
//! Only integers, strings and lists, so that it survives JSON unchanged; units are in the names.
//! `*_us` are microseconds since the probe run began. It decides nothing.

use model::attempt::{BlindWindow, Ending, OrderCount};
use model::{Class, Lane, Outcome, Phase, Verdict};
use serde::{Deserialize, Serialize};

use crate::answered::Answered;
use crate::assertion::AssertionFact;
use crate::client_fact::ClientFacts;
use crate::era::Era;
use crate::input::PhaseSpan;
use crate::kept::KeptConnection;
use crate::ledger::Ledger;
use crate::mended::Mended;
use crate::outage::OutageFact;
use crate::router_count::RouterCount;
use crate::share_fact::ShareFact;
use crate::version_proof::VersionProof;

/// Version of this format; it changes when a reader of the old one would misread the new one.
pub const SCHEMA_VERSION: u32 = 1;

/// One run, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this format.
    pub schema_version: u32,
    /// Names the run and its files.
    pub run_id: String,
    /// Version of Cutover that ran it.
    pub cutover_version: String,
    /// What the traffic saw.
    pub verdict: Verdict,
    /// How the rollout ended; says nothing about the traffic.
    pub outcome: Outcome,
    /// Whether the run was cut short by the operator.
    pub interrupted: bool,
    /// Exit code that follows from the three fields above.
    pub exit_code: u8,
    /// The verdict in one sentence, without the verdict's own word.
    pub sentence: String,
    /// The outcome in one sentence, when there was a rollout.
    pub outcome_line: Option<String>,
    /// Further lines on the outcome: trouble of the candidate, its log's tail.
    pub outcome_notes: Vec<String>,
    /// Why the verdict is not PASS, one sentence each.
    pub reasons: Vec<String>,
    /// What else should be known, one sentence each, most important first.
    pub facts: Vec<String>,
    /// The app, when it was a deploy.
    pub app: Option<String>,
    /// What the prober asked.
    pub url: String,
    /// Version users were on.
    pub from: Option<String>,
    /// Version being shipped.
    pub to: Option<String>,
    /// Wall clock at microsecond 0, ms since 1970.
    pub t0_unix_ms: u64,
    /// First intended send time.
    pub from_us: i64,
    /// End of the evidence: the last answer or the last intended send.
    pub to_us: i64,
    /// End of the sending: one interval after the last intended send.
    #[serde(default)]
    pub sent_until_us: Option<i64>,
    /// Attempts per second asked for over all lanes.
    pub rate: u32,
    /// An answer later than this was a failure.
    pub late_after_us: u64,
    /// No whole answer within this was a failure.
    pub timeout_us: u64,
    /// Attempts sent.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that the prober could not send.
    pub not_sent: u64,
    /// Any outage of all lanes at least this long met a request: the longest time in which none was sent.
    pub detection_floor_us: u64,
    /// With no failure seen: upper bound of the failure probability at 95 % confidence, in parts
    /// per billion (rule of three, 3/N: solves (1-p)^N = 0.05).
    pub failure_bound_ppb: Option<u64>,
    /// Longest time without a success on any lane.
    pub longest_gap_us: u64,
    /// Per lane.
    pub lanes: Vec<LaneFacts>,
    /// Lanes that were wanted and did not run.
    pub lanes_not_run: Vec<LaneNotRun>,
    /// Versions seen; lists elsewhere point here by index.
    pub versions: Vec<VersionFacts>,
    /// Who answered requests.
    #[serde(default)]
    pub answered: Answered,
    /// What was demanded of the run, and what came of it.
    #[serde(default)]
    pub assertions: Vec<AssertionFact>,
    /// How the version changed, when both versions are known.
    pub proof: Option<VersionProof>,
    /// What clients that come back with their cookies saw, where there were any.
    #[serde(default)]
    pub clients: Option<ClientFacts>,
    /// Phases of the rollout.
    pub phases: Vec<PhaseSpan>,
    /// The candidate's shares, wanted and seen.
    #[serde(default)]
    pub shares: Vec<ShareFact>,
    /// Times in which the router was away, and what they cost.
    #[serde(default)]
    pub outages: Vec<OutageFact>,
    /// What the router counted of everybody's requests.
    #[serde(default)]
    pub router: Option<RouterCount>,
    /// When the switch began; with several, the first.
    pub switch_us: Option<i64>,
    /// Why requests failed, and what to try.
    pub causes: Vec<Cause>,
    /// Failures by phase, lane, class and version.
    pub groups: Vec<FailureGroup>,
    /// Failures one by one, in the order of intended send times.
    pub failures: Vec<FailureRow>,
    /// Failures that `failures` has no room for.
    pub failures_left_out: u64,
    /// Width of `buckets`.
    pub bucket_us: u64,
    /// The run in equal steps, by intended send time.
    pub buckets: Vec<Bucket>,
    /// The slowest answers.
    pub slow: Vec<SlowDot>,
    /// A closer look at the switch.
    pub zoom: Option<Zoom>,
    /// Before, during and after the switch.
    #[serde(default)]
    pub eras: Vec<Era>,
    /// Connections that carried several requests.
    #[serde(default)]
    pub connections: Vec<KeptConnection>,
    /// Such connections that `connections` has no room for; none of them lost more.
    #[serde(default)]
    pub connections_left_out: u64,
    /// WebSockets and those that took over from them.
    pub sockets: Vec<SocketChain>,
    /// Chains that `sockets` has no room for; none of them lost a message or was cut.
    pub sockets_left_out: u64,
    /// What was no failure because the client did what every client does.
    #[serde(default)]
    pub mended: Mended,
    /// Whether the evidence can be relied on.
    pub trust: Trust,
    /// What the app says of the orders that the prober placed.
    #[serde(default)]
    pub orders: Option<OrderCount>,
    /// Each request as all three sides saw it; `None` where who carried the traffic kept no account.
    #[serde(default)]
    pub ledger: Option<Ledger>,
}

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneFacts {
    /// The lane.
    pub lane: Lane,
    /// Attempts sent.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that the prober could not send.
    pub not_sent: u64,
    /// Median TTLB of whole, right answers.
    pub ttlb_p50_us: Option<u64>,
    /// 99th percentile; only with at least 1,000 answers.
    pub ttlb_p99_us: Option<u64>,
    /// Largest.
    pub ttlb_max_us: Option<u64>,
    /// Longest time without a success.
    pub longest_gap_us: u64,
    /// Any outage of this lane at least this long met one of its requests: the longest time in which none was
    /// sent, since the prober was stopped, could not send, or had other lanes' turns; `None` if none was sent.
    pub detection_floor_us: Option<u64>,
    /// How many of its transfers, streams, sockets or resting connections were open while traffic was
    /// moved, the fewest of several times; `None` where the lane has nothing long or nothing was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub across: Option<u64>,
}

/// A lane that was wanted and did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneNotRun {
    /// The lane.
    pub lane: Lane,
    /// Why.
    pub reason: String,
}

/// What a version is to the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionRole {
    /// Users were on it.
    Old,
    /// It is being shipped.
    New,
    /// Another one.
    Other,
    /// Everything beyond the first few others.
    Rest,
    /// Answers that named none.
    Silent,
}

/// One version as it was seen in answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionFacts {
    /// Its name, cleaned.
    pub label: String,
    /// Its role.
    pub role: VersionRole,
    /// Answers that named it, failed ones too.
    pub answers: u64,
    /// When the first request that it answered was sent.
    pub first_sent_us: Option<i64>,
    /// When the last one was sent.
    pub last_sent_us: Option<i64>,
}

/// A cause and what to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Failures that it explains.
    pub failures: u64,
    /// What happened, one sentence.
    pub why: String,
    /// What to try.
    pub advice: Option<String>,
}

/// Failures that share phase, lane, class and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// Phase in which they were meant to be sent.
    pub phase: Option<Phase>,
    /// Lane.
    pub lane: Lane,
    /// Class.
    pub class: Class,
    /// Version that answered, or whose socket it was.
    pub version: Option<String>,
    /// Most frequent status; 0 when there was none.
    pub status: u16,
    /// How many.
    pub count: u64,
    /// Intended send time of the first.
    pub first_us: i64,
    /// Intended send time of the last.
    pub last_us: i64,
    /// Index into `causes`.
    pub cause: usize,
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRow {
    /// Number of the attempt.
    pub id: u64,
    /// Lane.
    pub lane: Lane,
    /// Class.
    pub class: Class,
    /// Phase in which it was meant to be sent.
    pub phase: Option<Phase>,
    /// Phase in which it ended.
    pub ended_phase: Option<Phase>,
    /// When it was meant to be sent.
    pub intended_us: i64,
    /// Time to last byte, or until it was given up.
    pub ttlb_us: u64,
    /// HTTP status; 0 when there was none.
    pub status: u16,
    /// Connection; 0 when there was none.
    pub connection: u32,
    /// Bytes of body read.
    pub bytes: u64,
    /// Version that answered, or whose socket it was.
    pub version: Option<String>,
    /// Instance that answered.
    pub instance: Option<String>,
    /// The raw error.
    pub detail: Option<String>,
}

/// One step of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Start.
    pub at_us: i64,
    /// Successes per version, in the order of `versions`.
    pub ok: Vec<u64>,
    /// Failures.
    pub failed: u64,
    /// Not sent.
    pub not_sent: u64,
    /// Median TTLB of whole, right answers.
    pub ttlb_p50_us: Option<u64>,
    /// 99th percentile; only with at least 1,000 answers.
    pub ttlb_p99_us: Option<u64>,
    /// Largest.
    pub ttlb_max_us: Option<u64>,
}

/// One of the slowest answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowDot {
    /// Number of the attempt.
    pub id: u64,
    /// When it was meant to be sent.
    pub intended_us: i64,
    /// Time to last byte.
    pub ttlb_us: u64,
    /// Index into `versions`.
    pub version: usize,
    /// Whether it was a failure (late).
    pub failed: bool,
}

/// A closer look at the switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zoom {
    /// Width of `bins`.
    pub bin_us: u64,
    /// Two seconds around the switch, by intended send time; empty bins are left out.
    pub bins: Vec<ZoomBin>,
    /// Start of the window of `lines`.
    pub from_us: i64,
    /// End of it.
    pub to_us: i64,
    /// Requests that were open in the window; every failure among them is in.
    pub lines: Vec<ZoomLine>,
    /// Successes in the window that `lines` has no room for.
    pub left_out: u64,
}

/// One step of the closer look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoomBin {
    /// Start.
    pub at_us: i64,
    /// Successes per version, in the order of `versions`.
    pub ok: Vec<u64>,
    /// Failures.
    pub failed: u64,
}

/// One request near the switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoomLine {
    /// Number of the attempt.
    pub id: u64,
    /// Lane.
    pub lane: Lane,
    /// Class.
    pub class: Class,
    /// When it was meant to be sent.
    pub intended_us: i64,
    /// When its last byte came.
    pub done_us: i64,
    /// Index into `versions`.
    pub version: usize,
}

/// A WebSocket and those that took over from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketChain {
    /// In the order in which they stood.
    pub sockets: Vec<Socket>,
    /// Longest time from the last echo on one to the first on its successor.
    pub longest_gap_us: Option<u64>,
    /// Messages on them that failed.
    pub failed: u64,
}

/// One WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Number of the connection.
    pub connection: u32,
    /// When it was asked for.
    pub opened_us: i64,
    /// When it ended.
    pub closed_us: i64,
    /// Index into `versions`.
    pub version: usize,
    /// Messages it carried.
    pub messages: u64,
    /// When its first echo came.
    pub first_echo_us: Option<i64>,
    /// When its last echo came.
    pub last_echo_us: Option<i64>,
    /// How it ended.
    pub ending: Ending,
    /// Close code.
    pub close_code: Option<u16>,
}

/// Whether the evidence can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Attempts the schedule asked for; missing when the prober died.
    pub planned: Option<u64>,
    /// Attempts the prober says it sent.
    pub sent: Option<u64>,
    /// Attempts in the samples.
    pub recorded: u64,
    /// The prober's own lateness: median.
    pub lateness_p50_us: Option<u64>,
    /// 99th percentile.
    pub lateness_p99_us: Option<u64>,
    /// Largest.
    pub lateness_max_us: Option<u64>,
    /// Distribution of the lateness.
    pub lateness: Vec<LatenessBin>,
    /// Times in which the prober saw nothing.
    pub blind: Vec<BlindWindow>,
    /// All of them together.
    pub blind_us: u64,
    /// WebSocket messages lost.
    pub ws_lost: u64,
    /// WebSocket messages echoed twice.
    pub ws_doubled: u64,
    /// WebSocket messages out of order.
    pub ws_reordered: u64,
    /// Sockets that moved because they were told to.
    pub ws_reconnects: u64,
    /// Longest gap between a socket and its successor.
    pub ws_longest_gap_us: u64,
}

/// How many attempts went out within a lateness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatenessBin {
    /// Upper edge; `None` for the last bin.
    pub below_us: Option<u64>,
    /// Attempts.
    pub attempts: u64,
}
