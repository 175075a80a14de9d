//! What should be true in each phase. The only place that knows.

use model::event::PoolSeen;
use model::{Phase, PoolState, ReleaseId, RunState, Weight};

use crate::alone;
use crate::course;
use crate::handover;
use crate::hooked;
use crate::roll::{Roll, Side};
use crate::state::State;
use crate::wants::{FleetWant, LeaveWant, ProbeWant, Wants};

/// Role of a release in the wanted routes.
#[derive(Clone, Copy)]
enum Role {
    /// Not in the routes.
    Out,
    /// Its share of the traffic, and replays.
    Serving(Weight),
    /// Nothing new.
    Retiring,
}

const ALL: Role = Role::Serving(Weight::ALL);
const SPARE: Role = Role::Serving(Weight::NONE);

/// The whole of what is wanted.
pub(crate) fn wants(state: &State) -> Wants {
    if let Some(stuck) = &state.facts.stuck {
        return stuck.clone();
    }
    let mut fleet: Vec<_> = fleet(state).into_iter().flatten().collect();
    fleet.sort_by_key(|want| want.release);
    let preview =
        (state.phase == Phase::Previewing).then_some(state.start.settings.preview_requests);
    let (leave, pools, probe) = (leave(state), pools(state), probe(state));
    let (hold, hand_over) = (alone::hold(state), handover::wanted(state));
    let (hook, unseen) = (hooked::wanted(state), unseen(state));
    Wants { fleet, leave, pools, unseen, hold, hand_over, hook, probe, preview }
}

/// True while the candidate is on trial without a share.
fn unseen(state: &State) -> bool {
    let trial = matches!(state.phase, Phase::Shifting | Phase::Baking);
    let shared = state.facts.roll.is_none() && state.facts.home.is_none();
    trial && shared && state.share() == Weight::NONE
}

fn fleet(state: &State) -> [Option<FleetWant>; 2] {
    let (stable, candidate) = runs(state);
    let candidate = if hooked::hold_the_start(state) { RunState::Gone } else { candidate };
    [(Side::Stable, stable), (Side::Candidate, candidate)].map(|(side, run)| {
        let running = match (run, side) {
            (RunState::Running, Side::Stable) => state.instances(),
            (RunState::Running, Side::Candidate) => state.candidate_wanted(),
            (RunState::Terminating | RunState::Gone, _) => 0,
        };
        let instances = match &state.facts.roll {
            Some(roll) if run == RunState::Running => roll.running.of(side),
            _ => running,
        };
        Some(FleetWant { release: state.named(side)?.id, instances, state: run })
    })
}

/// The instances that should make room.
pub(crate) fn leave(state: &State) -> Option<LeaveWant> {
    let Some(roll) = &state.facts.roll else { return spare(state) };
    let leave = roll.leave.as_ref()?;
    let release = state.named(leave.side)?.id;
    let (instances, named) = (leave.instances, leave.named.clone());
    let state = match leave.state {
        RunState::Terminating => handover::meanwhile(state),
        other => other,
    };
    Some(LeaveWant { release, instances, named, state })
}

