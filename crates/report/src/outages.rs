//! Outages of the router: which failures they cost, and the sentences on that.
//!
//! A rollout does not cost what an outage of its router costs: the report tells the two apart, and it
//! excuses nothing that an outage cannot have done. Looks at the router only say where to search. That
//! it was gone, and from when to when, is taken from the prober: it lies between two answers, because
//! whoever answers is there, and in between connections were refused, or every kept one ended. The
//! verdict is about users and takes no excuse.

use std::collections::BTreeMap;

use model::{Attempt, Class, Lane};

use crate::axis::axis;
use crate::clean;
use crate::document::Report;
use crate::figures::{clock_ms, several, span};
use crate::outage::{OutageFact, OutageKind, OutageSpan};
use crate::run::Run;

/// Ends and answers that reach the prober at once are read in any order: what was read so shortly
/// before or after may have been on its way, us.
const READ_ORDER_US: i64 = 10_000;

/// From one answer to the next: in between, nobody answered.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from_us: i64,
    to_us: Option<i64>,
}

/// What the prober knows of the router.
struct Evidence {
    /// When anything came from it, in order.
    answers: Vec<i64>,
    /// Of each kept connection, sockets too: first used, last answered.
    kept: Vec<(i64, i64)>,
}

/// The outages of a run. A failure that falls into two counts for the first.
pub(crate) fn outages(run: &Run<'_>) -> Vec<OutageFact> {
    if run.input.outages.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(run);
    let mut failures: Vec<&Attempt> = run.failures().filter(|a| fits(a)).collect();
    run.input.outages.iter().map(|seen| fact(seen, &evidence, &mut failures)).collect()
}

/// What happened in one time that looks leave open; takes out of `failures` what it cost.
fn fact(seen: &OutageSpan, evidence: &Evidence, failures: &mut Vec<&Attempt>) -> OutageFact {
    let gone = evidence.gone(seen, failures);
    let gaps: Vec<Gap> = gone.iter().map(|at| evidence.gap(*at)).collect();
    let what = clean::name(&seen.what);
    let seen_to_us = seen.to_us.map(|to| to.max(seen.from_us));
    let Some(first) = gaps.iter().map(|gap| gap.from_us).min() else {
        let again = seen.replaced && seen.to_us.is_some();
        let kind = if again { OutageKind::Replaced } else { OutageKind::Unseen };
        return OutageFact { what, kind, from_us: seen.from_us, to_us: seen_to_us, failed: 0 };
    };
    let before = failures.len();
    failures.retain(|a| !gaps.iter().any(|gap| gap.met(a)));
    let from_us = first.max(seen.from_us);
    let back = gaps.iter().map(|gap| gap.to_us).max_by_key(|to| to.unwrap_or(i64::MAX)).flatten();
    let to_us = [back, seen_to_us].into_iter().flatten().min().map(|to| to.max(from_us));
    let failed = (before - failures.len()) as u64;
    OutageFact { what, kind: OutageKind::Outage, from_us, to_us, failed }
}

impl Evidence {
    fn of(run: &Run<'_>) -> Self {
        let mut answers: Vec<i64> = run.sent.iter().filter_map(|a| answered_at(a)).collect();
        answers.sort_unstable();
        let mut kept: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
        let keeps = |a: &Attempt| matches!(a.lane, Lane::KeepAlive | Lane::Websocket);
        for a in run.sent.iter().filter(|a| keeps(a) && a.connection != 0) {
            let used = axis(a.dispatched_us);
            let life = kept.entry(a.connection).or_insert((used, i64::MIN));
            life.1 = life.1.max(answered_at(a).unwrap_or(i64::MIN));
        }
        Self { answers, kept: kept.into_values().collect() }
    }

    /// When it was certainly gone: nobody took a connection. Without that, and if it is another process
    /// now, when the first request or socket was cut, if no kept connection outlived that: one that ends
    /// because of its instance leaves others standing.
    fn gone(&self, seen: &OutageSpan, failures: &[&Attempt]) -> Vec<i64> {
        let until = seen.to_us.unwrap_or(i64::MAX / 2).saturating_add(READ_ORDER_US);
        let within = seen.from_us.saturating_sub(READ_ORDER_US)..=until;
        let at = |wanted: fn(&Attempt) -> bool| {
            let those = failures.iter().filter(move |a| wanted(a)).map(|a| failed_at(a));
            those.filter(|us| within.contains(us))
        };
        let refused: Vec<i64> = at(never_connected).collect();
        if !refused.is_empty() || !seen.replaced {
            return refused;
        }
        at(cut).min().filter(|first| self.all_ended(*first)).into_iter().collect()
    }

