//! How users' view is measured, as it is written, after all checks.
//!
//! No parsing here: that is done in `watch` and `over_tls`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::Lane;
use model::fault::Place;

/// How users' view is measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProbeConfig {
    /// Whether a prober runs beside each rollout.
    pub(crate) enabled: bool,
    /// Attempts per second, all lanes together.
    pub(crate) rate: u32,
    /// What is paid for sending on time.
    pub(crate) pace: probe::Pace,
    /// Path asked.
    pub(crate) path: String,
    /// The name that is asked for, lower case; `None` is one of the app's `hosts`.
    pub(crate) host: Option<String>,
    /// How it asks over TLS; `None` is in plain text.
    pub(crate) tls: Option<ProbeTls>,
    /// Kinds of traffic.
    pub(crate) lanes: Vec<Lane>,
    /// Path of the WebSocket lane.
    pub(crate) websocket_path: String,
    /// Sockets the WebSocket lane holds open.
    pub(crate) sockets: u32,
    /// Path that takes uploads.
    pub(crate) upload_path: String,
    /// Path of a long answer.
    pub(crate) download_path: String,
    /// Path of a stream of server-sent events.
    pub(crate) events_path: String,
    /// Path that takes orders and tells what was carried out.
    pub(crate) orders_path: String,
    /// Over how long an upload is sent, a download taken, a stream listened to.
    pub(crate) slowness: Duration,
    /// The longest that a connection of the idle lane rests.
    pub(crate) idle_most: Duration,
    /// A later answer is a failure of class `late`.
    pub(crate) late_after: Duration,
    /// An attempt without a whole answer after this is a timeout.
    pub(crate) timeout: Duration,
    /// Header in which answers name their version, lower case.
    pub(crate) version_header: String,
}

/// How the prober asks over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeTls {
    /// Where users come in like that.
    pub(crate) at: SocketAddr,
    /// The file with whom to believe, PEM; `None`: those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// What in the file says so.
    pub(crate) written: Written,
}

/// A place in the file, for whoever finds out later what is wrong there. Where a thing is written changes
/// nothing: all places are equal.
#[derive(Clone, Default)]
pub(crate) struct Written(pub(crate) Option<Place>);

impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Written {}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there")
    }
}
