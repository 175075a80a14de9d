//! The sentences of the report: verdict, outcome, and what else should be known.
//!
//! All renderers tell them word for word; none makes up its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::attempt::Witness;
use model::{Class, Outcome, Verdict};

use crate::across;
use crate::axis::between;
use crate::clean;
use crate::clients;
use crate::document::Report;
use crate::figures::{clock, clock_ms, count, date, list, percent_of_ppb, several, span};
use crate::floor::interval_us;
use crate::input::Input;
use crate::ledger::Ledger;
use crate::orders;
use crate::outages;
use crate::router_count::RouterCount;
use crate::share_fact::ShareFact;
use crate::share_words;
use crate::verdict;
use crate::version_proof::VersionProof;

/// The verdict in a sentence.
pub(crate) fn sentence(report: &Report) -> String {
    let failed = if report.sent == 0 && report.trust.sent.unwrap_or(0) > 0 {
        "no request came to its end".to_owned()
    } else if report.sent == 0 {
        "no request was sent".to_owned()
    } else {
        let are = if report.sent == 1 { "request" } else { "requests" };
        format!("{} of {} {are} failed", count(report.failed), count(report.sent))
    };
    let scene = scene(report);
    match report.verdict {
        Verdict::Pass => format!("{failed} {scene}"),
        Verdict::Fail if report.failed == 0 => {
            format!("{} {scene}", report.reasons.first().map_or("", String::as_str))
        }
        Verdict::Fail => format!("{failed} {scene}{}", all_alike(report)),
        Verdict::Inconclusive => {
            format!("{failed} {scene}, but {}", report.reasons.first().map_or("", String::as_str))
        }
    }
}

fn scene(report: &Report) -> String {
    let app = report.app.as_deref().unwrap_or("the app");
    let (from, to) = (report.from.as_deref(), report.to.as_deref());
    let new = to.unwrap_or("a new version");
    let served = report.proof.as_ref().is_some_and(|p| p.first_new_us.is_some());
    match (report.outcome, from) {
        (Outcome::None, _) => match (from, to) {
            (Some(from), Some(to)) => format!("at {} from {from} to {to}", report.url),
            _ => format!("at {}", report.url),
        },
        (Outcome::Promoted, Some(from)) => format!("while {app} moved from {from} to {new}"),
        (Outcome::Promoted, None) => format!("while {app} went live with {new}"),
        (Outcome::Aborted, Some(from)) if served => {
            format!("while {app} tried {new} and went back to {from}")
        }
        (Outcome::Aborted, Some(from)) => format!("while {app} tried {new} and stayed on {from}"),
        (Outcome::Aborted, None) => format!("while {app} tried {new} and gave it up"),
        (Outcome::Stuck, _) => format!("until the move of {app} to {new} got stuck"),
    }
}

/// What the failures share, or the classes they are of.
fn all_alike(report: &Report) -> String {
    let Some(first) = report.groups.first() else {
        return String::new();
    };
    let all = if report.failed == 1 { "" } else { "all " };
    let mut words = Vec::new();
    if report.groups.iter().all(|g| g.class == first.class) {
        words.push(format!("{all}{}", first.class.name()));
    } else {
        words.extend(by_class(report));
    }
    if report.groups.iter().all(|g| g.lane == first.lane) {
        words.push(format!("{all}on {}", first.lane.name()));
    }
    if let Some(phase) = first.phase.filter(|p| report.groups.iter().all(|g| g.phase == Some(*p))) {
        words.push(format!("{all}sent in {phase}"));
    }
    format!(": {}", words.join(", "))
}

/// `20 ws dropped`, `4 lost in flight`: most frequent first.
fn by_class(report: &Report) -> Vec<String> {
    let mut counts: BTreeMap<Class, u64> = BTreeMap::new();
    for group in &report.groups {
        *counts.entry(group.class).or_default() += group.count;
    }
    let mut sorted: Vec<(Class, u64)> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    sorted.into_iter().map(|(class, n)| format!("{} {}", count(n), class.name())).collect()
}

