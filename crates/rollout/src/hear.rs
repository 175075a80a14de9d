//! What an event does to the memory of the machine.
//!
//! Only an operator's wish, the failure of a hook and what others do that it goes together with are steps by themselves; every other step comes from
//! the state, later.

use model::event::PoolSeen;
use model::{
    Counters, Event, FleetSeen, InstanceId, Offenders, Phase, ReleaseId, RunState, Weight, Window,
};

use crate::barrier;
use crate::compare;
use crate::handover;
use crate::hooked::MOST_LIVES;
use crate::hooks;
use crate::incident;
use crate::judge::Nameless;
use crate::measure;
use crate::seen::{Leaving, Open, Preview, Seen};
use crate::settings::Aim;
use crate::state::State;
use crate::step::Step;
use crate::target;
use crate::untold;
use crate::wish;

/// Remembers what the event says; the step is the one that follows from it alone.
pub(crate) fn hear(state: &mut State, event: &Event) -> Option<Step> {
    match event {
        Event::Tick => {}
        Event::Fleet { release, seen } => see_fleet(state, *release, seen),
        Event::RoutesSettled { pools } => see_routes(state, pools),
        Event::Open { release, requests, tunnels } => {
            see_open(state, *release, Open { requests: *requests, tunnels: *tunnels });
        }
        Event::Leaving { release, instances, requests, tunnels } => {
            let open = Open { requests: *requests, tunnels: *tunnels };
            see_leaving(state, *release, instances, open);
        }
        Event::Movable { release, sockets } => {
            let right = handover::wanted(state).is_some_and(|wanted| wanted.release == *release);
            if right && target::settled(state) {
                state.seen.movable = Some(*sockets);
            }
        }
        Event::Lingering(offenders) => linger(state, offenders),
        Event::Preview { tally, failures } => {
            if state.phase == Phase::Previewing {
                let preview = Preview { tally: tally.clone(), failures: failures.clone() };
                state.seen.preview = Some(preview);
            }
        }
        Event::Armed => {
            state.seen.armed |= state.phase == Phase::Arming && state.facts.pause.is_none();
        }
        Event::ProberLost => {
            if state.watched() {
                state.facts.prober_lost = true;
                state.note("the prober was lost; the rollout goes on without it".to_owned());
            }
        }
        Event::Window(window) => {
            see_window(state, window);
            return compare::watch(state);
        }
        Event::Thresholds { thresholds } => compare::begin(state, thresholds),
        Event::Units { at_s, tick } => {
            compare::take(state, *at_s, tick);
            return compare::watch(state);
        }
        Event::Counters { counters, until_ms } => return see_counters(state, counters, *until_ms),
        Event::Surveyed { until_ms } => untold::hear(state, *until_ms),
        Event::Measured { metric, found, words } => {
            return measure::hear(state, metric, *found, words);
        }
        Event::HookEnded { name, passed, words } => {
            return hooks::ended(state, name, *passed, words);
        }
        Event::BarrierOpened { barrier } => return barrier::opened(state, *barrier),
        Event::Deserted { app, why } => return barrier::deserted(state, app, why),
        Event::AbortAsked { .. }
        | Event::PauseAsked { .. }
        | Event::ResumeAsked
        | Event::PromoteAsked { .. }
        | Event::WeightAsked { .. }
        | Event::SupersedeAsked { .. } => return wish::hear(state, event),
        Event::Resumed => {
            state.seen = Seen::default();
            state.facts.resumed_ms = Some(state.now_ms);
            if state.facts.lives < MOST_LIVES {
                state.facts.again_ms = Some(state.now_ms);
            }
            state.facts.lives = state.facts.lives.saturating_add(1);
            hooks::resumed(state);
        }
    }
    None
}

