//! What is left to do when a rollout's machine has reached its end: the report.
//!
//! Reads the prober's samples, lays the rollout's phases on their time axis, and writes the report
//! files into the run's directory. It changes no traffic and no journal.

use std::path::Path;

use drivers::router::Evidence;
use model::attempt::RunHeader;
use model::{Entered, Fault, Outcome, ReleaseId, Verdict, Weight};
use report::{
    HeldCount, Input, OutageSpan, PhaseSpan, RouterCount, ShareCount, ShareSpan, SideCount,
};
use rollout::Share;

use super::counted::{Counted, HeldSum};
use super::layout::Layout;
use super::outages::Outage;
use super::receipts;
use crate::clock::RolloutClock;
use crate::store::Run;

/// All that is left to say about a rollout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    /// How it ended.
    pub(super) outcome: Outcome,
    /// What the traffic saw.
    pub(super) verdict: Option<Verdict>,
    /// True when a report was written.
    pub(super) report: bool,
}

/// All that the report needs beside the samples.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The run.
    pub(super) run: Run,
    /// Its clock.
    pub(super) clock: RolloutClock,
    /// Its phases.
    pub(super) entered: Vec<Entered>,
    /// The shares that its candidate was to have.
    pub(super) shares: Vec<Share>,
    /// What carried the traffic.
    pub(super) router: String,
    /// What it can say about requests; what one counted that can say nothing means nothing.
    pub(super) evidence: Evidence,
    /// While it takes a change up, each request may go to either version.
    pub(super) mixes: bool,
    /// A failure that it counts is one that a user met.
    pub(super) exact: bool,
    /// When it was away.
    pub(super) outages: Vec<Outage>,
    /// What it counted.
    pub(super) counted: Counted,
    /// Why it went the way it went.
    pub(super) reason: String,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// An operator interrupted it.
    pub(super) interrupted: bool,
    /// Where the prober asked, or would have.
    pub(super) url: String,
}

impl Facts {
    /// The router counts requests.
    fn counts(&self) -> bool {
        self.evidence != Evidence::ProberOnly
    }
}

/// Writes report.json and report.html of a run and answers the verdict.
pub(super) fn write(layout: &Layout, facts: &Facts) -> Result<Verdict, Fault> {
    let run = &facts.run.name;
    let samples = probe::samples::read(&layout.samples(run)).unwrap_or_else(|fault| {
        tracing::warn!(run, "the report has no samples: {fault}");
        nothing_measured(facts)
    });
    let began = samples.header.t0_mono_ns;
    let end_us = samples.footer.as_ref().map_or(0, |footer| footer.until_us);
    let start = &facts.run.start;
    let one_by_one = facts.evidence == Evidence::PerRequest;
    let input = Input {
        app: Some(start.app.clone()),
        run_id: run.clone(),
        cutover_version: env!("CARGO_PKG_VERSION").to_owned(),
        url: samples.header.url.clone(),
        from: start.stable.as_ref().map(|named| named.version.to_string()),
        to: Some(start.candidate.version.to_string()),
        outcome: facts.outcome,
        interrupted: facts.interrupted,
        phases: spans(facts, began, end_us),
        ending_note: (facts.outcome != Outcome::Promoted).then(|| facts.reason.clone()),
        shares: shares(facts, began, end_us),
        outages: outages(facts, began),
        router: facts.counts().then(|| counted(facts)),
        account: one_by_one.then(|| account(layout, facts, began)),
        header: samples.header,
        attempts: samples.attempts,
        connections: samples.connections,
        blind: samples.blind,
        footer: samples.footer,
        settings: advice(&start.settings, facts.mixes),
        asked: report::Asked::default(),
    };
    let report = report::judge(&input);
    save(&layout.report(run, "json"), &report::json(&report))?;
    save(&layout.report(run, "html"), &report::html(&report))?;
    Ok(report.verdict)
}

/// A prober that died before it had written anything, or never lived, has seen nothing: that is
/// said by a report like any other, which cannot pass.
fn nothing_measured(facts: &Facts) -> probe::Run {
    probe::Run {
        header: RunHeader {
            schema_version: probe::samples::SCHEMA_VERSION,
            url: facts.url.clone(),
            t0_mono_ns: u64::try_from(facts.clock.mono_ns_of(0)).unwrap_or(0),
            t0_unix_ms: facts.run.began_unix_ms,
            rate: 0,
            lanes: Vec::new(),
            lanes_not_run: Vec::new(),
            clients: 0,
            late_after_us: 0,
            timeout_us: 0,
        },
        attempts: Vec::new(),
        connections: Vec::new(),
        blind: Vec::new(),
        footer: None,
        trouble: None,
    }
}

