//! The arguments of `probe`. What they mean is in `commands`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use probe::{Pace, Resolve, VersionFrom};
use report::Assertion;

use super::Also;
use crate::duration;

const PROBE: &str = "\
Examples:
  cutover probe http://127.0.0.1:8080/ --rate 100 --duration 30s
  cutover probe http://127.0.0.1:8080/health --lanes fresh --count 1000
  cutover probe http://10.0.0.5/ --host shop.example.org --late-after 250ms
  cutover probe http://127.0.0.1:8080/ --lanes keep-alive,websocket --websocket-path /chat
  cutover probe http://127.0.0.1:8080/ --lanes all --orders-path /api/orders

  cutover probe http://127.0.0.1:8080/ --full-screen --metrics 127.0.0.1:9464 --duration 10m
  cutover probe https://shop.example.org/ --until-switch --watch-version json:build.version
  cutover probe https://shop.example.org/ --clients 20 --assert client_regressions=0
  cutover probe http://127.0.0.1:8080/ --count 400 --assert 'share(v2)=25%±5' --assert 'p99<250ms'

--assert compares sent, failed, not_sent, regressions, client_regressions, versions with a number; failed
with a share, too; p50 to p99.9, max, gap, mixed with a time; share(VERSION) and instance(NAME) with a share. sent, failed,
not_sent, percentiles, max and gap may be of one lane: p99(fresh)<1s. A demand on `failed` takes the place
of the rule that nothing may fail.

Exit codes: 0 pass, 1 requests failed or a demand was broken, 2 usage, 3 inconclusive, 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = PROBE)]
pub(crate) struct Probe {
    /// What to ask, `http://host:port/path` or `https://…`
    pub(crate) url: String,
    /// Attempts per second, all lanes together
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// What is paid for sending on time: frugal (sleeps until then, and sends as late as it is woken), steady
    /// (awake a little earlier, for up to a quarter of a core, or an eighth of the only one) or exact (awake
    /// all the time from 500/s on, for a prober with a core of its own)
    #[arg(long, value_name = "PACE", default_value = "steady", value_parser = pace)]
    pub(crate) pace: Pace,
    /// Lanes, separated by commas: keep-alive, fresh, http2, websocket, idle, upload, download,
    /// events, orders. What the target does not serve is listed as not run. `all` tries each one
    /// and runs those that it finds served
    #[arg(
        long,
        value_name = "LANES",
        default_value = "keep-alive,fresh",
        value_delimiter = ',',
        conflicts_with = "lanes_file"
    )]
    pub(crate) lanes: Vec<String>,
    /// Lanes, their shares of the rate and their paths from this TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) lanes_file: Option<PathBuf>,
    /// Most requests in flight; beyond it they are recorded as not sent [default: rate x timeout]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) max_in_flight: Option<u32>,
    /// How long to probe, such as 500ms, 30s or 1m30s [default: 10s; with --until-switch at most 30m]
    #[arg(long, value_name = "TIME", value_parser = duration::argument, conflicts_with = "count")]
    pub(crate) duration: Option<Duration>,
    /// How many attempts to send, instead of a duration
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Probe until the version that answers has changed for good; inconclusive if it does not
    #[arg(long, conflicts_with = "count")]
    pub(crate) until_switch: bool,
    /// How long the old version must have been silent before --until-switch ends
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::argument)]
    pub(crate) settle: Duration,
    /// Where an answer says its version: header:NAME, json:PATH (such as json:build.version) or body (its first line)
    #[arg(long, value_name = "PLACE", value_parser = version_from, conflicts_with = "version_header")]
    pub(crate) watch_version: Option<VersionFrom>,
    /// Demand something of the run: failed<=3, p99<250ms, share(v2)=25%±5 (may be repeated)
    #[arg(long, value_name = "EXPR", value_parser = demand)]
    pub(crate) assert: Vec<Assertion>,
    /// Path of the WebSocket lane
    #[arg(long, value_name = "PATH", default_value = "/ws")]
    pub(crate) websocket_path: String,
    /// Live sockets of the WebSocket lane
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..))]
    pub(crate) sockets: u16,
    /// An answer later than this is a failure
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::argument)]
    pub(crate) late_after: Duration,
    /// An answer of the URL with this status is right, too, such as 404 where only a new version has the
    /// path; the report tells who gave which (may be repeated)
    #[arg(long, value_name = "STATUS", value_parser = value_parser!(u16).range(400..=599))]
    pub(crate) expect_status: Vec<u16>,
    /// An attempt without an answer is given up after this
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::argument)]
    pub(crate) timeout: Duration,
    /// Header in which the app tells its version
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) version_header: Option<String>,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) request: Request,
    #[command(flatten)]
    pub(crate) way: Reached,
    /// Host header to send instead of the URL's
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Directory for the report files
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) also: Also,
    #[command(flatten)]
    pub(crate) watched: Watched,
    /// The report as JSON on stdout, how it goes as JSON lines on stderr
    #[arg(long)]
    pub(crate) json: bool,
    /// Write samples here; no report
    #[arg(long, hide = true, requires = "control")]
    pub(crate) samples: Option<PathBuf>,
    /// The key by which our proxy knows us stands here
    #[arg(long, hide = true, requires = "control")]
    pub(crate) key_file: Option<PathBuf>,
    /// Listen here for the controller
    #[arg(long, hide = true, requires = "samples")]
    pub(crate) control: Option<PathBuf>,
}

