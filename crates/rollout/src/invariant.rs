//! What must hold after every step, numbered. Checked in debug builds and by every test.
//!
//! 1. The wanted routes give away all traffic, and only to releases whose instances are wanted
//!    running (none only on a first deploy that is not there yet or is being undone); to one alone,
//!    but while a canary's share is on trial (or it got stuck there) and in a rolling replacement.
//! 2. No instance is wanted ended while its pool is wanted Serving; and of a release that users were
//!    on, only after its pool was seen Retiring and its requests had ended or the deadline passed.
//! 3. Once the promotion is final, the candidate has the traffic for good.
//! 4. A final phase is never left; each phase is entered at most once (for each share, for each
//!    batch), by a lawful way, and time does not run backwards.
//!    Where instances come with the shares, *starting* comes once more for each.
//! 5. Fleet and pools are in the order of release numbers, each release once.
//! 6. In every phase that is not final there is a time to wake, after entry and after now; a final
//!    phase has none.
//! 7. Stuck ends nothing that has the traffic and leaves what serves in the routes.
//! 8. Rolling: those that run and those that leave are as many as the app has instances, and the surge more
//!    at most; the weights speak for at least all of them but what a batch without its surge is, but for a
//!    candidate that died on the way back. Who is told to end has been drained.
//! 9. On the way home the promotion is final and stable gone; of the candidate as many as usual stay,
//!    and nobody is told to end.
//! 10. Some instance has the traffic, or requests wait within bounds: only in a recreation, where no two
//!     releases are ever wanted running.
//! 11. A pause takes users no further: meanwhile the candidate's share grows only by the wish that
//!     began it, and the rollout can still be turned back. (Who replaces a batch that left is routed, and
//!     who ends a hold.)
//! 12. A stable that is kept is never wanted ended.
//! 13. No user is on the candidate before the hooks of the moments until then have ended, and no promotion
//!     is final before those of the trial have; but for those whose moment does not come. Nor has it the share of
//!     a step before the hooks before that step have ended, and those after the steps that it had before.
//! 14. Rolled out together: no share and no batch before all have come to it, no final promotion before all were
//!     sure, and once that is open nobody turns back.

use model::{Barrier, Moment, Phase, PoolState, RunState, Weight};

use crate::course;
use crate::deadline::wake_ms;
use crate::roll::Roll;
use crate::settings::Aim;
use crate::state::State;
use crate::target::wants;
use crate::wants::{FleetWant, Wants};

/// The first invariant that does not hold, in words.
pub(crate) fn check(state: &State) -> Result<(), String> {
    let wants = wants(state);
    traffic_has_a_home(state, &wants)?;
    nothing_ends_in_use(state, &wants)?;
    promotion_stays(state, &wants)?;
    history_is_lawful(state)?;
    only_one_copy_runs(state, &wants)?;
    lists_are_ordered(&wants)?;
    someone_wakes_us(state)?;
    a_pause_holds(state)?;
    what_is_kept_stays(state, &wants)?;
    hooks_came_first(state)?;
    hooks_of_steps_came_first(state)?;
    others_came_too(state)?;
    stuck_keeps_serving(state, &wants)?;
    state.facts.home.map_or(Ok(()), |_| home_ends_nothing(state, &wants))?;
    state.facts.roll.as_ref().map_or(Ok(()), |roll| books_add_up(state, roll))
}

/// True when `to` may follow `from` in this rollout; `homeward` once stable is stopped.
fn follows(state: &State, homeward: bool, from: Phase, to: Phase) -> bool {
    // Nobody says whether the others are bound, too.
    if state.start.settings.together.is_some() && (from, to) == (Phase::Baking, Phase::Stuck) {
        return true;
    }
    // A rollback that serves nobody is stuck where it is.
    if state.start.settings.aim == Aim::Rollback && to == Phase::Stuck {
        return !from.is_final();
    }
    if homeward && course::returns_home(&state.start) {
        return lawful_home(from, to);
    }
    if state.facts.roll.is_some() {
        return lawful_rolling(from, to);
    }
    if course::hold(&state.start).is_some() {
        return lawful_recreating(from, to);
    }
    let asked = state.facts.shares_asked > 0 && from == Phase::Shifting;
    let next_share = (asked || from == Phase::Baking) && to == Phase::Shifting;
    let grows = course::counted(&state.start)
        && to == Phase::Starting
        && matches!(from, Phase::Previewing | Phase::Arming | Phase::Baking);
    let turns =
        course::counted(&state.start) && (from, to) == (Phase::Starting, Phase::RollingBack);
    if grows || turns {
        return true;
    }
    if course::keeps(&state.start) {
        let over = matches!(from, Phase::Draining | Phase::HandingOver) && to == Phase::Promoted;
        return over || (lawful(from, to) && to != Phase::Stopping) || next_share;
    }
    lawful(from, to) || next_share
}

