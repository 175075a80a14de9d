//! What is there: records and processes put together; the living ones are watched from here on.
//!
//! A look changes nothing on disk and signals nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{AppName, Fault, InstanceId};

use super::diagnose::{Unwell, crash};
use super::inner::Inner;
use super::launch::Launch;
use super::procfs::{Identity, boot_id, find_leader, marked_in_group};
use super::record::{Entry, Record, now_ms};
use super::step::identity_words;
use super::told::again_at_ms;
use super::watch::{Subject, Watched, own};
use crate::platform::fleet::{Condition, FleetHave, InstanceHave, ReleaseHave};
use crate::platform::health::{Asks, Health, Past};

/// An entry of the records beside the process it speaks of.
#[derive(Debug)]
pub(super) struct Examined {
    /// The process, recorded or found by its mark.
    pub(super) process: Option<Identity>,
    /// It lives.
    pub(super) alive: bool,
}

impl Inner {
    /// Looks at one app. Blocks; must be called inside the runtime.
    pub(super) fn look(&self, app: &AppName) -> Result<FleetHave, Fault> {
        let change = self.news.newest();
        let _lock = self.store.lock()?;
        let records = self.store.records(app)?;
        let taken = self.store.ports()?;
        let now_ms = now_ms();
        let mut have = FleetHave {
            app: app.clone(),
            change,
            now_ms,
            instances: Vec::new(),
            releases: Vec::new(),
            last_numbers: self.store.numbers(app)?,
            free_ports: own(&self.ports).free(&taken),
        };
        for record in &records {
            have.last_numbers.insert(record.release.id, record.last_number);
            have.releases.push(release_have(record));
            let found = record.instances.iter().map(|entry| self.instance_have(record, entry));
            have.instances.extend(found);
        }
        self.set_due(app, &have);
        Ok(have)
    }

    /// Finds the process of an entry.
    pub(super) fn examine(&self, id: &InstanceId, entry: &Entry) -> Examined {
        if let Some(process) = &entry.process {
            return Examined { process: Some(process.clone()), alive: process.alive() };
        }
        let process = find_leader(&self.mark(id));
        Examined { alive: process.is_some(), process }
    }

    /// Processes an instance started that are still there although it has ended.
    pub(super) fn left_behind(&self, id: &InstanceId, process: &Identity) -> bool {
        process.boot == boot_id() && !marked_in_group(process.pid, &self.mark(id)).is_empty()
    }

    fn instance_have(&self, record: &Record, entry: &Entry) -> InstanceHave {
        let id = record.id(entry.number);
        let examined = self.examine(&id, entry);
        let mut have = InstanceHave {
            address: entry.address(),
            release: record.release.id,
            pid: examined.process.as_ref().map(|process| process.pid),
            identity: identity_words(examined.process.as_ref()),
            condition: Condition::Ended,
            ready_before: entry.ready_before,
            told_at_ms: entry.told_at_ms,
            telling_ms: entry.telling_ms,
            killed: entry.killed,
            left_behind: false,
            trouble: Vec::new(),
            id,
        };
        match examined.process {
            Some(process) if examined.alive => self.living(record, entry, &process, &mut have),
            Some(process) => {
                have.left_behind = self.left_behind(&have.id, &process);
                let end = self.news.end_of(&have.id, &process);
                if entry.told_at_ms.is_none() {
                    have.trouble = crash(&have.id, &end, entry.begun_ms, &self.store.log(&have.id));
                }
            }
            None => {}
        }
        have
    }

    fn living(&self, record: &Record, entry: &Entry, process: &Identity, have: &mut InstanceHave) {
        if entry.process.is_none() {
            have.condition = Condition::Found;
            return;
        }
        let subject = Subject {
            app: record.release.app.clone(),
            release: record.release.id,
            number: entry.number,
            id: have.id.clone(),
            identity: process.clone(),
            address: have.address,
            how: record.release.health.clone(),
            asks: Asks::Connection,
        };
        let asks = |subject: &Subject| self.asks(record, entry, &subject.id);
        let past = Past::of(entry.ready_before, entry.unready);
        let health = self.watched_health(subject, past, asks);
        have.condition = match health.condition {
            // It ended between our look at it and this line: the next look will see that.
            Condition::Ended => Condition::Unready,
            condition => condition,
        };
        have.ready_before |= have.condition == Condition::Ready;
        if have.condition != Condition::Ready && entry.told_at_ms.is_none() {
            let unwell = Unwell {
                id: &have.id,
                pid: process.pid,
                address: have.address,
                how: &record.release.health,
                health: &health,
                log: &self.store.log(&have.id),
                mark: &self.mark(&have.id),
            };
            have.trouble = unwell.lines();
        }
    }

    /// What a check asks an instance. A program is looked up once, when its checks begin.
    fn asks(&self, record: &Record, entry: &Entry, id: &InstanceId) -> Asks {
        let release = &record.release;
        match &release.health.path {
            _ if !release.health.command.is_empty() => {
                let (state, surroundings) = (&*self.store.state, &self.surroundings);
                let (port, host) = (entry.port, entry.host);
                let launch = Launch { release, id, port, host, state, surroundings };
                let found = launch.checker().map(Box::new);
                Asks::Program(found.map_err(|fault| fault.what))
            }
            Some(path) => Asks::Path(path.clone()),
            None => Asks::Connection,
        }
    }

    fn watched_health(
        &self,
        subject: Subject,
        past: Past,
        asks: impl FnOnce(&Subject) -> Asks,
    ) -> Health {
        let mut watched = own(&self.watched);
        let (store, news) = (self.store.clone(), Arc::clone(&self.news));
        let begin = |subject: Subject| {
            let subject = Subject { asks: asks(&subject), ..subject };
            Watched::begin(subject, past, store, news)
        };
        watched.entry(subject.id.clone()).or_insert_with(|| begin(subject)).health()
    }

    /// When the next look should be at the latest, because a back-off or a stop timeout is over.
    fn set_due(&self, app: &AppName, have: &FleetHave) {
        let limits: BTreeMap<_, _> =
            have.releases.iter().map(|r| (r.release.id, r.release.stop_timeout_ms)).collect();
        let starts = have.releases.iter().map(|release| release.not_before_ms);
        let kills = have.instances.iter().filter(|i| !i.killed).filter_map(|i| {
            let limit = limits.get(&i.release).copied().unwrap_or_default();
            let told = i.told_at_ms?;
            Some(again_at_ms(told, i.telling_ms, limit).unwrap_or(told.saturating_add(limit)))
        });
        let due = starts.chain(kills).filter(|due| *due > have.now_ms).min();
        let mut all = own(&self.due);
        match due {
            Some(due) => all.insert(app.clone(), due),
            None => all.remove(app),
        };
    }
}

fn release_have(record: &Record) -> ReleaseHave {
    let this_boot = record.boot == boot_id();
    ReleaseHave {
        release: record.release.clone(),
        crashes: record.crashes,
        unstarted: record.unstarted,
        not_before_ms: if this_boot { record.not_before_ms } else { 0 },
        last_crash: record.last_crash.clone(),
        discovered: None,
    }
}
