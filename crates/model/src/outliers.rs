//! When a proxy leaves an instance out because its answers to users fail: passive ejection.
//!
//! The rule only; who counts failures and who is left out is the proxy's affair.

use serde::{Deserialize, Serialize};

/// An instance that fails so many requests in a row gets none for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outliers {
    /// Failures in a row that eject: no connection, a connection that ends before an answer, no answer
    /// in time, an answer that is not HTTP. 0 for never.
    pub failures: u32,
    /// An answer of status 500 or above is a failure, too.
    pub errors: bool,
    /// The first ejection lasts so long, ms, and each that follows one soon is longer by as much.
    pub eject_ms: u64,
    /// No ejection lasts longer, ms.
    pub eject_most_ms: u64,
    /// Most instances of a pool that are left out at a time, percent. One may always be, except for
    /// the last.
    pub share: u32,
}

impl Default for Outliers {
    fn default() -> Self {
        Self { failures: 5, errors: false, eject_ms: 10_000, eject_most_ms: 300_000, share: 50 }
    }
}

impl Outliers {
    /// How many of a pool of so many instances may be left out at a time.
    pub fn most(&self, instances: usize) -> usize {
        let share = usize::try_from(self.share).unwrap_or(100).min(100);
        match instances {
            0 | 1 => 0,
            _ => (instances * share / 100).clamp(1, instances - 1),
        }
    }

    /// How long the ejection lasts that is the `number`th in succession, ms.
    pub fn lasts_ms(&self, number: u32) -> u64 {
        self.eject_ms.saturating_mul(number.into()).min(self.eject_most_ms.max(self.eject_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::Outliers;

    #[test]
    fn a_share_is_left_out_and_never_all() {
        let most = |share, instances| Outliers { share, ..Outliers::default() }.most(instances);
        for (share, instances, expected) in [
            (50, 0, 0),
            (50, 1, 0),
            (100, 1, 0),
            (50, 2, 1),
            (50, 3, 1),
            (50, 4, 2),
            (10, 3, 1),
            (100, 3, 2),
            (500, 3, 2),
        ] {
            assert_eq!(most(share, instances), expected, "{share} % of {instances}");
        }
    }

    #[test]
    fn ejections_grow_up_to_a_bound() {
        let rule = Outliers { eject_ms: 10, eject_most_ms: 25, ..Outliers::default() };
        assert_eq!([1, 2, 3, u32::MAX].map(|n| rule.lasts_ms(n)), [10, 20, 25, 25]);
    }
}
