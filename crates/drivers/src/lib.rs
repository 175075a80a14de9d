//! Cutover's platforms and routers: they act.
//!
//! A [`Platform`](platform::Platform) runs instances, a [`Router`](router::Router) carries users'
//! requests to them. Both have one shape: `look` at what is, `plan` (pure) what stands between that
//! and what should be, `act` on one change at a time. What should be is decided elsewhere: this
//! crate knows no rollout, no phase and no verdict.

mod agent;
pub mod ballast;
pub mod check;
mod exit;
pub mod platform;
pub mod router;

pub(crate) use ::check::words;
