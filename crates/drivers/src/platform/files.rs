//! The files in which platforms keep their records: each is read whole and replaced whole.
//!
//! After a crash there is the old or the new file, and on a full disk what was set aside is given up for
//! them. What a record says, and which there are, is not known here, but in each platform's own store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use model::{AppName, Fault, Kind, ReleaseId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ballast;

/// What a file holds, if it is there; `fix` is for whoever has to do with a damaged one.
pub(super) fn read<T: DeserializeOwned>(path: &Path, fix: &str) -> Result<Option<T>, Fault> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| damaged(path, &error.to_string(), fix)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Writes beside, syncs, renames, syncs the folder.
pub(super) fn replace(path: &Path, value: &impl Serialize) -> Result<(), Fault> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| {
        Fault::internal(format!("{} cannot be written: {error}", path.display()))
    })?;
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    let state = path.parent().and_then(Path::parent);
    let again = |error: &io::Error| ballast::is_full(error) && state.is_some_and(ballast::release);
    let done = match written() {
        Err(error) if again(&error) => written(),
        done => done,
    };
    done.map_err(|error| unusable(path, &error))
}

/// Refuses an epoch older than the newest seen in this folder, and remembers a newer one.
pub(super) fn admit(folder: &Path, epoch: u64, fix: &str) -> Result<(), Fault> {
    let path = folder.join("epoch");
    let newest = read::<u64>(&path, fix)?.unwrap_or_default();
    if epoch < newest {
        let what = format!(
            "a controller of epoch {epoch} may not act any more: epoch {newest} is in charge"
        );
        return Err(Fault::new(Kind::Conflict, what).help("end the older controller"));
    }
    if epoch > newest { replace(&path, &epoch) } else { Ok(()) }
}

/// The release that a file of this name is about, if it is one of the app's.
pub(super) fn release_in(app: &AppName, name: &str) -> Option<ReleaseId> {
    let digits = name.strip_prefix(app.as_str())?.strip_prefix('-')?.strip_suffix(".json")?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).map(ReleaseId)
}

/// The state directory does not do what it is for.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Fault {
    let what = format!("`{}` in the state directory cannot be used: {error}", path.display());
    Fault::environment(what).help("give Cutover a state directory it may write to")
}

/// A file that says nothing that could be.
pub(super) fn damaged(path: &Path, why: &str, fix: &str) -> Fault {
    let what = format!("the record `{}` is damaged: {why}", path.display());
    Fault::environment(what).help(fix)
}
