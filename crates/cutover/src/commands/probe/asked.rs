//! What was asked of a probe that runs alone, and how far the switch is, where it waits for one.
//!
//! It ends nothing: when a switch is over is the prober's to know.

use ::probe::Stop;

use super::sums::Sums;
use crate::duration;
use crate::say::ink::{FAINT, GOOD, WAIT};
use crate::say::{Line, figure};

/// What does not change while it runs.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) rate: u32,
    pub(super) stop: Stop,
    /// Wall clock at the start, ms since 1970.
    pub(super) began_unix_ms: u64,
}

impl Asked {
    /// How far the switch is; nothing where none is waited for.
    pub(super) fn switch(&self, sums: &Sums) -> Option<Line> {
        let Stop::AfterSwitch { settle, .. } = self.stop else { return None };
        let line = Line::default();
        Some(match sums.answered().as_slice() {
            [] => line.styled(WAIT, "no answer has named a version yet"),
            [(first, _)] => line.plain(format!("waiting for {first} to go")),
            [(first, last_us), .., (other, _)] => {
                let silent = sums.now_us.saturating_sub(*last_us);
                line.styled(GOOD, format!("{other} answers"))
                    .plain(format!("; {first} silent for {}", figure::short(silent)))
                    .styled(FAINT, format!(" (until {})", duration::show(settle)))
            }
        })
    }
}
