//! What `status` shows of an app, put together from looks.
//!
//! It only puts together: who looks is the controller, and what is told of it is in `commands::status`.

use drivers::platform::{Condition, FleetHave, InstanceHave};
use drivers::router::{Open, RoutesHave};
use model::{AppName, Coarse, Outcome, PoolState, Release, ReleaseId, Weight};
use rollout::Rollout;

use super::active::Active;
use super::bus::Live;
use super::fail_open::Opened;
use super::orders::{AppStatus, InstanceStatus, PoolStatus, TogetherStatus};
use super::progress::Progress;
use crate::store::Run;

/// The status of an app as its drivers see it.
pub(super) fn status(
    app: &AppName,
    stable: Option<&Release>,
    fleet: &FleetHave,
    routes: &RoutesHave,
) -> AppStatus {
    let version = |id: ReleaseId| {
        let known = fleet.release(id);
        known.map_or_else(|| id.to_string(), |known| known.release.version.to_string())
    };
    let mut status = AppStatus::unknown(app.clone());
    status.stable = stable.map(|release| release.version.to_string());
    status.instances = fleet
        .instances
        .iter()
        .map(|instance| InstanceStatus {
            id: instance.id.to_string(),
            version: version(instance.release),
            address: instance.address.to_string(),
            pid: instance.pid.unwrap_or(0),
            condition: condition(instance, routes),
        })
        .collect();
    // Every router that answers has a process.
    status.router_seen = routes.pid.is_some();
    status.held = routes.held;
    let pools = routes.routes.iter().flat_map(|routes| &routes.pools);
    status.pools = pools
        .map(|pool| {
            let open = routes.open_on(pool.release);
            let state = match pool.state {
                PoolState::Serving => "serving",
                PoolState::Retiring => "retiring",
            };
            PoolStatus {
                version: pool.version.to_string(),
                weight: pool.weight.basis_points(),
                state: state.to_owned(),
                requests: open.requests,
                tunnels: open.tunnels,
            }
        })
        .collect();
    status
}

/// Adds what is known of instances that somebody else starts: whom users have left, and what their source
/// does not say.
pub(super) fn discovered(status: &mut AppStatus, fleet: &FleetHave, routes: &RoutesHave) {
    for known in &fleet.releases {
        let Some(of) = &known.discovered else { continue };
        let version = known.release.version.to_string();
        let nobody = !of.let_go && fleet.of(known.release.id).next().is_none();
        if let Some(trouble) = of.trouble.as_ref().or(nobody.then_some(&of.words)) {
            status.trouble.get_or_insert_with(|| format!("{version}: {trouble}"));
        }
        if of.left.is_empty() {
            continue;
        }
        let mut open = Open::default();
        for one in &of.left {
            let its = routes.instances.get(&one.id).copied().unwrap_or_default();
            open.requests += its.requests;
            open.tunnels += its.tunnels;
            let quiet = its.requests + its.tunnels == 0;
            status.instances.push(InstanceStatus {
                id: one.id.to_string(),
                version: version.clone(),
                address: one.address.to_string(),
                pid: 0,
                condition: if quiet { "drained" } else { "draining" }.to_owned(),
            });
        }
        status.notes.push(if routes.pid.is_none() {
            format!(
                "{version}: users were moved off it; the router does not say what is open on it"
            )
        } else if open.requests + open.tunnels == 0 {
            format!("{version} is drained; safe to stop for whoever started its instances")
        } else {
            let Open { requests, tunnels } = open;
            format!(
                "{version} is not safe to stop yet: {requests} requests, {tunnels} tunnels open"
            )
        });
    }
}

