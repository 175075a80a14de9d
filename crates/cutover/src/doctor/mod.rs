//! `cutover doctor`: tries on throw-away instances what loses requests in a deploy.
//!
//! Instances are started by the platform that starts those of users, asked through the one check module,
//! and ended as a deploy ends them, all in a state directory of its own and on ports of its own. It needs
//! no server and disturbs none. What it finds is worded in `finding`; nothing is printed here.

mod end;
mod finding;
mod health;
mod idle;
mod start;
mod ward;

use std::time::Duration;

use model::{AppName, Fault, ReleaseId, Version};
use serde::Serialize;

pub(crate) use finding::{Finding, Severity};

use self::start::{Started, Trial};
use self::ward::Ward;
use crate::config::{AppConfig, Config, RouterConfig, Strategy};

/// After so long HAProxy closes idle connections to servers, unless it is told otherwise
/// (`pool-purge-delay`).
const HAPROXY_IDLE: Duration = Duration::from_secs(5);
/// So long nginx keeps idle connections to servers, unless it is told otherwise (`keepalive_timeout` of
/// its upstreams).
const NGINX_IDLE: Duration = Duration::from_mins(1);
/// So long whoever follows Consul is taken to keep them: nginx does, Fabio a quarter of it.
const FOLLOWER_IDLE: Duration = Duration::from_mins(1);

/// What is to be tried.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    /// The app, which the configuration knows.
    pub(crate) app: &'a AppName,
    /// The version whose instances are started.
    pub(crate) version: &'a Version,
    /// A path whose answer takes a while, to be in flight when the app is told to end.
    pub(crate) slow_path: Option<&'a str>,
}

/// What was measured, whether it is good or bad. Times in ms; `None` where it did not come to that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Measured {
    /// From the start until the health check had passed often enough.
    pub(crate) ready_ms: Option<u64>,
    /// From the start until the first good answer to what users ask.
    pub(crate) answers_ms: Option<u64>,
    /// How long an idle connection stayed open; those that outlast the router's patience say that.
    pub(crate) idle_ms: Option<u64>,
    /// How long the router keeps an idle connection.
    pub(crate) reuse_ms: u64,
    /// How long its health check took to fail when the app stood still.
    pub(crate) stall_ms: Option<u64>,
    /// Requests in flight when it was told to end.
    pub(crate) in_flight: usize,
    /// Of those, answered whole.
    pub(crate) answered: usize,
    /// From SIGTERM to the end.
    pub(crate) ended_ms: Option<u64>,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Examined {
    /// The app.
    pub(crate) app: AppName,
    /// The version that was started.
    pub(crate) version: Version,
    /// What loses requests or may, worst first.
    pub(crate) findings: Vec<Finding>,
    /// Figures.
    pub(crate) measured: Measured,
    /// What could not be tried, and why.
    pub(crate) not_tried: Vec<String>,
}

/// Everything a trial needs to know, and where it puts what it finds.
struct Chart<'a> {
    config: &'a AppConfig,
    /// What requests name as their host; `None`: the address.
    host: Option<String>,
    /// How long the router keeps idle connections.
    reuse: Duration,
    slow_path: Option<&'a str>,
    /// What users ask was answered well each time.
    well: bool,
    examined: Examined,
    say: &'a (dyn Fn(&str) + Sync),
}

impl Chart<'_> {
    fn find(&mut self, finding: Finding) {
        self.examined.findings.push(finding);
    }

    /// Something more was seen of what was found before.
    fn saw(&mut self, id: &str, seen: String) {
        let found = self.examined.findings.iter_mut().find(|finding| finding.id == id);
        if let Some(finding) = found {
            finding.seen.push(seen);
        }
    }

    fn not_tried(&mut self, what: &str) {
        self.examined.not_tried.push(what.to_owned());
    }

    fn host(&self, address: std::net::SocketAddr) -> String {
        self.host.clone().unwrap_or_else(|| address.to_string())
    }
}

