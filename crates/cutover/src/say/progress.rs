//! What every renderer of a rollout's steps can do.
//!
//! A renderer never fails the rollout: when stderr is gone, it is silent. Which one is used is
//! `choice`'s affair.

use super::step::Step;

/// Tells steps as they come.
pub(crate) trait Progress: Send {
    /// Tells one step.
    fn step(&mut self, step: &Step);
}