/// The phases on the axis of the samples, us.
fn spans(facts: &Facts, t0_mono_ns: u64, end_us: u64) -> Vec<PhaseSpan> {
    let at_us = |at_ms: u64| on_axis(facts, t0_mono_ns, at_ms);
    let starts: Vec<i64> = facts.entered.iter().map(|entered| at_us(entered.at_ms)).collect();
    let both = facts.entered.iter().zip(starts.iter().zip(ends(&starts, end_us)));
    both.map(|(entered, (from_us, to_us))| PhaseSpan {
        phase: entered.phase,
        from_us: *from_us,
        to_us,
        why: entered.why.clone(),
    })
    .collect()
}

/// The candidate's shares on the same axis; a share of nothing ends the one before it.
fn shares(facts: &Facts, t0_mono_ns: u64, end_us: u64) -> Vec<ShareSpan> {
    let at_us = |at_ms: u64| on_axis(facts, t0_mono_ns, at_ms);
    let starts: Vec<i64> = facts.shares.iter().map(|share| at_us(share.at_ms)).collect();
    let start = &facts.run.start;
    let releases = [start.stable.as_ref().map(|named| named.id), Some(start.candidate.id)];
    let counted = |place: usize| {
        let [old, new] = releases.map(|id| id.map_or(0, |id| facts.counted.under(place, id)));
        ShareCount { requests: old + new, new }
    };
    let both = facts.shares.iter().zip(starts.iter().zip(ends(&starts, end_us))).enumerate();
    both.filter(|(_, (share, _))| share.share > Weight::NONE)
        .map(|(place, (share, (from_us, to_us)))| ShareSpan {
            share: share.share,
            from_us: *from_us,
            settled_us: share.settled_ms.map(at_us),
            to_us,
            counted: facts.counts().then(|| counted(place)),
        })
        .collect()
}

/// The times in which the router was away, on the same axis.
fn outages(facts: &Facts, t0_mono_ns: u64) -> Vec<OutageSpan> {
    let at_us = |at_ms: u64| on_axis(facts, t0_mono_ns, at_ms);
    let span = |outage: &Outage| OutageSpan {
        what: facts.router.clone(),
        from_us: at_us(outage.from_ms),
        to_us: outage.to_ms.map(at_us),
        replaced: outage.replaced,
    };
    facts.outages.iter().map(span).collect()
}

/// What the router counted. Our own proxy counts what users met; others count what they tried.
fn counted(facts: &Facts) -> RouterCount {
    let start = &facts.run.start;
    let side = |release: Option<ReleaseId>| {
        let (requests, failed) = release.map_or((0, 0), |release| facts.counted.of(release));
        SideCount { requests, failed }
    };
    let HeldSum { total, refused, longest_ms } = facts.counted.held();
    let held = HeldCount { total, refused, longest_us: longest_ms.saturating_mul(1_000) };
    RouterCount {
        held: Some(held).filter(|held| *held != HeldCount::default()),
        what: facts.router.clone(),
        exact: facts.exact,
        old: side(start.stable.as_ref().map(|named| named.id)),
        new: side(Some(start.candidate.id)),
    }
}

/// What the router wrote down of the prober's requests, on the same axis.
fn account(layout: &Layout, facts: &Facts, t0_mono_ns: u64) -> report::Account {
    let start = &facts.run.start;
    let named: Vec<_> = start.stable.iter().chain([&start.candidate]).collect();
    let version_of = |release: ReleaseId| {
        named.iter().find(|named| named.id == release).map(|named| named.version.to_string())
    };
    let t0_us = t0_mono_ns / 1_000;
    let on_axis = |us: u64| us.cast_signed().saturating_sub_unsigned(t0_us);
    let told = receipts::read(&receipts::file(&layout.run_directory(&facts.run.name)));
    receipts::account(&facts.router, &told, version_of, on_axis)
}

/// A time of the rollout on the axis of the samples, us.
fn on_axis(facts: &Facts, t0_mono_ns: u64, at_ms: u64) -> i64 {
    (facts.clock.mono_ns_of(at_ms) - i64::try_from(t0_mono_ns).unwrap_or(i64::MAX)) / 1000
}

/// What began lasts until the next thing begins, the last one until the samples end, us.
fn ends(starts: &[i64], end_us: u64) -> Vec<i64> {
    let end = i64::try_from(end_us).unwrap_or(i64::MAX);
    let last = end.max(*starts.last().unwrap_or(&end));
    starts.iter().skip(1).copied().chain([last]).collect()
}

/// What the report may advise to change, and what the router is like.
fn advice(settings: &rollout::Settings, mixes: bool) -> report::Settings {
    report::Settings {
        mixes,
        drain_timeout_ms: Some(settings.drain_deadline_ms),
        handover_timeout_ms: Some(settings.handover_deadline_ms),
        ..report::Settings::default()
    }
}

/// Writes a file whole or not at all.
fn save(path: &Path, text: &str) -> Result<(), Fault> {
    let temporary = path.with_extension("part");
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|e| Fault::environment(format!("{} cannot be written: {e}", path.display())))
}
