//! What should be true in each phase. The only place that knows.

use model::event::PoolSeen;
use model::{Phase, PoolState, ReleaseId, RunState, Weight};

use crate::settings::Named;
use crate::state::State;
use crate::wants::{FleetWant, ProbeWant, Wants};

/// Role of a release in the wanted routes.
#[derive(Clone, Copy)]
enum Role {
    /// Not in the routes.
    Out,
    /// All traffic.
    All,
    /// No traffic of its own, but replays.
    Spare,
    /// Nothing new.
    Retiring,
}

/// The whole of what is wanted.
pub(crate) fn wants(state: &State) -> Wants {
    if let Some(stuck) = &state.facts.stuck {
        return stuck.clone();
    }
    let (stable_run, candidate_run) = runs(state);
    let want = |named: &Named, run: RunState| {
        let instances = if run == RunState::Running { state.instances() } else { 0 };
        FleetWant { release: named.id, instances, state: run }
    };
    let stable = state.start.stable.as_ref().map(|stable| want(stable, stable_run));
    let mut fleet: Vec<_> =
        stable.into_iter().chain([want(state.candidate(), candidate_run)]).collect();
    fleet.sort_by_key(|want| want.release);
    let preview =
        (state.phase == Phase::Previewing).then_some(state.start.settings.preview_requests);
    Wants { fleet, pools: pools(state), probe: probe(state), preview }
}

/// The wanted pools alone.
fn pools(state: &State) -> Vec<PoolSeen> {
    if let Some(stuck) = &state.facts.stuck {
        return stuck.pools.clone();
    }
    let (stable_role, candidate_role) = roles(state);
    let stable = state.start.stable.as_ref().and_then(|stable| pool(stable.id, stable_role));
    let candidate = pool(state.candidate().id, candidate_role);
    let mut pools: Vec<_> = stable.into_iter().chain(candidate).collect();
    pools.sort_by_key(|pool| pool.release);
    pools
}

/// True when the router was last seen to carry exactly what is wanted.
pub(crate) fn settled(state: &State) -> bool {
    state.seen.routes.as_ref().is_some_and(|routes| *routes == pools(state))
}

/// What is wanted once stuck: whatever is wanted now, with the traffic on the other release if
/// only that one is known to serve and the promotion is not final.
pub(crate) fn stuck(state: &State) -> Wants {
    let mut wants = Wants { probe: ended(state), preview: None, ..wants(state) };
    let (Some(stable), candidate) = (&state.start.stable, state.candidate()) else {
        return wants;
    };
    let other = match wants.pools.iter().find(|pool| pool.weight == Weight::ALL) {
        Some(pool) if pool.release == stable.id && !state.stable_serves() => candidate.id,
        Some(pool) if pool.release == candidate.id && !state.candidate_serves() => stable.id,
        _ => return wants,
    };
    let serves =
        if other == candidate.id { state.candidate_serves() } else { state.stable_serves() };
    let runs = wants.fleet.iter().any(|f| f.release == other && f.state == RunState::Running);
    if serves && runs && !state.promotion_is_final() {
        for pool in &mut wants.pools {
            pool.weight = if pool.release == other { Weight::ALL } else { Weight::NONE };
            pool.state = PoolState::Serving;
        }
    }
    wants
}

/// Roles of stable and candidate in the routes.
fn roles(state: &State) -> (Role, Role) {
    match state.phase {
        Phase::Shifting | Phase::Baking => (Role::Spare, Role::All),
        Phase::Draining | Phase::HandingOver => (Role::Retiring, Role::All),
        Phase::Stopping | Phase::Promoted => (Role::Out, Role::All),
        Phase::RollingBack if !state.facts.returned => (Role::Spare, Role::All),
        Phase::RollingBack | Phase::Stuck => (Role::All, Role::Spare),
        Phase::DrainingCandidate => (Role::All, Role::Retiring),
        Phase::Starting
        | Phase::Previewing
        | Phase::Arming
        | Phase::StoppingCandidate
        | Phase::Aborted => (Role::All, Role::Out),
    }
}

/// What the instances of stable and candidate should do.
fn runs(state: &State) -> (RunState, RunState) {
    match state.phase {
        Phase::HandingOver => (RunState::Terminating, RunState::Running),
        Phase::Stopping | Phase::Promoted => (RunState::Gone, RunState::Running),
        Phase::DrainingCandidate if state.facts.drained.is_some() => {
            (RunState::Running, RunState::Terminating)
        }
        Phase::StoppingCandidate | Phase::Aborted => (RunState::Running, RunState::Gone),
        Phase::Starting
        | Phase::Previewing
        | Phase::Arming
        | Phase::Shifting
        | Phase::Baking
        | Phase::Draining
        | Phase::RollingBack
        | Phase::DrainingCandidate
        | Phase::Stuck => (RunState::Running, RunState::Running),
    }
}

fn pool(release: ReleaseId, role: Role) -> Option<PoolSeen> {
    let (weight, state) = match role {
        Role::Out => return None,
        Role::All => (Weight::ALL, PoolState::Serving),
        Role::Spare => (Weight::NONE, PoolState::Serving),
        Role::Retiring => (Weight::NONE, PoolState::Retiring),
    };
    Some(PoolSeen { release, weight, state })
}

/// Armed stays wanted until the switch is seen: what the prober holds must span it.
fn probe(state: &State) -> ProbeWant {
    match state.phase {
        phase if phase.is_final() => ended(state),
        _ if !state.watched() => ProbeWant::Off,
        Phase::Arming | Phase::Shifting => ProbeWant::Armed,
        _ => ProbeWant::On,
    }
}

fn ended(state: &State) -> ProbeWant {
    if state.start.settings.probing { ProbeWant::Ended } else { ProbeWant::Off }
}
