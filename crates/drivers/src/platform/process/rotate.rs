//! Taking the front out of a log that grows, under the hands of who writes it.
//!
//! The writer has the file open to append and knows nothing of this. What is full is copied beside, then
//! cut out of the front in one step of the file system (collapse), so that no line is lost or torn; where
//! it cannot do that, the front becomes a hole, which takes no room. A file is never truncated: what was
//! written between a copy and a truncation would be lost. When to do it is the caller's affair.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, seek};
use rustix::io::Errno;

/// Blocks of file systems are no larger; a cut must fall between two of them.
const BLOCK: u64 = 4096;

/// Where what was cut out of a log lies: only the last part that was.
pub fn rotated(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Cuts out the front of a log that holds more than `longest` bytes, and keeps it beside. True when that
/// was done. What is left may begin in the middle of a line: the other part ends there.
pub fn rotate(log: &Path, longest: u64) -> io::Result<bool> {
    rotate_with(log, longest, FallocateFlags::COLLAPSE_RANGE)
}

fn rotate_with(log: &Path, longest: u64, first: FallocateFlags) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).write(true).open(log)?;
    let found = file.metadata()?;
    let block = found.blksize().max(BLOCK);
    let from = begin(&file)? / block * block;
    // What the collapse takes must end before the end of the file.
    let to = found.len().saturating_sub(1) / block * block;
    if found.len().saturating_sub(from) <= longest || to <= from {
        return Ok(false);
    }
    keep(&mut file, (from, to), &rotated(log))?;
    match fallocate(&file, first, 0, to) {
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&file, hole, 0, to)?;
        }
        done => done?,
    }
    Ok(true)
}

/// Where a file begins to hold something: before that there is a hole.
pub fn begin(file: &File) -> io::Result<u64> {
    match seek(file, rustix::fs::SeekFrom::Data(0)) {
        Ok(at) => Ok(at),
        // It is empty, or all of it is a hole.
        Err(Errno::NXIO) => Ok(file.metadata()?.len()),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Copies a part, in place of the one that was kept before.
fn keep(file: &mut File, (from, to): (u64, u64), kept: &Path) -> io::Result<()> {
    let beside = kept.with_extension("new");
    let mut options = OpenOptions::new();
    let mut copy = options.create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
    file.seek(SeekFrom::Start(from))?;
    io::copy(&mut file.take(to - from), &mut copy)?;
    copy.sync_all()?;
    fs::rename(&beside, kept)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::FallocateFlags;

    use super::{begin, rotate, rotate_with, rotated};

    /// The lines of what was kept and of what is there, without the hole.
    fn text(log: &Path) -> String {
        let kept = std::fs::read_to_string(rotated(log)).unwrap_or_default();
        let bytes = std::fs::read(log).unwrap();
        let hole = usize::try_from(begin(&File::open(log).unwrap()).unwrap()).unwrap();
        kept + std::str::from_utf8(&bytes[hole..]).unwrap()
    }

    #[test]
    fn no_line_is_lost_while_somebody_writes() {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for way in [FallocateFlags::COLLAPSE_RANGE, hole] {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("a-1-1.log");
            let mut file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
            let over = AtomicBool::new(false);
            let (mut parts, mut cuts) = (String::new(), 0);
            let lines = std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    let mut lines = 0_u64;
                    while !over.load(Ordering::Relaxed) {
                        writeln!(file, "line {lines}").unwrap();
                        lines += 1;
                    }
                    lines
                });
                while cuts < 20 {
                    if rotate_with(&log, 64 * 1024, way).unwrap() {
                        parts += &std::fs::read_to_string(rotated(&log)).unwrap();
                        cuts += 1;
                    }
                }
                over.store(true, Ordering::Relaxed);
                writer.join().unwrap()
            });
            std::fs::remove_file(rotated(&log)).unwrap();
            let whole = parts + &text(&log);
            let wanted = (0..lines).map(|number| format!("line {number}"));
            assert!(whole.lines().eq(wanted), "{lines} lines were written");
        }
    }

    #[test]
    fn what_is_short_is_left_alone_and_what_was_cut_takes_no_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a-1-1.log");
        std::fs::write(&log, "x\n".repeat(50_000)).unwrap();
        assert!(!rotate(&log, 100_000).unwrap() && !rotated(&log).exists());
        assert!(rotate(&log, 99_999).unwrap());
        assert_eq!(text(&log).len(), 100_000);
        let found = std::fs::metadata(&log).unwrap();
        assert!(found.blocks() * 512 <= 8192, "{} blocks", found.blocks());
        assert!(!rotate(&log, 99_999).unwrap(), "what is left is short");
    }
}