    /// No kept connection that stood then was answered on later.
    fn all_ended(&self, at_us: i64) -> bool {
        let mut stood = self.kept.iter().filter(|(used, _)| *used < at_us).peekable();
        let some = stood.peek().is_some();
        some && stood.all(|(_, answered)| *answered <= at_us.saturating_add(READ_ORDER_US))
    }

    /// Between which answers a moment lies.
    fn gap(&self, at_us: i64) -> Gap {
        let next = self.answers.partition_point(|us| *us <= at_us);
        let last = next.checked_sub(1).and_then(|last| self.answers.get(last).copied());
        Gap { from_us: last.unwrap_or(i64::MIN), to_us: self.answers.get(next).copied() }
    }
}

impl Gap {
    /// True when the attempt failed in it.
    fn met(self, attempt: &Attempt) -> bool {
        let at = failed_at(attempt);
        let after = at >= self.from_us.saturating_sub(READ_ORDER_US);
        after && self.to_us.is_none_or(|to| at <= to.saturating_add(READ_ORDER_US))
    }
}

/// Failures that an outage can have brought about. Whoever answered, however late or badly, was there.
fn fits(attempt: &Attempt) -> bool {
    match attempt.class {
        Class::Refused
        | Class::ResetBeforeBytes
        | Class::LostInFlight
        | Class::Truncated
        | Class::WsDropped => true,
        // No connection; where there was one, somebody took it and was silent.
        Class::Timeout => attempt.sent_us == 0 && attempt.lane != Lane::Websocket,
        Class::Ok | Class::Late | Class::BadStatus | Class::WrongContent | Class::NotSent => false,
    }
}

fn never_connected(attempt: &Attempt) -> bool {
    matches!(attempt.class, Class::Refused | Class::Timeout)
}

fn cut(attempt: &Attempt) -> bool {
    matches!(
        attempt.class,
        Class::ResetBeforeBytes | Class::LostInFlight | Class::Truncated | Class::WsDropped
    )
}

fn failed_at(attempt: &Attempt) -> i64 {
    axis(attempt.done_us.max(attempt.intended_us))
}

/// When something came from the other side.
fn answered_at(attempt: &Attempt) -> Option<i64> {
    match attempt.class {
        Class::Ok | Class::Late | Class::BadStatus | Class::WrongContent => {
            Some(axis(attempt.done_us))
        }
        _ => (attempt.first_byte_us > 0).then(|| axis(attempt.first_byte_us)),
    }
}

/// What is to be said of them. That one could not be asked for a while is not worth a sentence.
pub(crate) fn facts(report: &Report) -> Vec<String> {
    let told = |fact: &&OutageFact| fact.kind != OutageKind::Unseen || fact.to_us.is_none();
    let mut out: Vec<String> =
        report.outages.iter().filter(told).map(|fact| sentence(report, fact)).collect();
    let cost: u64 = report.outages.iter().map(|fact| fact.failed).sum();
    if cost > 0 {
        out.push(match report.failed.saturating_sub(cost) {
            0 => "nothing failed outside of that: the rollout itself cost no request".to_owned(),
            rest => format!("{} failed outside of that", several(rest, "request")),
        });
    }
    out
}

fn sentence(report: &Report, fact: &OutageFact) -> String {
    let (what, at) = (&fact.what, clock_ms(report.t0_unix_ms, fact.from_us));
    let length = fact.to_us.map(|to| span(u64::try_from(to - fact.from_us).unwrap_or_default()));
    let failed = several(fact.failed, "request");
    match (fact.kind, length) {
        (OutageKind::Outage, Some(length)) => {
            format!("{what} was away for {length} from {at} on: that cost {failed}")
        }
        (OutageKind::Outage, None) => format!("{what} was away from {at} on: that cost {failed}"),
        (OutageKind::Replaced, Some(length)) => format!(
            "{what} became another process within {length} from {at} on, as by a reload: that cost \
             no request"
        ),
        (_, _) => format!("{what} could not be asked any more from {at} on"),
    }
}
