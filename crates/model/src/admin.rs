//! The protocol of the proxy's admin socket (a unix socket, mode 0600).
//!
//! Newline-delimited JSON: one `Request` per line, one `Reply` per line, in order. File descriptors
//! of listeners travel as SCM_RIGHTS with the first byte of the line that speaks of them. The driver
//! of the own proxy is the only client, a router like any other, beside a proxy that takes the place of another and asks
//! for its `Account`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::fleet::{InstanceId, ReleaseId};
pub use crate::key_pair::KeyPair;
use crate::limits::{AppLimits, Limits};
use crate::name::AppName;
use crate::network::Network;
use crate::offender::Offenders;
use crate::outliers::Outliers;
use crate::receipt::{Question, Receipts};
use crate::routes::{Generation, Routes};
use crate::survey::{Survey, Surveyed};

/// What the proxy is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Takes over a listening socket; exactly one descriptor comes along.
    Listen {
        /// The address it is bound to, as configured.
        address: SocketAddr,
    },
    /// As `Listen`, for clients that speak TLS. Certificates must be there already.
    ListenTls {
        /// The address it is bound to, as configured.
        address: SocketAddr,
    },
    /// Replaces all certificates. Read and checked anew each time, so this is also how renewed files
    /// are taken up; if one pair cannot be used, all stay as they were.
    Certify {
        /// The pairs; a client that names none of their hosts is shown the first.
        pairs: Vec<KeyPair>,
        /// One pair takes nothing from the others: whose time is over is shown all the same, and what
        /// cannot be used is left out, or shown as it was read before. Refused if nothing is left.
        #[serde(default)]
        forgiving: bool,
    },
    /// Asks for the keys of TLS session tickets, for a successor.
    TicketKeys,
    /// Goes on with the keys of a predecessor.
    AdoptTicketKeys {
        /// Keys as its `TicketKeys` said.
        keys: Vec<TicketKey>,
    },
    /// The key that cohorts are signed with. Without one clients are in no cohort.
    CohortKey {
        /// The same for every proxy of a state directory, for good.
        key: CohortKey,
    },
    /// Takes over one connection of a client, plain, as if it had been accepted; exactly one descriptor
    /// comes along. So a proxy can be tried before it has listeners.
    Serve,
    /// Asks for duplicates of all listening sockets, in the order of the reply's addresses.
    Listeners,
    /// Replaces the routes of one app, atomically.
    Publish {
        /// Fencing epoch of the controller; an older one than the newest seen is refused.
        epoch: u64,
        /// Generation the controller believes to be current; another one is refused.
        expected: Generation,
        /// The whole new slice, with a generation greater than `expected`.
        routes: Routes,
    },
    /// Forgets an app.
    Withdraw {
        /// Fencing epoch.
        epoch: u64,
        /// The app.
        app: AppName,
    },
    /// Replaces what holds for all apps and listeners.
    Configure {
        /// All of it.
        settings: Settings,
    },
    /// Replaces what the proxy tells of itself and where: the access log is opened, the metrics are
    /// listened for. If one of them cannot be, both stay as they were.
    Observe {
        /// All of it.
        observation: Observation,
    },
    /// Tells a proxy that it takes the place of another, and how many upgrades led to it.
    Succeed {
        /// Those before it and its own.
        upgrades: u64,
    },
    /// Has its metrics tell what the proxies at these sockets count, which it replaces, while they live and after. Answered
    /// when each was heard for the first time, or is late.
    Include {
        /// Their admin sockets.
        sockets: Vec<PathBuf>,
    },
    /// Asks what it has counted itself and what those have that it replaced: for a proxy that replaces it. It is no sign of a
    /// controller.
    Account,
    /// Asks what the proxy carries and what is open.
    Look,
    /// Has units of an app counted, from the first time on for as long as it is asked at least every
    /// half minute, and asks what was. Another survey than the last one begins anew.
    Survey {
        /// What is to be counted.
        survey: Survey,
        /// Ticks up to this one are known already.
        after_s: u64,
    },
    /// Has a receipt written of each request of a prober, from the first time on until it is forgotten,
    /// and asks for those that are there. What is told again is what was not said to be taken.
    Receipts(Question),
    /// Writes and keeps no more receipts of a prober.
    ForgetReceipts {
        /// Its key.
        key: String,
    },
    /// Asks which requests and tunnels of an app have been open for longest.
    Offenders {
        /// The app.
        app: AppName,
        /// On these instances; none for all that get nothing new.
        instances: Vec<InstanceId>,
    },
    /// Fault injection, refused unless the proxy was started with `--allow-faults`: cuts the next
    /// `bodies` answers of an app short in mid-body.
    Truncate {
        /// The app.
        app: AppName,
        /// How many.
        bodies: u32,
    },
    /// Stops accepting, lets what is open finish until the deadline, then ends the process.
    Stop {
        /// Deadline, ms from now.
        within_ms: u64,
        /// A kept connection of HTTP/1.1 that brings no request may stay for this long, ms: its next
        /// request is answered and told that it was the last.
        #[serde(default = "linger")]
        linger_ms: u64,
    },
}

