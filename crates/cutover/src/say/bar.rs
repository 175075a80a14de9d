//! A small bar chart of requests per second, one column per half second, for one line of text.
//!
//! A column is the mean of what was reported in its half second, and all versions share one scale.
//! A report stands for two columns more when none follows; after that a column without a report is
//! blank, never zero.

use std::collections::VecDeque;

/// Length of a column, ms.
const COLUMN_MS: u64 = 500;
/// Columns for which a report stands when none follows: reports may come once in a second.
const HOLD: u64 = 2;
/// Columns kept.
const COLUMNS: usize = 60;

/// What was reported about one version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bar {
    /// Number of the column, sum of its reports, how many there were; oldest first.
    columns: VecDeque<(u64, f64, u32)>,
}

impl Bar {
    /// Adds a report.
    pub(crate) fn add(&mut self, at_ms: u64, rps: f64) {
        let number = at_ms / COLUMN_MS;
        match self.columns.back_mut() {
            Some((last, sum, reports)) if *last >= number => {
                *sum += rps;
                *reports += 1;
            }
            _ => self.columns.push_back((number, rps, 1)),
        }
        if self.columns.len() > COLUMNS {
            self.columns.pop_front();
        }
    }

    /// The largest column.
    pub(crate) fn top(&self) -> f64 {
        self.columns.iter().map(mean).fold(0.0, f64::max)
    }

    /// The last `width` columns up to `now_ms`, each a block between nothing and `top`.
    pub(crate) fn draw(&self, now_ms: u64, width: usize, top: f64) -> String {
        let last = now_ms / COLUMN_MS + 1;
        let first = last.saturating_sub(width as u64);
        let column = |number: u64| {
            let found = self.columns.iter().rev().find(|(at, ..)| *at <= number);
            found.filter(|(at, ..)| number - at <= HOLD).map_or(' ', |it| block(mean(it), top))
        };
        let drawn: String = (first..last).map(column).collect();
        format!("{drawn:>width$}")
    }
}

fn mean(column: &(u64, f64, u32)) -> f64 {
    column.1 / f64::from(column.2)
}

/// The lowest block is kept for (almost) nothing, so that a trickle looks different from silence.
fn block(value: f64, top: f64) -> char {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if value < 0.5 || top <= 0.0 {
        return BLOCKS[0];
    }
    let share = (value / top).clamp(0.0, 1.0);
    let level = (1_u32..7).filter(|step| share * 7.0 > f64::from(*step)).count();
    BLOCKS[1 + level]
}
