//! PASS, FAIL or INCONCLUSIVE, with the reasons.
//!
//! It judges the traffic only: how the rollout ended is another question.

use model::{Outcome, Verdict};

use crate::assertion::{Assertion, AssertionFact};
use crate::axis::{axis, between};
use crate::blind;
use crate::clean;
use crate::client_fact::ClientFacts;
use crate::clients;
use crate::document::Trust;
use crate::figures::{count, list, several, span, were_answered};
use crate::ledger::Ledger;
use crate::orders;
use crate::router_count::RouterCount;
use crate::run::Run;
use crate::shares;
use crate::version_proof::VersionProof;

/// Blind time in total that voids a run, us.
const BLIND_US: u64 = 1_000_000;

/// Its last request may be that much older than the end of the rollout, us: it may have one turn in a second.
const EARLY_US: u64 = 2_000_000;

/// The verdict and why it is not PASS.
pub(crate) fn verdict(
    run: &Run<'_>,
    (proof, clients): (Option<&VersionProof>, Option<&ClientFacts>),
    (trust, ledger): (&Trust, Option<&Ledger>),
    demands: &[AssertionFact],
) -> (Verdict, Vec<String>) {
    let mut bad = failures(run, (proof, clients), trust);
    bad.extend(ledger.into_iter().flat_map(|ledger| ledger.faults(limited(run))));
    bad.extend(told(demands, Some(false), "was demanded, and it was"));
    let mut unsure: Vec<String> = own_failures(run).into_iter().collect();
    unsure.extend(doubts(run, proof, trust));
    unsure.extend(ledger.into_iter().flat_map(Ledger::doubts));
    unsure.extend(told(demands, None, "was demanded and cannot be judged:"));
    let verdict = match (bad.is_empty(), unsure.is_empty()) {
        (false, _) => Verdict::Fail,
        (true, false) => Verdict::Inconclusive,
        (true, true) => Verdict::Pass,
    };
    // A failure stands even when the prober was not at its best; both are said.
    (verdict, bad.into_iter().chain(unsure).collect())
}

/// A demand says how many may fail.
fn limited(run: &Run<'_>) -> bool {
    run.input.asked.assertions.iter().any(Assertion::limits_failures)
}

/// Sentences on the demands that came out like this.
fn told(demands: &[AssertionFact], held: Option<bool>, words: &str) -> Vec<String> {
    let alike = demands.iter().filter(|demand| demand.held == held);
    alike.map(|demand| format!("`{}` {words} {}", demand.text, demand.seen)).collect()
}

fn failures(
    run: &Run<'_>,
    (proof, clients): (Option<&VersionProof>, Option<&ClientFacts>),
    trust: &Trust,
) -> Vec<String> {
    let mut out = Vec::new();
    let failed = run.failures().count() as u64;
    if failed > 0 && !limited(run) && !blind::is_all(run) {
        let sent = count(run.sent.len() as u64);
        out.push(format!("{} of {sent} requests failed", count(failed)));
    }
    let (old, new) = (run.from.as_deref(), run.to.as_deref());
    let (old, new) = (old.unwrap_or("the old version"), new.unwrap_or("the new version"));
    // Of somebody else's deploy nobody knows whether both were meant to answer: that is told as a fact.
    let ours = run.input.outcome != Outcome::None;
    if let Some(proof) = proof.filter(|p| p.regressions > 0 && ours) {
        out.push(went_back(proof.regressions, old, new));
    }
    out.extend(clients::reason(run, clients, (old, new)));
    out.extend(run.input.router.as_ref().and_then(|router| router.reason(old, new)));
    out.extend(run.input.router.as_ref().and_then(RouterCount::refusal));
    out.extend(orders::reasons(run));
    if trust.ws_lost > 0 {
        out.push(format!("{} lost", several(trust.ws_lost, "WebSocket message")));
    }
    if trust.ws_doubled > 0 {
        out.push(format!("{} echoed twice", several(trust.ws_doubled, "WebSocket message")));
    }
    // Nothing on the way of one connection can exchange them.
    if trust.ws_reordered > 0 {
        let messages = several(trust.ws_reordered, "WebSocket message");
        out.push(format!("{messages} echoed out of order"));
    }
    out
}

/// Slow answers that only the prober made slow: nobody knows whether users met a failure.
fn own_failures(run: &Run<'_>) -> Option<String> {
    let failed = run.failures().count() as u64;
    (failed > 0 && !limited(run) && blind::is_all(run)).then(|| {
        let (these, would) = if failed == 1 {
            ("that one is", "it would")
        } else {
            ("all of these are", "they would")
        };
        format!("{these} the prober's own: {would} be in time had it not been stopped or starved")
    })
}

/// That the old version answered again.
pub(crate) fn went_back(regressions: u64, old: &str, new: &str) -> String {
    let were = were_answered(regressions);
    format!("{were} by {old} although {new} had answered before on the same connection")
}

