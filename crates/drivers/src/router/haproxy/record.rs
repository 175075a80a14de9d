//! What the map of an app says: routes, slots, generation, epoch. Text to record and back. Pure.
//!
//! One map holds everything, because one `commit map` replaces a whole map at one instant. A request reads
//! one entry of it, the one under `at:`, and one per rule it matches. The entries under `cutover:` are the
//! driver's notes: what it published last, in releases and instances. Whether the others still say the same
//! is `live`'s to find out. It sends nothing: `commit` does.

use std::collections::BTreeMap;
use std::fmt;

use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Rule, Version,
    Weight,
};
use serde::{Deserialize, Serialize};

use super::rules;

/// Stands for the version of a slot that gets nothing; no version can be spelled like this.
pub(super) const NOTHING: &str = "~";
/// Added to the length of a prefix that came with a host, so that a named host always wins.
pub(super) const NAMED_HOST: usize = 1_000_000;

/// One of the two pairs of backends of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Slot {
    A,
    B,
}

impl Slot {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    fn read(text: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|slot| slot.letter() == text)
    }

    /// The backend for requests.
    pub(super) fn backend(self, app: &AppName) -> String {
        format!("cutover_{app}_{}", self.letter())
    }

    /// All its backends; where tunnels are not apart there is one.
    pub(super) fn backends(self, app: &AppName, apart: bool) -> Vec<String> {
        let mut all = vec![self.backend(app)];
        all.extend(apart.then(|| self.tunnels(app)));
        all
    }

    /// The backend for upgrades, so that tunnels are counted apart.
    pub(super) fn tunnels(self, app: &AppName) -> String {
        format!("cutover_{app}_{}_ws", self.letter())
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.letter())
    }
}

/// A server that left its pool and is still there, because something is open on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) id: InstanceId,
    pub(super) slot: Slot,
    pub(super) release: ReleaseId,
}

/// Everything the map of an app says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    /// Pid of the worker that was told last; another one means that HAProxy was reloaded since.
    pub(super) worker: u32,
    /// `None` when the app is not carried.
    pub(super) routes: Option<Routes>,
    /// The slot of each pool of `routes`.
    pub(super) slots: Vec<Slot>,
    pub(super) left: Vec<Left>,
}

impl Record {
    /// The pools with their slots.
    pub(super) fn pools(&self) -> impl Iterator<Item = (Slot, &Pool)> {
        let pools = self.routes.iter().flat_map(|routes| &routes.pools);
        self.slots.iter().copied().zip(pools)
    }

    /// The release a server belongs to.
    pub(super) fn release_of(&self, slot: Slot, id: &str) -> Option<ReleaseId> {
        let holds = |pool: &&Pool| pool.instances.iter().any(|one| one.id.0 == id);
        let pools = self.pools().filter(|(there, _)| *there == slot).map(|(_, pool)| pool);
        let left = || self.left.iter().find(|left| left.slot == slot && left.id.0 == id);
        pools.into_iter().find(holds).map(|pool| pool.release).or_else(|| left().map(|l| l.release))
    }

    /// The entries of the map; keys and values have no blanks in them.
    pub(super) fn entries(&self, app: &AppName) -> Vec<(String, String)> {
        let mut entries = self.notes(app);
        entries.extend(self.obeyed());
        entries
    }

    /// Those that requests read.
    pub(super) fn obeyed(&self) -> Vec<(String, String)> {
        let Some(routes) = &self.routes else { return Vec::new() };
        let mut entries = self.ways(routes);
        entries.extend(self.marked(routes));
        entries
    }

    fn notes(&self, app: &AppName) -> Vec<(String, String)> {
        let mut entries = vec![
            ("cutover:app".into(), app.to_string()),
            ("cutover:epoch".into(), self.epoch.to_string()),
            ("cutover:generation".into(), self.generation.to_string()),
            ("cutover:worker".into(), self.worker.to_string()),
        ];
        for left in &self.left {
            let value = format!("{}:{}", left.slot, left.release.0);
            entries.push((format!("cutover:left:{}", left.id), value));
        }
        let Some(routes) = &self.routes else { return entries };
        let hosts = if routes.hosts.is_empty() { "*".into() } else { routes.hosts.join(",") };
        entries.push(("cutover:hosts".into(), hosts));
        entries.push(("cutover:prefix".into(), routes.path_prefix.clone()));
        for (at, (slot, pool)) in self.pools().enumerate() {
            let (release, weight) = (pool.release.0, pool.weight.basis_points());
            let state = state_word(pool.state);
            let value = format!("{slot}:{release}:{weight}:{state}:{}", pool.version);
            entries.push((format!("cutover:pool:{at}"), value));
            for (n, one) in pool.instances.iter().enumerate() {
                let key = format!("cutover:instance:{at}:{n}");
                entries.push((key, format!("{}@{}", one.address, one.id)));
            }
        }
        for (at, Rule { mark, release }) in routes.rules.iter().enumerate() {
            let value = format!("{}:{}", release.0, rules::keep(mark));
            entries.push((format!("cutover:rule:{at}"), value));
        }
        entries
    }

