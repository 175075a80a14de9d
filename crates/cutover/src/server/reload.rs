//! `cutover reload` and SIGHUP: the file as it is now, under a running server.
//!
//! All of it is checked before anything is touched: the file, what may not change, the API's certificate
//! and token, and what the proxy says of listeners and certificates. The file itself is the record: a
//! server that dies in the midst takes up the whole of it at its next start, and every step may be done
//! twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drivers::router::Router;
use model::{AppName, Fault, Kind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::orders::{Desk, Order};
use super::remote::{Fresh, Remote};
use crate::config::{self, AppConfig, Config, Diagnostic, Difference, ProxyConfig};

/// How long the proxy may take to do its part, also while it is being started.
const PROXY_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take until the routes are seen as they should be.
const ROUTES_DEADLINE: Duration = Duration::from_secs(5);
/// How often they are looked at.
const PACE: Duration = Duration::from_millis(20);

/// The apps' controllers.
type Desks = BTreeMap<AppName, Desk>;

/// A new configuration for the proxy, and where to say what came of it.
#[derive(Debug)]
pub(super) struct Reconfigure {
    /// The whole.
    pub(super) config: ProxyConfig,
    /// The answer.
    pub(super) reply: oneshot::Sender<Result<(), Fault>>,
}

/// What a reload works with.
#[derive(Debug)]
pub(super) struct Reloader {
    file: PathBuf,
    /// What runs. One reload at a time.
    runs: Mutex<Config>,
    /// To the keeper of our own proxy.
    proxy: Option<mpsc::Sender<Reconfigure>>,
    /// The API over TCP.
    remote: Option<Arc<Remote>>,
    router: Arc<dyn Router>,
}

/// Body of a reload.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ReloadBody {
    /// Do it; else only say what it would do.
    #[serde(default)]
    pub(crate) apply: bool,
    /// The file must still be the one that was shown.
    #[serde(default)]
    pub(crate) seen: Option<String>,
}

/// Answer of a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// Which file was looked at.
    pub(crate) seen: String,
    /// What changes, or has changed.
    pub(crate) changes: Vec<String>,
    /// What cannot change; nothing is changed while there is some.
    pub(crate) refused: Vec<String>,
    /// Certificates that are read again, whether they differ or not.
    pub(crate) certificates: usize,
}

impl Reloader {
    /// For a server that was started with this file.
    pub(super) fn new(
        (file, runs): (PathBuf, Config),
        (proxy, remote): (Option<mpsc::Sender<Reconfigure>>, Option<Arc<Remote>>),
        router: Arc<dyn Router>,
    ) -> Self {
        Self { file, runs: Mutex::new(runs), proxy, remote, router }
    }

    /// How long requests may take when the server stops.
    pub(super) async fn drain_timeout(&self) -> Duration {
        self.runs.lock().await.proxy.drain_timeout
    }

    /// What apps are configured as now.
    pub(super) async fn configured(&self, apps: &[AppName]) -> Vec<AppConfig> {
        let runs = self.runs.lock().await;
        apps.iter().filter_map(|app| runs.apps.get(app).cloned()).collect()
    }