/// How often a phase may be entered.
fn times(state: &State, phase: Phase) -> usize {
    if let Some(batch) = course::batch(&state.start) {
        return usize::from(state.instances().div_ceil(batch)) + 1;
    }
    let again = matches!(phase, Phase::Starting | Phase::Shifting | Phase::Draining);
    let home = usize::from(again && course::returns_home(&state.start));
    if phase == Phase::Starting && course::hold(&state.start).is_some() {
        return 2;
    }
    // More are started for each share, and for all traffic where an operator wants that at once.
    let counted = course::counted(&state.start);
    match phase {
        Phase::Starting if counted => course::shares(&state.start).len() + 1 + home,
        Phase::Previewing | Phase::Arming if counted => 2,
        Phase::Shifting | Phase::Baking => {
            // After a smaller share that an operator asked for, all may follow again.
            course::shares(&state.start).len() * (1 + state.facts.shares_asked) + home
        }
        _ => 1 + home,
    }
}

/// True when `to` may follow `from` once stable is stopped, on the way home.
const fn lawful_home(from: Phase, to: Phase) -> bool {
    use Phase as P;
    match from {
        P::Stopping => matches!(to, P::Starting | P::Promoted),
        P::Starting => matches!(to, P::Shifting | P::Promoted),
        P::Shifting => matches!(to, P::Draining | P::Promoted),
        P::Draining => matches!(to, P::Promoted),
        _ => false,
    }
}

/// True when `to` may follow `from` in a rolling replacement.
const fn lawful_rolling(from: Phase, to: Phase) -> bool {
    use Phase as P;
    match from {
        P::Starting => matches!(
            to,
            P::Draining
                | P::Previewing
                | P::Arming
                | P::Shifting
                | P::StoppingCandidate
                | P::RollingBack
        ),
        P::Previewing => {
            matches!(to, P::Arming | P::Shifting | P::StoppingCandidate | P::RollingBack)
        }
        P::Arming => matches!(to, P::Shifting | P::StoppingCandidate | P::RollingBack),
        P::Shifting => matches!(to, P::Baking | P::RollingBack),
        P::Baking => matches!(to, P::Draining | P::Promoted | P::RollingBack),
        P::Draining => matches!(to, P::HandingOver | P::Stopping | P::RollingBack),
        P::HandingOver => matches!(to, P::Stopping),
        P::Stopping => matches!(to, P::Starting | P::RollingBack),
        P::RollingBack => matches!(to, P::DrainingCandidate | P::StoppingCandidate | P::Stuck),
        P::DrainingCandidate => matches!(to, P::StoppingCandidate | P::Stuck),
        P::StoppingCandidate => matches!(to, P::RollingBack | P::Aborted),
        P::Promoted | P::Aborted | P::Stuck => false,
    }
}

/// True when `to` may follow `from` in a recreation.
const fn lawful_recreating(from: Phase, to: Phase) -> bool {
    use Phase as P;
    match from {
        P::Starting => matches!(
            to,
            P::Arming | P::Draining | P::Previewing | P::Shifting | P::StoppingCandidate
        ),
        P::Arming => matches!(to, P::Draining | P::StoppingCandidate),
        P::Draining => matches!(to, P::HandingOver | P::Stopping | P::RollingBack),
        P::HandingOver => matches!(to, P::Stopping),
        P::Stopping => matches!(to, P::Starting | P::RollingBack | P::Stuck),
        P::Previewing => matches!(to, P::Shifting | P::StoppingCandidate),
        P::Shifting => matches!(to, P::Baking | P::DrainingCandidate),
        P::Baking => matches!(to, P::Promoted | P::DrainingCandidate),
        P::DrainingCandidate => matches!(to, P::StoppingCandidate | P::Stuck),
        P::StoppingCandidate => matches!(to, P::RollingBack | P::Aborted | P::Stuck),
        P::RollingBack => matches!(to, P::Aborted | P::Stuck),
        P::Promoted | P::Aborted | P::Stuck => false,
    }
}

