//! The drivers against real processes and real servers, and the contract that each of them keeps.
//!
//! No rollout is made here: which state is wanted when is the machine's affair.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod adoption;
mod check;
mod check_command;
mod common;
mod consul;
mod contract;
mod contracts;
mod discovered;
mod fleet;
mod followed;
mod haproxy;
mod haproxy_ends;
mod haproxy_rules;
mod haproxy_trouble;
mod haproxy_truth;
mod nginx;
mod nginx_review;
mod process;
mod proxy_driver;
mod secrets;
mod told;
mod trouble;