fn doubts(run: &Run<'_>, proof: Option<&VersionProof>, trust: &Trust) -> Vec<String> {
    let mut out = Vec::new();
    // What was sent and not waited for is told below.
    if run.sent.is_empty() && trust.sent.unwrap_or(0) == 0 {
        out.push("no request was sent".to_owned());
    }
    if run.input.footer.is_none() {
        out.push(
            "the prober ended before it could sum up: its samples may be incomplete".to_owned(),
        );
    }
    out.extend(rate_missed(trust));
    let limit = run.input.header.late_after_us / 2;
    if let Some(p99) = trust.lateness_p99_us.filter(|p99| *p99 > limit) {
        out.push(format!(
            "the prober itself was late: {} at the 99th percentile, more than half of what counts \
             as late ({})",
            span(p99),
            span(run.input.header.late_after_us)
        ));
    }
    out.extend(blindness(run, proof, trust));
    out.extend(left_early(run));
    let seen = run.sent.iter().any(|a| run.is_new(a.version.as_deref()));
    let expected = run.input.outcome == Outcome::Promoted && run.to.is_some();
    if expected && !seen && !run.sent.is_empty() {
        out.push(format!(
            "{} was promoted, and no answer ever named it",
            run.to.as_deref().unwrap_or("the new version")
        ));
    }
    out.extend(never_switched(run));
    out.extend(orders::doubt(run));
    out.extend(unsent_at_switch(run, proof));
    out
}

/// Who could not send while traffic was moved cannot say that nothing was lost then.
fn unsent_at_switch(run: &Run<'_>, proof: Option<&VersionProof>) -> Option<String> {
    let switches: Vec<(i64, i64)> = run.switches.iter().copied().chain(mixed(run, proof)).collect();
    let during = |us: i64| switches.iter().any(|(from, to)| (*from..=*to).contains(&us));
    let unsent = run.not_sent.iter().filter(|a| during(axis(a.intended_us))).count() as u64;
    (unsent > 1).then(|| {
        format!("{} could not be sent during the switch", several(unsent, "planned request"))
    })
}

/// The run was to see a change, and there was none.
fn never_switched(run: &Run<'_>) -> Option<String> {
    let missed = run.input.asked.switch && run.apart().is_none();
    missed.then(|| match run.sent.iter().find_map(|a| a.version.as_deref()) {
        Some(version) => {
            format!("the version never changed from {} for good", clean::name(version))
        }
        None => "no answer named a version: say where it stands (--watch-version)".to_owned(),
    })
}

fn rate_missed(trust: &Trust) -> Vec<String> {
    let (Some(planned), Some(sent)) = (trust.planned, trust.sent) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    // One ticket alone says nothing about the rate, however short the run was.
    let missing = planned.saturating_sub(sent);
    if missing > 1 && u128::from(missing) * 100 > u128::from(planned) * 5 {
        out.push(format!("only {} of {} planned requests were sent", count(sent), count(planned)));
    }
    if trust.recorded < sent {
        let lost = several(sent - trust.recorded, "request");
        out.push(format!("the samples lack {lost} that the prober sent"));
    }
    out
}

fn blindness(run: &Run<'_>, proof: Option<&VersionProof>, trust: &Trust) -> Vec<String> {
    let at_switch: Vec<(i64, i64)> =
        run.switches.iter().copied().chain(mixed(run, proof)).collect();
    let hit = trust.blind.iter().any(|b| {
        let (from, to) = (axis(b.from_us), axis(b.to_us));
        at_switch.iter().any(|(start, end)| from <= *end && to >= *start)
    });
    let mut words = Vec::new();
    if hit {
        words.push("during the switch".to_owned());
    }
    if trust.blind_us > BLIND_US {
        words.push(format!("for {} in total", span(trust.blind_us)));
    }
    if words.is_empty() {
        return words;
    }
    vec![format!("the prober was stopped or starved {}: it saw nothing then", list(&words))]
}

/// It sent nothing any more before the rollout was over, as one that somebody told to end.
fn left_early(run: &Run<'_>) -> Option<String> {
    let until = axis(run.input.footer.as_ref()?.until_us);
    // One that was halted has no end of its own; then the phase that it was in counts.
    let over = run.input.phases.last()?.from_us;
    let missed = between(until, over);
    (missed > EARLY_US).then(|| {
        let words = "before the rollout was over: it saw nothing of the rest";
        format!("the prober was stopped or starved {} {words}", span(missed))
    })
}

/// When both answered although one was to answer everything: while each has its share, both do, for as
/// long as a person wants.
fn mixed(run: &Run<'_>, proof: Option<&VersionProof>) -> Option<(i64, i64)> {
    let (from, to) = proof.and_then(VersionProof::mixed)?;
    if !shares::partial(run.input) {
        return Some((from, to));
    }
    let all = shares::all(run.input)?;
    (all.from_us < to).then_some((from.max(all.from_us), to))
}
