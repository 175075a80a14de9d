//! `cargo xtask tidy`: the laws of this repository that neither compiler nor clippy enforces.
//!
//! Collects files, applies every law, prints what was found. Changes nothing. The laws are in
//! `shape` (one Rust file), `modules` (arrows inside a crate), `crates` (arrows between crates) and
//! `paths` (any text file).

use std::path::Path;

mod crates;
mod cycle;
mod finding;
mod lex;
mod listing;
mod mention;
mod modules;
mod paths;
mod shape;
mod source;

use crate::step::Outcome;
use finding::Finding;

/// Checks the workspace at `root` and prints what was found.
pub(crate) fn run(root: &Path) -> Outcome {
    let files = match listing::text_files(root) {
        Ok(files) => files,
        Err(sentence) => return Outcome::Failed(sentence),
    };
    let sources = source::sources(&files);
    let mut findings: Vec<Finding> = Vec::new();
    let mut notes: Vec<Finding> = Vec::new();
    for source in &sources {
        findings.extend(shape::findings(source));
        notes.extend(shape::notes(source));
    }
    findings.extend(modules::findings(&sources));
    findings.extend(crates::findings(&files));
    findings.extend(paths::findings(&files));
    findings.sort();
    notes.sort();
    for note in &notes {
        println!("note: {note}");
    }
    for finding in &findings {
        println!("error: {finding}");
    }
    let count = findings.len();
    println!("tidy: {} files, {count} findings, {} notes", files.len(), notes.len());
    match findings.first() {
        None => Outcome::Passed,
        Some(first) => Outcome::Failed(format!("{count} findings, the first: {first}")),
    }
}
