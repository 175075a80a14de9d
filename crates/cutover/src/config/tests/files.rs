//! Files that cannot be read, and texts nobody would write.
//!
//! Mistakes in a text that can be read are in `mistakes`.

use std::path::Path;

use super::super::{load, template};
use super::drawn;
use super::parse;

fn trouble(path: &Path) -> String {
    drawn(&load(path).unwrap_err())
}

#[test]
fn a_missing_file_names_the_folder_and_the_way_on() {
    let folder = tempfile::tempdir().unwrap();
    let text = trouble(&folder.path().join("cutover.toml"));
    let expected = format!(
        "error: no cutover.toml in {}\n\
         help: write one, or see it work first with `cutover demo`; the shortest is\n      \
         [app.web]\n      command = [\"./server\", \"--port\", \"{{port}}\"]\n",
        folder.path().display()
    );
    assert_eq!(text, expected);
}

#[test]
fn odd_files_are_named_for_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    assert!(trouble(folder.path()).contains("is a directory"));
    let path = folder.path().join("binary.toml");
    std::fs::write(&path, b"a = 1\n\xff\n").unwrap();
    assert!(trouble(&path).contains("is not UTF-8 text, see line 2"), "{}", trouble(&path));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(trouble(&path).contains("larger than 1 MiB"));
    assert!(trouble(Path::new("/dev/zero")).contains("larger than 1 MiB"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = "\u{feff}[app.web]\r\ncommand = [\"a\"]\r\n";
    assert!(parse(text, "cutover.toml").is_ok());
    let text = "[app.web]\r\ncomand = [\"a\"]\r\n";
    let found = parse(text, "cutover.toml").unwrap_err();
    assert!(drawn(&found).contains("cutover.toml:2:1"), "{}", drawn(&found));
}

#[test]
fn control_characters_of_the_file_never_reach_the_terminal() {
    let text =
        "\"x\\u001b[31m\\u202e\" = 1\n[app.web]\ncommand = [\"\\u0007{x\\u001b}\", \"{y}\"]\n";
    let found = parse(text, "a\u{1b}b").unwrap_err();
    let drawn = drawn(&found);
    let bad = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
    assert!(!drawn.contains(bad), "{drawn:?}");
    assert!(drawn.contains("\\u{1b}[31m"), "{drawn}");
}

/// No text may make the reader panic: the template with pieces removed, doubled and replaced.
#[test]
fn damaged_files_are_refused_or_taken_but_never_a_panic() {
    let pieces = ["", "\"", "[", "]", "{", "}", "=", "\n", "é", "0", "{port", "\u{0}", "'''", "."];
    let text = template();
    let mut refused = 0;
    for (at, _) in text.char_indices().step_by(29) {
        for (n, piece) in pieces.iter().enumerate() {
            let cut = (at + n).min(text.len());
            let damaged = format!("{}{piece}{}", &text[..at], text.get(cut..).unwrap_or(""));
            if let Err(found) = parse(&damaged, "cutover.toml") {
                refused += 1;
                assert!(!found.is_empty());
                drop(drawn(&found[..1]));
            }
        }
    }
    assert!(refused > 1000, "only {refused}");
}
