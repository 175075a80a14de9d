//! How things are said to people: faults, excerpts of files, and progress while a rollout runs.
//!
//! The only place that writes to the terminal. Progress and faults go to stderr, so that stdout
//! holds results alone; for programs a fault is the result. What this module does *not* do: decide anything, or word a verdict.

mod bar;
mod choice;
mod clean;
mod excerpt;
mod fault;
pub(crate) mod figure;
pub(crate) mod ink;
mod json;
mod line;
mod plain;
pub(crate) mod progress;
mod screen;
pub(crate) mod step;
mod story;
mod terminal;
pub(crate) mod told;
mod whole;

pub(crate) use bar::Bar;
pub(crate) use choice::{among, choose, redraws};
pub(crate) use clean::{clean, word};
pub(crate) use excerpt::{Excerpt, render};
pub(crate) use fault::{fault, fault_as_json, print};
pub(crate) use json::json_line;
pub(crate) use line::Line;
pub(crate) use plain::{quoted, utc};
pub(crate) use screen::{Look, Screen};
pub(crate) use told::{err, errln, out, outln};
pub(crate) use whole::Whole;

#[cfg(test)]
pub(crate) mod tests;
