//! Laws about one Rust file: its opening, its length, words that must not be committed.
//!
//! Lengths of functions and counts of parameters are clippy's affair. Whether an opening is true is for
//! readers to see.

use super::finding::Finding;
use super::lex::{Kind, Token};
use super::source::Source;

/// A product file longer than this breaks the law, in lines.
const MOST_LINES: usize = 500;
/// A product file longer than this is worth a note, in lines.
const MANY_LINES: usize = 300;

/// Macros that stand for work not done.
const UNFINISHED: [&str; 3] = ["todo", "dbg", "unimplemented"];
/// Words in comments that stand for work not done, in two pieces so that this file passes.
const PROMISES: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];

/// Words by which an opening says what a file does not do.
const LIMITS: [&str; 12] = [
    "not",
    "no",
    "nothing",
    "never",
    "nobody",
    "none",
    "nor",
    "neither",
    "only",
    "elsewhere",
    "without",
    "cannot",
];
/// The same, said by where something stands or whose it is.
const LEFT_TO: [&str; 6] = [" in `", "'s.", "'s;", "'s affair", "' affair", "left out"];

/// Breaches of the law in one file.
pub(crate) fn findings(source: &Source<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(opening(source.text).map(|what| Finding::at(source.path, 1, what)));
    let lines = source.text.lines().count();
    if !source.is_test && lines > MOST_LINES {
        let what = format!("{lines} lines, {MOST_LINES} at most: split it by idea");
        found.push(Finding::at(source.path, lines, what));
    }
    let code = &source.code;
    found.extend((0..code.len()).filter_map(|at| unfinished(source.path, &code[at..])));
    let product = &source.product;
    found.extend((0..product.len()).filter_map(|at| super_glob(source.path, &product[at..])));
    found.extend(source.comments.iter().filter_map(|comment| promise(source.path, comment)));
    found
}

/// Remarks that break no law.
pub(crate) fn notes(source: &Source<'_>) -> Option<Finding> {
    let lines = source.text.lines().count();
    let long = !source.is_test && (MANY_LINES + 1..=MOST_LINES).contains(&lines);
    long.then(|| Finding::at(source.path, lines, format!("{lines} lines, most files have less")))
}

/// What the opening of a file lacks.
fn opening(text: &str) -> Option<&'static str> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let head: Vec<&str> = lines.map(str::trim).collect();
    if head.is_empty() {
        return Some("a file opens with `//!`: what it is and what it does not do");
    }
    let what =
        "the opening does not say where the file ends: what it leaves to whom, or must not do";
    (!tells_a_limit(&head.join(" "))).then_some(what)
}

fn tells_a_limit(head: &str) -> bool {
    let mut words = head.split(|letter: char| !letter.is_alphanumeric());
    words.any(|word| LIMITS.iter().any(|limit| word.eq_ignore_ascii_case(limit)))
        || LEFT_TO.iter().any(|phrase| head.contains(phrase))
}

/// `todo!`, `dbg!`, or `#[ignore]` without a reason, at the beginning of `code`.
fn unfinished(path: &str, code: &[Token<'_>]) -> Option<Finding> {
    let first = code.first()?;
    let follows = |texts: &[&str]| {
        code.len() > texts.len()
            && code[1..].iter().zip(texts).all(|(token, text)| token.text == *text)
    };
    if first.kind == Kind::Word && UNFINISHED.contains(&first.text) && follows(&["!"]) {
        let what = format!("`{}!` must not be committed", first.text);
        return Some(Finding::at(path, first.line, what));
    }
    if first.text == "#" && follows(&["[", "ignore", "]"]) {
        let what = "`#[ignore]` needs a reason: `#[ignore = \"...\"]`";
        return Some(Finding::at(path, first.line, what));
    }
    None
}

/// `super::*` or `super::{a, *}` at the beginning of `code`.
fn super_glob(path: &str, code: &[Token<'_>]) -> Option<Finding> {
    let [first, second, third, ..] = code else {
        return None;
    };
    if first.text != "super" || second.text != "::" {
        return None;
    }
    let glob = if third.text == "{" { glob_in_group(&code[2..])? } else { third };
    let what = "`use super::*` belongs in `#[cfg(test)] mod tests` only: name what is used";
    (glob.text == "*").then(|| Finding::at(path, glob.line, what))
}

/// A `*` that stands directly in the braces that `group` begins with.
fn glob_in_group<'g, 't>(group: &'g [Token<'t>]) -> Option<&'g Token<'t>> {
    let mut depth = 0;
    for pair in group.windows(2) {
        match pair[0].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return None;
        }
        if depth == 1 && matches!(pair[0].text, "{" | ",") && pair[1].text == "*" {
            return Some(&pair[1]);
        }
    }
    None
}

