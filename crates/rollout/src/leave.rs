//! How a release leaves: drained, handed over, stopped. The same for stable after a promotion and for
//! the candidate after an abort.
//!
//! Decides nothing but "is this part over, and how"; which phase follows is `forward`'s and `back`'s.

use crate::deadline::{allowed, overdue};
use crate::drained::Drained;
use crate::seen::Open;
use crate::state::State;
use crate::target::settled;
use crate::words::{count, duration, with_lines};

/// The end of a drain, if it has come: nothing open, or the deadline. `None` too when the pool was
/// never seen Retiring: then nobody knows what still goes there.
pub(crate) fn drained(state: &State, open: Option<Open>) -> Option<Drained> {
    let left = open.map(|open| open.requests);
    let over = settled(state) && (left == Some(0) || overdue(state));
    over.then_some(Drained { at_ms: state.now_ms, left })
}

/// How a drain ended, in words.
pub(crate) fn drain_words(state: &State, version: &str, drained: Drained) -> String {
    let took = duration(drained.at_ms.saturating_sub(state.since_ms));
    match drained.left {
        Some(0) => format!("no request is open on {version} after {took}"),
        Some(left) => {
            format!("{} still open on {version} after {took}", count(left, "request"))
        }
        None => format!("how many requests are open on {version} is not known after {took}"),
    }
}

/// A reason with what was still open at the deadline of a drain, if it came to that.
pub(crate) fn with_offenders(state: &State, drained: Drained, why: String) -> String {
    if drained.left.is_some_and(|left| left > 0) { named(state, why) } else { why }
}

/// A reason with what was still open.
pub(crate) fn named(state: &State, why: String) -> String {
    with_lines(why, &state.seen.lingering.lines().collect::<Vec<_>>())
}

/// True for the version of a release whose instances somebody else starts and ends.
fn is_theirs(state: &State, version: &str) -> bool {
    let both = state.start.stable.iter().chain([state.candidate()]);
    let mut named = both.filter(|named| named.version.as_str() == version).peekable();
    named.peek().is_some() && named.all(|named| state.start.settings.theirs.contains(&named.id))
}

/// Why the instances that were told to end may now be stopped.
pub(crate) fn handed_over(
    state: &State,
    open: Option<Open>,
    existing: Option<u16>,
    version: &str,
) -> Option<String> {
    if existing == Some(0) {
        return Some(if is_theirs(state, version) {
            format!("no instance of {version} is found any more")
        } else {
            format!("every instance of {version} has ended")
        });
    }
    if settled(state) && open.is_some_and(Open::none) {
        return Some(format!("nothing is open on {version} any more"));
    }
    overdue(state).then(|| {
        let left = open.map_or_else(|| "an unknown number".to_owned(), Open::words);
        let then = if is_theirs(state, version) {
            "they stay open until whoever started its instances ends them"
        } else {
            "they are cut"
        };
        let why = format!("{left} still open on {version} after {}: {then}", allowed(state));
        named(state, why)
    })
}

/// Why stopping is over: all gone and out of the routes, or the deadline with a warning.
pub(crate) fn stopped(state: &State, existing: Option<u16>, version: &str) -> Option<String> {
    let settled = settled(state);
    if existing == Some(0) && settled {
        return Some(if is_theirs(state, version) {
            format!("{version} is left to whoever started its instances")
        } else {
            format!("nothing of {version} is left")
        });
    }
    overdue(state).then(|| {
        let left = match existing {
            Some(0) => format!("the router was not seen without {version}"),
            Some(n) => format!("{} of {version} still there", count(n.into(), "instance")),
            None => format!("it is not known whether {version} has ended"),
        };
        format!("warning: {left} after {}", allowed(state))
    })
}