/// How long an idle connection stays when nothing else is said, ms.
const fn linger() -> u64 {
    1_000
}

impl Request {
    /// A stop without a word about idle connections.
    pub const fn stop(within_ms: u64) -> Self {
        Self::Stop { within_ms, linger_ms: linger() }
    }
}

/// What holds for all apps and listeners of a proxy. One that was told nothing uses the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// An instance must begin its answer this long after the whole request was sent, ms; 0 for no
    /// limit. Long polls wait here.
    pub answer_begins_ms: u64,
    /// An instance may be silent for this long in mid-answer, ms; 0 for no limit. Event streams are
    /// silent here.
    pub answer_silence_ms: u64,
    /// A client's head must be whole this long after its first byte, ms; 0 for no limit.
    pub client_head_ms: u64,
    /// A request's body may stand still for this long, ms; 0 for no limit.
    pub client_body_ms: u64,
    /// A client may take nothing of its answer for this long, ms; 0 for no limit.
    pub client_reads_ms: u64,
    /// What else clients and instances may take.
    pub limits: Limits,
    /// What is different for some apps.
    pub apps: Vec<AppLimits>,
    /// Whose `X-Forwarded-*` and `Forwarded` fields are believed and appended to; everybody else's
    /// are replaced.
    pub trusted: Vec<Network>,
    /// Most client connections at a time; 0 for as many as open files allow. Those beyond it are
    /// answered 503.
    pub max_connections: u64,
    /// What is answered in the proxy's own name, in place of a line of text.
    pub pages: Vec<Page>,
    /// What is out of service by intent.
    pub maintenance: Vec<Maintenance>,
    /// Which instances are left out for a while because they fail.
    pub outliers: Outliers,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            answer_begins_ms: 300_000,
            answer_silence_ms: 0,
            trusted: Vec::new(),
            max_connections: 0,
            pages: Vec::new(),
            maintenance: Vec::new(),
            outliers: Outliers::default(),
            client_head_ms: 10_000,
            client_body_ms: 60_000,
            client_reads_ms: 60_000,
            limits: Limits::default(),
            apps: Vec::new(),
        }
    }
}

/// A file that is answered in place of the proxy's own words. One that cannot be read does not keep
/// the proxy from serving: the words are answered then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// For this app; `None` for all that have none of their own.
    pub app: Option<AppName>,
    /// For answers of this status, 400 to 599.
    pub status: u16,
    /// The file.
    pub file: PathBuf,
}

/// Whoever asks is answered 503 and no instance hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// This app; `None` for all.
    pub app: Option<AppName>,
    /// The file that is answered; `None` for the page of 503, if there is one.
    pub file: Option<PathBuf>,
}

/// What the proxy tells of itself beside the admin socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Where each request is written down; `None` for nowhere.
    pub access_log: Option<AccessLog>,
    /// Where metrics can be asked for over TCP; `None` for the admin socket alone.
    pub metrics: Option<SocketAddr>,
}

/// A file with a line for each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    /// The file; appended to, opened anew when it was moved away.
    pub path: PathBuf,
    /// How lines look.
    pub format: LogFormat,
    /// Whether queries are written, which may hold secrets.
    pub query: bool,
}

/// How lines of the access log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A JSON object each.
    #[default]
    Json,
    /// The combined format of Apache and nginx, and what it lacks behind it.
    Combined,
}

/// A key of TLS session tickets. Whoever has it can read sessions that were resumed with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKey {
    /// Its name, at the front of every ticket.
    pub name: [u8; 16],
    /// The key.
    pub secret: [u8; 32],
    /// When it was made, seconds since 1970.
    pub made_unix_s: u64,
}

/// The key that cohorts are signed with. Whoever has it can choose a cohort, and nothing else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortKey(pub [u8; 32]);