/// In one word; ready ones that get no request stand by.
fn condition(instance: &InstanceHave, routes: &RoutesHave) -> String {
    let mut pools = routes.routes.iter().flat_map(|routes| &routes.pools);
    let serves = pools.any(|pool| pool.instances.iter().any(|one| one.id == instance.id));
    match instance.condition {
        Condition::Ready if !serves => "standby".to_owned(),
        Condition::Ready if routes.ejected.contains(&instance.id) => "ejected".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Adds which instances get requests although they fail their checks, and why.
pub(super) fn fail_open(status: &mut AppStatus, open: Option<Opened>) {
    let Some(Opened { instances, words }) = open else { return };
    for one in &mut status.instances {
        if instances.iter().any(|id| id.0 == one.id) {
            "fail-open".clone_into(&mut one.condition);
        }
    }
    status.trouble.get_or_insert(words);
}

/// Adds the rollout under way.
pub(super) fn rollout(status: &mut AppStatus, active: &Active) {
    let run = active.run();
    let phase = active.machine().phase();
    status.rollout = Some((run.name.clone(), run.start.candidate.version.to_string(), phase));
    status.coarse = coarse(active);
    let machine = active.machine();
    let sentence = |why: &str| why.lines().next().unwrap_or_default().to_owned();
    status.paused = machine.paused().map(|pause| sentence(&pause.why));
    status.together = run.start.settings.together.as_ref().map(|together| TogetherStatus {
        name: together.name.to_string(),
        with: together.others.iter().map(|other| other.app.clone()).collect(),
        waits: machine.awaits().map(|barrier| barrier.to_string()),
    });
    let mut hooks = run.start.settings.hooks.iter();
    let called = machine.wants().hook;
    let hook = hooks.find(|hook| called.as_ref() == Some(&hook.name));
    status.hook = hook.map(|hook| format!("{} ({})", hook.given_name(), hook.when()));
    status.next = machine.successor().map(|next| (next.version.to_string(), next.run.clone()));
}

/// Adds how far it is, and what its prober saw.
pub(super) fn progress(status: &mut AppStatus, active: &Active, live: Live) {
    let (machine, now_ms) = (active.machine(), active.clock().now_ms());
    let entered = active.entered().last();
    let due = machine.due();
    let strategy = machine.start().settings.strategy.name();
    let why = entered.and_then(|entered| entered.why.lines().next());
    status.progress = Some(Progress {
        strategy: strategy.to_owned(),
        steps: machine.steps().into_iter().map(Weight::basis_points).collect(),
        share: machine.shares().last().map(|share| share.share.basis_points()),
        why: why.unwrap_or_default().to_owned(),
        phase_ms: entered.map_or(0, |entered| now_ms.saturating_sub(entered.at_ms)),
        left_ms: due.map(|due| due.at_ms.saturating_sub(now_ms)),
        goes_on: due.is_some_and(|due| due.goes_on),
        waits: machine.held_by(),
        live,
        judged: judged(machine),
    });
}

/// What users' requests show of the candidate so far.
fn judged(machine: &Rollout) -> Option<String> {
    let stable = machine.start().stable.as_ref()?;
    let stands = machine.comparison()?.stands(stable.version.as_str());
    let said: Vec<String> = stands.into_iter().chain(machine.few_counted()).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Whoever waits for a person says so.
fn coarse(active: &Active) -> Coarse {
    let machine = active.machine();
    if machine.paused().is_some() { Coarse::Paused } else { machine.phase().coarse() }
}

/// Adds the coarse phase and how the last rollout ended.
pub(super) fn conclude(status: &mut AppStatus, last: Option<&Run>) {
    let outcome = last.and_then(|run| run.outcome);
    let failed = matches!(outcome, Some(Outcome::Aborted | Outcome::Stuck));
    status.coarse = match &status.rollout {
        Some(_) => status.coarse,
        None if failed => Coarse::Degraded,
        None => Coarse::Healthy,
    };
    let words = match outcome {
        Some(Outcome::Aborted) => "aborted",
        Some(Outcome::Stuck) => "stuck",
        _ => return,
    };
    status.last =
        last.map(|run| format!("{} {words} (run {})", run.start.candidate.version, run.name));
}
