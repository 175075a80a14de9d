//! Law: the modules inside a crate point in one direction.
//!
//! An arrow goes from a module to every module its paths name. Two modules are compared as children
//! of their nearest common parent, so the law holds at every level; a parent and its own
//! descendants may know each other. Test code does not count. Names brought in by a macro or by a
//! glob are not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::cycle::{Graph, cycles};
use super::finding::Finding;
use super::mention::{Module, mentions};
use super::source::Source;

/// One module of a crate.
#[derive(Debug)]
struct Room<'s, 't> {
    module: Module,
    source: &'s Source<'t>,
    /// Names that `use` brings in, and what they stand for.
    imports: BTreeMap<String, Module>,
}

/// An arrow from a child of `parent` to another.
#[derive(Debug)]
struct Arrow {
    parent: Module,
    from: String,
    to: String,
    path: String,
    line: usize,
}

/// Cycles between modules, one finding per cycle.
pub(crate) fn findings(sources: &[Source<'_>]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Vec<Room<'_, '_>>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        if let Some((folder, module)) = module_of(source.path) {
            crates.entry(folder).or_default().push(Room {
                module,
                source,
                imports: BTreeMap::new(),
            });
        }
    }
    crates.into_values().flat_map(in_crate).collect()
}

/// The `src` folder of the crate and the module that the file at `path` holds.
fn module_of(path: &str) -> Option<(&str, Module)> {
    let end = path.find("src/")? + "src/".len();
    let (folder, inside) = path.split_at(end);
    let mut module: Module =
        inside.strip_suffix(".rs")?.split('/').map(ToOwned::to_owned).collect();
    if module.first().is_some_and(|first| first == "bin") {
        return None;
    }
    let last = module.last().map_or("", String::as_str);
    if last == "mod" || (module.len() == 1 && matches!(last, "lib" | "main")) {
        module.pop();
    }
    Some((folder, module))
}

fn in_crate(mut rooms: Vec<Room<'_, '_>>) -> Vec<Finding> {
    let known: BTreeSet<Module> = rooms.iter().map(|room| room.module.clone()).collect();
    for room in &mut rooms {
        let mentions = mentions(&room.module, &room.source.product, &known);
        room.imports = mentions.into_iter().map(|m| (m.name, m.target)).collect();
    }
    let imports: BTreeMap<&Module, &BTreeMap<String, Module>> =
        rooms.iter().map(|room| (&room.module, &room.imports)).collect();
    let mut arrows = Vec::new();
    for room in &rooms {
        for mention in mentions(&room.module, &room.source.product, &known) {
            let target = resolve(mention.target, &known, &imports);
            arrows.extend(arrow(room, &target, mention.line));
        }
    }
    let parents: BTreeSet<&Module> = arrows.iter().map(|arrow| &arrow.parent).collect();
    parents.into_iter().flat_map(|parent| among_children(parent, &arrows)).collect()
}

/// Follows `path` to the module that holds the thing it names, through names that modules on the
/// way bring in from elsewhere.
fn resolve(
    mut path: Module,
    known: &BTreeSet<Module>,
    imports: &BTreeMap<&Module, &BTreeMap<String, Module>>,
) -> Module {
    // A bound instead of a record of what was visited: re-exports that go in a circle do not build.
    for _ in 0..8 {
        let depth = (0..=path.len()).rev().find(|n| known.contains(&path[..*n])).unwrap_or(0);
        let holder = path[..depth].to_vec();
        let next = path.get(depth).and_then(|name| imports.get(&holder)?.get(name));
        match next {
            Some(target) if !target.starts_with(&path[..=depth]) => {
                path = [target.as_slice(), &path[depth + 1..]].concat();
            }
            _ => return holder,
        }
    }
    path
}

/// The arrow that a mention makes, unless one module is the other's ancestor.
fn arrow(room: &Room<'_, '_>, target: &Module, line: usize) -> Option<Arrow> {
    let shared = room.module.iter().zip(target).take_while(|(a, b)| a == b).count();
    Some(Arrow {
        parent: room.module[..shared].to_vec(),
        from: room.module.get(shared)?.clone(),
        to: target.get(shared)?.clone(),
        path: room.source.path.to_owned(),
        line,
    })
}

