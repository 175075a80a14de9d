//! The configuration after all checks: units are types, defaults are filled in.
//!
//! Equality is what `reload` compares. No parsing here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use drivers::router::haproxy::Address;
pub(crate) use model::TokenPlace;
use model::admin::{KeyPair, Observation, Settings};
use model::survey::CountBy;
use model::{AppName, Cohorts, Hook, Mark, Pace, Post, Secure, Source, Weight};
use rollout::{Inconclusive, OnIncident, Unmeasured};

use super::asked::Asked;
use super::probed::ProbeConfig;

/// A whole file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Where journal, sockets and logs live.
    pub(crate) state_dir: PathBuf,
    /// What is kept of what is over.
    pub(crate) history: HistoryConfig,
    /// Where the API is served beside its socket.
    pub(crate) api: Option<ApiConfig>,
    /// Cutover's own proxy.
    pub(crate) proxy: ProxyConfig,
    /// Who carries the traffic.
    pub(crate) router: RouterConfig,
    /// Who is told what happens.
    pub(crate) notify: Vec<NotifyConfig>,
    /// The apps, at least one.
    pub(crate) apps: BTreeMap<AppName, AppConfig>,
    /// Apps that can be rolled out together, by what they are called together.
    pub(crate) together: BTreeMap<AppName, Vec<AppName>>,
}

/// Somebody who is told what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotifyConfig {
    /// Where.
    pub(crate) to: Post,
    /// What; each at most once.
    pub(crate) events: Vec<Told>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
}

/// What somebody may be told of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It began.
    Started,
    /// The new version was seen to have its share, or all requests.
    Switched,
    /// A person is waited for.
    Paused,
    /// It ended with users on the new version.
    Finished,
    /// It ended with users on the old one.
    Aborted,
    /// It got stuck: a person is needed.
    Failed,
}

impl Told {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Started, Self::Switched, Self::Paused, Self::Finished, Self::Aborted, Self::Failed];
    /// The names used in the file and in what is sent, in the same order.
    pub(crate) const NAMES: [&'static str; 6] =
        ["started", "switched", "paused", "finished", "aborted", "failed"];

    /// The name used in the file and in what is sent.
    pub(crate) const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What is kept of what is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryConfig {
    /// Runs of each app whose samples, report and log are kept.
    pub(crate) runs: u32,
    /// A log that is longer goes on as an empty one, and what it held is kept once, bytes.
    pub(crate) log_bytes: u64,
}

/// Where the API is served beside its socket: over TLS, to who has the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Its certificate.
    pub(crate) pair: KeyPair,
    /// Where the token is.
    pub(crate) token: TokenPlace,
}

/// Cutover's own proxy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProxyConfig {
    /// Where it listens; port 0 takes a free one. At least one, here or in `tls_listen`.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where it listens for clients that speak TLS; none without certificates. None of `listen`.
    pub(crate) tls_listen: Vec<SocketAddr>,
    /// Certificates and their keys; a client that names no host of theirs is shown the first.
    pub(crate) certificates: Vec<KeyPair>,
    /// What holds for all apps and listeners.
    pub(crate) settings: Settings,
    /// What it tells of itself, and where.
    pub(crate) observation: Observation,
    /// Threads that carry traffic.
    pub(crate) threads: usize,
    /// How long open requests may take to finish when the proxy stops.
    pub(crate) drain_timeout: Duration,
    /// How long what is open on the proxy before an upgrade may take to finish.
    pub(crate) upgrade_timeout: Duration,
}

/// Who carries the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouterConfig {
    /// Cutover's own proxy.
    Proxy,
    /// A HAProxy that runs already.
    HaProxy(HaProxyConfig),
    /// An nginx that runs already.
    Nginx(NginxConfig),
    /// Whoever follows a Consul.
    Follower(FollowerConfig),
}

