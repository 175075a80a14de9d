//! Health checks: over HTTP and by connecting (the crate `check`, which the proxy knows too), and by a
//! program that judges.
//!
//! Only the last is made here: who starts processes is a driver.

pub mod command;

pub use ::check::*;
