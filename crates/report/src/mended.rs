//! What was no failure because the client did what every client does: it took the next address, or it will
//! open the stream again.
//!
//! It judges nothing: a user who does the same notices no more than the time.

use crate::document::Report;
use crate::figures::several;

/// What happened, each kind in a sentence; nothing where nothing did.
pub(crate) fn facts(report: &Report) -> Vec<String> {
    let mut out = Vec::new();
    if report.other_address > 0 {
        out.push(format!(
            "{} stood at a later address of the name: an earlier one took none",
            several(report.other_address, "connection")
        ));
    }
    if report.streams_ended > 0 {
        out.push(format!(
            "the app ended {} of events in order: a browser opens {} again",
            several(report.streams_ended, "stream"),
            if report.streams_ended == 1 { "it" } else { "them" }
        ));
    }
    out
}
