//! How long the last step waits for what users' requests showed in it.
//!
//! What a router counts of a second is told when all of it has ended, or what is still open is slow by every limit, seconds
//! later. Until then it is not known. What it means is judged in `compare`.

use model::Weight;

use crate::state::State;
use crate::words::duration;

/// Longest time for which the end of the last step waits for what users' requests showed in it, ms: longer than a
/// tick of requests takes until all that is still open in it is slow by every limit.
const UNTOLD_MS: u64 = 15_000;

/// What the end of the last step then waits for.
pub(crate) const AWAITED: &str =
    "until users' requests of its last seconds have ended and are counted";

/// All that users' requests showed until then was told; nobody knows more than what is over.
pub(crate) fn hear(state: &mut State, until_ms: u64) {
    let until_ms = until_ms.min(state.now_ms);
    state.facts.surveyed_ms = state.facts.surveyed_ms.max(Some(until_ms));
}

/// When a step that would end at `planned_ms` does: the last one, after which nothing can be taken back, not before
/// what users' requests showed in it was told. What a router tells comes late, and of a controller that was
/// dead later. Nobody waits for a router that tells nothing, and for none for ever.
pub(crate) fn end_ms(state: &State, planned_ms: u64) -> u64 {
    let settings = &state.start.settings;
    let judged = settings.rules >= 6 && settings.analysis.is_some() && state.start.stable.is_some();
    let last = match &state.facts.roll {
        Some(roll) => roll.running.stable == 0,
        None => state.share() == Weight::ALL,
    };
    // Whoever ended the bake by hand does not wait.
    let waits = judged && last && state.judging() && state.facts.hurried_ms.is_none();
    let untold =
        state.now_ms >= planned_ms && state.facts.surveyed_ms.is_some_and(|it| it < planned_ms);
    if !(waits && untold) {
        return planned_ms;
    }
    planned_ms.max(state.facts.again_ms.unwrap_or(0)).saturating_add(UNTOLD_MS)
}

/// "; its users' requests of the last 16 s were not told": the time of a router that fell silent is over.
pub(crate) fn words(state: &State) -> String {
    let Some(until_ms) = state.facts.surveyed_ms else { return String::new() };
    let since = state.now_ms.saturating_sub(until_ms);
    if state.start.settings.rules < 6 || since < UNTOLD_MS {
        return String::new();
    }
    format!("; its users' requests of the last {} were not told", duration(since))
}
