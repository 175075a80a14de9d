//! Following logs that grow: what was written since the last look, also across a rotation.
//!
//! Whole lines only. An instance that appears is followed from its first line on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use drivers::platform::process::rotated;

use super::part::Line;
use super::{Source, length, moment};

/// Pause between two looks: a file that grows cannot be waited for in a portable way.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Most that is read of one log in one look, bytes.
const READ_MOST: u64 = 1 << 20;

/// How far each log was read.
#[derive(Debug, Default)]
pub(super) struct Followed {
    at: BTreeMap<PathBuf, At>,
}

/// How far one log was read.
#[derive(Debug, Default)]
struct At {
    /// Up to here, in the file as it was then.
    position: u64,
    /// The beginning of a line whose end was not there yet.
    begun: Vec<u8>,
}

impl Followed {
    /// What is there already is not told.
    pub(super) fn skip_what_is_there(&mut self, sources: &[Source]) {
        for source in sources {
            let path = source.log.path.clone();
            let at = At { position: length(&path), begun: Vec::new() };
            self.at.insert(path, at);
        }
    }

    /// What was written since the last look.
    pub(super) fn news(&mut self, sources: &[Source]) -> Vec<Line> {
        let mut lines = Vec::new();
        for source in sources {
            let at = self.at.entry(source.log.path.clone()).or_default();
            let mut bytes = std::mem::take(&mut at.begun);
            bytes.extend(at.read(&source.log.path));
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            at.begun = bytes.split_off(whole);
            let now = moment::unix_ms(SystemTime::now());
            let line = |text: &[u8]| Line {
                instance: source.log.id.0.clone(),
                at_unix_ms: now,
                text: text.strip_suffix(b"\n").unwrap_or(text).to_vec(),
            };
            lines.extend(bytes.split_inclusive(|byte| *byte == b'\n').map(line));
        }
        lines
    }
}

impl At {
    /// Reads on. A file that is shorter than before was rotated: what was cut out lies beside.
    fn read(&mut self, path: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        if length(path) < self.position {
            let cut = length(&rotated(path));
            bytes = read(&rotated(path), self.position);
            self.position = self.position.saturating_sub(cut);
        }
        let news = read(path, self.position);
        self.position += news.len() as u64;
        bytes.extend(news);
        bytes
    }
}

/// What stands in a file from there on; nothing when it cannot be read.
fn read(path: &Path, from: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(READ_MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use drivers::platform::process::{InstanceLog, rotate};
    use model::{InstanceId, ReleaseId};

    use super::{Followed, Source};

    #[test]
    fn every_line_is_told_once_also_across_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a-1-1.log");
        std::fs::write(&path, "old\n").unwrap();
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        let (release, id) = (ReleaseId(1), InstanceId("a-1-1".into()));
        let log = InstanceLog { release, number: 1, id, path: path.clone() };
        let sources = [Source { log, version: None }];
        let mut followed = Followed::default();
        followed.skip_what_is_there(&sources);
        let mut told = Vec::new();
        let mut tell = |followed: &mut Followed| {
            let lines = followed.news(&sources).into_iter();
            told.extend(lines.map(|line| String::from_utf8(line.text).unwrap()));
        };
        let mut rotations = 0;
        for number in 0..5_000 {
            write!(file, "line").unwrap();
            if number % 7 == 0 {
                tell(&mut followed);
            }
            writeln!(file, " {number}").unwrap();
            if number % 100 == 0 {
                rotations += usize::from(rotate(&path, 8_192).unwrap());
                tell(&mut followed);
            }
        }
        tell(&mut followed);
        assert!(rotations > 2);
        assert!(told.iter().eq((0..5_000).map(|n| format!("line {n}")).collect::<Vec<_>>().iter()));
    }
}
