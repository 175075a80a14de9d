//! Reads from Rust tokens which parts of its own crate a module names, by `use` or by path.
//!
//! Knows paths as written, not what they stand for: names that another module re-exports are
//! followed in `modules`. Paths out of the crate are left out.

use std::collections::BTreeSet;

use super::lex::{Kind, Token};

/// A module's path inside its crate; the crate's root is empty.
pub(crate) type Module = Vec<String>;

/// A path in the code, such as `crate::a::B`, absolute.
#[derive(Debug)]
pub(crate) struct Mention {
    /// Module path, followed by the item if it names one.
    pub(crate) target: Module,
    /// `B` in `use a::b as B`, else the last part.
    pub(crate) name: String,
    /// Line, from 1.
    pub(crate) line: usize,
}

/// Every path to something in this crate that the code of `module` names.
pub(crate) fn mentions(
    module: &Module,
    code: &[Token<'_>],
    known: &BTreeSet<Module>,
) -> Vec<Mention> {
    let mut here = module.clone();
    let mut closes: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        match code[at].text {
            "mod" if code.get(at + 2).is_some_and(|token| token.text == "{") => {
                here.push(code[at + 1].text.to_owned());
                closes.push(depth);
                at += 1;
            }
            "{" if !follows(code, at, "use") => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if closes.last() == Some(&depth) {
                    closes.pop();
                    here.pop();
                }
            }
            _ => {}
        }
        let mut leaves = Vec::new();
        let starts = matches!(code[at].text, "crate" | "self" | "super");
        let next = if starts && !follows(code, at, "::") || follows(code, at, "use") {
            leaf_paths(&code[at..], &[], &mut leaves)
        } else {
            0
        };
        found.extend(leaves.iter().filter_map(|leaf| mention(leaf, &here, known)));
        // A group that was read as a path is passed over, or its braces would be counted in part.
        at += next.max(1);
    }
    found
}

fn follows(code: &[Token<'_>], at: usize, text: &str) -> bool {
    at > 0 && code[at - 1].text == text
}

/// A path as written: its parts, the name it is given, its line.
#[derive(Debug)]
struct Leaf<'t> {
    parts: Vec<&'t str>,
    name: &'t str,
    line: usize,
}

/// Reads `a::b`, `a::{b, c as d}`, `a::*`; how many tokens that took.
fn leaf_paths<'t>(code: &[Token<'t>], before: &[&'t str], leaves: &mut Vec<Leaf<'t>>) -> usize {
    let mut parts = before.to_vec();
    let mut at = 0;
    while let Some(token) = code.get(at) {
        if token.text == "{" {
            return at + brace_group(&code[at..], &parts, leaves);
        }
        if token.kind != Kind::Word && token.text != "*" {
            break;
        }
        parts.push(token.text);
        at += 1;
        if code.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    let Some(last) = parts.last().copied() else {
        return at;
    };
    let line = code[at.saturating_sub(1).min(code.len() - 1)].line;
    let alias = match code.get(at..at + 2) {
        Some([keyword, alias]) if keyword.text == "as" && alias.kind == Kind::Word => {
            Some(alias.text)
        }
        _ => None,
    };
    leaves.push(Leaf { parts, name: alias.unwrap_or(last), line });
    at + if alias.is_some() { 2 } else { 0 }
}

fn brace_group<'t>(code: &[Token<'t>], before: &[&'t str], leaves: &mut Vec<Leaf<'t>>) -> usize {
    let mut at = 1;
    while code.get(at).is_some_and(|token| token.text != "}") {
        let length = leaf_paths(&code[at..], before, leaves);
        at += length;
        if length == 0 || code.get(at).is_some_and(|token| token.text == ",") {
            at += 1;
        }
    }
    (at + 1).min(code.len())
}

/// The absolute form of a path written in `here`; nothing when it leads out of the crate.
fn mention(leaf: &Leaf<'_>, here: &Module, known: &BTreeSet<Module>) -> Option<Mention> {
    let mut parts = leaf.parts.as_slice();
    while let [rest @ .., "self" | "*"] = parts
        && !rest.is_empty()
    {
        parts = rest;
    }
    // `use a::{self}` and `use a::*` bring in `a`.
    let last = parts.last()?;
    let name = if matches!(leaf.name, "self" | "*") { last } else { leaf.name };
    let mut target = here.clone();
    match parts {
        ["crate", rest @ ..] => {
            target.clear();
            parts = rest;
        }
        ["self", rest @ ..] => parts = rest,
        _ => {}
    }
    while let ["super", rest @ ..] = parts {
        target.pop();
        parts = rest;
    }
    let first = parts.first()?;
    if leaf.parts.first() == Some(first)
        && !known.contains(&[&target[..], &[(*first).to_owned()]].concat())
    {
        return None; // `use serde::...`: neither `crate`, `self` nor `super`, and no module of ours
    }
    target.extend(parts.iter().map(|part| (*part).to_owned()));
    Some(Mention { target, name: name.to_owned(), line: leaf.line })
}
