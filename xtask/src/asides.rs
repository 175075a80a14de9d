//! What passing tests had to say: collected in one file, shown in few lines.
//!
//! Tests write it with the crate `aside`. Nothing is decided by it: a run in which much was left out passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Environment variable that tells tests where (`aside::FILE`).
pub(crate) const FILE: &str = "CUTOVER_ASIDES";

/// A new empty file of this run.
///
/// # Errors
/// When it cannot be made, in words.
pub(crate) fn begin(root: &Path, mark: &str) -> Result<PathBuf, String> {
    let path = root.join("target").join(format!("asides-{mark}"));
    fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// What is in it, for people; the file goes. Nothing when nothing was said.
pub(crate) fn end(path: &Path) -> String {
    let said = fs::read_to_string(path).unwrap_or_else(|error| format!("not read: {error}\t\n"));
    // It lies in a folder of built things; the next clean takes what could not be removed now.
    let _ = fs::remove_file(path);
    summary(&said)
}

/// The same words of several tests are one line.
fn summary(said: &str) -> String {
    let mut by_words: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (words, test) in said.lines().filter_map(|line| line.split_once('\t')) {
        by_words.entry(words).or_default().push(test);
    }
    let line = |(words, tests): (&str, Vec<&str>)| {
        let more = match tests.len() {
            1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        format!("  {words} ({}{more})\n", tests[0])
    };
    by_words.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{begin, end, summary};

    #[test]
    fn the_same_words_are_one_line() {
        let said = "skipped: no nginx\ta::b\nno verdict\tc::d\nskipped: no nginx\te::f\n";
        let wanted = "  no verdict (c::d)\n  skipped: no nginx (a::b and 1 more)\n";
        assert_eq!(summary(said), wanted);
        assert_eq!(summary(""), "");
    }

    #[test]
    fn a_file_that_is_gone_is_said() {
        let root = std::env::temp_dir().join(format!("asides-of-{}", std::process::id()));
        std::fs::create_dir_all(root.join("target")).unwrap();
        let path = begin(&root, "1").unwrap();
        assert_eq!(end(&path), "");
        assert!(end(&path).contains("not read"), "it was removed");
        std::fs::remove_dir_all(root).unwrap();
    }
}