    /// The apps that are called that together.
    pub(super) async fn together(&self, name: &str) -> Result<(AppName, Vec<AppName>), Fault> {
        let runs = self.runs.lock().await;
        let found = runs.together.iter().find(|(known, _)| known.as_str() == name);
        found.map(|(known, apps)| (known.clone(), apps.clone())).ok_or_else(|| {
            let known: Vec<&str> = runs.together.keys().map(AppName::as_str).collect();
            let help = match config::nearest(name, &known) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None if known.is_empty() => "the file has no [together.NAME]".to_owned(),
                None => format!("the running server knows {}", config::list(&known)),
            };
            let what = format!("no apps are called `{}` together", name.escape_debug());
            Fault::new(Kind::Usage, what).help(help)
        })
    }

    /// Looks at the file, and takes it up if that is asked for and all of it is possible.
    pub(super) async fn reload(&self, desks: &Desks, body: ReloadBody) -> Result<Reloaded, Fault> {
        let mut runs = self.runs.lock().await;
        let judge = config::Judge {
            pair: proxy::check_pair,
            page: proxy::check_page,
            ca: |file| trust::roots(Some(file)).map(drop),
            // Those that are its own already are held; the others are tried when they are bound.
            port: &|_| Ok(()),
        };
        let wanted = config::load_judged(&self.file, judge);
        let wanted = wanted.map_err(|mistakes| unusable(&self.file, &mistakes))?;
        let mut difference = Difference::between(&runs, &wanted);
        for app in &difference.apps {
            let under_way = desks.get(app).and_then(|desk| desk.status.borrow().rollout.clone());
            if let Some((run, version, _)) = under_way {
                difference.refused.push(format!(
                    "app.{app} is being moved to {version} (run {run}): wait for it, or abort it"
                ));
            }
        }
        let Difference { changes, refused, apps } = difference;
        let seen = digest(&wanted);
        let fresh = if refused.is_empty() { self.credentials(&wanted)? } else { None };
        if body.apply && refused.is_empty() {
            if body.seen.is_some_and(|shown| shown != seen) {
                let what = format!("{} has changed since it was shown", self.file.display());
                return Err(Fault::new(Kind::Conflict, what).help("run `cutover reload` again"));
            }
            self.apply(desks, (&wanted, fresh), &apps).await?;
            *runs = wanted.clone();
        }
        let certificates = wanted.proxy.certificates.len() + usize::from(wanted.api.is_some());
        Ok(Reloaded { seen, changes, refused, certificates })
    }

    /// What the API over TCP shows and asks for, read again. Only a start opens it or closes it.
    fn credentials(&self, wanted: &Config) -> Result<Option<Fresh>, Fault> {
        self.remote.as_ref().zip(wanted.api.as_ref()).map(|(it, api)| it.read(api)).transpose()
    }

    /// The proxy first: it can refuse, and then nothing has changed.
    async fn apply(
        &self,
        desks: &Desks,
        (wanted, fresh): (&Config, Option<Fresh>),
        apps: &[AppName],
    ) -> Result<(), Fault> {
        if let Some(proxy) = &self.proxy {
            let (reply, answer) = oneshot::channel();
            let away = || Fault::environment("the proxy is away; nothing was changed");
            let order = Reconfigure { config: wanted.proxy.clone(), reply };
            proxy.send(order).await.map_err(|_| away())?;
            tokio::time::timeout(PROXY_DEADLINE, answer)
                .await
                .map_err(|_| away())?
                .map_err(|_| away())??;
        }
        if let Some((remote, fresh)) = self.remote.as_ref().zip(fresh) {
            remote.take_up(fresh);
        }
        for app in apps {
            let (Some(config), Some(desk)) = (wanted.apps.get(app), desks.get(app)) else {
                continue;
            };
            let config = Box::new(config.clone());
            desk.ask(|reply| Order::Configure { config, reply }).await?;
        }
        for app in apps {
            self.carried(wanted, app).await?;
        }
        Ok(())
    }

    /// Resolves when users are routed as the file says.
    async fn carried(&self, wanted: &Config, app: &AppName) -> Result<(), Fault> {
        let Some(config) = wanted.apps.get(app) else { return Ok(()) };
        let deadline = Instant::now() + ROUTES_DEADLINE;
        loop {
            let have = self.router.look(app).await.map(|have| have.routes);
            let as_wanted = have.as_ref().is_ok_and(|routes| {
                routes.as_ref().is_none_or(|routes| {
                    routes.hosts == config.hosts && routes.path_prefix == config.path_prefix
                })
            });
            if as_wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let what = format!("the new routes of {app} are not in effect yet");
                return Err(Fault::environment(what)
                    .help("they follow as soon as they can; see `cutover status`"));
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

/// Every mistake of a file, for somebody who does not see the file.
fn unusable(file: &std::path::Path, mistakes: &[Diagnostic]) -> Fault {
    let what = format!("{} cannot be used; nothing was changed", file.display());
    let mut fault = Fault::new(Kind::Config, what).help("`cutover config check` shows the places");
    for mistake in mistakes.iter().map(Fault::from) {
        let place = mistake.place.map_or(String::new(), |place| format!("line {}: ", place.line));
        fault = fault.note(format!("{place}{}", mistake.what));
    }
    fault
}

/// Tells one configuration from another; not for people.
fn digest(config: &Config) -> String {
    let hash = Sha256::digest(format!("{config:?}").as_bytes());
    hash.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
