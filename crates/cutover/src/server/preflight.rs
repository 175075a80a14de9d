//! What must be right of a router of the user's before a rollout relies on it.
//!
//! Cutover's own proxy needs none. What makes it impossible is a fault; what would lose requests is
//! written to the log, and `cutover haproxy check` (or `cutover nginx check`) shows it. Nothing is
//! touched.

mod consul;
mod controller_id;
mod follower;
mod nginx;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drivers::router::follower::Follower;
use drivers::router::haproxy::{Checker, HaProxy, review};
use drivers::router::nginx::Nginx;
use drivers::router::{Finding, Severity, reachable};
use model::{AppName, Fault, Kind, Selector};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{AppConfig, Config, FollowerConfig, HaProxyConfig, NginxConfig};

pub(crate) use follower::driver as follower_driver;
pub(crate) use nginx::{driver as nginx_driver, setup as nginx_setup};

/// How long a connection to the entrance may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The checks of the router that is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preflight(Carrier);

#[derive(Clone, Debug, Default)]
enum Carrier {
    #[default]
    Own,
    HaProxy(Theirs),
    Nginx(nginx::Theirs),
    Follower(follower::Theirs),
}

#[derive(Clone, Debug)]
struct Theirs {
    router: Arc<HaProxy>,
    files: Vec<PathBuf>,
    entrances: Vec<SocketAddr>,
    targets: Vec<(AppName, Selector)>,
}

impl Preflight {
    /// Those of a HAProxy that carries these apps.
    pub(crate) fn of<'a>(
        router: Arc<HaProxy>,
        config: &HaProxyConfig,
        apps: impl IntoIterator<Item = &'a AppConfig>,
    ) -> Self {
        let targets = apps.into_iter().flat_map(|app| {
            let on = app.rollout.targets.iter().map(|target| target.mark.on().clone());
            on.map(|on| (app.name.clone(), on))
        });
        let (files, entrances) =
            (texts_of(config), [&config.listen[..], &config.tls_listen].concat());
        let theirs = Theirs { router, files, entrances, targets: targets.collect() };
        Self(Carrier::HaProxy(theirs))
    }

    /// Those of an nginx.
    pub(crate) fn of_nginx(router: Arc<Nginx>, config: &NginxConfig) -> Self {
        Self(Carrier::Nginx(nginx::Theirs::new(router, config)))
    }

    /// Those of whoever follows Consul.
    pub(crate) fn of_follower(router: Arc<Follower>, config: &FollowerConfig) -> Self {
        Self(Carrier::Follower(follower::Theirs::new(router, config)))
    }

    /// Refuses a deploy that would lose requests which nobody has agreed to lose.
    pub(super) fn agreed(&self, findings: &[Finding]) -> Result<(), Fault> {
        match &self.0 {
            Carrier::Nginx(theirs) => theirs.agreed(findings),
            Carrier::Own | Carrier::HaProxy(_) | Carrier::Follower(_) => Ok(()),
        }
    }

    /// Refuses when another controller ships one of these apps through the same Consul.
    pub(super) async fn unheld(&self, apps: &[AppName]) -> Result<(), Fault> {
        match &self.0 {
            Carrier::HaProxy(theirs) => theirs.router.unheld(apps).await.map_err(untouched),
            Carrier::Follower(theirs) => theirs.unheld(apps).await.map_err(untouched),
            Carrier::Own | Carrier::Nginx(_) => Ok(()),
        }
    }

    /// Refuses what cannot work; the log says what would lose requests, and it is answered.
    pub(super) async fn check(&self, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
        let findings = self.findings(apps).await?;
        self.targeted(apps).await?;
        for finding in &findings {
            match finding.severity {
                Severity::Loses => tracing::warn!("{}", self.sentence(finding)),
                Severity::Note => tracing::info!("{}", self.sentence(finding)),
            }
        }
        Ok(findings)
    }

    /// Refuses when HAProxy does not look at what the target of an app needs: its rule could not be
    /// carried in the middle of a rollout.
    pub(crate) async fn targeted(&self, apps: &[AppName]) -> Result<(), Fault> {
        let Carrier::HaProxy(theirs) = &self.0 else { return Ok(()) };
        for (app, on) in theirs.targets.iter().filter(|(app, _)| apps.contains(app)) {
            let looks_at = theirs.router.looks_at(app).await.map_err(untouched)?;
            if !looks_at.contains(on) {
                let what = format!(
                    "HAProxy does not look at the {on} of requests, which the target of {app} needs"
                );
                return Err(Fault::new(Kind::Config, what)
                    .help("run `cutover haproxy install`, then reload HAProxy"));
            }
        }
        Ok(())
    }

    /// What would lose requests.
    pub(crate) async fn findings(&self, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
        let theirs = match &self.0 {
            Carrier::Own => return Ok(Vec::new()),
            Carrier::Nginx(theirs) => return theirs.findings(apps).await,
            Carrier::Follower(theirs) => return theirs.findings(apps).await,
            Carrier::HaProxy(theirs) => theirs,
        };
        let mut findings = theirs.router.preflight(apps).await.map_err(untouched)?;
        findings.extend(review_files(&theirs.files)?);
        listened(&theirs.entrances, "HAProxy", "bind").await?;
        Ok(findings)
    }

    /// A finding as one line.
    pub(super) fn sentence(&self, finding: &Finding) -> String {
        let Finding { section, setting, value, needed, why, at, .. } = finding;
        let (name, of) = match (&self.0, section.as_str()) {
            (Carrier::Nginx(_), _) => ("nginx", String::new()),
            (_, "") => ("HAProxy", String::new()),
            (_, section) => ("HAProxy", format!("{section}: ")),
        };
        let at = at.as_ref().map_or(String::new(), |at| format!(" ({at})"));
        format!("{name}: {of}{setting} is `{value}`{at}, needed: {needed} ({why})")
    }
}

