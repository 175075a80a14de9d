//! What is measured.
//!
//! Names and numbers only; how a case is run stands in `load` and `measure`.

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    /// Small JSON over connections that are kept.
    Small,
    /// A new connection for each request.
    Fresh,
    /// Answers of 1 MiB.
    Body,
    /// A full TLS handshake for each request.
    Handshake,
    /// HTTP/2 over TLS.
    Http2,
    /// Memory of idle connections.
    Idle,
    /// Memory of WebSocket tunnels.
    Tunnels,
}

/// Idle connections.
pub(crate) const IDLE: usize = 10_000;
/// WebSocket tunnels; each costs a proxy two open files, and 20,000 are common.
pub(crate) const TUNNELS: usize = 5_000;
/// Length of a large body, bytes.
pub(crate) const BODY: usize = 1 << 20;

impl Case {
    /// In the order in which they are run.
    pub(crate) const ALL: [Self; 7] = [
        Self::Small,
        Self::Fresh,
        Self::Body,
        Self::Handshake,
        Self::Http2,
        Self::Idle,
        Self::Tunnels,
    ];

    /// On the command line and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Fresh => "fresh",
            Self::Body => "body",
            Self::Handshake => "tls",
            Self::Http2 => "h2",
            Self::Idle => "idle",
            Self::Tunnels => "tunnels",
        }
    }

    /// In tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Small => "small JSON, 64 kept connections",
            Self::Fresh => "small JSON, a connection each",
            Self::Body => "1 MiB body, 8 kept connections",
            Self::Handshake => "TLS handshake (P-256) and request",
            Self::Http2 => "HTTP/2 over TLS, 16 × 16 streams",
            Self::Idle => "10,000 idle connections",
            Self::Tunnels => "5,000 WebSocket tunnels",
        }
    }

    /// Measured by CPU time per request.
    pub(crate) const fn by_time(self) -> bool {
        matches!(self, Self::Small | Self::Fresh | Self::Body | Self::Handshake | Self::Http2)
    }

    /// How many are under way at a time: connections, and streams of each.
    pub(crate) const fn lanes(self) -> (usize, usize) {
        match self {
            Self::Body => (8, 1),
            Self::Fresh | Self::Handshake => (16, 1),
            Self::Http2 => (16, 16),
            _ => (64, 1),
        }
    }

    /// Requests a second at which latency is measured, the same for everybody: a fifth to a quarter of what the slowest of
    /// Cutover, HAProxy and nginx can do on a core of a small virtual machine, so that nothing but the way is measured.
    pub(crate) const fn rate(self) -> u32 {
        match self {
            Self::Fresh => 1_000,
            Self::Body => 200,
            Self::Handshake => 250,
            Self::Http2 => 4_000,
            _ => 5_000,
        }
    }

    /// How many wait for answers at that rate: connections, or for one request each, those who open them. Those of
    /// HTTP/2 carry as many streams as there are.
    pub(crate) const fn paced_lanes(self) -> usize {
        match self {
            Self::Body => 8,
            Self::Http2 => 16,
            _ => 64,
        }
    }

    /// Goes to the TLS address.
    pub(crate) const fn secure(self) -> bool {
        matches!(self, Self::Handshake | Self::Http2)
    }
}