/// On the way home: those that were started first, out of the routes and never told to end.
fn spare(state: &State) -> Option<LeaveWant> {
    let instances = state.facts.home?.leaving(state.instances())?;
    let release = state.candidate().id;
    Some(LeaveWant { release, instances, named: Vec::new(), state: RunState::Running })
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

/// What is wanted once stuck: whatever is wanted now, with the traffic on one release alone if only
/// that one is known to serve and the promotion is not final.
pub(crate) fn stuck(state: &State) -> Wants {
    let (probe, preview, hand_over, hook) = (ended(state), None, None, None);
    let mut wants = Wants { unseen: false, hand_over, hook, probe, preview, ..wants(state) };
    let Some(stable) = &state.start.stable else { return wants };
    if wants.hold.is_some() && state.phase == Phase::RollingBack {
        // Whenever it comes back, users find it; until then they are told at once.
        return Wants { hold: None, pools: pool(stable.id, ALL).into_iter().collect(), ..wants };
    }
    let home = match (state.stable_serves(), state.candidate_serves()) {
        (true, false) => stable.id,
        (false, true) => state.candidate().id,
        _ => return wants,
    };
    let runs = wants.fleet.iter().any(|f| f.release == home && f.state == RunState::Running);
    let routed = wants.pools.iter().any(|pool| pool.release == home);
    let there = wants.pools.iter().any(|p| p.release == home && p.weight == Weight::ALL);
    if runs && routed && !there && !state.promotion_is_final() {
        for pool in &mut wants.pools {
            pool.weight = if pool.release == home { Weight::ALL } else { Weight::NONE };
            pool.state = PoolState::Serving;
        }
        wants.hold = None;
    }
    wants
}

/// Roles of stable and candidate in the routes.
fn roles(state: &State) -> (Role, Role) {
    if let Some(roll) = &state.facts.roll {
        return rolled(roll);
    }
    if state.facts.home.is_some() {
        return (Role::Out, ALL);
    }
    if course::hold(&state.start).is_some() {
        return recreated(state);
    }
    let share = state.share();
    let shared = (Role::Serving(share.rest()), Role::Serving(share));
    match state.phase {
        Phase::Shifting | Phase::Baking => shared,
        Phase::Starting if state.grows() => shared,
        Phase::Draining | Phase::HandingOver => (Role::Retiring, ALL),
        Phase::Stopping | Phase::Promoted => (Role::Out, ALL),
        Phase::RollingBack if !state.facts.returned => shared,
        Phase::RollingBack | Phase::Stuck => (ALL, SPARE),
        Phase::DrainingCandidate => (ALL, Role::Retiring),
        Phase::Starting
        | Phase::Previewing
        | Phase::Arming
        | Phase::StoppingCandidate
        | Phase::Aborted => (ALL, Role::Out),
    }
}

/// In a recreation one release has all of the traffic, or none while requests wait.
fn recreated(state: &State) -> (Role, Role) {
    match state.phase {
        _ if alone::hold(state).is_none() => match alone::serves(state) {
            Side::Stable => (ALL, Role::Out),
            Side::Candidate => (Role::Out, ALL),
        },
        Phase::Draining | Phase::HandingOver => (Role::Retiring, Role::Out),
        Phase::DrainingCandidate => (Role::Out, Role::Retiring),
        _ => (Role::Out, Role::Out),
    }
}

/// In a rolling replacement weights follow the instances; a release without any is out.
fn rolled(roll: &Roll) -> (Role, Role) {
    let share = roll.share();
    let of = |side, weight| match roll.routed.of(side) {
        0 => Role::Out,
        _ => Role::Serving(weight),
    };
    (of(Side::Stable, share.rest()), of(Side::Candidate, share))
}

/// What the instances of stable and candidate should do.
fn runs(state: &State) -> (RunState, RunState) {
    if let Some(roll) = &state.facts.roll {
        let run = |side| match roll.running.of(side) {
            0 if roll.leaver() != Some(side) => RunState::Gone,
            _ => RunState::Running,
        };
        return (run(Side::Stable), run(Side::Candidate));
    }
    if state.facts.home.is_some() {
        return (RunState::Gone, RunState::Running);
    }
    if course::hold(&state.start).is_some() {
        return alone::runs(state);
    }
    match state.phase {
        Phase::HandingOver | Phase::Promoted if course::keeps(&state.start) => {
            (RunState::Running, RunState::Running)
        }
        Phase::HandingOver => (handover::meanwhile(state), RunState::Running),
        Phase::Stopping | Phase::Promoted => (RunState::Gone, RunState::Running),
        Phase::DrainingCandidate if state.facts.drained.is_some() => {
            (RunState::Running, handover::meanwhile(state))
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
        Role::Serving(weight) => (weight, PoolState::Serving),
        Role::Retiring => (Weight::NONE, PoolState::Retiring),
    };
    Some(PoolSeen { release, weight, state })
}

/// Armed stays wanted until the switch is seen: what the prober holds must span it. The way home is
/// no switch between versions, and nothing waits for the prober there.
fn probe(state: &State) -> ProbeWant {
    match state.phase {
        phase if phase.is_final() => ended(state),
        _ if !state.watched() => ProbeWant::Off,
        _ if state.facts.home.is_some() => ProbeWant::On,
        Phase::Arming if state.facts.pause.is_some() => ProbeWant::On,
        Phase::Arming | Phase::Shifting => ProbeWant::Armed,
        // The switch is under way from the drain on.
        _ if alone::hold(state).is_some() && !state.has_entered(Phase::Shifting) => {
            ProbeWant::Armed
        }
        _ => ProbeWant::On,
    }
}

fn ended(state: &State) -> ProbeWant {
    if state.start.settings.probing { ProbeWant::Ended } else { ProbeWant::Off }
}
