//! Cutover's report: folds one run into a verdict with its evidence, and tells it.
//!
//! `judge` turns what happened ([`Input`]) into a [`Report`]; the renderers know nothing but the
//! `Report`, so a saved one gives the same page again, byte for byte. What this crate does *not*
//! do: no IO, no clock, no decisions about the rollout, no measuring. Text that came from the
//! server under test is cleaned when it is taken in and escaped again where it is shown.

mod across;
mod answered;
mod answers;
mod assertion;
mod assertions;
mod axis;
mod blind;
mod cause;
mod cause_rules;
mod clean;
mod client_fact;
mod clients;
mod compare;
mod compare_text;
mod connections;
mod document;
mod era;
mod eras;
mod escape;
mod facts;
mod failures;
mod figures;
mod floor;
mod html;
mod input;
mod judge;
mod junit;
mod kept;
mod lane_row;
mod lanes;
mod ledger;
mod markdown;
mod mended;
mod orders;
mod outage;
mod outages;
mod proof;
mod reconcile;
mod reuse;
mod router_count;
mod run;
mod series;
mod share_fact;
mod share_words;
mod shares;
mod silence;
mod sockets;
mod terminal;
mod trust;
mod verdict;
mod version_proof;
mod versions;
mod wilson;
mod zoom;

pub use answered::{AnswerCount, Answered};
pub use assertion::{Assertion, AssertionFact, KNOWN as KNOWN_FIGURES};
pub use client_fact::{ClientFacts, ClientRegression};
pub use compare::{ComparedFigure, ComparedRun, Comparison, Unit, compare};
pub use compare_text::{compare_json, compare_markdown, compare_terminal};
pub use document::{
    Bucket, Cause, FailureGroup, FailureRow, LaneFacts, LaneNotRun, LatenessBin, Report,
    SCHEMA_VERSION, SlowDot, Socket, SocketChain, Trust, VersionFacts, VersionRole, Zoom, ZoomBin,
    ZoomLine,
};
pub use era::{CurvePoint, Era, EraName, EraSide};
pub use html::{compare_html, html};
pub use input::{Asked, Input, PhaseSpan, Settings, ShareCount, ShareSpan};
pub use judge::judge;
pub use junit::junit;
pub use kept::{KeptConnection, Stretch};
pub use ledger::{Account, Disagreement, Finding, FindingCount, Ledger, Receipted};
pub use markdown::markdown;
pub use mended::Mended;
pub use outage::{OutageFact, OutageKind, OutageSpan};
pub use router_count::{HeldCount, RouterCount, SideCount};
pub use share_fact::{ShareFact, ShareFinding};
pub use terminal::{Style, terminal};
pub use version_proof::{Regression, VersionProof};

use model::{Fault, Kind};

/// JSON schema (draft 2020-12) of what [`json`] writes.
pub const SCHEMA: &str = include_str!("../schema/report.schema.json");

/// The report as one line of JSON with a line feed.
pub fn json(report: &Report) -> String {
    // Only integers, strings and lists are in a report: writing them cannot fail.
    let mut text = serde_json::to_string(report).unwrap_or_default();
    text.push('\n');
    text
}

/// Reads a report that [`json`] wrote; a newer format is refused by name.
pub fn parse(text: &str) -> Result<Report, Fault> {
    #[derive(serde::Deserialize)]
    struct Stamp {
        schema_version: u32,
    }
    let no_report = |error: serde_json::Error| {
        Fault::new(Kind::Usage, format!("this is not a report of Cutover: {error}"))
            .help("give the .json file that a deploy or probe run wrote")
    };
    let stamp: Stamp = serde_json::from_str(text).map_err(no_report)?;
    if stamp.schema_version != SCHEMA_VERSION {
        let what = format!(
            "the report has schema version {}, and this Cutover reads {SCHEMA_VERSION}",
            stamp.schema_version
        );
        return Err(Fault::new(Kind::Usage, what).help("use the Cutover that wrote it"));
    }
    serde_json::from_str(text).map_err(no_report)
}

/// Exit code of the run: one rule for the whole project, kept in `model`.
pub fn exit_code(report: &Report) -> u8 {
    model::exit_code(report.interrupted, report.outcome, report.verdict)
}
