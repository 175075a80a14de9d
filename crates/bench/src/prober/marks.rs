//! The marks that the project has set the prober, and whether a run meets them.
//!
//! Nothing is measured here; a figure that a run does not have is no mark of it.

use std::ops::RangeInclusive;

use super::Findings;
use super::alone::Bare;
use super::paced::Paced;

/// One mark.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// What is measured.
    pub(crate) words: String,
    pub(crate) is: f64,
    /// The most it may be.
    pub(crate) most: f64,
    /// The same of the machine without the prober, asleep and awake, where there is such a thing.
    pub(crate) alone: Option<[f64; 2]>,
}

impl Mark {
    /// True when it is met.
    pub(crate) fn met(&self) -> bool {
        self.is <= self.most
    }
}

/// Marks of one rate: what, from which and up to which rate, the most it may be, and what a bare loop has of it.
struct OfRate {
    words: &'static str,
    rates: RangeInclusive<u32>,
    most: f64,
    is: fn(&Paced) -> Option<f64>,
    alone: fn(&Bare) -> Option<f64>,
}

const LATE: &str = "send lateness p99, µs";
const MEMORY: &str = "memory per attempt, bytes";
const MEMORY_MOST: f64 = 64.0;

const OF_RATES: [OfRate; 5] = [
    OfRate {
        words: "rate error, ppm",
        rates: 0..=u32::MAX,
        most: 50.0,
        is: |paced| Some(paced.error_ppm.abs()),
        alone: |_| None,
    },
    OfRate {
        words: LATE,
        rates: 0..=1_000,
        most: 200.0,
        is: |paced| Some(paced.late_us[1]),
        alone: |bare| Some(bare.late_us[1]),
    },
    OfRate {
        words: LATE,
        rates: 1_001..=5_000,
        most: 1_000.0,
        is: |paced| Some(paced.late_us[1]),
        alone: |bare| Some(bare.late_us[1]),
    },
    OfRate {
        words: "variance to mean of sends",
        rates: 0..=5_000,
        most: 0.05,
        is: |paced| Some(paced.dispersion),
        alone: |bare| Some(bare.dispersion),
    },
    OfRate {
        words: MEMORY,
        rates: 0..=u32::MAX,
        most: MEMORY_MOST,
        is: |paced| paced.bytes,
        alone: |_| None,
    },
];

const fn mark(words: String, is: f64, most: f64) -> Mark {
    Mark { words, is, most, alone: None }
}

/// All that can be told from a run.
pub(crate) fn marks(findings: &Findings) -> Vec<Mark> {
    let mut marks = Vec::new();
    for of in OF_RATES {
        for paced in findings.rates.iter().filter(|paced| of.rates.contains(&paced.asked)) {
            let Some(is) = (of.is)(paced) else { continue };
            let alone = findings.alone.iter().find(|alone| alone.asked == paced.asked);
            let both = alone.and_then(|a| Some([(of.alone)(&a.asleep)?, (of.alone)(&a.awake)?]));
            let words = format!("{}, at {}/s, {}", of.words, paced.asked, paced.pace);
            marks.push(Mark { alone: both, ..mark(words, is, of.most) });
        }
    }
    for of in &findings.memory {
        let Some(bytes) = of.bytes else { continue };
        marks.push(mark(format!("{MEMORY}, {} lane", of.lane.name()), bytes, MEMORY_MOST));
    }
    if let Some(freeze) = &findings.freeze {
        let words = "quantiles of a freeze, % of its length off".to_owned();
        marks.push(mark(words, freeze.error() * 100.0, 1.0));
    }
    for counts in &findings.faults {
        let words = format!("attempts under a wrong class: {}", counts.story);
        marks.push(mark(words, counts.wrong() as f64, 0.0));
    }
    if let Some(stood) = &findings.standstill {
        // A beat of its watch, and the limit above which it speaks.
        let silent = (stood.stopped_ms - stood.said_ms).max(0.0);
        let words = format!("of {:.0} ms stopped, not said, ms", stood.stopped_ms);
        marks.push(mark(words, silent, 10.0));
        let words = "attempts blamed on the server meanwhile".to_owned();
        marks.push(mark(words, stood.blamed as f64, 0.0));
    }
    marks
}