impl RouterConfig {
    /// The Consul where instances are registered, if they are.
    pub(crate) const fn consul(&self) -> Option<&ConsulConfig> {
        match self {
            Self::HaProxy(theirs) => theirs.consul.as_ref(),
            Self::Proxy | Self::Nginx(_) => None,
            Self::Follower(theirs) => Some(&theirs.consul),
        }
    }

    /// Where others reach the instances of this machine, if not at 127.0.0.1.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.consul()?.address
    }

    /// Where users come in over TLS, of a router of the user's.
    pub(crate) fn tls_listen(&self) -> &[SocketAddr] {
        match self {
            Self::Proxy => &[],
            Self::HaProxy(theirs) => &theirs.tls_listen,
            Self::Nginx(theirs) => &theirs.tls_listen,
            Self::Follower(theirs) => &theirs.tls_listen,
        }
    }

    /// Who that is, in words.
    pub(crate) const fn who(&self) -> &'static str {
        match self {
            Self::Proxy => "Cutover's own proxy",
            Self::HaProxy(HaProxyConfig { consul: Some(_), .. }) => "a HAProxy that follows Consul",
            Self::HaProxy(_) => "a HAProxy",
            Self::Nginx(_) => "an nginx",
            Self::Follower(_) => "whoever follows Consul",
        }
    }
}

/// An nginx that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NginxConfig {
    /// Where the files lie that Cutover writes and nginx includes.
    pub(crate) directory: PathBuf,
    /// The pid file of its master.
    pub(crate) pid: PathBuf,
    /// Where its workers say what they run; loopback.
    pub(crate) control: SocketAddr,
    /// Where users and the prober reach it, at least one, each with a port.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where they do over TLS.
    pub(crate) tls_listen: Vec<SocketAddr>,
    /// The program that tests each new configuration.
    pub(crate) program: PathBuf,
    /// Its main configuration file.
    pub(crate) config: PathBuf,
    /// Its prefix, if it is not the one it was built with.
    pub(crate) prefix: Option<PathBuf>,
    /// Reloads may cut kept connections that are idle.
    pub(crate) accept_reload_cuts: bool,
}

/// A HAProxy that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HaProxyConfig {
    /// Its runtime API, best the socket of its master.
    pub(crate) socket: Address,
    /// Where the files lie that Cutover keeps for a reload to find.
    pub(crate) directory: PathBuf,
    /// Where users and the prober reach it, at least one, each with a port.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where they do over TLS.
    pub(crate) tls_listen: Vec<SocketAddr>,
    /// The program that checks each new configuration, if it is there.
    pub(crate) program: Option<PathBuf>,
    /// Configuration files of the user's own that it is started with.
    pub(crate) config: Vec<PathBuf>,
    /// The Consul that it takes its servers from, if it does.
    pub(crate) consul: Option<ConsulConfig>,
}

/// Somebody who follows a Consul and cannot be asked for anything but pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FollowerConfig {
    /// Where users and the prober reach it, at least one, each with a port; all of them are asked.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where they do over TLS; only the prober asks there.
    pub(crate) tls_listen: Vec<SocketAddr>,
    /// What it follows.
    pub(crate) consul: ConsulConfig,
}

/// What is registered of instances at a Consul beside what Cutover needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    /// Tags; `{version}` and `{instance}` are filled in for each.
    pub(crate) tags: Vec<String>,
    /// Metadata, likewise.
    pub(crate) meta: BTreeMap<String, String>,
}

/// A Consul where instances are registered for followers to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsulConfig {
    /// The HTTP API of the agent of this machine.
    pub(crate) agent: SocketAddr,
    /// How it is spoken to over TLS, if it is.
    pub(crate) secure: Option<Secure>,
    /// Its DNS, as a HAProxy reaches it.
    pub(crate) dns: SocketAddr,
    /// Its domain.
    pub(crate) domain: String,
    /// Where others reach the instances of this machine; `None` is 127.0.0.1.
    pub(crate) address: Option<IpAddr>,
    /// Most instances of one release.
    pub(crate) places: u16,
    /// Where the token is that the agent wants to be shown.
    pub(crate) token: Option<TokenPlace>,
}

