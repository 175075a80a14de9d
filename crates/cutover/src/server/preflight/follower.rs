//! The part of the preflight that is about whoever follows Consul. It changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use drivers::router::Finding;
use drivers::router::follower::{AppSetup, Follower, Setup};
use model::{AppName, Fault};

use super::consul;
use crate::config::{AppConfig, Config, FollowerConfig};

/// The driver, and where users come in.
#[derive(Clone, Debug)]
pub(super) struct Theirs {
    router: Arc<Follower>,
    entrances: Vec<SocketAddr>,
}

impl Theirs {
    pub(super) fn new(router: Arc<Follower>, config: &FollowerConfig) -> Self {
        Self { router, entrances: [&config.listen[..], &config.tls_listen].concat() }
    }

    /// Refuses when another controller ships one of these apps.
    pub(super) async fn unheld(&self, apps: &[AppName]) -> Result<(), Fault> {
        self.router.unheld(apps).await
    }

    /// Nothing can be known of it that would lose requests; what makes it impossible is a fault.
    pub(super) async fn findings(&self, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
        super::listened(&self.entrances, "whoever follows Consul", "listen").await?;
        self.router.preflight(apps).await?;
        Ok(Vec::new())
    }
}

/// The driver; nothing is asked yet. A fault when the token of Consul is not there.
pub(crate) fn driver(theirs: &FollowerConfig, config: &Config) -> Result<Follower, Fault> {
    let app = |app: &AppConfig| AppSetup {
        name: app.name.clone(),
        host: app.a_host().unwrap_or_else(|| theirs.listen[0].to_string()),
        path: app.probe.path.clone(),
        version_header: app.probe.version_header.clone(),
    };
    let apps = config.apps.values().map(app).collect();
    let setup = Setup { entrances: theirs.listen.clone(), apps };
    Ok(Follower::new(consul::driver(&theirs.consul, config)?, setup))
}
