//! The controller's HTTP API on a unix socket (mode 0600).
//!
//! `GET /openapi.json` (it describes all of these) · `GET /v1/status` · `GET /v1/events` · `GET /v1/history` ·
//! `POST /v1/apps/APP/plan|deploy|abort|pause|resume|promote|weight|retry|rollback` ·
//! `POST /v1/together/NAME/deploy|retry|rollback` · `GET /v1/apps/APP/events` (server-sent events) · `GET /v1/runs/RUN/report.json|.html` ·
//! `POST /v1/reload` · `POST /v1/stop` · `POST /v1/upgrade`. Errors are a `Fault` as JSON, also those of what
//! cannot be read (`asked`). No decision is taken here.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use drivers::router::Severity;
use futures_util::stream::{self, Stream, StreamExt as _};
use model::{AppName, Event, Fault, Kind, Version, Weight};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::asked::{self, Body, Named, Queried};
use super::bus::Notice;
use super::history::{self, PastRun};
use super::orders::{Aborted, Again, AppStatus, Begun, Desk, Order, Told};
use super::planned::Planned;
use super::proxies::ProxyStatus;
use super::reach::{Reach, Refusal};
use super::reload::{ReloadBody, Reloaded};
use super::run_id::{check_run_id, new_run_id};
use super::upgrade::{VERSION, Wish};
use super::{happenings, together};

/// This API, for programs; a test holds the two together.
const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// How many runs a history tells of, if nobody says how many, and at most.
const HISTORY: u32 = 20;
const HISTORY_MOST: u32 = 10_000;

/// Answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerStatus {
    /// The server's process id.
    pub(crate) pid: u32,
    /// Version of its binary.
    #[serde(default)]
    pub(crate) version: String,
    /// The program that it is, as a file.
    #[serde(default)]
    pub(crate) program: String,
    /// Our own proxies, the one first that takes new connections.
    #[serde(default)]
    pub(crate) proxies: Vec<ProxyStatus>,
    /// An upgrade is under way: to this version.
    #[serde(default)]
    pub(crate) upgrading: Option<String>,
    /// Its fencing epoch.
    pub(crate) epoch: u64,
    /// Where users' requests come in.
    pub(crate) listen: Vec<String>,
    /// The apps.
    pub(crate) apps: Vec<AppStatus>,
}

/// Body of an upgrade.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UpgradeBody {
    /// The new binary.
    pub(crate) program: PathBuf,
    /// How long it may take to become healthy, ms.
    pub(crate) within_ms: u64,
}

/// Body of a deploy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeployBody {
    /// The version.
    pub(crate) version: String,
    /// Id of the run, chosen by whoever asks: asked again with the same id, the answer is the same.
    #[serde(default)]
    pub(crate) run: Option<String>,
}

/// Body of an abort.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AbortBody {
    /// Who or why.
    pub(crate) reason: String,
    /// The command that asked for the rollout was interrupted.
    #[serde(default)]
    pub(crate) interrupted: bool,
    /// Id of the run that is meant; of another one nothing is undone. Default: the one under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<String>,
}

/// Body of a pause.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PauseBody {
    /// Who or why.
    pub(crate) reason: String,
}

/// Body of a promotion.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PromoteBody {
    /// Without further shares and pauses, too.
    #[serde(default)]
    pub(crate) full: bool,
}

/// Body of a share.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct WeightBody {
    /// Share of new requests that the candidate is to have, basis points.
    pub(crate) weight: Weight,
}

/// Body of a retry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RetryBody {
    /// Id of the run, as that of a deploy.
    #[serde(default)]
    pub(crate) run: Option<String>,
}

/// Body of a rollback.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RollbackBody {
    /// The version to return to; default: the one that users were on before.
    #[serde(default)]
    pub(crate) to: Option<String>,
    /// Id of the run, as that of a deploy.
    #[serde(default)]
    pub(crate) run: Option<String>,
}

