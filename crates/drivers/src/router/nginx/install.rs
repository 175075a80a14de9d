//! Puts the files where nginx can be started with them.
//!
//! Files of apps are written where there are none, and so is the main configuration. What is there is
//! left alone; nothing is started or reloaded.

use std::fs;
use std::path::PathBuf;

use model::{Fault, Routes};

use super::conf::render;
use super::record::Record;
use super::sample::sample;
use super::setup::Setup;
use crate::router::replace::replace;

/// Each file, and whether it was written: else it was there already.
pub fn install(setup: &Setup) -> Result<Vec<(PathBuf, bool)>, Fault> {
    let directory = &setup.directory;
    fs::create_dir_all(directory).map_err(|error| {
        Fault::environment(format!("cannot make `{}`: {error}", directory.display()))
            .help("name a directory of yours as `directory`, or let Cutover write there")
    })?;
    let mut files = Vec::new();
    for app in &setup.apps {
        let record = Record::read(&setup.record(&app.name))?;
        let routes: Option<&Routes> = record.routes.as_ref();
        let text = render(&app.name, routes, record.generation, setup.control);
        files.push((setup.file(&app.name), text));
    }
    files.push((setup.program.config.clone(), sample(setup)));
    let mut installed = Vec::new();
    for (path, text) in files {
        let there = path.exists();
        if !there {
            replace(&path, &text)?;
        }
        installed.push((path, !there));
    }
    Ok(installed)
}
