//! Further files that tell the result of a run: the summary in Markdown and the `JUnit` file.
//!
//! Page and JSON are written by the commands themselves, each in its own place. What stands in them is
//! `report`'s.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use model::Fault;
use report::Report;

use crate::cli::Also;

/// Shows that they can be written, before anything is started; what stands there stays for now.
pub(super) fn writable(also: &Also) -> Result<(), Fault> {
    for path in also.summary.iter().chain(&also.junit) {
        OpenOptions::new().create(true).append(true).open(path).map_err(|e| refused(path, &e))?;
    }
    Ok(())
}

/// Writes them, in place of what stood there.
pub(super) fn write(also: &Also, report: &Report) -> Result<(), Fault> {
    let texts =
        [(&also.summary, report::markdown as fn(&Report) -> String), (&also.junit, report::junit)];
    for (path, text) in texts {
        if let Some(path) = path {
            std::fs::write(path, text(report)).map_err(|e| refused(path, &e))?;
        }
    }
    Ok(())
}

fn refused(path: &Path, error: &io::Error) -> Fault {
    Fault::environment(format!("{} cannot be written: {error}", path.display()))
        .help("name another file, in a directory that is there")
}
