//! Whether a client that comes back with its cookies ever met an older version again.
//!
//! Whoever is kept with a version must never see it go back, not even while both have a share: so no share
//! is an excuse here. That a rollout turned back is one. Connections are `proof`'s.

use std::collections::{BTreeMap, BTreeSet};

use model::{Attempt, Outcome};

use crate::axis::{axis, sent_at};
use crate::client_fact::{ClientFacts, ClientRegression};
use crate::document::Report;
use crate::figures::{count, several, were_answered};
use crate::proof::Excuse;
use crate::run::Run;

/// Regressions listed one by one.
const LISTED: usize = 100;

/// What the clients saw; `None` when there were none.
pub(crate) fn clients(run: &Run<'_>) -> Option<ClientFacts> {
    let mut answers: BTreeMap<u16, Vec<&Attempt>> = BTreeMap::new();
    for a in run.sent.iter().copied().filter(|a| a.version.is_some()) {
        if let Some(client) = a.client {
            answers.entry(client).or_default().push(a);
        }
    }
    if answers.is_empty() {
        return None;
    }
    let excuse = Excuse::of(run);
    let mut facts = ClientFacts { clients: answers.len() as u64, ..ClientFacts::default() };
    for own in answers.values_mut() {
        own.sort_by_key(|a| (sent_at(a), a.id));
        one(run, own, &excuse, &mut facts);
    }
    facts.first_regressions.sort_by_key(|r| (r.sent_us, r.id));
    facts.first_regressions.truncate(LISTED);
    Some(facts)
}

/// Adds what one client saw.
fn one<'a>(run: &Run<'a>, own: &[&'a Attempt], excuse: &Excuse, facts: &mut ClientFacts) {
    let mut order = Order::of(run);
    let mut newest: Option<(usize, i64)> = None;
    let mut back = false;
    for a in own {
        let Some(age) = a.version.as_deref().and_then(|version| order.age(version)) else {
            continue;
        };
        match newest {
            Some((newer, newer_seen_us)) if age < newer && sent_at(a) > newer_seen_us => {
                if excuse.covers(a) {
                    facts.regressions_excused += 1;
                    continue;
                }
                back = true;
                facts.regressions += 1;
                facts.first_regressions.extend(regression(run, a, newer_seen_us));
            }
            Some((newer, _)) if age <= newer => {}
            _ => newest = Some((age, axis(a.done_us))),
        }
    }
    let versions: BTreeSet<&str> = own.iter().filter_map(|a| a.version.as_deref()).collect();
    facts.answers += own.len() as u64;
    facts.moved += u64::from(versions.len() > 1);
    facts.went_back += u64::from(back);
}

fn regression(run: &Run<'_>, a: &Attempt, newer_seen_us: i64) -> Option<ClientRegression> {
    Some(ClientRegression {
        id: a.id,
        lane: a.lane,
        client: a.client?,
        version: run.slots.of(a.version.as_deref()),
        newer_seen_us,
        sent_us: sent_at(a),
    })
}

/// Which version is newer: known from the run, or the order in which a client met them.
enum Order<'a> {
    Known(&'a str, &'a str),
    Met(Vec<&'a str>),
}

impl<'a> Order<'a> {
    fn of(run: &Run<'a>) -> Self {
        run.apart().map_or(Self::Met(Vec::new()), |(from, to)| Self::Known(from, to))
    }

    /// Larger is newer; nothing for a version that is neither of two known ones.
    fn age(&mut self, version: &'a str) -> Option<usize> {
        match self {
            Self::Known(from, to) => [*from, *to].iter().position(|known| *known == version),
            Self::Met(met) => {
                let known = met.iter().position(|other| *other == version);
                known.or_else(|| {
                    met.push(version);
                    met.len().checked_sub(1)
                })
            }
        }
    }
}

/// What is to be said of them.
pub(crate) fn fact(report: &Report) -> Option<String> {
    let facts = report.clients.as_ref()?;
    let mut words = vec![format!(
        "{} kept their cookies: {} met more than one version",
        several(facts.clients, "client"),
        count(facts.moved)
    )];
    match (facts.regressions, facts.regressions_excused) {
        (0, 0) => words.push("none went back to an older one".to_owned()),
        (0, _) => words.push("those who went back did so with the abort".to_owned()),
        (n, _) => words.push(format!(
            "✕ {} went back to an older one, {} in all",
            count(facts.went_back),
            several(n, "answer")
        )),
    }
    Some(words.join(" · "))
}

/// Why it is no PASS, where one of ours was to keep them.
pub(crate) fn reason(
    run: &Run<'_>,
    facts: Option<&ClientFacts>,
    (old, new): (&str, &str),
) -> Option<String> {
    let facts = facts.filter(|f| f.regressions > 0 && run.input.outcome != Outcome::None)?;
    let were = were_answered(facts.regressions);
    Some(format!("{were} by {old} although {new} had answered the same client before"))
}
