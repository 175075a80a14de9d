//! Whether the entries of a running HAProxy's map are those that were published, and what they mean if
//! they are not. Pure.
//!
//! A map can be changed by anybody at its runtime API, and a reload may bring another one. What
//! requests obey is then no longer what the notes say: it is read from the entries themselves, and
//! only the names of releases and instances are taken from the notes. It repairs nothing: the plan does.

use std::collections::BTreeMap;

use model::{AppName, Pool, PoolState, Routes, Weight};
use serde::{Deserialize, Serialize};

use super::record::{NAMED_HOST, NOTHING, Record, Slot};
use super::rules;

/// An entry: key and value.
pub(super) type Entry = (String, String);

/// A map that is not as it was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Edited {
    /// One entry that is not as it should be, in words.
    pub(super) entry: String,
    /// The routes that requests obey, in releases of the notes; `None` when they find no entry.
    pub(super) routes: Option<Routes>,
    /// The slot of each pool of `routes`.
    pub(super) slots: Vec<Slot>,
}

/// What was published last, and what the entries say instead, if they do. `kept` is the file that a
/// reload reads, asked for only when the entries contradict themselves: notes may be lost as well. `Err`
/// names an entry that nobody can make sense of.
pub(super) fn compare(
    app: &AppName,
    entries: &[Entry],
    kept: impl FnOnce() -> Vec<Entry>,
) -> Result<(Record, Option<Edited>), String> {
    let noted = Record::read(app, entries);
    if let Ok(record) = &noted
        && !entries.is_empty()
        && same(&record.entries(app), entries)
    {
        return Ok((record.clone(), None));
    }
    let kept = Some(kept()).filter(|kept| !kept.is_empty());
    let kept = kept.and_then(|kept| Record::read(app, &kept).ok());
    let record = match (noted, kept) {
        (Err(entry), None) => return Err(entry),
        // A new map.
        (Ok(noted), None) if entries.is_empty() => return Ok((noted, None)),
        (Ok(noted), None) => noted,
        (Err(_), Some(kept)) => kept,
        (Ok(noted), Some(kept)) => {
            let epoch = noted.epoch.max(kept.epoch);
            let chosen = if obeyed(entries) == sorted(&noted.obeyed()) && !entries.is_empty() {
                noted
            } else {
                // Whoever changes a map at run time does not change the file.
                kept
            };
            Record { epoch, ..chosen }
        }
    };
    let edited = edited(app, &record, entries);
    Ok((record, Some(edited)))
}

/// True when both hold the same entries, in any order.
pub(super) fn same(a: &[Entry], b: &[Entry]) -> bool {
    sorted(a) == sorted(b)
}

fn edited(app: &AppName, record: &Record, entries: &[Entry]) -> Edited {
    let published = record.entries(app);
    let (want, have) = (sorted(&published), sorted(entries));
    let missing = want.iter().find(|entry| !have.contains(entry));
    let strange = have.iter().find(|entry| !want.contains(entry));
    let entry = match (strange, missing) {
        (Some((key, value)), _) => format!("`{key}` says `{value}`"),
        (None, Some((key, _))) => format!("`{key}` is missing"),
        (None, None) => "an entry stands there twice".to_owned(),
    };
    let meant = record.routes.as_ref().and_then(|routes| meaning(record, routes, entries));
    let (routes, slots) = meant.map_or((None, Vec::new()), |(routes, slots)| (Some(routes), slots));
    Edited { entry, routes, slots }
}

/// The routes that requests obey. Where entries contradict each other, those of the first host.
fn meaning(record: &Record, noted: &Routes, entries: &[Entry]) -> Option<(Routes, Vec<Slot>)> {
    let ways: Vec<Way<'_>> = entries.iter().filter_map(Way::read).collect();
    let first = ways.first()?;
    let hosts = ways.iter().filter(|way| way.says == first.says && way.prefix == first.prefix);
    let hosts = hosts.map(|way| way.host.to_owned()).filter(|host| host != "*").collect();
    let pools = record.pools().filter_map(|(slot, pool)| {
        let (version, weight) = match slot {
            Slot::A => (first.a, first.share.rest()),
            Slot::B => (first.b, first.share),
        };
        let state = if version == NOTHING { PoolState::Retiring } else { PoolState::Serving };
        let weight = if state == PoolState::Serving { weight } else { Weight::NONE };
        // A version that is not known in this slot is nobody's.
        let known = state == PoolState::Retiring || version == pool.version.as_str();
        known.then(|| (slot, Pool { weight, state, ..pool.clone() }))
    });
    let (slots, pools): (Vec<Slot>, Vec<Pool>) = pools.unzip();
    let there: BTreeMap<&str, &str> =
        entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let holds = |(rank, rule): (usize, &model::Rule)| {
        let mut led = record.pools().filter(|(_, pool)| pool.release == rule.release);
        led.next().is_some_and(|(slot, pool)| {
            let (key, value) = rules::entry(rank, &rule.mark, slot, &pool.version);
            there.get(key.as_str()) == Some(&value.as_str())
        })
    };
    let ranked = noted.obeyed().map(|(rule, _)| rule).enumerate();
    let rules = ranked.filter(|ranked| holds(*ranked)).map(|(_, rule)| rule.clone()).collect();
    let same = noted.path_prefix.trim_end_matches('/') == first.prefix;
    let path_prefix = match first.prefix {
        _ if same => noted.path_prefix.clone(),
        "" => "/".to_owned(),
        other => other.to_owned(),
    };
    Some((Routes { hosts, path_prefix, pools, rules, ..noted.clone() }, slots))
}

/// An entry under `at:`.
struct Way<'a> {
    host: &'a str,
    prefix: &'a str,
    says: &'a str,
    share: Weight,
    a: &'a str,
    b: &'a str,
}

impl<'a> Way<'a> {
    fn read((key, says): &'a Entry) -> Option<Self> {
        let place = key.strip_prefix("at:")?.strip_suffix('/')?;
        let mut fields = says.splitn(4, ':');
        let length: usize = fields.next()?.parse().ok()?;
        let share: u16 = fields.next()?.parse().ok()?;
        let prefix = (length % NAMED_HOST).checked_sub(1)?;
        let (host, prefix) = place.split_at_checked(place.len().checked_sub(prefix)?)?;
        let share = Weight::new(share.min(Weight::ALL.basis_points())).ok()?;
        Some(Self { host, prefix, says, share, a: fields.next()?, b: fields.next()? })
    }
}

/// The entries that requests read, in order of their keys.
fn obeyed(entries: &[Entry]) -> Vec<&Entry> {
    let mut obeyed = sorted(entries);
    obeyed.retain(|(key, _)| !key.starts_with("cutover:"));
    obeyed
}

fn sorted(entries: &[Entry]) -> Vec<&Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort();
    sorted
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
