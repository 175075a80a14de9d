//! The rules of others, with the settings of their own documentation.
//!
//! Only the rule is theirs: none of their programs runs.

/// A rule on the share of the candidate's requests that succeed: measured again and again, it aborts
/// when it was below `least` for the `limit`-th time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threshold {
    /// What it is called.
    pub(crate) name: &'static str,
    /// The share that must succeed.
    pub(crate) least: f64,
    /// Seconds between two measurements, and of each.
    pub(crate) every_s: u64,
    /// So many measurements below it end the rollout.
    pub(crate) limit: u32,
}

/// Flagger's and Argo's examples, and one of Argo's with a tight rule.
pub(crate) const TOOLS: [Threshold; 3] = [
    Threshold { name: "Flagger: 99 %, 1 m, threshold 10", least: 0.99, every_s: 60, limit: 10 },
    Threshold { name: "Argo: 95 %, 5 m, failureLimit 3", least: 0.95, every_s: 300, limit: 4 },
    Threshold { name: "Argo, tight: 99.5 %, 1 m, 0", least: 0.995, every_s: 60, limit: 1 },
];

/// One rollout under such a rule.
#[derive(Debug)]
pub(crate) struct Watch {
    rule: Threshold,
    requests: u64,
    errors: u64,
    below: u32,
}

impl Watch {
    pub(crate) const fn new(rule: Threshold) -> Self {
        Self { rule, requests: 0, errors: 0, below: 0 }
    }

    /// Takes second number `second` (from 1) of the candidate; true when it aborts now.
    pub(crate) fn aborts(&mut self, second: u64, (requests, errors): (u64, u64)) -> bool {
        self.requests += requests;
        self.errors += errors;
        if !second.is_multiple_of(self.rule.every_s) {
            return false;
        }
        let good = 1.0 - self.errors as f64 / self.requests.max(1) as f64;
        (self.requests, self.errors) = (0, 0);
        if good < self.rule.least {
            self.below += 1;
        }
        self.below >= self.rule.limit
    }
}
