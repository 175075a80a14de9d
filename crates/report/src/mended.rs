//! What was no failure because the client did what every client does: it took the next address, or it will
//! open the stream again.
//!
//! It judges nothing: a user who does the same notices no more than the time.

use serde::{Deserialize, Serialize};

use crate::figures::several;
use crate::input::Input;

/// How often it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// Connections that stood at a later address of the target's name, since an earlier one took none.
    pub other_address: u64,
    /// Streams of events that the app ended in order before their time.
    pub streams_ended: u64,
}

impl Mended {
    pub(crate) fn of(input: &Input) -> Self {
        input.footer.as_ref().map_or_else(Self::default, |footer| Self {
            other_address: footer.other_address,
            streams_ended: footer.streams_ended,
        })
    }

    /// Each kind in a sentence; nothing where nothing happened.
    pub(crate) fn facts(self) -> Vec<String> {
        let mut out = Vec::new();
        if self.other_address > 0 {
            out.push(format!(
                "{} stood at a later address of the name: an earlier one took none",
                several(self.other_address, "connection")
            ));
        }
        if self.streams_ended > 0 {
            out.push(format!(
                "the app ended {} of events in order: a browser opens {} again",
                several(self.streams_ended, "stream"),
                if self.streams_ended == 1 { "it" } else { "them" }
            ));
        }
        out
    }
}