/// Answer of an upgrade.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// The upgrade that began.
    pub(crate) run: String,
}

/// Body of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlanBody {
    /// The version.
    pub(crate) version: String,
}

/// What is asked of the history.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct HistoryQuery {
    /// Of this app alone.
    app: Option<String>,
    /// At most so many.
    limit: Option<u32>,
}

/// Body of a stop.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StopBody {
    /// Wait for nothing that is open.
    #[serde(default)]
    pub(crate) now: bool,
}

/// Answer of an abort and of a stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    /// What will happen now.
    pub(crate) text: String,
}

/// The routes of the API.
pub(super) fn router(reach: Arc<Reach>) -> Router {
    Router::new()
        .route("/openapi.json", get(document))
        .route("/v1/status", get(status))
        .route("/v1/events", get(happenings))
        .route("/v1/apps/{app}/plan", post(plan))
        .route("/v1/apps/{app}/deploy", post(deploy))
        .route("/v1/apps/{app}/abort", post(abort))
        .route("/v1/apps/{app}/pause", post(pause))
        .route("/v1/apps/{app}/resume", post(resume))
        .route("/v1/apps/{app}/promote", post(promote))
        .route("/v1/apps/{app}/weight", post(weight))
        .route("/v1/apps/{app}/retry", post(retry))
        .route("/v1/apps/{app}/rollback", post(rollback))
        .route("/v1/apps/{app}/events", get(events))
        .route("/v1/together/{name}/deploy", post(together::deploy))
        .route("/v1/together/{name}/retry", post(together::retry))
        .route("/v1/together/{name}/rollback", post(together::rollback))
        .route("/v1/history", get(history))
        .route("/v1/runs/{run}/{file}", get(report))
        .route("/v1/reload", post(reload))
        .route("/v1/stop", post(stop))
        .route("/v1/upgrade", post(upgrade))
        .with_state(reach)
        .fallback(asked::nowhere)
        .method_not_allowed_fallback(asked::otherwise)
        .layer(DefaultBodyLimit::max(asked::BODY))
}

async fn reload(
    State(reach): State<Arc<Reach>>,
    Body(body): Body<ReloadBody>,
) -> Result<Json<Reloaded>, Refusal> {
    Ok(Json(reach.reload(body).await?))
}

async fn status(State(reach): State<Arc<Reach>>) -> Json<ServerStatus> {
    Json(ServerStatus {
        pid: std::process::id(),
        version: VERSION.to_owned(),
        program: std::fs::read_link("/proc/self/exe").unwrap_or_default().display().to_string(),
        proxies: reach.proxies.look().await,
        upgrading: reach.upgrades.to(),
        epoch: reach.epoch,
        listen: reach.listen.clone(),
        apps: reach.desks.values().map(|desk| desk.status.borrow().clone()).collect(),
    })
}

