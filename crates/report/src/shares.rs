//! The shares that the candidate was given, beside those that it was seen to have.
//!
//! It counts and compares. What a share means for a connection's order of versions is `proof`'s.

use model::{Attempt, Lane, Weight};

use crate::axis::sent_at;
use crate::input::{Input, ShareCount, ShareSpan};
use crate::run::Run;
use crate::share_fact::{RouterShare, ShareFact, ShareFinding};
use crate::wilson;

/// Fewer answers than this tell nothing of a share.
const ENOUGH: u64 = 30;

/// What became of each share, in the order in which they were asked for.
pub(crate) fn facts(run: &Run<'_>) -> Vec<ShareFact> {
    run.input.shares.iter().map(|span| fact(run, span)).collect()
}

/// True when both versions were meant to answer at some time.
pub(crate) fn partial(input: &Input) -> bool {
    input.shares.iter().any(|s| s.share != Weight::NONE && s.share != Weight::ALL)
}

/// The span in which the candidate was to have all traffic for good.
pub(crate) fn all(input: &Input) -> Option<&ShareSpan> {
    input.shares.last().filter(|s| s.share == Weight::ALL)
}

fn fact(run: &Run<'_>, span: &ShareSpan) -> ShareFact {
    let apart = run.apart();
    let counts = |a: &&&Attempt| apart.is_some() && routed_anew(a) && a.version.is_some();
    let within = |a: &&&Attempt| {
        let sent = sent_at(a);
        span.settled_us.is_some_and(|settled| settled <= sent) && sent < span.to_us
    };
    let (mut answers, mut new) = (0, 0);
    for a in run.sent.iter().filter(counts).filter(within) {
        answers += 1;
        new += u64::from(run.is_new(a.version.as_deref()));
    }
    let wanted_bp = span.share.basis_points();
    let interval = wilson::interval(new, answers);
    ShareFact {
        wanted_bp,
        from_us: span.from_us,
        settled_us: span.settled_us,
        to_us: span.to_us.max(span.from_us),
        answers,
        new,
        seen_bp: interval.map(|[seen, ..]| seen),
        low_bp: interval.map(|[_, low, _]| low),
        high_bp: interval.map(|[.., high]| high),
        finding: match (apart, span.settled_us) {
            (None, _) => ShareFinding::NotToldApart,
            (_, None) => ShareFinding::NotSettled,
            _ => finding(new, answers, wanted_bp),
        },
        router: router(span).filter(|_| run.input.header.clients == 0),
    }
}

fn finding(new: u64, of: u64, wanted_bp: u16) -> ShareFinding {
    match of {
        0..ENOUGH => ShareFinding::TooFew,
        _ if wilson::fits(new, of, wanted_bp) => ShareFinding::AsWanted,
        _ => ShareFinding::Off,
    }
}

/// What the router counted, where each request was drawn by itself: the requests of clients that stay are
/// no sample of anything. Of a share of everything it says nothing: a request that was tried again on
/// the other release is counted there as well, and with everything one is too many.
fn router(span: &ShareSpan) -> Option<RouterShare> {
    let ShareCount { requests, new } = span.counted.filter(|_| span.share != Weight::ALL)?;
    let interval = wilson::interval(new, requests);
    Some(RouterShare {
        requests,
        new,
        seen_bp: interval.map(|[seen, ..]| seen),
        low_bp: interval.map(|[_, low, _]| low),
        high_bp: interval.map(|[.., high]| high),
        finding: finding(new, requests, span.share.basis_points()),
    })
}

/// A message on a socket goes where the socket went, and a client that comes back where it was.
fn routed_anew(attempt: &Attempt) -> bool {
    attempt.lane != Lane::Websocket && attempt.client.is_none()
}
