//! The key by which a run's prober makes itself known to our proxy: a file of the run, for this user only.
//!
//! Made once for each run, so that a controller that comes back knows it, and no user can guess it.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use model::Fault;

/// Where the key of a run stands.
pub(super) fn file(run_directory: &Path) -> PathBuf {
    run_directory.join("probe.key")
}

/// Reads the key of a run, or makes it.
pub(super) fn read_or_make(run_directory: &Path) -> Result<String, Fault> {
    let path = file(run_directory);
    let trouble = |e: std::io::Error| {
        Fault::environment(format!("{} cannot be read or written: {e}", path.display()))
    };
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim_end().is_empty() => return Ok(text.trim_end().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(trouble(error)),
    }
    let mut key = String::new();
    for byte in proxy::new_cohort_key()?.0 {
        // Writing to a string cannot fail.
        let _written = write!(key, "{byte:02x}");
    }
    fs::create_dir_all(run_directory).map_err(trouble)?;
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut file| writeln!(file, "{key}")).map_err(trouble)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{file, read_or_make};

    #[test]
    fn a_run_has_one_key_that_others_cannot_read() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = read_or_make(one.path()).unwrap();
        assert_eq!(read_or_make(one.path()).unwrap(), key);
        assert_ne!(read_or_make(other.path()).unwrap(), key);
        assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let mode = file(one.path()).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