fn among_children(parent: &Module, arrows: &[Arrow]) -> Vec<Finding> {
    let here: Vec<&Arrow> = arrows.iter().filter(|arrow| arrow.parent == *parent).collect();
    let mut graph = Graph::new();
    for arrow in &here {
        graph.entry(arrow.from.clone()).or_default().insert(arrow.to.clone());
    }
    let witness = |from: &String, to: &String| {
        here.iter().find(|arrow| arrow.from == *from && arrow.to == *to)
    };
    let described = cycles(&graph).into_iter().filter_map(|cycle| {
        let steps = cycle.iter().zip(cycle.iter().cycle().skip(1));
        let words: Vec<String> = steps
            .filter_map(|(from, to)| {
                let arrow = witness(from, to)?;
                Some(format!("{from} -> {to} ({}:{})", arrow.path, arrow.line))
            })
            .collect();
        let first = witness(&cycle[0], cycle.get(1)?)?;
        let what = format!("modules in a circle: {}", words.join(", "));
        Some(Finding::at(&first.path, first.line, what))
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::{TextFile, sources};
    use super::*;

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let text_file = |(path, text): &(&str, &str)| TextFile {
            path: format!("crates/x/src/{path}"),
            text: (*text).to_owned(),
        };
        let files: Vec<TextFile> = files.iter().map(text_file).collect();
        findings(&sources(&files)).iter().map(ToString::to_string).collect()
    }

    fn one(files: &[(&str, &str)], circle: &str) {
        let found = check(files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("modules in a circle: {circle}")), "{found:?}");
    }

    const CIRCLE: &str = "a -> b (crates/x/src/a.rs:1), b -> a (crates/x/src/b.rs:2)";

    #[test]
    fn one_direction_passes() {
        let found = check(&[
            ("lib.rs", "mod a; mod b; pub use a::A; use crate::b::B;"),
            ("a.rs", "use crate::b::{B, C}; fn f() { super::b::g(); serde::a::h(); }"),
            ("b.rs", "use std::a; use serde::a::A; pub(crate) struct B; impl B { fn f(self) {} }"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn circles_are_found_however_they_are_written() {
        let back = [
            "\nuse crate::a::A;",
            "\nuse crate::{a::{self as other}, c};",
            "\nuse super::a;",
            "\nfn f() -> crate::a::A {}",
            "\nmod inner { use super::super::a::A; }",
            "mod inner { fn f() {} }\nuse super::a::*;",
            "mod inner { use {std::b}; }\nuse super::{a};",
        ];
        for text in back {
            one(&[("lib.rs", ""), ("a.rs", "use crate::b::B;"), ("b.rs", text)], CIRCLE);
        }
    }

    #[test]
    fn names_are_followed_through_re_exports() {
        let root = "mod a; mod b; pub use a::A; pub use b::B as C;";
        one(&[("lib.rs", root), ("a.rs", "use crate::C;"), ("b.rs", "\nuse crate::A;")], CIRCLE);
    }

    #[test]
    fn modules_are_followed_through_re_exports() {
        let root = ("lib.rs", "pub use p::a::{self};");
        let files =
            [root, ("b.rs", "use crate::a::A;"), ("p.rs", ""), ("p/a.rs", "use crate::b::B;")];
        one(&files, "b -> p (crates/x/src/b.rs:1), p -> b (crates/x/src/p/a.rs:1)");
    }

    #[test]
    fn longer_circles_are_found() {
        let files = [
            ("main.rs", ""),
            ("a.rs", "use crate::b::c::D;"),
            ("b/mod.rs", ""),
            ("b/c.rs", "use crate::e;"),
            ("e.rs", "use crate::a::A;"),
        ];
        let circle = "a -> b (crates/x/src/a.rs:1), b -> e (crates/x/src/b/c.rs:1), \
            e -> a (crates/x/src/e.rs:1)";
        one(&files, circle);
    }

    #[test]
    fn siblings_below_the_top_are_compared_too() {
        let files =
            [("p.rs", ""), ("p/a.rs", "use super::b::B;"), ("p/b.rs", "use crate::p::a::A;")];
        one(&files, "a -> b (crates/x/src/p/a.rs:1), b -> a (crates/x/src/p/b.rs:1)");
    }

    #[test]
    fn parents_and_children_may_know_each_other() {
        let found = check(&[
            ("lib.rs", "mod a; use a::A;"),
            ("a/mod.rs", "mod b; pub(crate) use b::B; use self::b::C;"),
            ("a/b.rs", "use super::A; use crate::Root;"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn test_code_does_not_count() {
        let found = check(&[
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "#[cfg(test)]\nmod tests { use crate::a::A; }\n// crate::a::A\n"),
            ("b/more.rs", "const TEXT: &str = \"crate::a::A\";"),
        ]);
        assert_eq!(found, [""; 0]);
    }
}
