//! The proxy under real sockets: scripted instances behind it, raw clients in front of it.
//!
//! Tests named `rNN_...` guard the race of that number in the catalogue of races.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod admin;
mod authority;
mod backend;
mod bodies;
mod client;
mod ending;
mod events;
mod failures;
mod framed;
mod heads;
mod hold;
mod http2;
mod http2_limits;
mod rules;
mod silence;
mod stage;
mod switching;
mod tls;
mod tunnels;
