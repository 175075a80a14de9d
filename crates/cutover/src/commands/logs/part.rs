//! The last lines of one instance's log, with what was cut out of its front. It reads, and sorts nothing.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use drivers::platform::process::{begin, rotated};

use super::moment;

/// Most that is read of the end of a log, bytes.
const READ_MOST: u64 = 16 << 20;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Who wrote it.
    pub(super) instance: String,
    /// When, as it says itself or as the lines before it say; else when the log was last written to.
    pub(super) at_unix_ms: u64,
    /// What.
    pub(super) text: Vec<u8>,
}

/// The last `most` lines of a log.
pub(super) fn last_lines(log: &Path, most: usize, instance: &str) -> Vec<Line> {
    let mut bytes = end_of(log, READ_MOST);
    let enough = bytes.split(|byte| *byte == b'\n').count() > most.saturating_add(1);
    let left = READ_MOST.saturating_sub(bytes.len() as u64);
    if !enough && left > 0 {
        let mut before = end_of(&rotated(log), left);
        before.append(&mut bytes);
        bytes = before;
    }
    let lines: Vec<&[u8]> =
        bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|b| *b == b'\n').collect();
    let lines = if bytes.is_empty() { Vec::new() } else { lines };
    let written = std::fs::metadata(log).and_then(|found| found.modified());
    let mut at_unix_ms = None;
    let first = lines.len().saturating_sub(most);
    // What comes before a line with a time is no later than it.
    let earliest = lines.iter().find_map(|line| moment::of(line));
    let fallback = earliest.or_else(|| written.ok().map(moment::unix_ms)).unwrap_or_default();
    let line = |text: &&[u8]| {
        at_unix_ms = moment::of(text).or(at_unix_ms);
        let at_unix_ms = at_unix_ms.unwrap_or(fallback);
        Line { instance: instance.to_owned(), at_unix_ms, text: text.to_vec() }
    };
    lines[first..].iter().map(line).collect()
}

/// The last bytes of a file, without a hole at its front; none when it cannot be read.
fn end_of(path: &Path, most: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let from = begin(&file)?.max(file.metadata()?.len().saturating_sub(most));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::last_lines;
    use drivers::platform::process::{rotate, rotated};

    #[test]
    fn what_was_rotated_comes_before_what_is_there_and_no_line_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a-1-1.log");
        let text: String = (0..2_000).map(|n| ["line ", &n.to_string(), "\n"].concat()).collect();
        std::fs::write(&log, &text).unwrap();
        assert!(rotate(&log, 8_192).unwrap() && rotated(&log).exists());
        let lines = last_lines(&log, 1_500, "a-1-1");
        let told: Vec<String> =
            lines.iter().map(|line| String::from_utf8(line.text.clone()).unwrap()).collect();
        assert_eq!(told.len(), 1_500);
        assert!(told.iter().eq(text.lines().skip(500).collect::<Vec<_>>()), "{:?}", told[0]);
        assert!(last_lines(&log, 0, "a-1-1").is_empty());
        assert!(last_lines(&folder.path().join("none.log"), 9, "x").is_empty());
    }

    #[test]
    fn a_line_without_a_time_belongs_to_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a-1-1.log");
        std::fs::write(&log, "begin\n1970-01-01T00:00:02Z one\n  more\n1970-01-01T00:00:05Z two")
            .unwrap();
        let times: Vec<u64> = last_lines(&log, 9, "a").iter().map(|line| line.at_unix_ms).collect();
        assert_eq!(times, [2_000, 2_000, 2_000, 5_000]);
    }
}
