//! One probe attempt, and what became of it.
//!
//! All times are microseconds since the run began (`RunHeader::t0_mono_ns`, CLOCK_MONOTONIC), so that
//! samples and rollout events of one machine lie on one axis. 0 means "did not happen" for every stamp
//! after `intended_us`. Whether an attempt was good enough is not judged here, but in the report; a file of
//! them is written and read by the prober (`samples`).

use serde::{Deserialize, Serialize};

/// One kind of probe traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// A pool of persistent connections.
    KeepAlive,
    /// A new connection for each request.
    Fresh,
    /// Streams of a few HTTP/2 connections.
    Http2,
    /// Long-lived sockets with numbered echo messages.
    Websocket,
    /// Connections that are used again after a random time of silence.
    Idle,
    /// Bodies sent slowly; the answer must name their digest.
    Upload,
    /// Bodies taken slowly, of a known digest.
    Download,
    /// Streams of server-sent events, each listened to for a while.
    Events,
    /// Requests that must be executed once, each with an id of its own, over kept connections.
    Orders,
}

impl Lane {
    /// Every lane, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::KeepAlive,
        Self::Fresh,
        Self::Http2,
        Self::Websocket,
        Self::Idle,
        Self::Upload,
        Self::Download,
        Self::Events,
        Self::Orders,
    ];

    /// The name used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Fresh => "fresh",
            Self::Http2 => "http2",
            Self::Websocket => "websocket",
            Self::Idle => "idle",
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Events => "events",
            Self::Orders => "orders",
        }
    }

    /// True where the prober itself is slow on purpose: the time to the last byte is then its own
    /// choice and says nothing of the app.
    pub const fn slow(self) -> bool {
        matches!(self, Self::Upload | Self::Download | Self::Events)
    }
}

/// What became of an attempt. Everything but `Ok` and `NotSent` is a failure a user would have met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The whole answer came, in time, and was right.
    Ok,
    /// Right, but later than the limit the run was given (from the intended send time).
    Late,
    /// Nothing was asked: refused, unreachable, no TLS, or a stream that the peer says it did not take.
    Refused,
    /// No whole answer within the timeout.
    Timeout,
    /// The connection was reset after the request was sent and before any byte of the answer.
    ResetBeforeBytes,
    /// The connection was closed (no reset) after the request was sent and before any byte of the
    /// answer: the peer took it and never answered.
    LostInFlight,
    /// The answer began and did not arrive whole.
    Truncated,
    /// A whole answer with a status of 400 or more (or not the one asked for).
    BadStatus,
    /// A whole answer that is not what was asked for: wrong echo, wrong digest, not HTTP.
    WrongContent,
    /// A socket ended without a close frame or announcement, or its message was never echoed.
    WsDropped,
    /// The prober could not send it (over its cap, or stalled). Not the target's failure: it counts
    /// against the evidence, not against the verdict.
    NotSent,
}

impl Class {
    /// Every class, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Late,
        Self::Refused,
        Self::Timeout,
        Self::ResetBeforeBytes,
        Self::LostInFlight,
        Self::Truncated,
        Self::BadStatus,
        Self::WrongContent,
        Self::WsDropped,
        Self::NotSent,
    ];

    /// True when a user would have met it as a failure.
    pub const fn failed(self) -> bool {
        !matches!(self, Self::Ok | Self::NotSent)
    }

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::ResetBeforeBytes => "reset before bytes",
            Self::LostInFlight => "lost in flight",
            Self::Truncated => "truncated",
            Self::BadStatus => "bad status",
            Self::WrongContent => "wrong content",
            Self::WsDropped => "ws dropped",
            Self::NotSent => "not sent",
        }
    }
}

/// Where the version of an answer was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The app's own header or body: strong.
    App,
    /// The proxy's stamp: weaker, it says where the request was sent.
    Stamp,
}

/// One attempt: one request and its answer, or one numbered message and its echo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number in the order of intended send times, from 0, over all lanes.
    pub id: u64,
    /// The lane.
    pub lane: Lane,
    /// What became of it.
    pub class: Class,
    /// When it was meant to be sent.
    pub intended_us: u64,
    /// When the prober took it up (`dispatched - intended` is the prober's own lateness).
    pub dispatched_us: u64,
    /// When its connection stood; 0 when it used one that stood already.
    pub connected_us: u64,
    /// When the last byte of the request was handed to the kernel.
    pub sent_us: u64,
    /// When the first byte of the answer was read.
    pub first_byte_us: u64,
    /// When the last byte was read, or when the attempt was given up. TTLB is `done - intended`.
    pub done_us: u64,
    /// HTTP status; 0 when there was none.
    pub status: u16,
    /// Number of the connection or socket it used, from 1; 0 when it never had one.
    pub connection: u32,
    /// Bytes of body read.
    pub bytes: u64,
    /// The client that asked and comes back with its cookies, from 1; none for one that comes once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<u16>,
    /// The version that answered, as the answer said it (hostile text possible).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The instance that answered, as the answer said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// For a failure: the raw error or the first bytes of the odd answer, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Attempt {
    /// Time to last byte from the intended send time, microseconds.
    pub const fn ttlb_us(&self) -> u64 {
        self.done_us.saturating_sub(self.intended_us)
    }

    /// From when to when its client waited for the app, by which it is judged to be late. On lanes that are
    /// slow on purpose that is not the whole time: an upload waits from its last byte on, a download for the
    /// first one.
    pub fn waited(&self) -> (u64, u64) {
        let known = |us: u64, other: u64| if us > 0 { us } else { other };
        match self.lane {
            Lane::Upload => (known(self.sent_us, self.intended_us), self.done_us),
            Lane::Download | Lane::Events => {
                (self.intended_us, known(self.first_byte_us, self.done_us))
            }
            _ => (self.intended_us, self.done_us),
        }
    }

    /// True where it stands for a WebSocket that was cut while no message was under way on it: nothing was
    /// sent, and its detail says so ([`BARE_SOCKET`]).
    pub fn is_bare_socket(&self) -> bool {
        let said = self.detail.as_ref().is_some_and(|detail| detail.ends_with(BARE_SOCKET));
        self.class == Class::WsDropped && self.sent_us == 0 && said
    }
}

