//! Several apps shipped in one rollout: all of them begin, or none.
//!
//! Each app's controller is asked for an offer, by which it stands until the word comes: it begins nothing else
//! and refuses at once who wants it to. Then all rollouts are written in one transaction. After that each is a rollout like any other, which waits
//! for the others at its barriers: see `stages`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::try_join_all;
use model::{AppName, Fault, Kind, Version};
use rollout::{Other, Start, Together, foresee};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::asked::{Body, Named};
use super::orders::{Again, Offer, Order, Shipping};
use super::reach::{Reach, Refusal};
use super::run_id::{check_run_id, new_run_id};
use crate::clock;
use crate::store::{NewRun, Run};

/// How long the apps may take to offer, all at the same time: a controller answers when it has looked.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much longer than all deadlines of all of them one waits for the others, ms.
const MARGIN_MS: u64 = 3_600_000;

/// Body of a deploy of several apps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TogetherBody {
    /// The version of those that are not named below.
    #[serde(default)]
    pub(crate) version: Option<String>,
    /// Versions by app.
    #[serde(default)]
    pub(crate) versions: BTreeMap<String, String>,
    /// What the ids of the runs begin with, chosen by whoever asks: asked again, the answer is the same.
    #[serde(default)]
    pub(crate) run: Option<String>,
}

/// Body of a retry and of a rollback of several apps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TogetherAgainBody {
    /// What the ids of the runs begin with, as that of a deploy.
    #[serde(default)]
    pub(crate) run: Option<String>,
}

/// Rollouts that have begun together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BegunTogether {
    /// Each of them.
    pub(crate) apps: Vec<BegunApp>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BegunApp {
    /// The app.
    pub(crate) app: AppName,
    /// Id of its run.
    pub(crate) run: String,
    /// What is worse than it could be, and why; sentences.
    pub(crate) degrades: Vec<String>,
}

type Answer = Result<(StatusCode, Json<BegunTogether>), Refusal>;

pub(super) async fn deploy(
    State(reach): State<Arc<Reach>>,
    Named(name): Named<String>,
    Body(body): Body<TogetherBody>,
) -> Answer {
    let (name, apps) = reach.reloader.together(&name).await?;
    if let Some(odd) = body.versions.keys().find(|odd| apps.iter().all(|app| app.as_str() != *odd))
    {
        let what = format!("`{}` is none of the apps of {name}", odd.escape_debug());
        return Err(Fault::new(Kind::Usage, what)
            .help(format!("they are {}", listed(&apps)))
            .into());
    }
    let mut all = Vec::new();
    for app in &apps {
        let version = body.versions.get(app.as_str()).or(body.version.as_ref());
        let missing = || {
            Fault::new(Kind::Usage, format!("no version is named for {app}"))
                .help("name one for all of them, or one for each")
        };
        let version = Version::new(version.ok_or_else(missing)?.as_str())?;
        all.push((app.clone(), Shipping::Version(version)));
    }
    let _no_upgrade = reach.upgrades.none_under_way().await?;
    let findings = reach.preflight.check(&apps).await?;
    reach.preflight.agreed(&findings)?;
    reach.believed(&apps).await?;
    begin(&reach, (name, all), body.run).await
}

pub(super) async fn retry(
    State(reach): State<Arc<Reach>>,
    Named(name): Named<String>,
    Body(body): Body<TogetherAgainBody>,
) -> Answer {
    again(&reach, (&name, &Again::Retry), body).await
}

pub(super) async fn rollback(
    State(reach): State<Arc<Reach>>,
    Named(name): Named<String>,
    Body(body): Body<TogetherAgainBody>,
) -> Answer {
    again(&reach, (&name, &Again::Rollback(None)), body).await
}

/// Ships releases that ran before.
async fn again(
    reach: &Reach,
    (name, which): (&str, &Again),
    TogetherAgainBody { run }: TogetherAgainBody,
) -> Answer {
    let (name, apps) = reach.reloader.together(name).await?;
    let _no_upgrade = reach.upgrades.none_under_way().await?;
    reach.preflight.check(&apps).await?;
    let all = apps.into_iter().map(|app| (app, Shipping::Again(which.clone()))).collect();
    begin(reach, (name, all), run).await
}

/// One that has offered, and waits for the word.
struct Joined {
    app: AppName,
    run: String,
    offer: Offer,
    go: oneshot::Sender<Run>,
}