/// True when `to` may follow `from` otherwise.
const fn lawful(from: Phase, to: Phase) -> bool {
    use Phase as P;
    match from {
        P::Starting => {
            matches!(to, P::Previewing | P::Arming | P::Shifting | P::StoppingCandidate)
        }
        P::Previewing => matches!(to, P::Arming | P::Shifting | P::StoppingCandidate),
        P::Arming => matches!(to, P::Shifting | P::StoppingCandidate),
        P::Shifting => matches!(to, P::Baking | P::RollingBack | P::DrainingCandidate),
        P::Baking => {
            matches!(to, P::Draining | P::Promoted | P::RollingBack | P::DrainingCandidate)
        }
        P::Draining => matches!(to, P::HandingOver | P::Stopping | P::Stuck),
        P::HandingOver => matches!(to, P::Stopping | P::Stuck),
        P::Stopping => matches!(to, P::Promoted),
        P::RollingBack => matches!(to, P::DrainingCandidate | P::Stuck),
        P::DrainingCandidate => matches!(to, P::StoppingCandidate | P::Stuck),
        P::StoppingCandidate => matches!(to, P::Aborted),
        P::Promoted | P::Aborted | P::Stuck => false,
    }
}

fn ensure(holds: bool, number: u8, what: &str, state: &State) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    Err(format!("invariant {number}: {what} (in {}, at {} ms)", state.phase, state.now_ms))
}

fn runs(wants: &Wants, release: model::ReleaseId) -> bool {
    wants.fleet.iter().any(|want| want.release == release && want.state == RunState::Running)
}

fn traffic_has_a_home(state: &State, wants: &Wants) -> Result<(), String> {
    let sum: u32 = wants.pools.iter().map(|pool| u32::from(pool.weight.basis_points())).sum();
    let homes: Vec<_> = wants.pools.iter().filter(|pool| pool.weight != Weight::NONE).collect();
    let nothing_yet = state.start.stable.is_none()
        && (!state.has_entered(Phase::Shifting) || state.has_entered(Phase::DrainingCandidate));
    if nothing_yet {
        return ensure(sum == 0, 1, "traffic for a candidate that is not there", state);
    }
    if wants.hold.is_some() {
        return requests_wait(state, wants);
    }
    let trial =
        matches!(state.phase, Phase::Shifting | Phase::Baking | Phase::RollingBack | Phase::Stuck)
            || state.grows();
    let shared = state.facts.roll.is_some() || (trial && state.share() < Weight::ALL);
    ensure(sum == 10_000, 1, "the weights are not all traffic", state)?;
    ensure(homes.len() == 1 || shared, 1, "not all traffic on one release", state)?;
    let home =
        homes.iter().all(|pool| pool.state == PoolState::Serving && runs(wants, pool.release));
    ensure(home, 1, "traffic on a release that is not wanted running and serving", state)
}

/// Bounded, in a recreation alone, and with one release at most that is not to end.
fn requests_wait(state: &State, wants: &Wants) -> Result<(), String> {
    ensure(wants.hold == course::hold(&state.start), 10, "requests wait without bounds", state)?;
    let weighty = wants.pools.iter().any(|pool| pool.state == PoolState::Serving);
    ensure(!weighty, 10, "requests wait although somebody serves", state)
}

fn only_one_copy_runs(state: &State, wants: &Wants) -> Result<(), String> {
    let recreates = course::hold(&state.start).is_some();
    let running = wants.fleet.iter().filter(|want| want.state == RunState::Running).count();
    let beside = wants.fleet.iter().all(|want| want.state == RunState::Gone);
    let ends = wants.fleet.iter().any(|want| want.state == RunState::Terminating);
    let alone = running == 0 || (running == 1 && !ends);
    ensure(!recreates || alone || beside, 10, "two copies are to run", state)
}

fn nothing_ends_in_use(state: &State, wants: &Wants) -> Result<(), String> {
    for want in wants.fleet.iter().filter(|want| want.state != RunState::Running) {
        let pool = wants.pools.iter().find(|pool| pool.release == want.release);
        let serving = pool.is_some_and(|pool| pool.state == PoolState::Serving);
        ensure(!serving, 2, "instances of a serving pool are to end", state)?;
        let is_candidate = want.release == state.candidate().id;
        let had_users = !is_candidate || state.has_entered(Phase::Shifting);
        let whole = state.facts.roll.is_none() && course::hold(&state.start).is_none();
        let had_users = had_users && whole;
        ensure(!had_users || state.facts.drained.is_some(), 2, "ended without a drain", state)?;
    }
    Ok(())
}

