//! The sentences on shares: what was wanted, what was seen, and what is off.
//!
//! They are facts: a share that is off costs nobody a request.

use std::fmt::Write as _;

use model::Outcome;

use crate::document::Report;
use crate::figures::{count, list, percent, several};
use crate::share_fact::{ShareFact, ShareFinding};

/// Shares told one by one in a line; the page and the JSON have all.
const TOLD: usize = 12;

/// What is to be said of the shares; nothing when all traffic moved at once and was seen to.
pub(crate) fn facts(report: &Report) -> Vec<String> {
    if !told(report) {
        return Vec::new();
    }
    let off = |s: &&ShareFact| s.finding == ShareFinding::Off;
    let (off, rest): (Vec<&ShareFact>, Vec<&ShareFact>) = report.shares.iter().partition(off);
    let mut out = Vec::new();
    if !off.is_empty() {
        out.push(format!("✕ shares not as wanted: {}", line(&off)));
    }
    let partial = report.shares.iter().any(ShareFact::partial);
    if partial && !rest.is_empty() {
        out.push(format!("shares: {}", line(&rest)));
        let lanes: Vec<String> = ["keep-alive", "fresh"].map(str::to_owned).into();
        let whose = if report.clients.is_some() { " of newcomers" } else { "" };
        let lanes = list(&lanes);
        out.push(format!("shares are counted on {lanes} requests{whose}: each is routed anew"));
    }
    out.extend(counted(report, ShareFinding::Off, "✕ shares not as wanted by what"));
    out.extend(counted(report, ShareFinding::AsWanted, "shares by what"));
    out.extend(alternations(report));
    out
}

/// What the router counted of shares with that finding.
fn counted(report: &Report, finding: ShareFinding, lead: &str) -> Option<String> {
    let what = &report.router.as_ref()?.what;
    let one = |share: &ShareFact| {
        let router = share.router.as_ref().filter(|router| router.finding == finding)?;
        let seen = percent(router.seen_bp?);
        Some(format!("{} wanted, {seen} of {}", percent(share.wanted_bp), count(router.requests)))
    };
    let words: Vec<String> = report.shares.iter().filter_map(one).take(TOLD).collect();
    (!words.is_empty()).then(|| format!("{lead} {what} counted: {}", words.join(" · ")))
}

/// Whether shares are spoken of. Not when all traffic moved at once and went back: what a dying
/// candidate left to the old version is then no matter of shares.
pub(crate) fn told(report: &Report) -> bool {
    report.outcome != Outcome::Aborted || report.shares.iter().any(ShareFact::partial)
}

fn line(shares: &[&ShareFact]) -> String {
    let mut words: Vec<String> = shares.iter().take(TOLD).map(|s| one(s)).collect();
    if shares.len() > TOLD {
        words.push(format!("and {} more", several((shares.len() - TOLD) as u64, "share")));
    }
    words.join(" · ")
}

/// `25.00% wanted, 31.20% seen of 1,980: off`.
fn one(share: &ShareFact) -> String {
    let mut words = format!("{} wanted", percent(share.wanted_bp));
    let seen = share.seen_bp.filter(|_| share.finding != ShareFinding::TooFew);
    if let Some(seen) = seen {
        let _ = write!(words, ", {} seen of {}", percent(seen), count(share.answers));
    }
    if share.finding != ShareFinding::AsWanted {
        let _ = write!(words, ": {}", verdict(share));
    }
    words
}

/// What of a share, in words.
pub(crate) fn verdict(share: &ShareFact) -> String {
    match share.finding {
        ShareFinding::AsWanted => "as wanted".to_owned(),
        ShareFinding::Off => "off".to_owned(),
        ShareFinding::TooFew => format!("too few to tell ({})", several(share.answers, "answer")),
        ShareFinding::NotSettled => "the router was never seen to carry it".to_owned(),
        ShareFinding::NotToldApart => "the versions cannot be told apart".to_owned(),
    }
}

fn alternations(report: &Report) -> Option<String> {
    let n = report.proof.as_ref()?.regressions_by_share;
    (n > 0).then(|| {
        let why = if report.shares.iter().any(ShareFact::partial) {
            "both versions had a share, as a random share does"
        } else {
            "the router took the change up"
        };
        format!("{} alternated while {why}", several(n, "answer"))
    })
}
