//! Laws about crates: who may depend on whom, and that ARCHITECTURE.md has a section on each.
//!
//! Cargo refuses cycles; it does not know that the middle crates must stay strangers. Reads
//! manifests line by line, which is enough for the way ours are written.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::source::TextFile;

/// What each crate of the workspace may depend on, tests included. `cutover` may know everyone;
/// `fuzz` and `aside` belong to tests and are part of nothing.
const ARROWS: [(&str, &[&str]); 14] = [
    ("aside", &[]),
    ("fuzz", &[]),
    ("model", &["fuzz"]),
    ("rollout", &["model"]),
    ("check", &["model", "fuzz"]),
    ("trust", &["model"]),
    ("drivers", &["model", "check", "trust", "fuzz", "aside"]),
    ("tcpinfo", &[]),
    ("proxy", &["model", "check", "tcpinfo", "fuzz", "aside"]),
    ("probe", &["model", "trust", "fuzz"]),
    ("report", &["model", "fuzz", "aside"]),
    (
        "cutover",
        &["model", "rollout", "drivers", "proxy", "probe", "report", "trust", "fuzz", "aside"],
    ),
    ("bench", &["model", "probe"]),
    ("xtask", &[]),
];

/// Breaches of the laws about crates.
pub(crate) fn findings(files: &[TextFile]) -> Vec<Finding> {
    let manifests: BTreeMap<&str, &TextFile> =
        files.iter().filter_map(|file| Some((crate_name(&file.path)?, file))).collect();
    let mut found = Vec::new();
    for (name, manifest) in &manifests {
        found.extend(forbidden(name, manifest, &manifests));
    }
    let map = files.iter().find(|file| file.path == "ARCHITECTURE.md");
    let text = map.map_or("", |file| &file.text);
    for name in manifests.keys().filter(|name| !has_section(text, name)) {
        let what = format!("no section on the crate `{name}`");
        found.push(Finding::at("ARCHITECTURE.md", 1, what));
    }
    found
}

/// Name of the crate whose manifest `path` is.
fn crate_name(path: &str) -> Option<&str> {
    let folder = path.strip_suffix("/Cargo.toml")?;
    let name = folder.strip_prefix("crates/").unwrap_or(folder);
    (!name.contains('/')).then_some(name)
}

/// True when a heading of `map` has `name` as one of its words.
fn has_section(map: &str, name: &str) -> bool {
    let headings = map.lines().filter(|line| line.starts_with('#'));
    let mut words = headings.flat_map(|heading| heading.split(|c: char| !c.is_alphanumeric()));
    words.any(|word| word == name)
}

fn forbidden(name: &str, manifest: &TextFile, ours: &BTreeMap<&str, &TextFile>) -> Vec<Finding> {
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        let what = format!("no law says what the crate `{name}` may depend on: add it to xtask");
        return vec![Finding::at(&manifest.path, 1, what)];
    };
    let mut found = Vec::new();
    for (line, words) in dependencies(&manifest.text) {
        for other in words {
            if ours.contains_key(other) && other != name && !allowed.contains(&other) {
                let what = format!("`{name}` must not depend on `{other}`");
                found.push(Finding::at(&manifest.path, line, what));
            }
        }
    }
    found
}

/// Line and possible crate names of every dependency: the key, the package it renames, the last
/// part of its path.
fn dependencies(manifest: &str) -> Vec<(usize, Vec<&str>)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.contains("dependencies");
            if let Some((_, name)) = table.split_once("dependencies.") {
                found.push((index + 1, vec![name.trim_matches('"')]));
            }
        } else if inside && !line.starts_with('#') {
            let key = line.split(['.', '=', ' ']).next().unwrap_or_default();
            let quoted = line.split('"').skip(1).step_by(2);
            let ends = quoted.map(|value| value.rsplit('/').next().unwrap_or(value));
            found.push((index + 1, [key].into_iter().chain(ends).collect()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# Rooms\n## model\n## `proxy`: carries\n## probe\n`extra`";

    fn check(manifests: &[(&str, &str)], map: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let mut files: Vec<TextFile> = manifests.iter().map(|(p, t)| file(p, t)).collect();
        files.push(file("ARCHITECTURE.md", map));
        findings(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn allowed_arrows_pass() {
        let proxy =
            "[package]\nname = \"probe\"\n[dependencies]\nmodel.workspace = true\nbytes = \"1\"";
        let files = [
            ("crates/model/Cargo.toml", "[dependencies]\nserde = \"1\"\n# proxy = \"1\""),
            ("crates/probe/Cargo.toml", ""),
            ("crates/proxy/Cargo.toml", proxy),
        ];
        assert_eq!(check(&files, MAP), [""; 0]);
    }

    #[test]
    fn forbidden_arrows_are_found() {
        let expected = ["crates/proxy/Cargo.toml:2: `proxy` must not depend on `probe`"];
        for manifest in [
            "[dependencies]\nprobe.workspace = true",
            "[dev-dependencies]\nprobe = { workspace = true }",
            "[dependencies]\np = { path = \"../probe\" }",
            "[target.'cfg(unix)'.dependencies]\np = { package = \"probe\", version = \"1\" }",
            "\n[build-dependencies.probe]\nworkspace = true",
        ] {
            let files = [("crates/probe/Cargo.toml", ""), ("crates/proxy/Cargo.toml", manifest)];
            assert_eq!(check(&files, MAP), expected, "{manifest}");
        }
        let model = [
            ("crates/model/Cargo.toml", "[dependencies]\nproxy.workspace = true"),
            ("crates/proxy/Cargo.toml", ""),
        ];
        let expected = ["crates/model/Cargo.toml:2: `model` must not depend on `proxy`"];
        assert_eq!(check(&model, MAP), expected);
    }

    #[test]
    fn new_crates_need_a_law_and_a_section() {
        let found = check(&[("crates/extra/Cargo.toml", "")], MAP);
        assert!(found[1].contains("no section on the crate `extra`"), "{found:?}");
        assert!(found[0].contains("no law says"), "{found:?}");
    }

    #[test]
    fn a_missing_map_is_found() {
        let file = TextFile { path: "xtask/Cargo.toml".into(), text: String::new() };
        let found = findings(&[file]);
        assert_eq!(found[0].to_string(), "ARCHITECTURE.md:1: no section on the crate `xtask`");
    }
}
