//! The rollout machine: decides, purely.
//!
//! [`Rollout`] is level-triggered. It never says "do X": [`Rollout::wants`] says what should be true
//! in the present phase, [`Rollout::advance`] takes one observation and moves on when observations
//! show that it *is* true, and [`Rollout::wake`] names the deadline at which it will move on without.
//! So a restart, a retry and a rollback are one path: replay the journal, look at the world, go on.
//!
//! What this crate does not do: no clock, files, threads, network or randomness. Time comes in as
//! milliseconds since the rollout began. It does not know how instances are started or how a router
//! is told; the controller brings the world towards `wants` and reports what it sees, in the order
//! in which it saw it.
//!
//! Each phase is entered at most once and has a deadline, so every rollout ends.

mod back;
mod course;
mod deadline;
mod drained;
mod forward;
mod invariant;
mod judge;
mod leave;
mod machine;
mod roll;
mod rolling;
mod seen;
mod settings;
mod state;
mod step;
mod strategy;
mod target;
mod trouble;
mod unroll;
mod wants;
mod words;

pub use machine::{MACHINE_VERSION, Rollout, Snapshot};
pub use settings::{Named, Settings, Start};
pub use state::Note;
pub use strategy::Strategy;
pub use wants::{FleetWant, LeaveWant, ProbeWant, Wants};
