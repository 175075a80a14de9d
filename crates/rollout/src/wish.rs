//! What an operator may ask for, and what the machine does about it.
//!
//! Every pair of a wish and a place in the rollout is answered here, in one match. A wish that comes at
//! the wrong time changes nothing; it is noted, and whoever asks first is told why.

use model::{Event, Phase, Successor, Weight};

use crate::awaited::is_bound;
use crate::compare;
use crate::course;
use crate::gate;
use crate::pause::Cause;
use crate::state::State;
use crate::step::{Step, turn_back};
use crate::strategy::Strategy;
use crate::waiting::waits;
use crate::words::percent;

/// Where a rollout stands toward an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// It can turn back at once.
    Trial,
    /// Instances are being ended: it can turn back when they are gone.
    Ending,
    /// The promotion is final.
    Final,
    /// It is being undone.
    Back,
    /// It is over.
    Over,
}

fn stand(state: &State) -> Stand {
    let turns = state.facts.roll.is_some() || course::hold(&state.start).is_some();
    match state.phase {
        Phase::Aborted | Phase::Stuck => Stand::Over,
        _ if state.facts.home.is_some() || is_bound(state) => Stand::Final,
        Phase::Starting | Phase::Previewing | Phase::Arming | Phase::Shifting | Phase::Baking => {
            Stand::Trial
        }
        Phase::Draining if turns => Stand::Trial,
        Phase::HandingOver | Phase::Stopping if turns => Stand::Ending,
        Phase::Draining | Phase::HandingOver | Phase::Stopping | Phase::Promoted => Stand::Final,
        Phase::RollingBack | Phase::DrainingCandidate | Phase::StoppingCandidate => Stand::Back,
    }
}

