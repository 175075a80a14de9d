//! Space that is set aside in the state directory, and given up when its disk is full.
//!
//! Whatever is done to an instance is on record first, so a full disk would leave nobody who could be told
//! to end. The file holds nothing; what it frees is enough to finish what is under way. It does not watch the
//! disk, and whoever fills it may take this too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

/// What is set aside, bytes.
pub const BYTES: u64 = 2 << 20;
/// What opening a database takes, and some more, bytes.
const OPENING: u64 = 256 << 10;
/// It is set aside only where so many times as much is free.
const ROOMY: u64 = 3;

fn file(state: &Path) -> PathBuf {
    state.join("ballast")
}

/// Sets the space aside where it is not, if there is plenty. True when it is set aside.
pub fn hold(state: &Path) -> io::Result<bool> {
    let path = file(state);
    if fs::metadata(&path).is_ok_and(|found| found.len() == BYTES) {
        return Ok(true);
    }
    let disk = statvfs(state)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < BYTES * ROOMY {
        return Ok(false);
    }
    let written = fill(&path);
    if written.is_err() {
        // A part of it is of no use.
        let _gone = fs::remove_file(&path);
    }
    written.map(|()| true)
}

/// Bytes that no file system makes smaller.
fn fill(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options.create(true).write(true).truncate(true).mode(0o600).open(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 16);
    for _ in 0..BYTES >> 16 {
        block.clear();
        while block.len() < 1 << 16 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend(state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    file.sync_all()
}

/// True where the disk has no room for the little that opening a database takes (`-shm` and `-wal` beside it). A
/// disk that cannot be asked is not short.
pub fn is_short(state: &Path) -> bool {
    statvfs(state).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < OPENING)
}

/// Gives it up. True when there was some: what failed for want of space may be tried once more.
pub fn release(state: &Path) -> bool {
    let given = fs::remove_file(file(state)).is_ok();
    if given {
        tracing::warn!(
            "the disk of {} is full: the space that was set aside is used up now; make room, or nothing \
             can be deployed or ended",
            state.display()
        );
    }
    given
}

/// True of an error that more space would help.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::{BYTES, file, hold, release};

    #[test]
    fn it_is_held_once_and_given_up_once() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!release(directory.path()));
        assert!(hold(directory.path()).unwrap());
        assert_eq!(std::fs::metadata(file(directory.path())).unwrap().len(), BYTES);
        // One that was cut short is made whole.
        std::fs::write(file(directory.path()), "short").unwrap();
        assert!(hold(directory.path()).unwrap() && hold(directory.path()).unwrap());
        assert_eq!(std::fs::metadata(file(directory.path())).unwrap().len(), BYTES);
        assert!(release(directory.path()) && !release(directory.path()));
        assert!(hold(&directory.path().join("nowhere")).is_err());
    }
}