/// The outcome in a sentence, and the lines below it.
pub(crate) fn outcome(report: &Report, input: &Input) -> (Option<String>, Vec<String>) {
    let note = input.ending_note.as_deref().unwrap_or_default();
    let mut lines = note.lines().map(|l| clean::line(l, clean::LINE_MAX)).filter(|l| !l.is_empty());
    let new = report.to.as_deref().unwrap_or("the new version");
    let head = match (report.outcome, report.from.as_deref()) {
        (Outcome::None, _) => return (lines.next(), lines.collect()),
        (Outcome::Promoted, _) => format!("promoted: users are on {new}"),
        (Outcome::Aborted, Some(from)) => format!("aborted: users are on {from}"),
        (Outcome::Aborted, None) => format!("aborted: {new} does not serve, and nothing else did"),
        (Outcome::Stuck, _) => "stuck: a person is needed; what serves goes on serving".to_owned(),
    };
    let full = match lines.next() {
        Some(why) => format!("{head}: {why}"),
        None => head,
    };
    (Some(full), lines.collect())
}

/// What else should be known.
pub(crate) fn facts(report: &Report) -> Vec<String> {
    let mut out = Vec::new();
    if report.interrupted {
        out.push("interrupted: this speaks only for what ran until then".to_owned());
    }
    out.push(format!(
        "{} {}–{} UTC · {} requests/s planned · longest time without a success {}",
        date(report.t0_unix_ms, report.from_us),
        clock(report.t0_unix_ms, report.from_us),
        clock(report.t0_unix_ms, report.to_us),
        count(u64::from(report.rate)),
        span(report.longest_gap_us),
    ));
    if report.outcome == Outcome::None {
        out.extend(report.answered.facts());
    }
    out.extend(unsent(report));
    out.extend(change(report));
    out.extend(went_back(report));
    out.extend(clients::fact(report));
    out.extend(pinned(report));
    out.extend(own_lateness(report));
    out.extend(kept(report));
    out.extend(switch_time(report));
    out.extend(share_words::facts(report));
    out.extend(outages::facts(report));
    out.extend(report.router.as_ref().and_then(RouterCount::fact));
    out.extend(report.router.as_ref().and_then(RouterCount::waited));
    out.extend(report.ledger.as_ref().and_then(Ledger::fact));
    out.extend(evidence(report));
    out.extend(sockets(report));
    out.extend(report.mended.facts());
    out.extend(orders::fact(report));
    out.extend(across::fact(report));
    out.extend(lanes(report));
    out
}

/// That something was not asked, where that is not told with the verdict.
fn unsent(report: &Report) -> Option<String> {
    let unsent = report.not_sent;
    let told = report.reasons.iter().any(|reason| reason.contains("planned request"));
    (unsent > 0 && !told).then(|| {
        let planned = several(unsent, "planned request");
        let were = if unsent == 1 { "was" } else { "were" };
        format!("{planned} of {} {were} not sent", count(report.sent.saturating_add(unsent)))
    })
}

fn change(report: &Report) -> Option<String> {
    let proof = report.proof.as_ref()?;
    let (old, new) = (report.from.as_deref()?, report.to.as_deref()?);
    let mut words = match (report.outcome, proof.first_new_us, proof.last_new_us, proof.mixed_us) {
        (_, None, _, _) => vec![format!("{new} answered no request of users")],
        (Outcome::Aborted, Some(first), last, _) => vec![format!(
            "{new} answered users for {}, from {} on",
            span(between(first, last.unwrap_or(first))),
            clock_ms(report.t0_unix_ms, first)
        )],
        (_, _, _, Some(0)) => vec![format!("{old} answered nothing sent after {new} had begun to")],
        (_, _, _, Some(mixed)) => vec![format!("both versions answered for {}", span(mixed))],
        (_, Some(_), _, None) => vec![format!("{old} answered no request")],
    };
    words.extend(no_way_back(report, proof, old));
    if proof.regressions_excused > 0 {
        words.push(format!("connections went back to {old} with the abort"));
    }
    match proof.weakest_witness {
        Some(Witness::App) => words.push("as the app itself says".to_owned()),
        Some(Witness::Stamp) => words.push("as the proxy's stamp says (weaker)".to_owned()),
        None => {}
    }
    Some(words.join(" · "))
}

/// Where it is no reason for a verdict: that the old version answered again.
fn went_back(report: &Report) -> Option<String> {
    let proof =
        report.proof.as_ref().filter(|p| p.regressions > 0 && report.outcome == Outcome::None)?;
    let (old, new) = (report.from.as_deref()?, report.to.as_deref()?);
    Some(verdict::went_back(proof.regressions, old, new))
}