/// Refuses when nobody listens where users should come in.
async fn listened(entrances: &[SocketAddr], carrier: &str, word: &str) -> Result<(), Fault> {
    for entrance in entrances {
        let entrance = reachable(*entrance);
        let connected = timeout(CONNECT_LIMIT, TcpStream::connect(entrance)).await;
        if !matches!(connected, Ok(Ok(_))) {
            let what = format!("nothing listens on {entrance}, where users should reach {carrier}");
            let help =
                format!("let {carrier} `{word}` it, or mend it under [router] in cutover.toml");
            return Err(Fault::new(Kind::Config, what).help(help));
        }
    }
    Ok(())
}

/// The driver of a HAProxy; nothing is connected yet. A fault when the token of a Consul is not there.
pub(crate) fn driver(theirs: &HaProxyConfig, config: &Config) -> Result<HaProxy, Fault> {
    let mut driver = HaProxy::new(theirs.socket.clone());
    if let Some(checker) = checker(theirs) {
        driver = driver.checked_by(checker);
    }
    match &theirs.consul {
        Some(found) => Ok(driver.following(Arc::new(consul::driver(found, config)?))),
        None => Ok(driver),
    }
}

/// What checks each new configuration, if its program is named.
pub(crate) fn checker(config: &HaProxyConfig) -> Option<Checker> {
    let program = config.program.clone()?;
    Some(Checker { program, before: config.config.clone() })
}

/// An answer that is none is trouble with what was named as HAProxy's socket, and nothing was done yet.
pub(super) fn untouched(mut fault: Fault) -> Fault {
    if fault.kind == Kind::Internal {
        fault.kind = Kind::Environment;
        fault.help.get_or_insert("is `socket` that of HAProxy's runtime API?".to_owned());
    }
    fault
}

/// The files that together are the configuration of a HAProxy, in the order in which it reads them.
fn texts_of(config: &HaProxyConfig) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&config.directory).into_iter().flatten().flatten();
    let shown = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        !name.as_encoded_bytes().starts_with(b".") && path.extension().is_some_and(|e| e == "cfg")
    };
    let mut ours: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(shown).collect();
    ours.sort();
    config.config.iter().cloned().chain(ours).collect()
}

/// What files of configuration lack together.
pub(crate) fn review_files(files: &[PathBuf]) -> Result<Vec<Finding>, Fault> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let named = |file: &PathBuf| Ok((file.display().to_string(), read(file)?));
    let texts = files.iter().map(named).collect::<Result<Vec<_>, Fault>>()?;
    Ok(review(&texts))
}

fn read(file: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(file).map_err(|error| {
        Fault::environment(format!("cannot read `{}`: {error}", file.display()))
            .help("name a configuration file of HAProxy that Cutover may read")
    })
}