/// How a run is watched while it lasts, and what is kept of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Watching")]
pub(crate) struct Watched {
    /// Show how it goes on the whole terminal, with charts (lines where stderr is none)
    #[arg(long, conflicts_with = "control")]
    pub(crate) full_screen: bool,
    /// Answer at this address to GET /metrics while it runs (Prometheus, OpenMetrics)
    #[arg(long, value_name = "ADDRESS", conflicts_with = "control")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Every attempt beside the report, too, one per line of JSON (gzip)
    #[arg(long, conflicts_with = "control")]
    pub(crate) raw: bool,
}

/// Where the lanes find what they ask for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lanes")]
pub(crate) struct Places {
    /// Where uploads go; the answer must hold their SHA-256 in hex
    #[arg(long, value_name = "PATH", default_value = "/upload")]
    pub(crate) upload_path: String,
    /// A long answer, always the same or with its SHA-256 in X-Content-SHA256
    #[arg(long, value_name = "PATH", default_value = "/download?bytes=4194304")]
    pub(crate) download_path: String,
    /// A stream of server-sent events
    #[arg(long, value_name = "PATH", default_value = "/events")]
    pub(crate) events_path: String,
    /// Takes orders {"id": …} and tells with ?run= how many were carried out, and which twice
    #[arg(long, value_name = "PATH", default_value = "/orders")]
    pub(crate) orders_path: String,
    /// Over how long uploads are sent, downloads taken, events listened to [default: 2s, or half of --timeout]
    #[arg(long, value_name = "TIME", value_parser = duration::argument)]
    pub(crate) slowness: Option<Duration>,
    /// The longest that a connection of the idle lane rests before it is used again
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration::argument)]
    pub(crate) idle_most: Duration,
}

/// What every request says.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct Request {
    /// Method of the requests of keep-alive, fresh, idle and http2; of HEAD a version is read in a header only
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// A field of the requests, 'Name: value' (may be repeated)
    #[arg(long = "header", short = 'H', value_name = "FIELD")]
    pub(crate) fields: Vec<String>,
    /// Body of the requests, or @FILE
    #[arg(long, value_name = "TEXT")]
    pub(crate) body: Option<String>,
    /// Environment variable that holds user:password
    #[arg(long, value_name = "VARIABLE", conflicts_with = "bearer_from")]
    pub(crate) basic_from: Option<String>,
    /// Environment variable that holds a bearer token
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) bearer_from: Option<String>,
    /// So many clients keep their cookies, as browsers do, and send every second request of keep-alive,
    /// fresh, http2 and idle: whoever of them goes back to an older version is found
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u16).range(0..=1_000))]
    pub(crate) clients: u16,
    /// A field in which these clients also name themselves, such as X-User
    #[arg(long, value_name = "NAME", requires = "clients")]
    pub(crate) client_field: Option<String>,
}

/// How the target is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
pub(crate) struct Reached {
    /// Trust the roots in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// Take any certificate
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Show this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The key of --client-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// Connect to this unix socket, whatever host the URL names
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,
    /// Connect to this address in place of a name, HOST:PORT:ADDRESS (may be repeated)
    #[arg(long, value_name = "PLACE", value_parser = resolve)]
    pub(crate) resolve: Vec<Resolve>,
}

fn resolve(text: &str) -> Result<Resolve, String> {
    text.parse().map_err(|fault: model::Fault| fault.what)
}

fn pace(text: &str) -> Result<Pace, String> {
    text.parse().map_err(|fault: model::Fault| fault.what)
}

fn version_from(text: &str) -> Result<VersionFrom, String> {
    text.parse().map_err(|fault: model::Fault| fault.what)
}

fn demand(text: &str) -> Result<Assertion, String> {
    Assertion::parse(text).map_err(|fault| fault.what)
}
