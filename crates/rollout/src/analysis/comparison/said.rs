//! What a comparison has found, in words for people: what is shown, by which factor, at which `alpha`.
//!
//! Nothing is found here. What was not shown is not claimed: of a candidate without an error it is shown
//! that errors are rare, not that they come no more often than those of stable.

use super::super::latency::LEAST_KNOWN;
use super::{Arm, Comparison, MARGIN};

impl Comparison {
    /// What is shown for the candidate when it is enough to go on, in words that follow "it is shown that".
    pub(super) fn shown(&self) -> Option<String> {
        if !self.is_shown_not_worse() {
            return None;
        }
        let odds = format!("below {MARGIN} times stable's");
        let few = if self.is_clean() {
            format!("fewer than {} % of its requests fail", self.limit_percent())
        } else {
            format!("its odds of an error are {odds}")
        };
        let over = |us: u64| format!("over {}", milliseconds(us));
        let slow: Vec<String> = self.common().map(|slow| over(slow.threshold.us)).collect();
        let slow = match slow.split_last() {
            None => String::new(),
            Some((last, [])) => format!(", its odds of an answer {last} are {odds}"),
            Some((last, rest)) => {
                format!(", its odds of an answer {} and {last} are {odds}", rest.join(", "))
            }
        };
        Some(format!("{few}{slow} (alpha = {})", self.alpha()))
    }

    /// How it stands, for people who look meanwhile; `None` before anything was counted. `stable` is the
    /// version beside the candidate's.
    pub fn stands(&self, stable: &str) -> Option<String> {
        let alpha = self.alpha();
        if !self.rules.compare {
            let Arm { units, events } = self.whole;
            let limits = self.limits().map(|limits| format!("; {limits} (alpha = {alpha})"))?;
            return (units > 0).then(|| format!("{events} of {units} failed{limits}"));
        }
        if self.candidate.units == 0 {
            return None;
        }
        let shown = match self.shown() {
            Some(shown) => format!("shown that {shown}"),
            None => "nothing else is shown yet".to_owned(),
        };
        let (worse, p) = (format!("worse at p = {alpha} or less"), self.p());
        let unknown = self.unknown_words(stable).map_or_else(String::new, |it| format!("; {it}"));
        Some(format!("{}; {worse}, now {p:.4}; {shown}{unknown}", self.counts_of(stable)))
    }

    /// Why latencies are not compared though they are to be, in words.
    pub(crate) fn unknown_words(&self, stable: &str) -> Option<String> {
        self.knows_no_latency().then(|| {
            format!(
                "answer times are not compared: fewer than {LEAST_KNOWN} requests of {stable} were known before"
            )
        })
    }

    /// The limits that hold for the candidate alone, in words.
    fn limits(&self) -> Option<String> {
        let failing =
            self.failing.as_ref().map(|_| format!("at most {} % may", self.limit_percent()));
        let late = self
            .rules
            .p99_us
            .map(|us| format!("of their answers at most 1 % may take over {}", milliseconds(us)));
        let limits: Vec<String> = failing.into_iter().chain(late).collect();
        (!limits.is_empty()).then(|| limits.join(", "))
    }

    pub(super) fn worse_words(&self) -> String {
        let worst = self.slow.iter().max_by(|a, b| a.worse.log_e().total_cmp(&b.worse.log_e()));
        let what = match worst.filter(|slow| slow.worse.log_e() > self.errors.log_e()) {
            Some(slow) => format!("more answers over {}", milliseconds(slow.threshold.us)),
            None => "more errors".to_owned(),
        };
        format!("{what} than stable at the same time (p = {:.4}): {}", self.p(), self.counts())
    }

    pub(super) fn failing_words(&self) -> String {
        let Arm { units, events } = self.whole;
        let limit = self.limit_percent();
        format!("more than {limit} % of {} fail ({events} of {units})", self.whose())
    }

    /// Whose requests are counted, in words.
    pub(crate) const fn whose(&self) -> &'static str {
        if self.rules.counters {
            "its requests, the prober's among them,"
        } else {
            "its users' requests"
        }
    }

    pub(super) fn late_words(&self) -> String {
        let limit = milliseconds(self.rules.p99_us.unwrap_or_default());
        format!("more than 1 % of its answers take over {limit}")
    }

    /// "3 of 25 answers of v2 took over 200 ms and 20 of 75 of v1", where more of both did than may.
    pub(crate) fn both_late_words(&self, (candidate, stable): (&str, &str)) -> Option<String> {
        let (new, old) = self.both_late()?;
        let limit = milliseconds(self.rules.p99_us.unwrap_or_default());
        Some(format!(
            "{} of {} answers of {candidate} took over {limit} and {} of {} of {stable}",
            new.events, new.units, old.events, old.units
        ))
    }

    pub(super) fn counts(&self) -> String {
        self.counts_of("stable")
    }

    fn counts_of(&self, stable: &str) -> String {
        let of = |arm: Arm| format!("{} of {}", arm.events, arm.units);
        format!("{} failed, {} of {stable}", of(self.candidate), of(self.stable))
    }

    fn limit_percent(&self) -> f64 {
        f64::from(self.rules.max_error_share_bp) / 100.0
    }
}

/// "12.5 ms".
fn milliseconds(us: u64) -> String {
    let tenths = us.div_ceil(100);
    if tenths.is_multiple_of(10) {
        format!("{} ms", tenths / 10)
    } else {
        format!("{}.{} ms", tenths / 10, tenths % 10)
    }
}
