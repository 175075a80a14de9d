//! A file that somebody else's server reads at a reload, replaced as a whole. What stands in it is not
//! known here.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use model::Fault;

/// Replaces it: a reload finds the old text or the new one.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|error| {
        Fault::environment(format!("cannot write `{}`: {error}", path.display()))
            .help("a reload of the router reads this file: let Cutover write in its directory")
    })
}
