//! Which controller this is among all that share a Consul: an id in the state directory, made once.
//!
//! Names of hosts and directories do not say it: containers have the same ones. It is no secret, and whoever
//! copies a state directory copies it, too.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use model::{Fault, Kind};

/// Bytes of an id.
const BYTES: usize = 8;

/// Reads the id, or makes it. Where there is no state directory nobody ships anything: one for now.
pub(super) fn read_or_make(directory: &Path) -> Result<String, Fault> {
    let path = directory.join("controller.id");
    let trouble = |error: std::io::Error| {
        Fault::environment(format!("{} cannot be used: {error}", path.display()))
            .help("make it a file that this user can read and write")
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => return read(&path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(trouble(error)),
    }
    let mut id = String::new();
    for byte in &proxy::new_cohort_key()?.0[..BYTES] {
        // Writing to a string cannot fail.
        let _written = write!(id, "{byte:02x}");
    }
    if !directory.is_dir() {
        return Ok(id);
    }
    // Written beside, then named: nobody reads half of it, and of two that make it at once one has made it.
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let made = std::fs::write(&beside, format!("{id}\n"))
        .and_then(|()| std::fs::hard_link(&beside, &path));
    let removed = std::fs::remove_file(&beside);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(trouble(error)),
        _ => removed.map_err(trouble)?,
    }
    read(&path, &std::fs::read_to_string(&path).map_err(trouble)?)
}

fn read(path: &Path, text: &str) -> Result<String, Fault> {
    let id = text.trim_ascii_end();
    if id.len() == 2 * BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(id.to_owned());
    }
    let what = format!("{} does not hold the id of this controller any more", path.display());
    Err(Fault::new(Kind::Environment, what)
        .help("restore it; or remove it, and what it held at Consul is free after half a minute"))
}

#[cfg(test)]
mod tests {
    use super::read_or_make;

    #[test]
    fn an_id_is_made_once_for_each_state_directory_and_not_replaced() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = read_or_make(one.path()).unwrap();
        assert_eq!(read_or_make(one.path()).unwrap(), id);
        assert_ne!(read_or_make(other.path()).unwrap(), id);
        assert_eq!(std::fs::read_dir(one.path()).unwrap().count(), 1);
        let path = one.path().join("controller.id");
        for bad in ["", "0123", "z123456789abcdef\n"] {
            std::fs::write(&path, bad).unwrap();
            let fault = read_or_make(one.path()).unwrap_err();
            assert!(fault.what.contains("controller.id") && fault.help.is_some(), "{fault}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        }
        let nowhere = one.path().join("nowhere");
        assert_eq!(read_or_make(&nowhere).unwrap().len(), 16);
        assert!(!nowhere.exists());
    }
}