/// A wish, apart from what is only seen.
#[derive(Clone, Copy, Debug)]
enum Wish<'a> {
    Abort(&'a str),
    Pause(&'a str),
    Resume,
    Promote { full: bool },
    Share(Weight),
    Follow(&'a Successor),
}

const fn wish(event: &Event) -> Option<Wish<'_>> {
    Some(match event {
        Event::AbortAsked { reason } => Wish::Abort(reason.as_str()),
        Event::PauseAsked { reason } => Wish::Pause(reason.as_str()),
        Event::ResumeAsked => Wish::Resume,
        Event::PromoteAsked { full } => Wish::Promote { full: *full },
        Event::WeightAsked { weight } => Wish::Share(*weight),
        Event::SupersedeAsked { by } => Wish::Follow(by),
        Event::Tick
        | Event::Fleet { .. }
        | Event::RoutesSettled { .. }
        | Event::Open { .. }
        | Event::Leaving { .. }
        | Event::Movable { .. }
        | Event::Lingering(_)
        | Event::Thresholds { .. }
        | Event::Units { .. }
        | Event::Counters { .. }
        | Event::Surveyed { .. }
        | Event::Measured { .. }
        | Event::Preview { .. }
        | Event::Armed
        | Event::ProberLost
        | Event::Window(_)
        | Event::HookEnded { .. }
        | Event::BarrierOpened { .. }
        | Event::Deserted { .. }
        | Event::Resumed => return None,
    })
}

/// Why an event would change nothing now; `None` when it would be heard, and of an observation.
pub(crate) fn refused(state: &State, event: &Event) -> Option<String> {
    wish(event).and_then(|wish| why_not(state, wish))
}

fn why_not(state: &State, wish: Wish<'_>) -> Option<String> {
    use Stand::{Back, Ending, Final, Over, Trial};
    use Wish::{Abort, Follow, Pause, Promote, Resume, Share};
    const UNDONE: &str = "the rollout is being undone already";
    let (paused, turning) = (state.facts.pause.is_some(), state.turning().is_some());
    let followed = state.facts.successor.is_some();
    let why = match (wish, stand(state)) {
        (Follow(_), Trial | Ending | Final | Back | Over) | (Abort(_), Trial | Ending) => {
            return None;
        }
        // What was to follow is given up.
        (Abort(_), Back) if followed => return None,
        (Abort(_) | Pause(_) | Resume | Promote { .. } | Share(_), Back) => UNDONE,
        (Abort(_) | Pause(_) | Resume | Promote { .. } | Share(_), Over) => "the rollout is over",
        (Abort(_) | Pause(_) | Resume | Promote { .. } | Share(_), Final) => {
            "the promotion is final"
        }
        (Pause(_) | Resume | Promote { .. } | Share(_), Ending) if turning => UNDONE,
        (Pause(_), Trial | Ending) if paused => "it is paused already",
        (Resume, Trial | Ending) if !paused => "it is not paused",
        (Pause(_) | Resume | Promote { full: true }, Trial | Ending) => return None,
        (Promote { full: false }, Trial | Ending) => {
            let ends = paused || state.phase == Phase::Baking;
            return (!ends)
                .then(|| format!("it is {}, and neither paused nor baking", state.phase));
        }
        (Share(_), Trial | Ending) if state.start.settings.together.is_some() => {
            "apps that are rolled out together take their steps together"
        }
        (Share(weight), Trial | Ending) => return share_refused(state, weight),
    };
    Some(why.to_owned())
}

/// Why the candidate cannot be given that share now.
fn share_refused(state: &State, weight: Weight) -> Option<String> {
    let canary = matches!(state.start.settings.strategy, Strategy::Canary { .. });
    let trial = matches!(state.phase, Phase::Shifting | Phase::Baking);
    let (version, now) = (&state.candidate().version, state.share());
    let why = if !canary || state.start.stable.is_none() {
        "only a canary has shares".to_owned()
    } else if course::counted(&state.start) {
        "the share follows from the instances; `promote` goes on with the next step".to_owned()
    } else if !trial {
        format!("no user is on {version} yet")
    } else if now == Weight::ALL {
        format!("{version} has all traffic already; `abort` takes it back")
    } else if weight == Weight::NONE {
        "a share of nothing is an abort".to_owned()
    } else if weight == Weight::ALL {
        "a share of everything is `promote --full`".to_owned()
    } else if weight == now {
        format!("{version} has {} already", percent(now))
    } else if weight < now && !state.stable_serves() {
        "the old version has no ready instance to take more".to_owned()
    } else if weight > now && !state.candidate_is_ready() {
        state.readiness()
    } else {
        return None;
    };
    Some(why)
}

/// Hears a wish; what it changes at once is a step.
pub(crate) fn hear(state: &mut State, event: &Event) -> Option<Step> {
    let wish = wish(event)?;
    if let Some(why) = why_not(state, wish) {
        state.note(format!("{} and ignored: {why}", asked(wish)));
        return None;
    }
    match wish {
        Wish::Abort(reason) => hear_abort(state, reason),
        Wish::Follow(by) => {
            state.facts.successor = Some(by.clone());
            give_up(state, format!("{} is to follow (run {})", by.version, by.run))
        }
        Wish::Pause(reason) => Some(Step::Pause(Cause::Asked, format!("asked to pause: {reason}"))),
        Wish::Resume => {
            go_on(state);
            state.note("resumed: asked for".to_owned());
            None
        }
        Wish::Promote { full } => {
            promote(state, full);
            None
        }
        Wish::Share(weight) => {
            Some(Step::Share(weight, format!("asked to give it {} of requests", percent(weight))))
        }
    }
}

/// A wish in words, for the notes.
fn asked(wish: Wish<'_>) -> String {
    match wish {
        Wish::Abort(reason) => format!("an abort was asked for ({reason})"),
        Wish::Pause(reason) => format!("a pause was asked for ({reason})"),
        Wish::Resume => "to resume was asked for".to_owned(),
        Wish::Promote { full: false } => "to promote was asked for".to_owned(),
        Wish::Promote { full: true } => "to promote in full was asked for".to_owned(),
        Wish::Share(weight) => format!("a share of {} was asked for", percent(weight)),
        Wish::Follow(by) => format!("to be followed by {} was asked for", by.version),
    }
}

/// It goes on now, without the rest of a pause or bake.
fn promote(state: &mut State, full: bool) {
    if full {
        state.facts.full_ms.get_or_insert(state.now_ms);
    }
    let bakes = state.phase == Phase::Baking;
    if bakes {
        state.facts.hurried_ms = Some(state.now_ms);
    }
    if bakes || waits(state).is_some() {
        pass_gate(state);
    }
    go_on(state);
    let how = if full { "without further shares and pauses" } else { "now" };
    state.note(format!("asked to go on {how}"));
}

/// The pause ends. What spoke against a failing rollback until now is overlooked.
pub(crate) fn go_on(state: &mut State) {
    let waited = waits(state).is_some();
    let Some(pause) = state.facts.pause.take() else { return };
    if waited {
        state.facts.went_on_ms = Some(state.now_ms);
    }
    match pause.cause {
        Cause::Asked => {}
        Cause::Step | Cause::Inconclusive | Cause::Unmeasured => pass_gate(state),
        Cause::Incident => compare::looked_at(state),
        Cause::Failing => state.overlook(),
    }
}

/// Nobody is waited for at this share any more.
fn pass_gate(state: &mut State) {
    let Some(share) = gate::passing(state) else { return };
    if !state.facts.passed.contains(&share) {
        state.facts.passed.push(share);
    }
}

fn hear_abort(state: &mut State, reason: &str) -> Option<Step> {
    if stand(state) == Stand::Back {
        let next = state.facts.successor.take().map(|by| by.version.to_string());
        let next = next.unwrap_or_default();
        state.note(format!("asked to abort: {reason}; {next} does not follow either"));
        return None;
    }
    state.facts.successor = None;
    give_up(state, format!("asked to abort: {reason}"))
}

/// Turns back if that can still be: at once, or when those that are ending are gone.
pub(crate) fn give_up(state: &mut State, why: String) -> Option<Step> {
    match stand(state) {
        Stand::Trial => {
            state.facts.wished_back_ms = Some(state.now_ms);
            Some(turn_back(state, why))
        }
        Stand::Ending => {
            state.note(format!("{why}: when the instances that are ending are gone"));
            state.facts.pause = None;
            if state.turning().is_some() {
                return None;
            }
            let roll = state.facts.roll.as_ref().map(|roll| Step::Books(roll.turn(why.clone())));
            Some(roll.unwrap_or(Step::TurnBack(why)))
        }
        Stand::Final | Stand::Back | Stand::Over => {
            state.note(format!("{why}, when this is over"));
            None
        }
    }
}