/// A service as users reach it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AppConfig {
    /// Its name.
    pub(crate) name: AppName,
    /// Program and arguments, with placeholders.
    pub(crate) command: Vec<String>,
    /// Working directory, with placeholders, joined to the folder of the file.
    pub(crate) directory: PathBuf,
    /// Additional environment.
    pub(crate) environment: BTreeMap<String, EnvironmentValue>,
    /// How many copies run; of those that somebody else starts, how many must be found.
    pub(crate) instances: u16,
    /// Where they are found when somebody else starts them; `{version}` is not filled in yet.
    pub(crate) source: Option<Source>,
    /// Host names, lower case, `*.` for every name below one; empty means every host.
    pub(crate) hosts: Vec<String>,
    /// Path prefix, starting with `/`.
    pub(crate) path_prefix: String,
    /// For how long the share of an instance grows that joins others.
    pub(crate) slow_start: Duration,
    /// What followers of Consul are told of its instances.
    pub(crate) registered: Registered,
    /// How long an instance may take to end after SIGTERM.
    pub(crate) stop_timeout: Duration,
    /// How instances show that they can serve.
    pub(crate) health: HealthConfig,
    /// How a new version is shipped.
    pub(crate) rollout: RolloutConfig,
    /// What is called at its moments, in this order; `{version}` is not filled in yet.
    pub(crate) hooks: Vec<Hook>,
    /// How users' view is measured meanwhile.
    pub(crate) probe: ProbeConfig,
}

/// Where the value of an environment variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvironmentValue {
    /// Written in the file; may hold `{version}`.
    Plain(String),
    /// A secret: the variable of Cutover's own environment that holds it. Its value is never shown or
    /// stored.
    From(String),
}

/// How instances show that they can serve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HealthConfig {
    /// Path asked with GET; `None` means that an accepted connection passes.
    pub(crate) path: Option<String>,
    /// A program and its arguments, with placeholders, that is asked instead; empty for none.
    pub(crate) command: Vec<String>,
    /// Pause between checks.
    pub(crate) interval: Duration,
    /// Longest a check may take.
    pub(crate) timeout: Duration,
    /// Consecutive passes before an instance counts as ready.
    pub(crate) rise: u32,
    /// Consecutive failures before it counts as not ready.
    pub(crate) fall: u32,
    /// How long a new instance may take to become ready.
    pub(crate) deadline: Duration,
    /// When fewer percent than these of a version's instances pass their checks, all get requests.
    pub(crate) fail_open: u32,
}

/// How a new version is shipped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RolloutConfig {
    /// The order of things.
    pub(crate) strategy: Strategy,
    /// At the end the new version is started once more, in the place of the old one, and takes the
    /// traffic there; what served meanwhile stays as a spare.
    pub(crate) return_home: bool,
    /// Who sees which version while both have a share, whatever that is; the first that matches wins.
    pub(crate) targets: Vec<Target>,
    /// Clients stay with the version that they were given, while both have a share.
    pub(crate) cohorts: Option<Cohorts>,
    /// The shares after which a person is waited for: none (before any user), those of a canary, all
    /// traffic (before the promotion is final).
    pub(crate) pause_after: Vec<Weight>,
    /// How long a pause may last before the rollout is undone.
    pub(crate) pause_timeout: Duration,
    /// How users' requests judge a new version; `None` where they do not.
    pub(crate) analysis: Option<AnalysisConfig>,
    /// What becomes of it while both versions fail.
    pub(crate) incident: OnIncident,
    /// What else is measured while the candidate serves on trial.
    pub(crate) metrics: Vec<MetricConfig>,
    /// Requests the candidate must answer before users reach it.
    pub(crate) preview_requests: u32,
    /// Their path.
    pub(crate) preview_path: String,
    /// How long the candidate is watched before promotion is final.
    pub(crate) bake: Duration,
    /// How long the old release runs on, without traffic, when users have left it; zero ends it.
    pub(crate) keep_old: Duration,
    /// How long requests on the old release may take to finish.
    pub(crate) drain_timeout: Duration,
    /// The longest that a request lasts, where a router cannot tell requests from tunnels.
    pub(crate) longest_request: Duration,
    /// How long tunnels on the old release may take to move.
    pub(crate) handover_timeout: Duration,
    /// How the router moves them; `None` leaves it to the app, which is told to end.
    pub(crate) handover: Option<Pace>,
    /// More errors than this abort the rollout.
    pub(crate) max_errors: u32,
    /// A larger share of errors than this aborts the rollout, 0 to 1.
    pub(crate) max_error_share: f64,
}