/// In somebody else's deploy: who stayed with the old version, and until when.
fn pinned(report: &Report) -> Option<String> {
    let proof = report
        .proof
        .as_ref()
        .filter(|p| p.pinned_connections > 0 && report.outcome == Outcome::None)?;
    let old = report.from.as_deref()?;
    Some(format!(
        "{} stayed with {old} for up to {} · its last answer was to a request sent at {}",
        several(proof.pinned_connections, "connection"),
        span(proof.longest_pinned_us),
        clock_ms(report.t0_unix_ms, proof.last_old_us?)
    ))
}

/// How much of the times is the prober's own.
fn own_lateness(report: &Report) -> Option<String> {
    let trust = &report.trust;
    let late = [trust.lateness_p50_us?, trust.lateness_p99_us?, trust.lateness_max_us?].map(span);
    let [median, p99, most] = late;
    (report.outcome == Outcome::None && report.sent > 0).then(|| {
        format!("of these times requests waited in the prober itself: median {median}, p99 {p99}, at most {most}")
    })
}

/// The demands that were met.
fn kept(report: &Report) -> Option<String> {
    let kept = report.assertions.iter().filter(|demand| demand.held == Some(true));
    let words: Vec<String> =
        kept.map(|demand| format!("{} ({})", demand.text, demand.seen)).collect();
    (!words.is_empty()).then(|| format!("as demanded: {}", words.join(" · ")))
}

/// That no connection went back, for as much of the run as it is to be expected.
fn no_way_back(report: &Report, proof: &VersionProof, old: &str) -> Option<String> {
    let none = proof.regressions == 0 && proof.regressions_excused == 0;
    if !none || proof.first_new_us.is_none() {
        return None;
    }
    if !report.shares.iter().any(ShareFact::partial) && proof.regressions_by_share == 0 {
        return Some(format!("no connection went back to {old}"));
    }
    let all = report.shares.last().filter(|s| s.all() && s.settled_us.is_some());
    all.map(|_| format!("no connection went back to {old} after all traffic had moved"))
}

fn switch_time(report: &Report) -> Option<String> {
    let (old, proof) = (report.from.as_deref()?, report.proof.as_ref()?);
    Some(match proof.switch_time_us? {
        0 => format!("switch: {old} answered nothing sent after the command"),
        us => format!("switch: last old answer {} after the command", span(us)),
    })
}

fn evidence(report: &Report) -> Option<String> {
    if report.sent == 0 {
        return None;
    }
    let floor = report.detection_floor_us;
    let mut words = format!("an outage of {} or more would have met a request", span(floor));
    // Where the prober was stopped or could not send, for a while that was far longer than usual.
    if let Some(usual) = interval_us(f64::from(report.rate)).filter(|usual| floor > usual * 2) {
        let _ = write!(words, " ({} where all was sent as planned)", span(usual));
    }
    if let Some(ppb) = report.failure_bound_ppb {
        let bound = percent_of_ppb(ppb);
        let _ = write!(
            words,
            " · 0 of {} means a failure chance below {bound} (95 % confidence)",
            count(report.sent)
        );
    }
    Some(words)
}

fn sockets(report: &Report) -> Option<String> {
    let chains = report.sockets.len() as u64 + report.sockets_left_out;
    let trust = &report.trust;
    if chains == 0 {
        return None;
    }
    let mut words = vec![several(chains, "WebSocket")];
    words.push(format!("{} told to reconnect", count(trust.ws_reconnects)));
    words.push(format!(
        "{} lost, {} doubled",
        several(trust.ws_lost, "message"),
        count(trust.ws_doubled)
    ));
    if trust.ws_longest_gap_us > 0 {
        words.push(format!("longest gap {}", span(trust.ws_longest_gap_us)));
    }
    if trust.ws_reordered > 0 {
        words.push(format!("{} out of order", count(trust.ws_reordered)));
    }
    Some(words.join(" · "))
}

fn lanes(report: &Report) -> Vec<String> {
    let spoke = report.lanes.iter().filter(|l| l.sent > 0).map(|l| l.lane.name().to_owned());
    let spoke: Vec<String> = spoke.collect();
    let mut out = Vec::new();
    if !spoke.is_empty() {
        out.push(format!("this speaks for {}", list(&spoke)));
    }
    for lane in &report.lanes_not_run {
        out.push(format!("not run: {} ({})", lane.lane.name(), lane.reason));
    }
    out
}
