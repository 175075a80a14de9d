//! The marks that the project has set the prober, and whether a run meets them.

use super::Findings;
use super::paced::Paced;

/// One mark.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// What is measured.
    pub(crate) words: String,
    pub(crate) is: f64,
    /// The most it may be.
    pub(crate) most: f64,
}

impl Mark {
    /// True when it is met.
    pub(crate) fn met(&self) -> bool {
        self.is <= self.most
    }
}

/// Marks of one rate: what, from which and up to which rate, the most it may be.
type OfRate = (&'static str, u32, u32, f64, fn(&Paced) -> Option<f64>);

const OF_RATES: [OfRate; 5] = [
    ("rate error, ppm", 0, u32::MAX, 50.0, |paced| Some(paced.error_ppm.abs())),
    ("send lateness p99, µs", 0, 1_000, 200.0, |paced| Some(paced.late_us[1])),
    ("send lateness p99, µs", 1_001, 5_000, 1_000.0, |paced| Some(paced.late_us[1])),
    ("variance to mean of sends", 0, 5_000, 0.05, |paced| Some(paced.dispersion)),
    ("memory per attempt, bytes", 0, u32::MAX, 64.0, |paced| paced.bytes),
];

/// All that can be told from a run.
pub(crate) fn marks(findings: &Findings) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (what, from, to, most, figure) in OF_RATES {
        for paced in findings.rates.iter().filter(|paced| (from..=to).contains(&paced.asked)) {
            if let Some(is) = figure(paced) {
                marks.push(Mark { words: format!("{what}, at {}/s", paced.asked), is, most });
            }
        }
    }
    if let Some(freeze) = &findings.freeze {
        let words = "quantiles of a freeze, % of its length off".to_owned();
        marks.push(Mark { words, is: freeze.error() * 100.0, most: 1.0 });
    }
    for counts in &findings.faults {
        let words = format!("attempts under a wrong class: {}", counts.story);
        marks.push(Mark { words, is: counts.wrong() as f64, most: 0.0 });
    }
    if let Some(stood) = &findings.standstill {
        // A beat of its watch, and the limit above which it speaks.
        let silent = (stood.stopped_ms - stood.said_ms).max(0.0);
        let words = format!("of {:.0} ms stopped, not said, ms", stood.stopped_ms);
        marks.push(Mark { words, is: silent, most: 10.0 });
        let words = "attempts blamed on the server meanwhile".to_owned();
        marks.push(Mark { words, is: stood.blamed as f64, most: 0.0 });
    }
    marks
}
