//! A number that comes back from the journal bit by bit as it was.
//!
//! JSON has decimals, and not every reader gives back the last bit; here the bits themselves are kept.
//! Nothing is computed here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A real number, most often the logarithm of an e-value, in nats.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Nats(u64);

impl Nats {
    /// Nothing for or against.
    pub(crate) const ZERO: Self = Self::new(0.0);

    pub(crate) const fn new(number: f64) -> Self {
        Self(number.to_bits())
    }

    pub(crate) const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(out)
    }
}

/// The logarithm of the mean of e-values, from their logarithms.
pub(crate) fn log_mean(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    let sum: f64 = logs.iter().map(|log| (log - top).exp()).sum();
    top + (sum / logs.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::{Nats, log_mean};

    #[test]
    fn every_bit_comes_back_from_json() {
        for number in [0.1 + 0.2, -1e-300, 3.088_294_334_195_467, f64::MIN_POSITIVE] {
            let json = serde_json::to_string(&Nats::new(number)).unwrap();
            let back: Nats = serde_json::from_str(&json).unwrap();
            assert_eq!(back.get().to_bits(), number.to_bits());
        }
    }

    #[test]
    fn the_mean_of_e_values_in_logarithms() {
        assert!((log_mean(&[2.0_f64.ln(), 4.0_f64.ln()]) - 3.0_f64.ln()).abs() < 1e-15);
        assert!((log_mean(&[1_000.0, 0.0]) - (1_000.0 - 2.0_f64.ln())).abs() < 1e-9);
        assert!(log_mean(&[f64::NEG_INFINITY; 2]).is_infinite());
    }
}
