//! What a probe that runs alone tells while it runs: one stream, told on a terminal, in plain lines, and as JSON
//! (`docs/guide.md` describes that one).
//!
//! Keys that `deploy --json` has, too, mean the same there. No words for people are made here.

use std::collections::BTreeMap;

use model::attempt::{Attempt, RunHeader};
use model::{Class, Lane, Verdict};
use report::Report;
use serde::Serialize;

use super::sums::Sums;
use crate::say::step::Rate;

/// One thing to tell. Times are ms since the run began.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// The first requests are about to be sent.
    Began {
        url: String,
        /// Attempts a second, all lanes together.
        rate: u32,
        /// Lanes that run.
        lanes: Vec<Lane>,
        lanes_not_run: Vec<NotRun>,
        /// Wall clock at ms 0, ms since 1970.
        began_unix_ms: u64,
    },
    /// How it stands.
    Live(Live),
    /// A version answered a request for the first time in this run.
    Version {
        at_ms: u64,
        /// As the answer says it (hostile text possible).
        version: String,
        /// The one that was new before it.
        after: Option<String>,
    },
    /// A request failed.
    Failure(Failure),
    /// More failed in one second than are told one by one.
    Failures {
        at_ms: u64,
        /// How many were not told.
        more: u64,
        by_class: BTreeMap<Class, u64>,
    },
    /// Somebody wants it to end: nothing more is sent.
    Ending {
        at_ms: u64,
        /// What is waited for.
        in_flight: u64,
    },
    /// It is over, and this is what is thought of it; the report has the rest.
    Ended { at_ms: u64, verdict: Verdict, sent: u64, failed: u64, why: String },
}

/// A lane that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct NotRun {
    pub(super) lane: Lane,
    pub(super) why: String,
}

/// Sums since the beginning; rates and times of late.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Live {
    pub(super) at_ms: u64,
    pub(super) sent: u64,
    pub(super) failed: u64,
    /// What the prober could not send; it says nothing of the target.
    pub(super) not_sent: u64,
    pub(super) in_flight: u64,
    /// How long the prober saw nothing.
    pub(super) blind_ms: u64,
    /// Attempts that ended, a second, by the version in the answer; an empty one where none was named.
    pub(super) per_version: Vec<Rate>,
    /// Time to the last byte, us; not of lanes that are slow on purpose.
    pub(super) p50_us: Option<u64>,
    pub(super) p90_us: Option<u64>,
    /// None with fewer than a hundred answers.
    pub(super) p99_us: Option<u64>,
    pub(super) max_us: Option<u64>,
    /// How late the prober itself sent at worst.
    pub(super) late_us: u64,
}

impl Live {
    /// How it stands now.
    pub(super) fn of(sums: &Sums) -> Self {
        let quick = sums.quick();
        let rates = sums.rates().into_iter();
        Self {
            at_ms: sums.now_us / 1_000,
            sent: sums.of(|_, class| class != Class::NotSent),
            failed: sums.of(|_, class| class.failed()),
            not_sent: sums.of(|_, class| class == Class::NotSent),
            in_flight: sums.in_flight,
            blind_ms: sums.blind.1 / 1_000,
            per_version: rates.map(|(version, rps)| Rate { version, rps }).collect(),
            p50_us: quick.as_ref().map(|quick| quick.p50),
            p90_us: quick.as_ref().map(|quick| quick.p90),
            p99_us: quick.as_ref().and_then(|quick| quick.p99),
            max_us: quick.as_ref().map(|quick| quick.max),
            late_us: sums.late_us,
        }
    }
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    /// When it was over.
    pub(super) at_ms: u64,
    /// As in the report.
    pub(super) id: u64,
    pub(super) lane: Lane,
    pub(super) class: Class,
    /// None when no head of an answer came.
    pub(super) status: Option<u16>,
    pub(super) version: Option<String>,
    pub(super) instance: Option<String>,
    /// The raw error or the first bytes of the odd answer.
    pub(super) detail: Option<String>,
}

impl From<&Attempt> for Failure {
    fn from(attempt: &Attempt) -> Self {
        Self {
            at_ms: attempt.done_us / 1_000,
            id: attempt.id,
            lane: attempt.lane,
            class: attempt.class,
            status: Some(attempt.status).filter(|status| *status > 0),
            version: attempt.version.clone(),
            instance: attempt.instance.clone(),
            detail: attempt.detail.clone(),
        }
    }
}

impl From<&RunHeader> for Step {
    fn from(header: &RunHeader) -> Self {
        let not_run = header.lanes_not_run.iter();
        Self::Began {
            url: header.url.clone(),
            rate: header.rate,
            lanes: header.lanes.iter().map(|(lane, _)| *lane).collect(),
            lanes_not_run: not_run
                .map(|(lane, why)| NotRun { lane: *lane, why: why.clone() })
                .collect(),
            began_unix_ms: header.t0_unix_ms,
        }
    }
}

impl From<&Report> for Step {
    fn from(report: &Report) -> Self {
        Self::Ended {
            at_ms: u64::try_from(report.to_us).unwrap_or_default() / 1_000,
            verdict: report.verdict,
            sent: report.sent,
            failed: report.failed,
            why: report.sentence.clone(),
        }
    }
}