/// How a connection of the prober ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Still open when the run ended, or closed by the prober because it was done.
    ByUs,
    /// Closed by the peer while idle: harmless.
    IdleByPeer,
    /// Closed by the peer after an answer that said `Connection: close`.
    AnnouncedByPeer,
    /// Closed by the peer in the middle of an attempt.
    MidAttempt,
    /// Reset by the peer.
    Reset,
    /// WebSocket: the app said reconnect, then we closed.
    Reconnected,
    /// WebSocket: a close frame from the peer (1001, 1012 and the like).
    CloseFrame,
    /// Never established.
    Failed,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 8] = [
        Self::ByUs,
        Self::IdleByPeer,
        Self::AnnouncedByPeer,
        Self::MidAttempt,
        Self::Reset,
        Self::Reconnected,
        Self::CloseFrame,
        Self::Failed,
    ];
}

/// How the detail of an attempt begins whose target's name led nowhere.
pub const NO_ADDRESS: &str = "no address";

/// What the detail of a failure ends with that stands for a cut WebSocket, not for a message on it.
pub const BARE_SOCKET: &str = ", with no message under way";

/// How it begins where the two sides did not come to terms over TLS.
pub const NO_TLS: &str = "no TLS";

/// One connection (or socket) of the prober, from opening to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number, from 1.
    pub connection: u32,
    /// The lane that opened it.
    pub lane: Lane,
    /// When it was asked for.
    pub opened_us: u64,
    /// When it stood; 0 when it never did.
    pub established_us: u64,
    /// When it ended.
    pub closed_us: u64,
    /// How it ended.
    pub ending: Ending,
    /// Close code of a WebSocket, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_code: Option<u16>,
    /// Attempts it carried.
    pub attempts: u32,
    /// WebSocket: the connection that took over from this one, and so the gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<u32>,
}

/// First line of a sample file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// Version of this format.
    pub schema_version: u32,
    /// What was asked.
    pub url: String,
    /// CLOCK_MONOTONIC at microsecond 0 of the run, ns.
    pub t0_mono_ns: u64,
    /// Wall clock at the same instant, ms since 1970 (for people only).
    pub t0_unix_ms: u64,
    /// Total rate asked for, attempts per second over all lanes.
    pub rate: u32,
    /// Share of the rate per lane, attempts per second.
    pub lanes: Vec<(Lane, f64)>,
    /// Lanes that were wanted and could not be run, with the reason.
    pub lanes_not_run: Vec<(Lane, String)>,
    /// Clients that keep their cookies.
    #[serde(default)]
    pub clients: u16,
    /// An answer later than this (from the intended send time) is `late`, us.
    pub late_after_us: u64,
    /// An attempt without a whole answer after this is a timeout, us.
    pub timeout_us: u64,
}

/// A time in which the prober itself was stopped or starved: it saw nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlindWindow {
    /// From.
    pub from_us: u64,
    /// To.
    pub to_us: u64,
}

/// Last line of a sample file: the prober's account of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFooter {
    /// Attempts the schedule asked for until the stop.
    pub planned: u64,
    /// Attempts sent.
    pub sent: u64,
    /// Attempts that could not be sent.
    pub not_sent: u64,
    /// When the last attempt was intended, us.
    pub until_us: u64,
    /// Own lateness (`dispatched - intended`): median, 99th percentile, largest, us.
    pub lateness_us: [u64; 3],
    /// WebSocket: messages lost, doubled, out of order; reconnects announced by the app.
    pub ws_lost: u64,
    /// Echoes that came twice.
    pub ws_doubled: u64,
    /// Echoes out of order.
    pub ws_reordered: u64,
    /// Sockets that moved because they were told to.
    pub ws_reconnects: u64,
    /// Largest gap between the last echo on a socket and the first on its successor, us.
    pub ws_longest_gap_us: u64,
    /// Streams of events that the app ended in order before their time.
    #[serde(default)]
    pub streams_ended: u64,
    /// Connections that stood at a later address of the target's name, since an earlier one took none.
    #[serde(default)]
    pub other_address: u64,
    /// What the app says of the orders; `None` when there was no such lane or it could not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<OrderCount>,
}

/// Orders as the prober sent them and as the app carried them out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCount {
    /// Orders that were answered with success.
    pub acknowledged: u64,
    /// Different orders carried out, as the app says.
    pub executed: u64,
    /// Of those, the ones carried out more than once.
    pub doubled: u64,
    /// Some of the doubled ones.
    pub examples: Vec<String>,
}

/// One line of a sample file (newline-delimited JSON, gzip).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum SampleLine {
    /// First line.
    Header(RunHeader),
    /// One attempt; in the order in which they ended.
    Attempt(Attempt),
    /// One connection, written when it ended.
    Connection(Connection),
    /// The prober saw nothing here.
    Blind(BlindWindow),
    /// Last line; missing when the prober died.
    Footer(RunFooter),
}
