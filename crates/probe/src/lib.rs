//! The open-loop prober: it asks a running service at a fixed rate and records what became of each
//! attempt.
//!
//! Attempts are sent when the schedule says so, however slow the answers are, and latency counts
//! from the intended send time. There is one record per attempt and no retry anywhere. The prober
//! watches itself, too: what it could not send and when it was stopped is part of the record.
//!
//! What this crate does *not* do: it passes no verdict, knows no phases of a rollout and no proxy.

mod alarm;
mod arming;
mod ask;
mod buffers;
pub mod client;
mod clock;
mod connect;
pub mod control;
mod events;
mod exchange;
mod fresh;
#[cfg(test)]
mod fuzz;
mod heartbeat;
mod http;
mod http2;
mod jars;
mod keepalive;
mod knock;
mod lanes;
mod ledger;
mod live;
mod options;
mod orders;
mod pace;
mod pacer;
mod packed;
mod post;
mod run;
pub mod samples;
mod schedule;
mod site;
mod stream;
mod switch;
mod tap;
mod target;
mod text;
mod tls;
mod transfer;
mod trial;
mod way;
mod websocket;

pub use ask::Ask;
pub use knock::{Unfit, knock};
pub use live::{BOUNDS_US, Beat, Times};
pub use options::{Options, Stop, Told, VersionFrom};
pub use pace::Pace;
pub use run::run;
pub use samples::Run;
pub use target::Target;
pub use tls::Tls;
pub use way::{Resolve, Way};
