//! The report: judged, drawn and read again from runs that look like real ones.
#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod across;
mod alone;
mod browser;
mod causes;
mod chromium;
mod ci;
mod clients;
mod compare;
mod fuzz;
mod hostile;
mod ledger;
mod outages;
mod page;
mod renderings;
mod router_counts;
mod sample;
mod shares;
mod verdicts;
