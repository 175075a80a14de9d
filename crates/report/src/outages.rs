//! Outages of the router: which failures fell into them, and the sentences on that.
//!
//! A rollout does not cost what an outage of its router costs: the report tells the two apart. The
//! verdict is about users and takes no excuse.

use model::Attempt;

use crate::axis::axis;
use crate::clean;
use crate::document::Report;
use crate::figures::{clock_ms, several, span};
use crate::outage::OutageFact;
use crate::run::Run;

/// The outages of a run. A failure that falls into two counts for the first.
pub(crate) fn outages(run: &Run<'_>) -> Vec<OutageFact> {
    let mut facts: Vec<OutageFact> = run
        .input
        .outages
        .iter()
        .map(|outage| OutageFact {
            what: clean::name(&outage.what),
            from_us: outage.from_us,
            to_us: outage.to_us.map(|to| to.max(outage.from_us)),
            failed: 0,
        })
        .collect();
    for attempt in run.failures() {
        if let Some(fact) = facts.iter_mut().find(|fact| within(attempt, fact)) {
            fact.failed += 1;
        }
    }
    facts
}

fn within(attempt: &Attempt, outage: &OutageFact) -> bool {
    let (from, to) = (axis(attempt.intended_us), axis(attempt.done_us.max(attempt.intended_us)));
    to >= outage.from_us && outage.to_us.is_none_or(|end| from <= end)
}

/// What is to be said of them. One that cost nothing and ended is not worth a sentence: a reload is
/// another process, too.
pub(crate) fn facts(report: &Report) -> Vec<String> {
    let told = |outage: &&OutageFact| outage.failed > 0 || outage.to_us.is_none();
    let outages: Vec<&OutageFact> = report.outages.iter().filter(told).collect();
    let mut out: Vec<String> = outages.iter().map(|outage| sentence(report, outage)).collect();
    let cost: u64 = outages.iter().map(|outage| outage.failed).sum();
    if cost > 0 {
        out.push(match report.failed.saturating_sub(cost) {
            0 => "nothing failed outside of that: the rollout itself cost no request".to_owned(),
            rest => format!("{} failed outside of that", several(rest, "request")),
        });
    }
    out
}

fn sentence(report: &Report, outage: &OutageFact) -> String {
    let (what, at) = (&outage.what, clock_ms(report.t0_unix_ms, outage.from_us));
    let failed = several(outage.failed, "request");
    match outage.to_us {
        Some(to) => {
            let length = span(u64::try_from(to - outage.from_us).unwrap_or_default());
            format!(
                "{what} was away or replaced within {length} from {at} on: {failed} failed then"
            )
        }
        None => format!("{what} was away from {at} on: {failed} failed then"),
    }
}
