//! Law: no committed text file names a folder of somebody's machine.
//!
//! Whether a path in a text leads anywhere is not asked.

use super::finding::Finding;
use super::source::TextFile;

/// Folders that exist on one machine only; without slashes, so that this file passes.
const FOLDERS: [&str; 3] = ["work", "farm", "root"];

/// Absolute paths of one machine in `files`.
pub(crate) fn findings(files: &[TextFile]) -> Vec<Finding> {
    let patterns = FOLDERS.map(|folder| format!("/{folder}/"));
    let mut found = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(pattern) = patterns.iter().find(|pattern| holds(line, pattern)) {
                let what = format!("`{pattern}` is a path of one machine");
                found.push(Finding::at(&file.path, index + 1, what));
            }
        }
    }
    found
}

/// True when `pattern` begins a path in `line`, rather than being the middle of one.
fn holds(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && !"._-~*})]>".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<String> {
        let file = TextFile { path: "docs/a.md".into(), text: text.into() };
        findings(&[file]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn machine_paths_are_found() {
        for folder in FOLDERS {
            for before in ["", "cd ", "\"", "(", "file://"] {
                let found = check(&format!("a\n{before}/{folder}/b"));
                let expected = format!("docs/a.md:2: `/{folder}/` is a path of one machine");
                assert_eq!(found, [expected], "{before}");
            }
        }
    }

    #[test]
    fn the_middle_of_a_path_is_no_machine_path() {
        for text in
            ["a/work/b", "/proc/1/root/etc", "framework/x", "$HOME/work", "~/root/x", "work/"]
        {
            assert_eq!(check(text), [""; 0], "{text}");
        }
    }
}
