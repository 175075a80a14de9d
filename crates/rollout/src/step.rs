//! One step of the machine, as `forward` and `back` propose it and `machine` makes it.
//!
//! Whether it may be taken is not decided here; only the way back is chosen, since several ask for it.

use model::{Phase, Weight};

use crate::course;
use crate::drained::Drained;
use crate::home::Home;
use crate::hooking::Hooking;
use crate::pause::Cause;
use crate::roll::{Roll, Side};
use crate::state::State;
use crate::together::Awaiting;

/// One step of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Enter a phase, and why.
    Enter(Phase, String),
    /// Rolling back: let stable carry the traffic, and why now.
    Return(String),
    /// The leaving release is drained, or its deadline has passed.
    Drained(Drained),
    /// The router has moved what it can of the tunnels: the rest is for those to end that are left.
    Moved,
    /// Recreate: stable starts again once it is gone, and why.
    TurnBack(String),
    /// Rolling: the next page of the books.
    Books(Roll),
    /// Rolling: the next page, in a new phase, and why.
    Turn(Roll, Phase, String),
    /// A person is to look before users are taken further, and why.
    Pause(Cause, String),
    /// What a person was to look at is over: it goes on by itself, and why.
    GoOn(String),
    /// Canary: the share that an operator asked for, and why. Nothing follows by itself.
    Share(Weight, String),
    /// A hook is to be called.
    Hook(Hooking),
    /// A hook of whose end nothing is expected to be heard any more, and why.
    HookLost(String, String),
    /// The apps that it goes together with come first.
    Await(Awaiting),
    /// On the way home: how far, in a new phase, and why.
    Home(Home, Phase, String),
}

impl Step {
    /// The phase to which it takes the rollout further, and why.
    pub(crate) fn onward(&self) -> Option<(Phase, &str)> {
        let (to, why) = match self {
            Self::Enter(to, why) | Self::Turn(_, to, why) | Self::Home(_, to, why) => (*to, why),
            Self::Share(_, why) => (Phase::Shifting, why),
            _ => return None,
        };
        let back = [
            Phase::RollingBack,
            Phase::DrainingCandidate,
            Phase::StoppingCandidate,
            Phase::Aborted,
            Phase::Stuck,
        ];
        (!back.contains(&to)).then_some((to, why))
    }
}

/// The way back: the phase that undoes what has been done so far.
pub(crate) fn turn_back(state: &State, why: String) -> Step {
    if let Some(roll) = &state.facts.roll {
        let untouched = roll.running.of(Side::Stable) == state.instances();
        if untouched && !state.has_entered(Phase::Shifting) {
            return Step::Turn(Roll::new(state.instances(), 0), Phase::StoppingCandidate, why);
        }
        return Step::Turn(roll.fill(Side::Stable, state.room()), Phase::RollingBack, why);
    }
    if course::hold(&state.start).is_some() {
        let phase = match state.phase {
            Phase::Draining => Phase::RollingBack,
            Phase::Shifting | Phase::Baking => Phase::DrainingCandidate,
            _ => Phase::StoppingCandidate,
        };
        return Step::Enter(phase, why);
    }
    let phase = match (state.has_entered(Phase::Shifting), &state.start.stable) {
        (false, _) => Phase::StoppingCandidate,
        (true, Some(_)) => Phase::RollingBack,
        (true, None) => Phase::DrainingCandidate,
    };
    Step::Enter(phase, why)
}