impl fmt::Debug for CohortKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CohortKey(…)")
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TicketKey(made at {})", self.made_unix_s)
    }
}

/// What the proxy answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// Refused, and nothing was changed.
    Refused(Fault),
    /// Done, and something is not as it should be.
    Warned {
        /// What; sentences.
        words: Vec<String>,
    },
    /// The listening sockets; their descriptors come along.
    Listeners {
        /// Addresses, in the order of the descriptors.
        addresses: Vec<SocketAddr>,
    },
    /// The keys of session tickets, newest first.
    TicketKeys {
        /// Keys.
        keys: Vec<TicketKey>,
    },
    /// What was counted.
    Account {
        /// By who is asked, and then by those before it.
        accounts: Vec<Account>,
    },
    /// What the proxy carries.
    Seen(ProxySeen),
    /// What was counted.
    Surveyed(Surveyed),
    /// What was written down of a prober's requests.
    Receipts(Receipts),
    /// What has been open for longest.
    Offenders(Offenders),
}

/// What one process of the proxy has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// A name that no other process has.
    pub process: String,
    /// Its metrics, in the text of Prometheus.
    pub told: String,
}

/// Everything the proxy knows, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProxySeen {
    /// Process id of the proxy.
    pub pid: u32,
    /// Version of its binary; empty if it is older than this field.
    #[serde(default)]
    pub version: String,
    /// Upgrades without an end between them that led to it; 0 for one that was started anew.
    #[serde(default)]
    pub upgrades: u64,
    /// Newest fencing epoch seen.
    pub epoch: u64,
    /// Addresses it listens on.
    pub listening: Vec<SocketAddr>,
    /// Those of them that speak TLS.
    #[serde(default)]
    pub secure: Vec<SocketAddr>,
    /// Where metrics can be asked for over TCP.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Client connections open.
    pub connections: u64,
    /// Those of them that carry a tunnel and nothing beside it. A connection of HTTP/2 is none: it
    /// may carry several, and still bring requests.
    #[serde(default)]
    pub tunnelling: u64,
    /// Per app.
    pub apps: Vec<AppSeen>,
}

/// One app as the proxy carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppSeen {
    /// Its current routes.
    pub routes: Routes,
    /// Counters of every instance in the routes, and of those that left them and still have
    /// something open.
    pub instances: Vec<InstanceSeen>,
    /// Counters per release since the proxy first knew it, or knew it again after it was given up.
    pub releases: Vec<ReleaseSeen>,
    /// Of releases that left the routes long ago, whose own counters are given up.
    #[serde(default)]
    pub past: PastSeen,
    /// Requests that wait, or waited.
    #[serde(default)]
    pub held: HoldSeen,
}

/// What is left of the counters of releases that are followed no more: sums, which only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastSeen {
    /// How often one was given up.
    pub releases: u64,
    /// Requests that entered their gates.
    pub requests: u64,
}

/// Requests of an app that waited because it was held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSeen {
    /// Waiting now.
    pub now: u64,
    /// Memory they take, bytes.
    pub bytes: u64,
    /// That ever waited.
    pub total: u64,
    /// Answered 503 because a bound was reached.
    pub refused: u64,
    /// Longest wait of those that have gone on since the app was last held, ms.
    pub longest_ms: u64,
}

/// One instance as the proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSeen {
    /// The instance.
    pub id: InstanceId,
    /// Its release.
    pub release: ReleaseId,
    /// Requests open now.
    pub requests: u64,
    /// Tunnels open now: upgraded connections and event streams.
    pub tunnels: u64,
    /// Those of them that the proxy could hand over: WebSockets without a foreign extension.
    #[serde(default)]
    pub sockets: u64,
    /// For so long it is still left out because it failed, ms; 0 when it is not.
    #[serde(default)]
    pub ejected_ms: u64,
    /// How often it was left out so far.
    #[serde(default)]
    pub ejections: u64,
}

/// Counters of a release; they only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSeen {
    /// The release.
    pub release: ReleaseId,
    /// Requests that entered one of its gates.
    pub requests: u64,
    /// Tunnels that were established.
    pub tunnels: u64,
    /// Answers by first digit of the status: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub answers: [u64; 5],
    /// Requests sent again elsewhere after this release failed them.
    pub replayed: u64,
    /// Requests that failed here and could not be sent again (answered 502/504, or cut).
    pub failed: u64,
    /// Requests whose client went before it had its whole answer.
    #[serde(default)]
    pub abandoned: u64,
}
