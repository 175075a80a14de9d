//! The key that cohorts are signed with: one file of the state directory, made once, for this user only.
//!
//! It survives restarts and upgrades, or every client would be a new one. Nobody prints it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use model::admin::CohortKey;
use model::{Fault, Kind};

/// Digits of a key.
const DIGITS: usize = 64;

/// Reads the key, or makes it. The state directory is locked, so nobody else does.
pub(super) fn read_or_make(path: &Path) -> Result<CohortKey, Fault> {
    match File::open(path) {
        Ok(file) => read(path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(trouble(path, &error)),
    }
}

fn read(path: &Path, file: File) -> Result<CohortKey, Fault> {
    file.set_permissions(Permissions::from_mode(0o600)).map_err(|e| trouble(path, &e))?;
    let mut text = String::new();
    file.take(DIGITS as u64 + 2).read_to_string(&mut text).map_err(|e| trouble(path, &e))?;
    let digits = text.trim_ascii_end();
    let digit = |at: usize| char::from(*digits.as_bytes().get(at)?).to_digit(16);
    let byte = |at: usize| u8::try_from(digit(2 * at)? << 4 | digit(2 * at + 1)?).ok();
    let bytes: Option<Vec<u8>> = (0..DIGITS / 2).map(byte).collect();
    let key = bytes.filter(|_| digits.len() == DIGITS).and_then(|bytes| bytes.try_into().ok());
    key.map(CohortKey).ok_or_else(|| {
        let what = format!("{} does not hold the key of cohorts any more", path.display());
        Fault::new(Kind::Environment, what)
            .help("restore it; or remove it, and every client is given a new cohort")
    })
}

/// Written beside and then put in place: one that was cut short would be none.
fn make(path: &Path) -> Result<CohortKey, Fault> {
    let key = proxy::new_cohort_key()?;
    let mut text = String::new();
    for byte in key.0 {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    let beside = path.with_extension("new");
    let written = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(0o600))?;
            writeln!(file, "{text}")?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| trouble(path, &error))?;
    Ok(key)
}

fn trouble(path: &Path, error: &std::io::Error) -> Fault {
    Fault::environment(format!("{} cannot be used: {error}", path.display()))
        .help("make it a file that this user can read and write")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::read_or_make;

    #[test]
    fn a_key_is_made_once_and_for_this_user_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cohort.key");
        let made = read_or_make(&path).unwrap();
        let access = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(access(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_or_make(&path).unwrap(), made);
        assert_eq!(access(), 0o600);
        assert_ne!(read_or_make(&directory.path().join("other.key")).unwrap(), made);
        assert!(!format!("{made:?}").contains(&format!("{:02x}", made.0[0])));
    }

    #[test]
    fn a_damaged_key_is_named_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cohort.key");
        read_or_make(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in ["", &good[..60], &good.replace(|c: char| c != '\n', "z"), &format!("{good}00")]
        {
            std::fs::write(&path, bad).unwrap();
            let fault = read_or_make(&path).unwrap_err();
            assert!(fault.what.contains("cohort.key") && fault.help.is_some(), "{fault}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        }
    }
}
