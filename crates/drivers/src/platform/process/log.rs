//! The output of instances: append-only files, their tails, and how many are kept.
//!
//! An instance writes to its file itself; nothing of it goes through us.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::{AppName, InstanceId, ReleaseId};

use super::rotate::rotated;
use crate::words::clean;

/// Lines of a log that are shown.
const TAIL_LINES: usize = 8;
/// Bytes read from its end for them.
const TAIL_BYTES: u64 = 16 * 1024;
/// Logs kept per app, besides those of known instances.
const KEPT: usize = 20;
/// Characters of a line that are shown.
const LINE: usize = 200;

/// Opens a log to be given to a process.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The last lines, made fit for a terminal; empty when there is nothing.
pub(super) fn tail(path: &Path) -> Vec<String> {
    let bytes = end_of(path).unwrap_or_default();
    let lines = bytes.split(|b| *b == b'\n').map(|line| clean(line, LINE));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes the oldest logs of an app beyond the last twenty; those of `known` files stay.
pub(super) fn prune(folder: &Path, app: &AppName, known: &[PathBuf]) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let old = entries.filter(|entry| entry.file_name().to_str().is_some_and(|n| belongs(app, n)));
    let mut logs: Vec<(SystemTime, PathBuf)> = old
        .map(|entry| entry.path())
        .filter(|path| !known.contains(path))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    logs.sort();
    for (_, path) in &logs[..logs.len().saturating_sub(KEPT)] {
        // Mostly there is none.
        drop(fs::remove_file(rotated(path)));
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "an old log could not be removed");
        }
    }
}

/// The log of an instance that runs or ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceLog {
    /// The release.
    pub release: ReleaseId,
    /// The instance's number within it.
    pub number: u32,
    /// The instance.
    pub id: InstanceId,
    /// Where its output is.
    pub path: PathBuf,
}

/// The logs of an app in a folder of logs, by release and number.
pub fn logs_of(folder: &Path, app: &AppName) -> Vec<InstanceLog> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let log = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let (release, number) = numbers(app, &name)?;
        let id = InstanceId(name.strip_suffix(".log")?.to_owned());
        Some(InstanceLog { release: ReleaseId(release), number, id, path: entry.path() })
    };
    let mut logs: Vec<_> = entries.filter_map(log).collect();
    logs.sort();
    logs
}

fn belongs(app: &AppName, name: &str) -> bool {
    numbers(app, name).is_some()
}

/// Release and number of `APP-RELEASE-N.log`.
fn numbers(app: &AppName, name: &str) -> Option<(u32, u32)> {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let rest = name.strip_suffix(".log")?.strip_prefix(app.as_str())?.strip_prefix('-')?;
    let (release, number) = rest.split_once('-').filter(|(r, n)| digits(r) && digits(n))?;
    Some((release.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{belongs, prune, tail};
    use model::AppName;

    #[test]
    fn a_log_belongs_to_one_app_only() {
        let app = AppName::new("a").unwrap();
        assert!(belongs(&app, "a-1-2.log"));
        for other in ["a-1-2-3.log", "b-1-2.log", "a-1-x.log", "a-1-.log", "a-1-2.txt"] {
            assert!(!belongs(&app, other), "{other}");
        }
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let text: String = (0..30).map(|i| ["line ", &i.to_string(), "\r\n\n"].concat()).collect();
        std::fs::write(&path, text).unwrap();
        let lines = tail(&path);
        assert_eq!((lines.len(), lines[7].as_str()), (8, "line 29"));
        assert!(tail(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn old_logs_go_and_known_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |i: u32| folder.path().join(format!("a-1-{i}.log"));
        (1..=25).for_each(|i| std::fs::write(path(i), "x").unwrap());
        std::fs::write(folder.path().join("b-1-1.log"), "x").unwrap();
        prune(folder.path(), &AppName::new("a").unwrap(), &[path(1), path(2)]);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 23);
        assert!(path(1).exists() && path(2).exists());
    }
}
