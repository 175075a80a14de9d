//! Candidate and stable compared at the same time, by tests that may be looked at after every tick.
//!
//! An *e-process* starts at 1, and as long as the candidate is not worse its expectation never exceeds
//! 1, whenever one stops. So the chance that it *ever* reaches `1 / alpha` is at most `alpha` (Ville),
//! however often one looks. Shares, steps and the rate of errors may change from tick to tick. Once
//! begun, none of them is ever begun anew within a rollout.
//!
//! What is counted are *units*: at most one request per client and tick ([`Arm`]). Requests that stand
//! or fall together (a burst of one client) would be taken for independent evidence otherwise.
//!
//! Ticks are blocks of their own where both releases have units in them, else they are joined (`joined`).
//!
//! Pure: no clock, no journal, no words about phases. What is done about a finding is the machine's.

mod above;
mod block;
mod clean;
mod comparison;
mod guard;
mod joined;
mod latency;
mod nats;
mod not_worse;
mod worse;

pub(crate) use above::Above;
pub use block::{Arm, Block};
pub use clean::clean_units;
pub use comparison::{Comparison, Finding, MARGIN, Rules};
pub use guard::Guard;
pub use latency::{LEAST_KNOWN, thresholds};
pub use not_worse::NotWorse;
pub use worse::{ODDS, Worse};
