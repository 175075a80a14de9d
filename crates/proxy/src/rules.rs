//! Which release a request is meant for because of a header or cookie.
//!
//! It reads fields and names a release; whether the request still can go there is known only when it is
//! picked, from the table of that instant.

use std::sync::Arc;

use model::{Mark, ReleaseId, Routes, Selector};

use crate::gate::Gate;

/// The rules of an app that can match, the first first.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Compiled>);

#[derive(Debug)]
struct Compiled {
    mark: Mark,
    release: ReleaseId,
    gates: Vec<Arc<Gate>>,
}

impl Rules {
    /// Those of a slice; `gate` finds the gate of an instance by its id.
    pub(crate) fn compile<'g>(
        routes: &Routes,
        gate: impl Fn(&model::InstanceId) -> Option<&'g Arc<Gate>>,
    ) -> Self {
        let compiled = routes.obeyed().map(|(rule, pool)| Compiled {
            mark: rule.mark.clone(),
            release: rule.release,
            gates: pool.instances.iter().filter_map(|one| gate(&one.id).cloned()).collect(),
        });
        Self(compiled.collect())
    }

    /// The release of the first rule that a request with these fields matches.
    pub(crate) fn choose<'f>(
        &self,
        fields: &(impl Iterator<Item = (&'f str, &'f [u8])> + Clone),
    ) -> Option<ReleaseId> {
        let first = self.0.iter().find(|rule| carries(&rule.mark, fields.clone()))?;
        Some(first.release)
    }

    /// The instances of a release while a rule sends requests there.
    pub(crate) fn gates(&self, release: ReleaseId) -> Option<&[Arc<Gate>]> {
        self.0.iter().find(|rule| rule.release == release).map(|rule| rule.gates.as_slice())
    }
}

/// Any field of that name, and any cookie of that name, may have the value.
fn carries<'f>(mark: &Mark, mut fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> bool {
    let value = mark.value().as_bytes();
    match mark.on() {
        Selector::Header(wanted) => {
            fields.any(|(name, is)| name.eq_ignore_ascii_case(wanted) && is.trim_ascii() == value)
        }
        Selector::Cookie(wanted) => {
            fields.filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).any(|(_, line)| {
                cookies(line).any(|(name, is)| name == wanted.as_bytes() && is == value)
            })
        }
    }
}

/// The pairs of a `Cookie` field (RFC 6265 section 4.2.1, read as leniently as section 5.2 does).
/// Quotes are part of a value.
fn cookies(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use model::{Mark, Selector};

    use super::carries;

    #[test]
    fn any_line_of_a_header_and_any_cookie_of_the_name_may_match() {
        let header = Mark::new(Selector::Header("X-Canary".into()), "new").unwrap();
        let cookie = Mark::new(Selector::Cookie("canary".into()), "1").unwrap();
        let quoted = Mark::new(Selector::Cookie("canary".into()), "\"1\"").unwrap();
        for (mark, lines, wanted) in [
            (&header, vec![("x-CANARY", " new ")], true),
            (&header, vec![("x-canary", "old"), ("X-Canary", "new")], true),
            (&header, vec![("x-canary", "New")], false),
            (&header, vec![("x-canary", "old, new")], false),
            (&header, vec![("x-canary2", "new"), ("cookie", "x-canary=new")], false),
            (&cookie, vec![("cookie", "a=b; canary=1")], true),
            (&cookie, vec![("cookie", "a"), ("Cookie", "x=1 ;canary = 1;")], true),
            (&cookie, vec![("cookie", "canary=2; canary=1")], true),
            (&cookie, vec![("cookie", "Canary=1; xcanary=1; canary=11; canary")], false),
            (&cookie, vec![("cookie", "canary=\"1\""), ("canary", "1")], false),
            (&quoted, vec![("cookie", "canary=\"1\"")], true),
            (&cookie, vec![("cookie", ""), ("cookie", ";=;==;")], false),
        ] {
            let fields = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
            assert_eq!(carries(mark, fields), wanted, "{mark}: {lines:?}");
        }
    }
}