fn promotion_stays(state: &State, wants: &Wants) -> Result<(), String> {
    let all = Weight::ALL;
    let home = wants.pools.iter().any(|p| p.release == state.candidate().id && p.weight == all);
    ensure(!state.promotion_is_final() || home, 3, "a final promotion was taken back", state)
}

fn history_is_lawful(state: &State) -> Result<(), String> {
    let pairs = || state.entered.iter().zip(state.entered.iter().skip(1));
    let mut stopped = false;
    let ways = pairs().all(|(a, b)| {
        stopped |= a.phase == Phase::Stopping;
        follows(state, stopped, a.phase, b.phase)
    });
    ensure(ways, 4, "an unlawful way between phases", state)?;
    let now = state.entered.iter().filter(|entered| entered.phase == state.phase).count();
    let often = now <= times(state, state.phase);
    ensure(often, 4, "a phase was entered too often", state)?;
    let order = pairs().all(|(a, b)| a.at_ms <= b.at_ms) && state.since_ms <= state.now_ms;
    ensure(order, 4, "time ran backwards", state)?;
    let last = state.entered.last().map(|entered| (entered.phase, entered.at_ms));
    ensure(last == Some((state.phase, state.since_ms)), 4, "phase and history differ", state)?;
    let first = state.entered.first().map(|entered| entered.phase);
    ensure(first == Some(Phase::Starting), 4, "history does not begin with starting", state)
}

fn lists_are_ordered(wants: &Wants) -> Result<(), String> {
    let pools = wants.pools.windows(2).all(|two| matches!(two, [a, b] if a.release < b.release));
    let fleet = wants.fleet.windows(2).all(|two| matches!(two, [a, b] if a.release < b.release));
    if pools && fleet { Ok(()) } else { Err("invariant 5: releases out of order".to_owned()) }
}

fn someone_wakes_us(state: &State) -> Result<(), String> {
    let wake = wake_ms(state);
    if state.phase.is_final() {
        return ensure(wake.is_none(), 6, "a deadline in a final phase", state);
    }
    let later = wake.is_some_and(|wake| wake > state.since_ms && wake > state.now_ms);
    ensure(later, 6, "nothing will end this phase", state)
}

fn a_pause_holds(state: &State) -> Result<(), String> {
    let Some(pause) = &state.facts.pause else { return Ok(()) };
    let last = state.facts.shares.last().map_or(0, |share| share.at_ms);
    let under_way = state.facts.roll.is_some() || course::hold(&state.start).is_some();
    ensure(under_way || last <= pause.at_ms, 11, "a share was given during a pause", state)?;
    let turns = !state.promotion_is_final() && !state.phase.is_final();
    ensure(turns, 11, "paused where nothing can be turned back", state)
}

fn hooks_came_first(state: &State) -> Result<(), String> {
    let whole = state.facts.roll.is_none();
    let held = course::hold(&state.start).is_some();
    let ended = |moment: Moment| {
        let mut of = state.start.settings.hooks.iter().filter(|hook| hook.moment == moment);
        of.all(|hook| state.facts.hooked.contains(&hook.name))
    };
    let started = !state.has_entered(Phase::Shifting)
        || (ended(Moment::BeforeStart)
            && (held || (ended(Moment::AfterStart) && ended(Moment::BeforeSwitch))));
    ensure(started, 13, "users before a hook has ended", state)?;
    let drains = !whole || held || !state.has_entered(Phase::Draining);
    let baked = drains || (ended(Moment::AfterSwitch) && ended(Moment::BeforeDrain));
    let promoted = state.phase != Phase::Promoted || ended(Moment::AfterSwitch);
    ensure(baked && promoted, 13, "final before a hook has ended", state)
}

/// A share that an operator asks for waits for none of them, nor has one that is stuck and has nobody else to serve.
fn hooks_of_steps_came_first(state: &State) -> Result<(), String> {
    let named = state.start.settings.hooks.iter().any(|hook| hook.step.is_some());
    if !named || state.facts.shares_asked > 0 || state.facts.stuck.is_some() {
        return Ok(());
    }
    let unseen = state.has_entered(Phase::Shifting) && course::begins_unseen(&state.start);
    let step = |share: &crate::state::Share| course::step_of(&state.start, share.share);
    let had: Vec<u16> =
        unseen.then_some(1).into_iter().chain(state.facts.shares.iter().filter_map(step)).collect();
    let whole = state.has_entered(Phase::Draining);
    let left = |step: u16| had.contains(&step) && (whole || had.iter().any(|had| *had > step));
    let due = |moment: Moment, step: u16| match moment {
        Moment::BeforeStep => had.contains(&step),
        Moment::AfterStep => left(step),
        _ => false,
    };
    let mut hooks = state.start.settings.hooks.iter();
    let ended = hooks.all(|hook| {
        let due = hook.step.is_some_and(|step| due(hook.moment, step));
        !due || state.facts.hooked.contains(&hook.name)
    });
    ensure(ended, 13, "a step before its hooks have ended", state)
}

