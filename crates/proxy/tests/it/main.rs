//! The proxy under real sockets: scripted instances behind it, raw clients in front of it.
//!
//! Tests named `rNN_...` guard the race of that number in the catalogue of races. No controller takes part:
//! the tests say over the admin socket what one would.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod access_log;
mod access_log_file;
mod admin;
mod asking;
mod authority;
mod autobahn;
mod backend;
mod bodies;
mod client;
mod cohorts;
mod downgrade;
mod drips;
mod ending;
mod events;
mod failures;
mod floods;
mod framed;
mod gathered;
mod h2spec;
mod handover;
mod heads;
mod hold;
mod hosts;
mod http2;
mod http2_limits;
mod http2_states;
mod load;
mod methods;
mod metrics;
mod million;
mod offenders;
mod outliers;
mod own_answers;
mod races;
mod races_departing;
mod receipts;
mod receipts_midway;
mod recycling;
mod replaced;
mod room;
mod rules;
mod sentry;
mod shares;
mod silence;
mod sizes;
mod slow;
mod slow_start;
mod smuggled;
mod smuggling;
mod stage;
mod switching;
mod tls;
mod tunnels;
mod unread;
mod websocket;
