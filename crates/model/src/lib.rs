//! Cutover's nouns and units, checked at birth.
//!
//! Everything the other crates say to each other is spelled here, so that they need not know each
//! other. What this crate does *not* do: no IO, no clock, no randomness, no decisions. Times are
//! plain numbers with their unit in the name; who reads a clock says so at the call.

pub mod admin;
pub mod attempt;
pub mod barrier;
pub mod change;
pub mod counters;
pub mod event;
pub mod fault;
pub mod fleet;
pub mod handover;
pub mod hook;
pub mod key_pair;
pub mod latency;
pub mod limits;
pub mod mark;
pub mod measured;
pub mod name;
pub mod network;
pub mod offender;
pub mod outcome;
pub mod outliers;
pub mod phase;
pub mod receipt;
pub mod routes;
pub mod rule;
pub mod secret;
pub mod source;
pub mod spread;
pub mod survey;
pub mod units;
pub mod weight;
pub mod window;

pub use attempt::{Attempt, Class, Lane};
pub use barrier::Barrier;
pub use change::{Change, Plan};
pub use counters::{Counter, Counters, grown};
pub use event::{Event, Successor};
pub use fault::{Fault, Kind};
pub use fleet::{FleetSeen, Instance, InstanceId, Release, ReleaseId, RunState};
pub use handover::{Farewell, HandOver, Pace};
pub use hook::{Call, Hook, Moment, OnFailure, Post};
pub use mark::{Mark, Selector, Wanted};
pub use measured::Measured;
pub use name::{AppName, Version};
pub use network::Network;
pub use offender::{Offender, Offenders};
pub use outcome::{Outcome, Verdict, exit_code};
pub use outliers::Outliers;
pub use phase::{Coarse, Entered, Phase};
pub use routes::{Generation, Hold, Pool, PoolState, Routes};
pub use rule::Rule;
pub use secret::{Owner, Secret, Variable};
pub use source::{Catalog, Secure, Source, TokenPlace, Zone};
pub use spread::{Cohorts, Spread, Watch};
pub use survey::{CountBy, Survey, Surveyed};
pub use units::{Counted, Threshold, Tick};
pub use weight::Weight;
pub use window::{Tally, Window};
