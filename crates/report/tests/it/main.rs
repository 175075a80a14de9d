//! The report: judged, drawn and read again from runs that look like real ones.
//!
//! Nothing is probed: the runs are made in `sample`.
#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail; the figures are synthetic"
)]

mod across;
mod alone;
#[expect(clippy::disallowed_methods, reason = "pictures are kept for people")]
mod browser;
mod causes;
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the crate has no files, no network and no clock; who looks at its pages does"
)]
mod chromium;
mod ci;
mod clients;
#[expect(clippy::disallowed_methods, reason = "a browser opens files")]
mod closer;
mod compare;
#[expect(clippy::disallowed_methods, reason = "a browser opens files")]
mod everybody;
mod fuzz;
mod honest;
mod hostile;
mod ledger;
mod outages;
mod page;
mod renderings;
mod router_counts;
mod sample;
mod shares;
mod verdicts;
#[expect(clippy::disallowed_methods, reason = "a browser opens files")]
mod whole;