async fn begin(
    reach: &Reach,
    (name, all): (AppName, Vec<(AppName, Shipping)>),
    run: Option<String>,
) -> Answer {
    let run = run.map_or_else(|| Ok(new_run_id()), check_run_id)?;
    let all: Vec<_> =
        (1..).zip(all).map(|(n, (app, what))| (app, what, format!("{run}{n}"))).collect();
    let said = |apps| Ok((StatusCode::ACCEPTED, Json(BegunTogether { apps })));
    let ids: Vec<_> = all.iter().map(|(app, _, run)| (app.clone(), run.clone())).collect();
    if let Some((_, first)) = ids.first()
        && reach.store.run_named(first)?.is_some()
    {
        // Asked again. All of them were begun, since one was.
        let begun = |(app, run)| BegunApp { app, run, degrades: Vec::new() };
        return said(ids.into_iter().map(begun).collect());
    }
    let joined = tokio::time::timeout(PATIENCE, gather(reach, all)).await;
    let late = |_| {
        let limit = PATIENCE.as_secs();
        Fault::environment(format!("not all apps of {name} answered within {limit} s"))
            .help("nothing was begun; `cutover status` shows what keeps them busy")
    };
    // Nothing is waited for from here on: whoever asked may be gone, and all begin or none does.
    let joined = joined.map_err(late)??;
    said(write(reach, &name, joined)?)
}

/// An offer of each. The first refusal is the answer, and those that have offered hear that there is no word.
async fn gather(
    reach: &Reach,
    all: Vec<(AppName, Shipping, String)>,
) -> Result<Vec<Joined>, Fault> {
    let offer = |(app, what, run): (AppName, Shipping, String)| async move {
        let run = check_run_id(run)?;
        let (go, word) = oneshot::channel();
        let order = |reply| Order::Join { what, reply, go: word };
        let offer = reach.desk(app.as_str())?.ask(order).await?;
        Ok(Joined { app, run, offer, go })
    };
    try_join_all(all.into_iter().map(offer)).await
}

/// Writes all beginnings at once and gives the word.
fn write(reach: &Reach, name: &AppName, mut joined: Vec<Joined>) -> Result<Vec<BegunApp>, Fault> {
    if joined.iter().any(|one| one.go.is_closed()) {
        return Err(Fault::environment("the server is stopping"));
    }
    let all: Vec<Other> = joined
        .iter()
        .map(|one| Other {
            app: one.app.clone(),
            version: one.offer.start.candidate.version.clone(),
            run: one.run.clone(),
        })
        .collect();
    let wait_ms = joined.iter().map(|one| longest_ms(&one.offer.start)).sum::<u64>() + MARGIN_MS;
    for one in &mut joined {
        let others = all.iter().filter(|other| other.app != one.app).cloned().collect();
        one.offer.start.settings.together = Some(Together { name: name.clone(), others, wait_ms });
    }
    let (boot_id, mono_ns, unix_ms) = (clock::boot_id()?, clock::mono_ns(), clock::unix_ms());
    let new = joined.iter().map(|one| NewRun {
        run: &one.run,
        start: &one.offer.start,
        original_routes: one.offer.original_routes.as_ref(),
        boot_id: &boot_id,
        began_mono_ns: mono_ns,
        began_unix_ms: unix_ms,
        epoch: reach.epoch,
    });
    let runs = reach.store.begin_all(&new.collect::<Vec<_>>())?;
    let mut begun = Vec::new();
    for (Joined { app, run, offer, go }, written) in joined.into_iter().zip(runs) {
        // A controller that is gone takes it up when it is back.
        let _gone = go.send(written);
        begun.push(BegunApp { app, run, degrades: offer.degrades });
    }
    Ok(begun)
}

/// Longer than a rollout can take until its promotion is final: all that can hold it, one after the other.
fn longest_ms(start: &Start) -> u64 {
    let phases = foresee(start).into_iter().filter_map(|phase| phase.limit_ms);
    let hooks = start.settings.hooks.iter().map(model::Hook::limit_ms);
    let pauses = start.settings.pause_deadline_ms.saturating_mul(2);
    phases.chain(hooks).fold(pauses, u64::saturating_add).min(u64::MAX / 1024)
}

fn listed(apps: &[AppName]) -> String {
    apps.iter().map(AppName::as_str).collect::<Vec<_>>().join(", ")
}