async fn deploy(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<DeployBody>,
) -> Result<(StatusCode, Json<Begun>), Refusal> {
    let version = Version::new(body.version)?;
    let run = body.run.map_or_else(|| Ok(new_run_id()), check_run_id)?;
    let desk = reach.desk(&app)?;
    let _no_upgrade = reach.upgrades.none_under_way().await?;
    let apps = [AppName::new(app)?];
    let findings = reach.preflight.check(&apps).await?;
    reach.preflight.agreed(&findings)?;
    reach.preflight.unheld(&apps).await?;
    reach.believed(&apps).await?;
    let begun = desk.ask(|reply| Order::Deploy { version, run, reply }).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// What a deploy would do; nothing is done, and nothing is journaled.
async fn plan(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<PlanBody>,
) -> Result<Json<Planned>, Refusal> {
    let version = Version::new(body.version)?;
    let desk = reach.desk(&app)?;
    let apps = [AppName::new(app)?];
    let findings = reach.preflight.findings(&apps).await?;
    reach.preflight.targeted(&apps).await?;
    reach.preflight.unheld(&apps).await?;
    reach.believed(&apps).await?;
    let mut planned = desk.ask(|reply| Order::Plan { version, reply }).await?;
    let loses = findings.iter().filter(|one| one.severity == Severity::Loses);
    planned.degrades.extend(loses.map(|one| reach.preflight.sentence(one)));
    Ok(Json(planned))
}

async fn abort(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<AbortBody>,
) -> Result<Json<Said>, Refusal> {
    let AbortBody { reason, interrupted, run } = body;
    // That of the app which is named, and whose desk is asked first; the others have their own.
    let (mut run, mut texts, mut refused) = (run, Vec::new(), None);
    for desk in reach.all_of(&app)? {
        let (reason, run) = (reason.clone(), run.take());
        match desk.ask(|reply| Order::Abort { reason, interrupted, run, reply }).await {
            Ok(Aborted { text, heard: false }) => return Ok(Json(Said { text })),
            Ok(Aborted { text, .. }) => texts.push(text),
            Err(fault) => refused = refused.or(Some(fault)),
        }
    }
    if let Some(refused) = refused.filter(|_| texts.is_empty()) {
        return Err(refused.into());
    }
    texts.dedup();
    Ok(Json(Said { text: texts.join("; ") }))
}

/// Tells the machine of an app what an operator wants, and those that it goes together with. Refused where
/// none of them hears it.
async fn wish(reach: &Reach, app: &str, wish: Event) -> Result<Json<Told>, Refusal> {
    let (mut told, mut refused) = (Vec::new(), None);
    let desks = reach.all_of(app)?;
    // Where one waits for a person, nobody's bake is meant.
    let waits = |desk: &Desk| desk.status.borrow().paused.is_some();
    let next = matches!(wish, Event::PromoteAsked { full: false });
    let waiting = next && desks.iter().any(|desk| waits(desk));
    for desk in desks {
        if waiting && !waits(desk) {
            continue;
        }
        let wish = wish.clone();
        match desk.ask(|reply| Order::Wish { wish, reply }).await {
            Ok(answer) => told.push((desk, answer)),
            Err(fault) => refused = refused.or(Some(fault)),
        }
    }
    if told.is_empty() {
        let refused = refused.unwrap_or_else(|| Fault::internal("nobody was asked"));
        return Err(refused.into());
    }
    let texts: Vec<&str> = told.iter().map(|(_, told)| told.text.as_str()).collect();
    let text = texts.join("; ");
    // Whoever asked follows the app that was named.
    let named = told.into_iter().find(|(desk, _)| desk.status.borrow().app.as_str() == app);
    Ok(Json(Told { text, run: named.and_then(|(_, told)| told.run) }))
}

async fn pause(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<PauseBody>,
) -> Result<Json<Told>, Refusal> {
    wish(&reach, &app, Event::PauseAsked { reason: body.reason }).await
}

async fn resume(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
) -> Result<Json<Told>, Refusal> {
    wish(&reach, &app, Event::ResumeAsked).await
}

async fn promote(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<PromoteBody>,
) -> Result<Json<Told>, Refusal> {
    wish(&reach, &app, Event::PromoteAsked { full: body.full }).await
}

async fn weight(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<WeightBody>,
) -> Result<Json<Told>, Refusal> {
    wish(&reach, &app, Event::WeightAsked { weight: body.weight }).await
}

async fn retry(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<RetryBody>,
) -> Result<(StatusCode, Json<Begun>), Refusal> {
    again(&reach, app, (Again::Retry, body.run)).await
}

async fn rollback(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
    Body(body): Body<RollbackBody>,
) -> Result<(StatusCode, Json<Begun>), Refusal> {
    let to = body.to.map(Version::new).transpose()?;
    again(&reach, app, (Again::Rollback(to), body.run)).await
}

/// Ships a release that ran before.
async fn again(
    reach: &Reach,
    app: String,
    (which, run): (Again, Option<String>),
) -> Result<(StatusCode, Json<Begun>), Refusal> {
    let run = run.map_or_else(|| Ok(new_run_id()), check_run_id)?;
    let desk = reach.desk(&app)?;
    let _no_upgrade = reach.upgrades.none_under_way().await?;
    let apps = [AppName::new(app)?];
    reach.preflight.check(&apps).await?;
    reach.preflight.unheld(&apps).await?;
    let begun = desk.ask(|reply| Order::Again { which, run, reply }).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

async fn events(
    State(reach): State<Arc<Reach>>,
    Named(app): Named<String>,
) -> Result<axum::response::Sse<impl Stream<Item = Result<Sse, Infallible>>>, Refusal> {
    let (history, receiver) = reach.desk(&app)?.bus.listen();
    let notices = stream::iter(history).chain(stream::unfold(receiver, following));
    let lines = notices.map(|notice| Ok(Sse::default().json_data(&notice).unwrap_or_default()));
    Ok(axum::response::Sse::new(lines).keep_alive(KeepAlive::default()))
}

/// All that happens, to all apps.
async fn happenings(
    State(reach): State<Arc<Reach>>,
) -> axum::response::Sse<impl Stream<Item = Result<Sse, Infallible>>> {
    let all = happenings::all(&reach.desks);
    let lines = all.map(|one| Ok(Sse::default().json_data(&one).unwrap_or_default()));
    axum::response::Sse::new(lines).keep_alive(KeepAlive::default())
}

/// What this API is, in OpenAPI 3.1.
async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}

/// The next notice of a bus. One that was overrun ends the stream: whoever listens asks again and
/// gets what was said so far.
async fn following(
    mut receiver: broadcast::Receiver<Notice>,
) -> Option<(Notice, broadcast::Receiver<Notice>)> {
    match receiver.recv().await {
        Ok(notice) => Some((notice, receiver)),
        Err(RecvError::Lagged(_) | RecvError::Closed) => None,
    }
}

async fn report(
    State(reach): State<Arc<Reach>>,
    Named((run, file)): Named<(String, String)>,
) -> Result<Response, Refusal> {
    let missing = || Fault::new(Kind::Usage, "there is no such report");
    let (extension, kind) = match file.as_str() {
        "report.json" => ("json", "application/json"),
        "report.html" => ("html", "text/html; charset=utf-8"),
        _ => return Err(missing().into()),
    };
    // A run's id is letters and digits: nothing else may become part of a path.
    if run.is_empty() || !run.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(missing().into());
    }
    let path = reach.layout.report(&run, extension);
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    let bytes = read.ok().and_then(Result::ok).ok_or_else(missing)?;
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

async fn history(
    State(reach): State<Arc<Reach>>,
    Queried(asked): Queried<HistoryQuery>,
) -> Result<Json<Vec<PastRun>>, Refusal> {
    let app = asked.app.map(AppName::new).transpose()?;
    let limit = asked.limit.unwrap_or(HISTORY).min(HISTORY_MOST);
    let read = move || history::history(&reach.store, &reach.layout, (app.as_ref(), limit));
    let read = tokio::task::spawn_blocking(read).await;
    let broke = |e| Fault::internal(format!("the history cannot be read: {e}"));
    Ok(Json(read.map_err(broke)??))
}

async fn upgrade(
    State(reach): State<Arc<Reach>>,
    Body(body): Body<UpgradeBody>,
) -> Result<(StatusCode, Json<Accepted>), Refusal> {
    let within = Duration::from_millis(body.within_ms);
    let wish = Wish { program: body.program, within };
    let run = reach.upgrades.begin(wish, reach.desks.iter()).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { run })))
}

async fn stop(State(reach): State<Arc<Reach>>, Body(body): Body<StopBody>) -> Json<Said> {
    // A full channel means that a stop like this is on its way already.
    let _sent = reach.stop.try_send(body.now);
    let text = if body.now {
        "stopping now: what is open is cut, instances get a second to end"
    } else {
        "stopping: requests finish, then instances end"
    };
    Json(Said { text: text.to_owned() })
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
