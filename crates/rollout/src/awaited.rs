//! Whether and how long the others of the group are waited for. It decides nothing.

use model::Barrier;

use crate::state::State;

/// True while only the others can still turn it back: it has said that it will not.
pub(crate) fn is_bound(state: &State) -> bool {
    state.facts.awaiting.as_ref().is_some_and(|awaiting| awaiting.barrier == Barrier::Final)
}

/// When the others are waited for no longer. Whoever lets it go on gives them the same time again, and so does a
/// controller that comes back, but for those that die again and again.
pub(crate) fn until_ms(state: &State) -> Option<u64> {
    let awaiting = state.facts.awaiting.as_ref()?;
    let bounded = state.start.settings.rules >= 4;
    let resumed = if bounded { state.facts.again_ms } else { state.facts.resumed_ms };
    let again = resumed.max(state.facts.went_on_ms);
    let from = awaiting.since_ms.max(again.unwrap_or(0));
    let wait = state.start.settings.together.as_ref().map_or(0, |together| together.wait_ms);
    Some(from.saturating_add(wait.max(1)))
}
