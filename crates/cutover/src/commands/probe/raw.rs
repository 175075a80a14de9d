//! The raw attempts of a probe that runs alone (`--raw`): written while it runs, and named like its report
//! at the end. They are the prober's samples; nothing is read or judged here.

use std::path::{Path, PathBuf};

use model::Fault;

/// What they are called before the run has a name, and what their name ends in.
const ENDING: &str = "ndjson.gz";

/// A file of raw attempts; one that is not kept goes when this is dropped.
#[derive(Debug)]
pub(super) struct Raw(PathBuf);

impl Raw {
    /// Where they are written at first: a name that no other probe has.
    pub(super) fn within(out: &Path) -> Self {
        Self(out.join(format!(".cutover-probe-{}.{ENDING}", std::process::id())))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it the name of the run's other files.
    pub(super) fn keep(self, base: &Path) -> Result<PathBuf, Fault> {
        let path = base.with_extension(ENDING);
        std::fs::rename(&self.0, &path).map_err(|e| {
            Fault::environment(format!("{} cannot be written: {e}", path.display()))
        })?;
        Ok(path)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Kept, or never begun.
        let _ = std::fs::remove_file(&self.0);
    }
}
