//! Which files the laws speak about: text files that are committed or could be.
//!
//! Git knows; without git (an unpacked archive) every file outside build and hidden folders counts.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::source::TextFile;

/// All text files of the workspace at `root`, sorted by path. Files that are not UTF-8 are left out.
pub(crate) fn text_files(root: &Path) -> Result<Vec<TextFile>, String> {
    let mut paths = match git_paths(root) {
        Some(paths) => paths,
        None => walked_paths(root)?,
    };
    paths.sort();
    paths.dedup();
    // A file that git still lists may have been deleted; binary files do not read as text.
    let read = |path: String| {
        let text = fs::read_to_string(root.join(&path)).ok()?;
        Some(TextFile { path, text })
    };
    let files: Vec<TextFile> = paths.into_iter().filter_map(read).collect();
    if files.iter().any(|file| file.path == "Cargo.toml") {
        Ok(files)
    } else {
        Err(format!("no Cargo.toml among the {} files of {}", files.len(), root.display()))
    }
}

/// Tracked and not ignored files, or nothing when there is no git or no repository.
fn git_paths(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "-co", "--exclude-standard"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let listed = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> =
        listed.split('\0').filter(|path| !path.is_empty()).map(ToOwned::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walked_paths(root: &Path) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        let entries = fs::read_dir(&here)
            .map_err(|error| format!("cannot list the folder {}: {error}", here.display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && name != "target" && name != ".git" => {
                    folders.push(path);
                }
                Ok(kind) if kind.is_file() => paths.push(path),
                _ => {}
            }
        }
    }
    Ok(paths)
}