fn see_routes(state: &mut State, pools: &[PoolSeen]) {
    let before = target::settled(state);
    state.seen.routes = Some(pools.to_vec());
    if !before {
        state.seen.forget_traffic();
    }
    // Somebody else has changed them, and what leaves is to be drained once more.
    let drains = state.phase == Phase::Draining && state.facts.home.is_none();
    if drains && state.start.settings.rules >= 4 && !target::settled(state) {
        state.facts.drained = None;
    }
}

fn see_fleet(state: &mut State, release: ReleaseId, seen: &FleetSeen) {
    if release == state.candidate().id {
        let since = crashes_since(state, seen.crashes);
        state.facts.crashes = state.facts.crashes.max(since);
    }
    if let Some(sighting) = state.sighting_mut(release) {
        sighting.fleet = Some(seen.clone());
    }
}

/// Crashes that this rollout has seen. One whose release ran before may find those of that time, and
/// they may be forgotten meanwhile.
fn crashes_since(state: &mut State, crashes: u32) -> u32 {
    if state.start.settings.aim == Aim::Deploy {
        return crashes;
    }
    let already = state.facts.crashes_already.map_or(crashes, |already| already.min(crashes));
    state.facts.crashes_already = Some(already);
    crashes - already
}

/// What is open counts only under the wanted routes.
fn see_open(state: &mut State, release: ReleaseId, open: Open) {
    let settled = target::settled(state);
    if let Some(sighting) = state.sighting_mut(release).filter(|_| settled) {
        sighting.open = Some(open);
    }
}

/// Before they are named, what is picked counts only under the wanted routes; then, only what was
/// named, if anybody was.
fn see_leaving(state: &mut State, release: ReleaseId, instances: &[InstanceId], open: Open) {
    let Some(leave) = target::leave(state) else { return };
    let right = match leave.state {
        RunState::Running if leave.named.is_empty() => {
            target::settled(state) && instances.len() <= usize::from(leave.instances)
        }
        RunState::Running | RunState::Terminating | RunState::Gone => {
            instances.iter().all(|one| leave.named.contains(one))
        }
    };
    if right && leave.release == release {
        state.seen.leaving = Some(Leaving { instances: instances.to_vec(), open });
    }
}

/// Noted once in a phase; what is open at its deadline is told in the reason of what follows.
fn linger(state: &mut State, offenders: &Offenders) {
    if state.phase.is_final() || offenders.is_empty() {
        return;
    }
    if state.seen.lingering.is_empty() {
        let open: Vec<_> = offenders.lines().collect();
        state.note(format!("waiting for what is open: {}", open.join("; ")));
    }
    state.seen.lingering = offenders.clone();
}

/// What they have grown by is a tick, and with it all that was counted until then is told.
fn see_counters(state: &mut State, counters: &Counters, until_ms: u64) -> Option<Step> {
    compare::grow(state, counters);
    untold::hear(state, until_ms);
    compare::watch(state)
}

/// Windows count from the switch until its outcome is decided.
fn see_window(state: &mut State, window: &Window) {
    if !state.judging() {
        return;
    }
    let held = incident::held(state);
    let nameless = match (state.share() == Weight::ALL, state.seen.window_ended) {
        (false, _) => Nameless::Shared,
        (true, true) => Nameless::Candidates,
        (true, false) => Nameless::Unknown,
    };
    let candidate = state.start.candidate.version.as_str();
    let stable = state.start.stable.as_ref().map(|stable| stable.version.as_str());
    if let Some(stable) = stable {
        state.facts.lately.add(window, candidate, stable);
    }
    // What hits both says nothing of one.
    if !held {
        let limit_bp = state.start.settings.max_error_share_bp;
        state.facts.judged.add(window, (candidate, nameless), limit_bp);
        state.facts.judged_step.add(window, (candidate, nameless), limit_bp);
    }
    let good = window.by_version.get(candidate).is_some_and(|tally| tally.ok > 0);
    if target::settled(state) {
        // Where the candidate had users before, only a window that began under these routes tells.
        let telling = state.seen.window_ended || state.switches() <= 1;
        state.seen.candidate_answered |= good && telling;
        state.seen.window_ended = true;
    }
}