/// How users' requests judge a new version: by limits, and where both have a share compared with the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnalysisConfig {
    /// The chance that a candidate that is no worse is aborted, basis points.
    pub(crate) alpha_bp: u16,
    /// Whether latencies are compared too.
    pub(crate) latency: bool,
    /// The candidate's 99th percentile may be this.
    pub(crate) p99: Option<Duration>,
    /// Whether a step ends as soon as the candidate is shown to be no worse.
    pub(crate) early: bool,
    /// What becomes of a step in which nothing was shown.
    pub(crate) inconclusive: Inconclusive,
    /// What is counted.
    pub(crate) count_by: CountBy,
}

/// Something that is measured beside requests, and its limit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricConfig {
    /// What it is called.
    pub(crate) name: String,
    /// Who is asked.
    pub(crate) asked: Asked,
    /// Its value may not be smaller.
    pub(crate) min: Option<f64>,
    /// Nor larger.
    pub(crate) max: Option<f64>,
    /// Pause between two measurements.
    pub(crate) interval: Duration,
    /// Longest that one may take.
    pub(crate) timeout: Duration,
    /// So many in a row that are beyond the limit, or bring nothing, are enough.
    pub(crate) failures: u32,
    /// What becomes of a rollout when nothing is brought.
    pub(crate) no_data: Unmeasured,
    /// The shares at which it is measured; empty for all.
    pub(crate) at: Vec<Weight>,
}

impl AppConfig {
    /// A host that the app answers for, by which it is asked; `None` when it answers for all.
    pub(crate) fn a_host(&self) -> Option<String> {
        if self.probe.host.is_some() {
            return self.probe.host.clone();
        }
        let exact = self.hosts.iter().find(|host| !host.starts_with('*'));
        exact.or(self.hosts.first()).map(|host| host.replace('*', "cutover"))
    }
}

/// Some of an app's users and the version they see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// What their requests carry.
    pub(crate) mark: Mark,
    /// Where they go.
    pub(crate) to: Side,
}

/// One of the two releases of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one users are on.
    Stable,
    /// The one being shipped.
    Candidate,
}

/// The order of things in a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All instances of the candidate beside all of stable, then one switch.
    BlueGreen,
    /// The same, in growing shares of the requests.
    Canary {
        /// The candidate's shares before all traffic, growing.
        steps: Vec<Weight>,
        /// How long each of them is watched.
        step_bake: Duration,
        /// How many instances of the candidate run at each of them; nothing where it is all of them.
        counts: Vec<u16>,
    },
    /// Instance by instance.
    Rolling {
        /// How many are replaced at once.
        batch: u16,
        /// How many of them are started before others leave, so many more than usual.
        surge: u16,
    },
    /// The old version ends before the new one starts, and requests wait.
    Recreate {
        /// How long one request waits at most.
        hold: Duration,
        /// How many wait at most.
        requests: u32,
    },
}

impl Strategy {
    /// The names used in the file.
    pub(crate) const NAMES: [&'static str; 4] = ["blue-green", "canary", "rolling", "recreate"];

    /// True when both versions have a share for a while, so that they can be compared.
    pub(crate) const fn shares(&self) -> bool {
        matches!(self, Self::Canary { .. } | Self::Rolling { .. })
    }
}
