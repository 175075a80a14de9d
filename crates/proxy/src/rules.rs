//! Which release a request is meant for because of a header, a cookie, its query or its source.
//!
//! It reads requests and names a release; whether the request still can go there is known only when it is
//! picked, from the table of that instant.

#[cfg(test)]
mod fuzz;

use std::net::IpAddr;
use std::sync::Arc;

use model::{Mark, ReleaseId, Routes, Selector, Wanted};

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

    /// True when no rule can match.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The release of the first rule that a request matches.
    pub(crate) fn choose<'f>(
        &self,
        asked: &Asked<'f, impl Iterator<Item = (&'f str, &'f [u8])> + Clone>,
    ) -> Option<ReleaseId> {
        let first = self.0.iter().find(|rule| asked.carries(&rule.mark))?;
        Some(first.release)
    }

    /// The instances of a release while a rule sends requests there.
    pub(crate) fn gates(&self, release: ReleaseId) -> Option<&[Arc<Gate>]> {
        self.0.iter().find(|rule| rule.release == release).map(|rule| rule.gates.as_slice())
    }
}

/// What rules look at in one request.
pub(crate) struct Asked<'f, F> {
    /// Its fields.
    pub(crate) fields: F,
    /// Its target, query and all.
    pub(crate) target: &'f str,
    /// Its client.
    pub(crate) client: IpAddr,
}

impl<'f, F: Iterator<Item = (&'f str, &'f [u8])> + Clone> Asked<'f, F> {
    /// Any field of that name, any cookie and any parameter may have the value.
    fn carries(&self, mark: &Mark) -> bool {
        let (mut fields, value) = (self.fields.clone(), mark.wanted());
        match mark.on() {
            Selector::Header(wanted) => fields.any(|(name, is)| {
                name.eq_ignore_ascii_case(wanted) && value.takes(is.trim_ascii())
            }),
            Selector::Cookie(wanted) => {
                fields.filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).any(|(_, line)| {
                    cookies(line).any(|(name, is)| name == wanted.as_bytes() && value.takes(is))
                })
            }
            Selector::Query(wanted) => parameters(self.target)
                .any(|(name, is)| same(wanted.as_bytes(), name) && decoded_is(value, is)),
            Selector::Source(network) => network.contains(self.client),
        }
    }
}

/// The parameters of a query, as they were sent; one without `=` has an empty value.
fn parameters(target: &str) -> impl Iterator<Item = (&[u8], &[u8])> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.as_bytes(), value.as_bytes())
    })
}

/// The bytes that a name or value of a query stands for (`%41` is `A`, `+` is a blank); what is no
/// escape stands for itself.
fn decoded(mut text: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
        let (byte, length) = match text.first()? {
            b'+' => (b' ', 1),
            b'%' => match (digit(1), digit(2)) {
                (Some(high), Some(low)) => (u8::try_from(high << 4 | low).unwrap_or(b'%'), 3),
                _ => (b'%', 1),
            },
            other => (*other, 1),
        };
        text = text.get(length..).unwrap_or_default();
        Some(byte)
    })
}

fn same(wanted: &[u8], text: &[u8]) -> bool {
    decoded(text).eq(wanted.iter().copied())
}

fn decoded_is(wanted: &Wanted, text: &[u8]) -> bool {
    match wanted {
        Wanted::Exactly(value) => same(value.as_bytes(), text),
        Wanted::Prefix(prefix) => decoded(text).take(prefix.len()).eq(prefix.bytes()),
        Wanted::Present => true,
    }
}

/// The pairs of a `Cookie` field (RFC 6265 section 4.2.1, read as leniently as section 5.2 does).
/// Quotes are part of a value.
pub(crate) fn cookies(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use model::{Mark, Selector, Wanted};

    use super::Asked;

    fn carries(mark: &Mark, lines: &[(&str, &str)], target: &str, client: &str) -> bool {
        let fields = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
        Asked { fields, target, client: client.parse().unwrap() }.carries(mark)
    }

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
            assert_eq!(carries(mark, &lines, "/", "::1"), wanted, "{mark}: {lines:?}");
        }
    }

    #[test]
    fn a_value_may_be_anything_or_begin_with_something() {
        let of = |wanted| Mark::of(Selector::Header("x-team".into()), wanted).unwrap();
        let (any, begins) = (of(Wanted::Present), of(Wanted::Prefix("a/".into())));
        for (line, present, prefix) in
            [("", true, false), (" a/b ", true, true), ("a", true, false), ("b/a/", true, false)]
        {
            let lines = [("X-Team", line)];
            assert_eq!(carries(&any, &lines, "/", "::1"), present, "{line:?}");
            assert_eq!(carries(&begins, &lines, "/", "::1"), prefix, "{line:?}");
        }
        assert!(!carries(&any, &[("x-teams", "a")], "/", "::1"));
        assert!(carries(&begins, &[("x-team", "b"), ("x-team", "a/")], "/", "::1"));
    }

    #[test]
    fn parameters_are_compared_as_what_they_stand_for() {
        let of = |name: &str, wanted| Mark::of(Selector::Query(name.into()), wanted).unwrap();
        let new = of("v", Wanted::Exactly("new one".into()));
        let begins = of("v", Wanted::Prefix("n".into()));
        let any = of("a[b]", Wanted::Present);
        for (target, exact, prefix, present) in [
            ("/?v=new+one", true, true, false),
            ("/x?a=1&%76=new%20one", true, true, false),
            ("/?v=old&v=new%20one&", true, true, false),
            ("/?v=new", false, true, false),
            ("/?V=new+one", false, false, false),
            ("/?v=%", false, false, false),
            ("/?v=%6", false, false, false),
            ("/?v=%zzn", false, false, false),
            ("/?v=&a%5Bb%5d", false, false, true),
            ("/v=new+one", false, false, false),
            ("/?", false, false, false),
            ("*", false, false, false),
        ] {
            let found = [&new, &begins, &any].map(|mark| carries(mark, &[], target, "::1"));
            assert_eq!(found, [exact, prefix, present], "{target}");
        }
    }

    #[test]
    fn a_source_is_the_client_in_its_range() {
        let mark = |range: &str| {
            Mark::of(Selector::Source(range.parse().unwrap()), Wanted::Present).unwrap()
        };
        for (range, client, wanted) in [
            ("10.0.0.0/8", "10.9.9.9", true),
            ("10.0.0.0/8", "::ffff:10.9.9.9", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("127.0.0.1", "127.0.0.2", false),
        ] {
            assert_eq!(carries(&mark(range), &[], "/", client), wanted, "{range} {client}");
        }
    }
}
