//! What those who answer the API can reach, and how they refuse. No decision is taken here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{AppName, Fault, Kind};
use tokio::sync::mpsc;

use super::believed::believed;
use super::layout::Layout;
use super::orders::Desk;
use super::preflight::Preflight;
use super::proxies::Proxies;
use super::reload::{ReloadBody, Reloaded, Reloader};
use super::upgrade::Upgrades;
use crate::config;
use crate::store::Store;

/// What the API can reach.
#[derive(Debug)]
pub(super) struct Reach {
    /// The apps' controllers.
    pub(super) desks: BTreeMap<AppName, Desk>,
    /// Where reports lie.
    pub(super) layout: Layout,
    /// The journal.
    pub(super) store: Arc<Store>,
    /// Tells the server to stop everything; true: without waiting for anything that is open.
    pub(super) stop: mpsc::Sender<bool>,
    /// Fencing epoch of this server.
    pub(super) epoch: u64,
    /// Where users' requests come in.
    pub(super) listen: Vec<String>,
    /// What a deploy must pass.
    pub(super) preflight: Preflight,
    /// Takes up edits of the file.
    pub(super) reloader: Reloader,
    /// Other binaries in the place of this one.
    pub(super) upgrades: Arc<Upgrades>,
    /// Our own proxies.
    pub(super) proxies: Proxies,
}

impl Reach {
    /// Looks at the file, or takes it up; that is no time for an upgrade.
    pub(super) async fn reload(&self, body: ReloadBody) -> Result<Reloaded, Fault> {
        let _no_upgrade = self.upgrades.none_under_way().await?;
        self.reloader.reload(&self.desks, body).await
    }

    /// Refuses a deploy of apps whose probers would not believe what users are shown.
    pub(super) async fn believed(&self, apps: &[AppName]) -> Result<(), Fault> {
        for app in self.reloader.configured(apps).await {
            believed(&app).await?;
        }
        Ok(())
    }

    /// The desk of an app.
    pub(super) fn desk(&self, app: &str) -> Result<&Desk, Fault> {
        let found = self.desks.iter().find(|(name, _)| name.as_str() == app);
        found.map(|(_, desk)| desk).ok_or_else(|| {
            let known: Vec<&str> = self.desks.keys().map(AppName::as_str).collect();
            let help = match config::nearest(app, &known) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("the running server knows {}", config::list(&known)),
            };
            Fault::new(Kind::Usage, format!("there is no app `{}`", app.escape_debug())).help(help)
        })
    }

    /// The desk of an app, and those of the apps that its rollout under way goes together with and that are
    /// not over.
    pub(super) fn all_of(&self, app: &str) -> Result<Vec<&Desk>, Fault> {
        let desk = self.desk(app)?;
        let together = desk.status.borrow().together.clone();
        let Some(together) = together else { return Ok(vec![desk]) };
        let others = together.with.iter().filter_map(|app| self.desks.get(app));
        let still = |other: &&Desk| {
            other.status.borrow().together.as_ref().is_some_and(|its| its.name == together.name)
        };
        Ok(std::iter::once(desk).chain(others.filter(still)).collect())
    }
}

/// A fault on its way out.
#[derive(Debug)]
pub(super) struct Refusal {
    fault: Fault,
    status: StatusCode,
}

impl Refusal {
    /// With another status than the one of its kind.
    pub(super) const fn with(status: StatusCode, fault: Fault) -> Self {
        Self { fault, status }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let status = match fault.kind {
            Kind::Usage | Kind::Config => StatusCode::BAD_REQUEST,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Environment | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { fault, status }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.fault)).into_response()
    }
}