fn promise(path: &str, comment: &Token<'_>) -> Option<Finding> {
    let words = |line: &str| {
        line.split(|letter: char| !letter.is_alphanumeric())
            .find_map(|word| PROMISES.into_iter().find(|promise| *promise == word))
    };
    let (offset, word) =
        comment.text.lines().enumerate().find_map(|(i, l)| Some((i, words(l)?)))?;
    let what = format!("`{word}` in a comment: do it, or open an issue");
    Some(Finding::at(path, comment.line + offset, what))
}

#[cfg(test)]
mod tests {
    use super::super::source::{TextFile, sources};
    use super::*;

    fn check(path: &str, text: &str) -> Vec<String> {
        let files = [TextFile { path: path.into(), text: text.into() }];
        findings(&sources(&files)[0]).iter().map(ToString::to_string).collect()
    }

    fn one(text: &str, expected: &str) {
        let found = check("crates/a/src/b.rs", text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(expected), "{text}: {found:?}");
    }

    #[test]
    fn a_good_file_passes() {
        let text = "//! Good, not bad.\nfn f() { g(\"todo!() FIXME\") } // todo!() `#[ignore]`\n\
            #[cfg(test)]\nmod tests { use super::*; #[ignore = \"slow\"] fn t() {} }\n";
        assert_eq!(check("crates/a/src/b.rs", text), [""; 0]);
    }

    #[test]
    fn openings_are_required() {
        one("use a::b;\n", "b.rs:1: a file opens with");
        one("", "b.rs:1: a file opens with");
    }

    #[test]
    fn openings_say_where_the_file_ends() {
        let lacks = "b.rs:1: the opening does not say where";
        one("//! Reads `[proxy]`.\n", lacks);
        one("//! Notes on knots: nobler nones.\n//!\n//! Norms.\nfn f() {}\n", lacks);
        one("//! Opens.\n// It is not read on.\nfn f() {}\n", lacks);
        one("//! Opens.\n\n//! It is not read on.\n", lacks);
        let ends = [
            "It opens no file.",
            "Nothing\n//! is read.",
            "What it means is in `b`.",
            "What it means is\n//! in `b`.",
            "Sending is the caller's.",
            "Names are the b's affair.",
        ];
        for end in ends {
            let text = format!("//! Opens.\n//!\n//! {end}\n\nfn f() {{}}\n");
            assert_eq!(check("crates/a/src/b.rs", &text), [""; 0], "{end}");
        }
        assert_eq!(check("crates/a/tests/b.rs", "//! Opens.\n").len(), 1, "tests have one too");
    }

    #[test]
    fn unfinished_work_is_found() {
        one("//! No.\nfn f() { todo!() }", "b.rs:2: `todo!`");
        one("//! No.\n\nfn f() { std::dbg !(1); }", "b.rs:3: `dbg!`");
        one("//! No.\n#[ignore]\nfn f() {}", "b.rs:2: `#[ignore]` needs");
        one("//! No.\n#[cfg(test)] mod tests { #[ignore] fn f() {} }", "b.rs:2: `#[ignore]` needs");
        one(&format!("//! No.\n/* b\n {}: c */", PROMISES[0]), "b.rs:3: `FIXME`");
        one(&format!("//! No.\nf(); // {}(me)", PROMISES[1]), "b.rs:2: `TODO`");
    }

    #[test]
    fn super_globs_are_found_outside_tests_only() {
        one("//! No.\nuse super::*;", "b.rs:2: `use super::*`");
        one("//! No.\npub use super::{super::*, c};", "b.rs:2: `use super::*`");
        assert_eq!(check("crates/a/src/b.rs", "//! No.\nuse super::b::*;"), [""; 0]);
        assert_eq!(check("crates/a/tests/b.rs", "//! No.\nuse super::*;"), [""; 0]);
    }

    #[test]
    fn long_files_are_found() {
        let text = |lines: usize| format!("//! No.{}", "\n// b".repeat(lines - 1));
        one(&text(501), "501 lines, 500 at most");
        assert_eq!(check("crates/a/src/b.rs", &text(500)), [""; 0]);
        assert_eq!(check("crates/a/tests/b.rs", &text(501)), [""; 0]);
    }

    #[test]
    fn fairly_long_files_are_noted() {
        let noted = |lines: usize| {
            let text = format!("//! No.{}", "\n// b".repeat(lines - 1));
            let files = [TextFile { path: "crates/a/src/b.rs".into(), text }];
            notes(&sources(&files)[0]).is_some()
        };
        assert_eq!([300, 301, 500, 501].map(noted), [false, true, true, false]);
    }
}