/// Tries everything. `say` is told what is being done. What was started has ended when this returns, also
/// when `stop` was resolved meanwhile; then there is no result.
pub(crate) async fn examine(
    config: &Config,
    wish: &Wish<'_>,
    say: &(dyn Fn(&str) + Sync),
    stop: impl Future<Output = ()>,
) -> Result<Option<Examined>, Fault> {
    let Some(app) = config.apps.get(wish.app) else {
        return Err(Fault::internal(format!("there is no app `{}`", wish.app)));
    };
    let releases = [1, 2].map(|number| app.release(ReleaseId(number), wish.version));
    let [first, second] = releases;
    let (first, second) = (first?, second?);
    drivers::platform::process::find_program(&first)?;
    let reuse = match config.router {
        RouterConfig::Proxy => proxy::POOL_IDLE,
        RouterConfig::HaProxy(_) => HAPROXY_IDLE,
        RouterConfig::Nginx(_) => NGINX_IDLE,
        RouterConfig::Follower(_) => FOLLOWER_IDLE,
    };
    let mut chart = Chart {
        config: app,
        host: app.a_host(),
        reuse,
        slow_path: wish.slow_path,
        well: false,
        examined: Examined {
            app: wish.app.clone(),
            version: wish.version.clone(),
            findings: finding::of_configuration(app),
            measured: Measured { reuse_ms: ms(reuse), ..Measured::default() },
            not_tried: Vec::new(),
        },
        say,
    };
    let ward = Ward::open(config, wish.app)?;
    let tried = tokio::select! {
        tried = trials(&ward, &mut chart, [first, second]) => tried.map(Some),
        () = stop => Ok(None),
    };
    let closed = ward.close().await;
    let tried = tried?;
    closed?;
    Ok(tried.map(|()| {
        chart.examined.findings.sort_by_key(|finding| finding.severity);
        chart.examined
    }))
}

/// One instance is started, asked and left idle; meanwhile a second one is told to end under load. An app
/// that can run only one copy is tried on one, step by step.
async fn trials(
    ward: &Ward,
    chart: &mut Chart<'_>,
    [first, second]: [model::Release; 2],
) -> Result<(), Fault> {
    (chart.say)("starting a throw-away instance");
    let started = match start::start(ward, chart, &first).await? {
        Trial::Up(started) => started,
        Trial::Down(finding) => {
            chart.find(*finding);
            chart.not_tried("idle connections and SIGTERM: no instance was ready");
            return Ok(());
        }
    };
    chart.examined.measured.ready_ms = Some(ms(started.ready));
    start::asked(chart, &started).await;
    health::anything(chart, &Asked::of(chart, &started)).await;
    chart.not_tried(
        "its health check while something that the app needs is away (a database, a queue): that is not known here",
    );
    if matches!(chart.config.rollout.strategy, Strategy::Recreate { .. }) {
        let idled = idle::idle(&Asked::of(chart, &started), chart.say).await;
        idled.enter(chart);
        return last(ward, chart, started).await;
    }
    let asked = Asked::of(chart, &started);
    let say = chart.say;
    let beside = async {
        say("starting a second one beside it");
        match start::start(ward, chart, &second).await? {
            Trial::Up(other) => last(ward, chart, other).await.map(|()| None),
            Trial::Down(why) => Ok(Some(finding::one_copy_only(&why))),
        }
    };
    let (idled, ended) = tokio::join!(idle::idle(&asked, say), beside);
    idled.enter(chart);
    let Some(alone) = ended? else { return Ok(()) };
    chart.find(alone);
    last(ward, chart, started).await
}

/// The trials after which nothing of an instance is left.
async fn last(ward: &Ward, chart: &mut Chart<'_>, started: Started) -> Result<(), Fault> {
    health::stall(ward, chart, &started).await?;
    end::end(ward, chart, started).await
}

/// Where and what to ask.
struct Asked {
    address: std::net::SocketAddr,
    host: String,
    path: String,
    limit: Duration,
    reuse: Duration,
}

impl Asked {
    fn of(chart: &Chart<'_>, started: &Started) -> Self {
        Self {
            address: started.address,
            host: chart.host(started.address),
            path: chart.config.rollout.preview_path.clone(),
            limit: chart.config.probe.timeout,
            reuse: chart.reuse,
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
