//! The prober against servers whose every fault is known.
//!
//! No verdict is passed here: each test looks at the attempts themselves.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on must fail; and bytes are cut from numbers"
)]

mod all_lanes;
mod common;
mod control;
mod head;
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
