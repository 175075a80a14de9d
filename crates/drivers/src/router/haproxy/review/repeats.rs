//! Which failures have a request sent a second time, and whether that can be a POST.
//!
//! `retry-on` does not look at the method; `http-request disable-l7-retry` takes requests out.

use crate::router::haproxy::written::{Section, Setting, Written};

/// After these the instance has not done anything: nothing was sent, or it was rejected unread.
const HARMLESS: [&str; 4] = ["none", "conn-failure", "0rtt-rejected", "425"];

/// The words of a `retry-on` after which a request that was done already is done again:
/// `empty-response`, `junk-response`, `response-timeout`, statuses, and `all-retryable-errors`, which
/// stands for all of them.
pub(super) fn unsafe_words(retry_on: &Setting) -> Vec<&str> {
    let words = retry_on.words[1..].iter().map(String::as_str);
    words.filter(|word| !HARMLESS.contains(word)).collect()
}

/// True when no POST is repeated here: some rule says so of all of them.
pub(super) fn spares_posts(written: &Written, section: &Section) -> bool {
    let rules = written.all(section, "http-request");
    let acls = written.all(section, "acl");
    rules.iter().any(|rule| {
        rule.words.get(1).is_some_and(|word| word == "disable-l7-retry")
            && covers_posts(&rule.words[2..], &acls)
    })
}

/// What a term of a condition says of a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// True of every one.
    Every,
    /// True of none.
    None,
    /// It depends on something else.
    Some,
}

/// True when the rule with this condition takes every POST.
fn covers_posts(condition: &[String], acls: &[&Setting]) -> bool {
    let Some((word, terms)) = condition.split_first() else { return true };
    // Each alternative is a list of terms that must all be true.
    let mut alternatives = vec![Vec::new()];
    for term in terms_of(terms) {
        if matches!(&term[..], [or] if or == "or" || or == "||") {
            alternatives.push(Vec::new());
        } else if let Some(last) = alternatives.last_mut() {
            last.push(of_posts(&term, acls));
        }
    }
    match word.as_str() {
        "if" => alternatives
            .iter()
            .any(|all| !all.is_empty() && all.iter().all(|term| *term == Of::Every)),
        "unless" => alternatives.iter().all(|all| all.contains(&Of::None)),
        _ => false,
    }
}

/// The terms of a condition: names, and what stands in braces; `!` stands before its term.
fn terms_of(words: &[String]) -> Vec<Vec<String>> {
    let mut terms: Vec<Vec<String>> = Vec::new();
    let (mut inside, mut negated) = (false, false);
    for word in words {
        match word.as_str() {
            "!" => negated = true,
            "{" | "!{" => {
                inside = true;
                terms.push(Vec::new());
                negated |= word == "!{";
                if std::mem::take(&mut negated) {
                    terms.last_mut().into_iter().for_each(|term| term.push("!".to_owned()));
                }
            }
            "}" => inside = false,
            _ if inside => terms.last_mut().into_iter().for_each(|term| term.push(word.clone())),
            _ if std::mem::take(&mut negated) => terms.push(vec!["!".to_owned(), word.clone()]),
            _ => match word.strip_prefix('!') {
                Some(name) => terms.push(vec!["!".to_owned(), name.to_owned()]),
                None => terms.push(vec![word.clone()]),
            },
        }
    }
    terms
}

fn of_posts(term: &[String], acls: &[&Setting]) -> Of {
    match term {
        [not, rest @ ..] if not == "!" => match of_posts(rest, acls) {
            Of::Every => Of::None,
            Of::None => Of::Every,
            Of::Some => Of::Some,
        },
        [name] if name == "METH_POST" || name == "TRUE" => Of::Every,
        [name] if name.starts_with("METH_") || name == "FALSE" => Of::None,
        [fetch, values @ ..] if fetch == "method" => {
            let mut values = values.iter().filter(|value| !value.starts_with('-'));
            if values.any(|value| value.eq_ignore_ascii_case("POST")) {
                Of::Every
            } else {
                Of::None
            }
        }
        [name] => {
            // A name may have several lines: any of them will do.
            let named = acls.iter().filter(|acl| acl.words.get(1) == Some(name));
            let said: Vec<Of> = named
                .map(|acl| acl.words.get(2..).unwrap_or_default())
                .map(|words| if words.len() > 1 { of_posts(words, &[]) } else { Of::Some })
                .collect();
            match &said[..] {
                said if said.contains(&Of::Every) => Of::Every,
                said if !said.is_empty() && said.iter().all(|one| *one == Of::None) => Of::None,
                _ => Of::Some,
            }
        }
        _ => Of::Some,
    }
}

#[cfg(test)]
mod tests {
    use super::{spares_posts, unsafe_words};
    use crate::router::haproxy::written::read;

    fn spares(rules: &str) -> bool {
        let text = format!(
            "backend b\n  acl is_post method POST\n  acl reads method GET\n  \
             acl reads method HEAD\n  acl api path_beg /api\n{rules}\n"
        );
        let written = read([("one", text.as_str())]);
        spares_posts(&written, &written.sections[0])
    }

    #[test]
    fn rules_that_take_every_post_are_known_from_those_that_take_some() {
        for rule in [
            "",
            "if METH_POST",
            "if { method POST }",
            "if { method -i post PATCH }",
            "if is_post",
            "if METH_PUT or METH_POST",
            "if api || is_post",
            "if !METH_GET",
            "if ! { method GET HEAD }",
            "if !reads",
            "unless METH_GET",
            "unless { method GET HEAD OPTIONS }",
            "unless reads api",
            "unless METH_GET or METH_HEAD",
        ] {
            assert!(spares(&format!("http-request disable-l7-retry {rule}")), "{rule}");
        }
        for rule in [
            "if api",
            "if is_post api",
            "if METH_POST { path_beg /api }",
            "if METH_GET",
            "if !is_post",
            "unless is_post",
            "unless api",
            "unless METH_GET or api",
            "if unknown",
            "if",
        ] {
            assert!(!spares(&format!("http-request disable-l7-retry {rule}")), "{rule}");
        }
        assert!(!spares("http-request deny if METH_POST"));
    }

    #[test]
    fn every_word_that_can_repeat_what_was_done_is_known() {
        let text = "backend b\n  retry-on none conn-failure 0rtt-rejected 425 empty-response \
             junk-response response-timeout all-retryable-errors 408 500 503\n";
        let written = read([("one", text)]);
        let wanted = [
            "empty-response",
            "junk-response",
            "response-timeout",
            "all-retryable-errors",
            "408",
            "500",
            "503",
        ];
        assert_eq!(unsafe_words(&written.sections[0].settings[0]), wanted);
    }
}
