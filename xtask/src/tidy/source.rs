//! A Rust file as the laws see it: its tokens, and which of them are product code.
//!
//! Product code is everything outside `#[cfg(test)]` items and test files. Knows no law.

use super::lex::{Kind, Token, lex};

/// A text file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// Path from the root of the workspace, with `/`.
    pub(crate) path: String,
    /// Content.
    pub(crate) text: String,
}

/// A Rust file.
#[derive(Debug)]
pub(crate) struct Source<'t> {
    /// Path from the root of the workspace, with `/`.
    pub(crate) path: &'t str,
    /// Content.
    pub(crate) text: &'t str,
    /// Everything but comments.
    pub(crate) code: Vec<Token<'t>>,
    /// Comments.
    pub(crate) comments: Vec<Token<'t>>,
    /// `code` without tests; empty in a test file.
    pub(crate) product: Vec<Token<'t>>,
    /// Only built for tests: under `tests/` or `benches/`, or a module behind `#[cfg(test)]`.
    pub(crate) is_test: bool,
}

/// Reads every `.rs` file among `files`.
pub(crate) fn sources(files: &[TextFile]) -> Vec<Source<'_>> {
    let rust = files.iter().filter(|file| has_extension(&file.path, "rs"));
    let mut test_files = Vec::new();
    let mut all: Vec<Source<'_>> = rust.map(|file| source(file, &mut test_files)).collect();
    for source in &mut all {
        let below = |stem: &String| {
            source
                .path
                .strip_prefix(stem)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if test_files.iter().any(below) {
            source.is_test = true;
            source.product.clear();
        }
    }
    all
}

/// True when `path` ends in a dot and `extension`.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| end == extension)
}

fn source<'t>(file: &'t TextFile, test_files: &mut Vec<String>) -> Source<'t> {
    let (comments, code): (Vec<_>, Vec<_>) =
        lex(&file.text).into_iter().partition(|token| token.kind == Kind::Comment);
    let is_test = file.path.split('/').any(|folder| matches!(folder, "tests" | "benches"));
    let (product, test_modules) = without_tests(&code);
    let folder = module_folder(&file.path);
    test_files.extend(test_modules.iter().map(|name| format!("{folder}/{name}")));
    let product = if is_test { Vec::new() } else { product };
    Source { path: &file.path, text: &file.text, code, comments, product, is_test }
}

/// The folder in which the modules declared in a file live.
fn module_folder(path: &str) -> &str {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    match stem.rsplit_once('/') {
        Some((folder, "lib" | "main" | "mod")) => folder,
        _ => stem,
    }
}

/// The tokens outside `#[cfg(test)]` items, and the names of modules declared inside them.
fn without_tests<'t>(code: &[Token<'t>]) -> (Vec<Token<'t>>, Vec<&'t str>) {
    let mut product = Vec::new();
    let mut modules = Vec::new();
    let mut at = 0;
    while at < code.len() {
        if let Some(length) = test_attribute(&code[at..]) {
            let item = &code[at + length..];
            let end = item_length(item);
            modules.extend(declared_module(&item[..end]));
            at += length + end;
        } else {
            product.push(code[at]);
            at += 1;
        }
    }
    (product, modules)
}

/// Length of the attribute `#[cfg(... test ...)]` that `code` begins with, if it does.
fn test_attribute(code: &[Token<'_>]) -> Option<usize> {
    let opens = ["#", "[", "cfg", "("];
    let head = code.get(..opens.len())?;
    if head.iter().zip(opens).any(|(token, text)| token.text != text) {
        return None;
    }
    let length = 1 + group_length(&code[1..]);
    let inside = &code[opens.len()..length];
    let says = |word: &str| inside.iter().any(|t| t.kind == Kind::Word && t.text == word);
    (says("test") && !says("not") && !says("any")).then_some(length)
}

/// Length of the item that `code` begins with, further attributes included.
fn item_length(code: &[Token<'_>]) -> usize {
    let mut at = 0;
    while code.get(at).is_some_and(|token| token.text == "#") {
        at += 1 + group_length(&code[at + 1..]);
    }
    let is_import = code[at..].iter().take(5).any(|token| token.text == "use");
    let is_item = code[at..].iter().take(5).any(|token| {
        matches!(token.text, "mod" | "fn" | "impl" | "struct" | "enum" | "trait" | "type" | "const")
    });
    while let Some(token) = code.get(at) {
        match token.text {
            ";" => return at + 1,
            "," if !is_item && !is_import => return at + 1,
            "}" => return at,
            "{" if !is_import => return at + group_length(&code[at..]),
            "{" | "(" | "[" => at += group_length(&code[at..]),
            _ => at += 1,
        }
    }
    code.len()
}

/// Length of the bracketed group that `code` begins with.
fn group_length(code: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in code.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    code.len()
}

/// `name` of an item `mod name;`.
fn declared_module<'t>(item: &[Token<'t>]) -> Option<&'t str> {
    match item {
        [.., keyword, name, end] if keyword.text == "mod" && end.text == ";" => Some(name.text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(text: &str) -> String {
        let file = TextFile { path: "crates/a/src/b.rs".into(), text: text.into() };
        let files = [file];
        let words: Vec<&str> = sources(&files)[0].product.iter().map(|t| t.text).collect();
        words.join(" ")
    }

    #[test]
    fn test_items_are_left_out() {
        let text = "a; #[cfg(test)] #[path = \"x\"] mod tests { b { c } } d;";
        assert_eq!(product(text), "a ; d ;");
        assert_eq!(product("#[cfg(test)] use a::{b, c}; d"), "d");
        assert_eq!(product("#[cfg(all(test, unix))] fn f<A, B>(a: [u8; 2]) { x } d"), "d");
        assert_eq!(product("S { #[cfg(test)] a: 1, b: 2 }"), "S { b : 2 }");
        assert_eq!(product("S { #[cfg(test)] a: 1 } d"), "S { } d");
    }

    #[test]
    fn other_conditions_stay() {
        assert_eq!(product("#[cfg(not(test))] a;"), "# [ cfg ( not ( test ) ) ] a ;");
        assert_eq!(product("#[cfg(any(test, unix))] a;"), "# [ cfg ( any ( test , unix ) ) ] a ;");
    }

    #[test]
    fn test_files_have_no_product_code() {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let files = [
            file("crates/a/src/lib.rs", "#[cfg(test)]\nmod bench;\nmod real;"),
            file("crates/a/src/bench.rs", "x"),
            file("crates/a/src/bench/deep.rs", "x"),
            file("crates/a/src/real.rs", "x"),
            file("crates/a/tests/it.rs", "x"),
        ];
        let all = sources(&files);
        assert!(all.iter().filter(|s| s.is_test).all(|s| s.product.is_empty()));
        let tests: Vec<&str> = all.iter().filter(|s| s.is_test).map(|s| s.path).collect();
        assert_eq!(
            tests,
            ["crates/a/src/bench.rs", "crates/a/src/bench/deep.rs", "crates/a/tests/it.rs"]
        );
    }
}
