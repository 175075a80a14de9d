//! Are the candidate's events more frequent than a fixed share? The same bets as `worse`, against a
//! limit that somebody set in place of stable.
//!
//! What follows from the evidence is decided in `comparison`.

use serde::{Deserialize, Serialize};

use super::block::Arm;
use super::nats::{Nats, log_mean};
use super::worse::ODDS;

/// The evidence so far that more than a given share of the candidate's units are events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Above {
    limit: Nats,
    logs: [Nats; ODDS.len()],
}

impl Above {
    /// Begins at 1; the limit lies strictly between nothing and everything.
    pub(crate) const fn share(limit: f64) -> Self {
        Self { limit: Nats::new(limit), logs: [Nats::ZERO; ODDS.len()] }
    }

    /// Takes a tick.
    pub(crate) fn add(&mut self, arm: Arm) {
        let limit = self.limit.get();
        for (log, odds) in self.logs.iter_mut().zip(ODDS) {
            let raised = odds * limit / (1.0 - limit + odds * limit);
            let good = ((1.0 - raised) / (1.0 - limit)).ln();
            let event = (raised / limit).ln();
            *log = Nats::new(log.get() + arm.good() as f64 * good + arm.events as f64 * event);
        }
    }

    /// The logarithm of the e-value now, nats.
    pub(crate) fn log_e(&self) -> f64 {
        log_mean(&self.logs.map(Nats::get))
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::Arm;
    use super::Above;

    #[test]
    fn a_release_over_the_limit_is_found_and_one_at_it_is_not() {
        let (mut over, mut at) = (Above::share(0.01), Above::share(0.01));
        for _ in 0..20 {
            over.add(Arm::new(100, 5));
            at.add(Arm::new(100, 1));
        }
        assert!(over.log_e() > 100.0_f64.ln(), "{}", over.log_e());
        assert!(at.log_e() < 0.0, "{}", at.log_e());
        let mut broken = Above::share(0.01);
        broken.add(Arm::new(3, 3));
        assert!(broken.log_e() > 100.0_f64.ln(), "three of three are enough: {}", broken.log_e());
    }
}
