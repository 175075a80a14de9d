//! The preflight of an nginx: what its configuration lacks, and whether its user has agreed to reloads that
//! cut.
//!
//! What a configuration must have is not known here: the driver says it (`drivers::router::nginx`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drivers::router::Finding;
use drivers::router::nginx::{AppSetup, Nginx, Program, Setup, cuts};
use model::{AppName, Fault, Kind};

use crate::config::{AppConfig, NginxConfig};

/// The nginx, and what its user has agreed to.
#[derive(Clone, Debug)]
pub(super) struct Theirs {
    router: Arc<Nginx>,
    entrances: Vec<SocketAddr>,
    accept_reload_cuts: bool,
}

impl Theirs {
    pub(super) fn new(router: Arc<Nginx>, config: &NginxConfig) -> Self {
        let entrances = [&config.listen[..], &config.tls_listen].concat();
        Self { router, entrances, accept_reload_cuts: config.accept_reload_cuts }
    }

    /// What would lose requests.
    pub(super) async fn findings(&self, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
        let findings = self.router.preflight(apps).await?;
        super::listened(&self.entrances, "nginx", "listen").await?;
        Ok(findings)
    }

    /// Each reload of some cuts requests: that is done when it was agreed to.
    pub(super) fn agreed(&self, findings: &[Finding]) -> Result<(), Fault> {
        let Some(finding) = findings.iter().find(|finding| cuts(finding)) else { return Ok(()) };
        if self.accept_reload_cuts {
            return Ok(());
        }
        let at = finding.at.as_ref().map_or(String::new(), |at| format!(" ({at})"));
        let what = format!("each change would lose requests: {}", finding.why);
        Err(Fault::new(Kind::Config, what)
            .note(format!("{} is `{}`{at}", finding.setting, finding.value))
            .help(format!(
                "needed: `{}`; or write `accept_reload_cuts = true` under [router] in cutover.toml",
                finding.needed
            )))
    }
}

/// The driver; nothing is asked yet.
pub(crate) fn driver<'a>(
    config: &NginxConfig,
    apps: impl IntoIterator<Item = &'a AppConfig>,
) -> Nginx {
    Nginx::new(setup(config, apps))
}

/// What the driver is told.
pub(crate) fn setup<'a>(
    config: &NginxConfig,
    apps: impl IntoIterator<Item = &'a AppConfig>,
) -> Setup {
    let app = |app: &AppConfig| AppSetup {
        name: app.name.clone(),
        hosts: app.hosts.clone(),
        path_prefix: app.path_prefix.clone(),
        check_path: app.health.path.clone(),
        longest_request: app.rollout.longest_request,
        tunnels: [app.rollout.bake, app.rollout.longest_request, app.rollout.handover_timeout]
            .iter()
            .fold(Duration::ZERO, |sum, one| sum.saturating_add(*one)),
    };
    Setup {
        directory: config.directory.clone(),
        pid: config.pid.clone(),
        control: config.control,
        entrances: config.listen.clone(),
        program: Program {
            path: config.program.clone(),
            config: config.config.clone(),
            prefix: config.prefix.clone(),
        },
        apps: apps.into_iter().map(app).collect(),
    }
}