fn others_came_too(state: &State) -> Result<(), String> {
    if state.start.settings.together.is_none() {
        return Ok(());
    }
    let opened = state.facts.opened;
    let in_place = state.facts.roll.is_some() || course::hold(&state.start).is_some();
    let (begun, switches) = if in_place {
        let surges = course::surge(&state.start) > 0;
        let first = if surges { Phase::Shifting } else { Phase::Draining };
        let begun = state.has_entered(first);
        (begun, usize::from(begun))
    } else {
        (state.has_entered(Phase::Shifting), state.switches())
    };
    let share = Some(Barrier::Share(u16::try_from(switches).unwrap_or(u16::MAX)));
    ensure(!begun || opened >= share, 14, "users before the others came", state)?;
    let binding = opened == Some(Barrier::Final);
    ensure(!state.promotion_is_final() || binding, 14, "final before the others", state)?;
    let back = state.has_entered(Phase::RollingBack) || state.has_entered(Phase::Aborted);
    ensure(!(binding && back), 14, "turned back when all were bound", state)
}

fn what_is_kept_stays(state: &State, wants: &Wants) -> Result<(), String> {
    let stable = state.start.stable.as_ref().filter(|_| course::keeps(&state.start));
    let stays = stable.is_none_or(|stable| runs(wants, stable.id));
    ensure(stays, 12, "a release that is kept is to end", state)
}

fn stuck_keeps_serving(state: &State, wants: &Wants) -> Result<(), String> {
    if state.phase != Phase::Stuck {
        return ensure(state.facts.stuck.is_none(), 7, "stuck wishes outside stuck", state);
    }
    let kept = wants.pools.iter().filter(|pool| pool.weight > Weight::NONE);
    let running = kept.clone().all(|pool| runs(wants, pool.release));
    let held = wants.hold.is_some();
    let any = state.start.stable.is_none() || held || kept.count() >= 1;
    ensure(running && any, 7, "stuck took away what serves", state)
}

fn books_add_up(state: &State, roll: &Roll) -> Result<(), String> {
    let batch = course::batch(&state.start).unwrap_or_default();
    let (all, routed) = (state.instances(), roll.routed);
    let leaving = roll.leave.as_ref().map_or(0, |leave| leave.instances);
    let count = roll.running.all().saturating_add(leaving);
    let most = all.saturating_add(course::surge(&state.start));
    let right = (all..=most).contains(&count) && leaving <= batch;
    ensure(right, 8, "more or fewer instances than the app has", state)?;
    let within = routed.stable <= roll.running.stable && routed.candidate <= roll.running.candidate;
    ensure(within, 8, "weights for instances that do not stay", state)?;
    let died = routed.candidate == 0 && state.has_entered(Phase::RollingBack);
    ensure(
        died || routed.all() >= all.saturating_sub(course::missing(&state.start)),
        8,
        "more than a batch is missing",
        state,
    )?;
    let Some(leave) = &roll.leave else { return Ok(()) };
    let told = leave.state != RunState::Running;
    ensure(told == leave.drained.is_some(), 8, "told to end without a drain", state)?;
    let named =
        leave.named.len() <= usize::from(leave.instances) && (told || leave.named.is_empty());
    ensure(named, 8, "others are named than leave", state)
}

fn home_ends_nothing(state: &State, wants: &Wants) -> Result<(), String> {
    let (release, usual) = (state.candidate().id, state.instances());
    ensure(state.promotion_is_final(), 9, "going home before the promotion is final", state)?;
    let stays = |want: &FleetWant| want.release != release || want.instances >= usual;
    let alone =
        wants.fleet.iter().all(|want| runs(wants, want.release) == (want.release == release));
    ensure(alone && wants.fleet.iter().all(stays), 9, "too few of the candidate stay", state)?;
    let spare = wants.leave.as_ref().is_none_or(|leave| {
        leave.release == release && leave.state == RunState::Running && leave.named.is_empty()
    });
    ensure(spare, 9, "the spare is to end", state)
}
