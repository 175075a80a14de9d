//! The prober against servers whose every fault is known.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod common;
mod control;
mod hostile;
mod http;
mod http2;
mod jars;
mod lanes;
mod races;
mod samples;
mod secure;
mod stopped;
mod switch;
mod websocket;
