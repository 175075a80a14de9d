//! Tests of the configuration: the texts of all mistakes, the values, the frozen release.
//!
//! What the server makes of a configuration is not tried here.

mod files;
mod fuzz;
mod mistakes;
mod releases;
mod schema;
mod values;

use std::path::Path;

use super::{AppConfig, Config, Diagnostic, check};

/// Checks a text; paths in it are relative to the folder of `file`.
fn parse(text: &str, file: &str) -> Result<Config, Vec<Diagnostic>> {
    check(text, file, Path::new(file).parent().unwrap_or(Path::new("")), super::Judge::BLIND)
}

/// A file that must be right.
pub(super) fn good(text: &str) -> Config {
    match parse(text, "cutover.toml") {
        Ok(config) => config,
        Err(found) => panic!("{}", drawn(&found)),
    }
}

/// The app `web` of a file that must be right.
pub(super) fn web(rest: &str) -> AppConfig {
    let text = format!("[app.web]\ncommand = [\"./server\"]\n{rest}");
    good(&text).apps.into_values().next().unwrap()
}

/// Mistakes as people see them, without colours.
fn drawn(found: &[Diagnostic]) -> String {
    let texts: Vec<String> = found.iter().map(Diagnostic::render).collect();
    anstream::adapter::strip_str(&texts.join("\n")).to_string()
}