    /// The entries that requests read: `LENGTH:SHARE OF b:VERSION OF a:VERSION OF b`.
    fn ways(&self, routes: &Routes) -> Vec<(String, String)> {
        let serving = |slot| {
            let mut pools = self.pools().filter(|(there, _)| *there == slot);
            pools.find(|(_, pool)| pool.state == PoolState::Serving).map(|(_, pool)| pool)
        };
        let (a, b) = (serving(Slot::A), serving(Slot::B));
        let weight = |pool: Option<&Pool>| pool.map_or(0, |p| u32::from(p.weight.basis_points()));
        let share = match (weight(a), weight(b)) {
            // No weight at all: whoever stands by takes it.
            (0, 0) => 10_000 * u32::from(b.is_some()) / (1 + u32::from(a.is_some())),
            (a, b) => (b * 10_000 + u32::midpoint(a, b)) / (a + b),
        };
        let version = |pool: Option<&Pool>| pool.map_or(NOTHING.into(), |p| p.version.to_string());
        let prefix = routes.path_prefix.trim_end_matches('/');
        let hosts = if routes.hosts.is_empty() { vec!["*"] } else { names(&routes.hosts) };
        let named = if routes.hosts.is_empty() { 0 } else { NAMED_HOST };
        let length = named + prefix.len() + 1;
        let value = format!("{length}:{share}:{}:{}", version(a), version(b));
        hosts.into_iter().map(|host| (format!("at:{host}{prefix}/"), value.clone())).collect()
    }

    /// The entries of rules that lead somewhere. Of two on the same value the first wins.
    fn marked(&self, routes: &Routes) -> Vec<(String, String)> {
        let mut entries: Vec<(String, String)> = Vec::new();
        for (rank, (rule, pool)) in routes.obeyed().enumerate() {
            let mut slots = self.pools().filter(|(_, there)| there.release == pool.release);
            let Some((slot, _)) = slots.next() else { continue };
            let entry = rules::entry(rank, &rule.mark, slot, &pool.version);
            if entries.iter().all(|(key, _)| *key != entry.0) {
                entries.push(entry);
            }
        }
        entries
    }

    /// Reads it back. `Err` names the entry that is not as it should be; an empty map is a new one.
    pub(super) fn read(app: &AppName, entries: &[(String, String)]) -> Result<Self, String> {
        let map: BTreeMap<&str, &str> =
            entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let Some(owner) = map.get("cutover:app") else {
            return match entries.first() {
                None => Ok(Self::default()),
                Some((key, _)) => Err(format!("{key} (and nothing says whose map it is)")),
            };
        };
        if *owner != app.as_str() {
            return Err(format!("cutover:app {owner}"));
        }
        let number = |key: &str| {
            let value = map.get(key).copied().unwrap_or_default();
            value.parse::<u64>().map_err(|_| format!("{key} {value}"))
        };
        let mut record = Self {
            epoch: number("cutover:epoch")?,
            generation: number("cutover:generation")?,
            worker: u32::try_from(number("cutover:worker")?).unwrap_or_default(),
            ..Self::default()
        };
        for (key, value) in entries {
            if let Some(id) = key.strip_prefix("cutover:left:") {
                let left = read_left(id, value).ok_or_else(|| format!("{key} {value}"))?;
                record.left.push(left);
            }
        }
        if let (Some(hosts), Some(prefix)) = (map.get("cutover:hosts"), map.get("cutover:prefix")) {
            let mut routes = Routes {
                app: app.clone(),
                generation: Generation(record.generation),
                hosts: hosts.split(',').filter(|host| *host != "*").map(str::to_owned).collect(),
                path_prefix: (*prefix).to_owned(),
                pools: Vec::new(),
                rules: Vec::new(),
                hold: None,
                hand_over: None,
                spread: model::Spread::default(),
            };
            while let Some(value) = map.get(format!("cutover:pool:{}", routes.pools.len()).as_str())
            {
                let (slot, pool) = read_pool(&map, routes.pools.len(), value)?;
                record.slots.push(slot);
                routes.pools.push(pool);
            }
            while let Some(value) = map.get(format!("cutover:rule:{}", routes.rules.len()).as_str())
            {
                let at = routes.rules.len();
                let rule = read_rule(value).ok_or_else(|| format!("cutover:rule:{at} {value}"))?;
                routes.rules.push(rule);
            }
            record.routes = Some(routes);
        }
        Ok(record)
    }
}

fn names(hosts: &[String]) -> Vec<&str> {
    hosts.iter().map(String::as_str).collect()
}

const fn state_word(state: PoolState) -> &'static str {
    match state {
        PoolState::Serving => "serving",
        PoolState::Retiring => "retiring",
    }
}

fn read_left(id: &str, value: &str) -> Option<Left> {
    let (slot, release) = value.split_once(':')?;
    let release = ReleaseId(release.parse().ok()?);
    Some(Left { id: InstanceId(id.to_owned()), slot: Slot::read(slot)?, release })
}

fn read_rule(value: &str) -> Option<Rule> {
    let (release, mark) = value.split_once(':')?;
    Some(Rule { mark: rules::kept(mark)?, release: ReleaseId(release.parse().ok()?) })
}

fn read_pool(map: &BTreeMap<&str, &str>, at: usize, value: &str) -> Result<(Slot, Pool), String> {
    let parse = || {
        let mut fields = value.splitn(5, ':');
        let slot = Slot::read(fields.next()?)?;
        let release = ReleaseId(fields.next()?.parse().ok()?);
        let weight = Weight::new(fields.next()?.parse().ok()?).ok()?;
        let word = fields.next()?;
        let states = [PoolState::Serving, PoolState::Retiring];
        let state = states.into_iter().find(|state| state_word(*state) == word)?;
        let version = Version::new(fields.next()?).ok()?;
        Some((slot, Pool { release, version, weight, state, instances: Vec::new() }))
    };
    let (slot, mut pool) = parse().ok_or_else(|| format!("cutover:pool:{at} {value}"))?;
    loop {
        let key = format!("cutover:instance:{at}:{}", pool.instances.len());
        let Some(value) = map.get(key.as_str()) else { return Ok((slot, pool)) };
        let instance = value.split_once('@').and_then(|(address, id)| {
            Some(Instance { id: InstanceId(id.to_owned()), address: address.parse().ok()? })
        });
        pool.instances.push(instance.ok_or_else(|| format!("{key} {value}"))?);
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
