//! A rollout under way: the pure machine with its journal and its clock.
//!
//! Whatever the machine is told goes into the journal first; what the journal refused was not told, and is
//! told at the next look. Observations that say nothing new are not told again, except after a phase
//! change, when everything is told anew. No driver here.

use std::collections::BTreeMap;
use std::sync::Arc;

use drivers::router::{Open, RoutesHave};
use model::event::PoolSeen;
use model::{Entered, Event, Fault, FleetSeen, InstanceId, Offenders, Outcome, Phase, ReleaseId};
use rollout::{Rollout, Wants};

use crate::clock::{self, RolloutClock};
use crate::store::{Entry, Frozen, Run, Store};

/// How often the whole machine is journaled; what it was told before that need not be replayed.
const FREEZE_MS: u64 = 1_000;

/// A rollout under way.
#[derive(Debug)]
pub(super) struct Active {
    store: Arc<Store>,
    run: Run,
    machine: Rollout,
    clock: RolloutClock,
    told: Told,
    /// When the whole machine was journaled last.
    frozen_ms: u64,
}

/// What the machine was last told in this phase.
#[derive(Debug, Default)]
struct Told {
    fleet: BTreeMap<ReleaseId, FleetSeen>,
    open: BTreeMap<ReleaseId, (u64, u64)>,
    pools: Option<Vec<PoolSeen>>,
    leaving: Option<Leaving>,
    movable: Option<(ReleaseId, u64)>,
    lingering: bool,
}

/// Instances that make room, and what is open on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) release: ReleaseId,
    pub(super) instances: Vec<InstanceId>,
    pub(super) open: Open,
}

impl Active {
    /// A rollout that has just been journaled as begun.
    pub(super) fn begin(store: Arc<Store>, run: Run) -> Self {
        let clock = RolloutClock::resume(run.began_mono_ns, true, 0);
        let machine = Rollout::new(run.start.clone());
        Self { store, run, machine, clock, told: Told::default(), frozen_ms: 0 }
    }

    /// A rollout found open in the journal: replayed, then told that its controller had died.
    pub(super) fn resume(store: Arc<Store>, run: Run) -> Result<Self, Fault> {
        let (machine, last_ms) = replay(&store, &run)?;
        let same_boot = clock::boot_id()? == run.boot_id;
        let clock = RolloutClock::resume(run.began_mono_ns, same_boot, last_ms);
        let told = Told::default();
        let mut active = Self { store, run, machine, clock, told, frozen_ms: last_ms };
        active.tell(&Event::Resumed)?;
        Ok(active)
    }

    /// The machine of a rollout that has ended.
    pub(super) fn last(store: &Store, run: &Run) -> Result<Rollout, Fault> {
        replay(store, run).map(|(machine, _)| machine)
    }

    /// Journals an event, then tells the machine. True when it changed the phase; after an error the
    /// machine was not told.
    pub(super) fn tell(&mut self, event: &Event) -> Result<bool, Fault> {
        let before = self.machine.phase();
        let now_ms = self.clock.now_ms();
        self.store.append(self.run.id, now_ms, &Entry::Event(event))?;
        self.machine.advance(now_ms, event);
        let changed = self.machine.phase() != before;
        if changed {
            self.told = Told::default();
        }
        if now_ms >= self.frozen_ms.saturating_add(FREEZE_MS) {
            self.frozen_ms = now_ms;
            // The journal has the event, and the machine was told: a caller that heard of an error would
            // tell it twice. Without this copy more is replayed; the next one is due in a second.
            if let Err(fault) = self.store.freeze(self.run.id, now_ms, &self.machine.snapshot()) {
                tracing::warn!(app = %self.run.start.app, "the machine was not kept: {fault}");
            }
        }
        Ok(changed)
    }

    /// Journals a driver's change: before it, and after.
    pub(super) fn note(&self, entry: &Entry<'_>) -> Result<(), Fault> {
        self.store.append(self.run.id, self.clock.now_ms(), entry)
    }

    /// What the platform sees of a release.
    pub(super) fn saw_fleet(&mut self, release: ReleaseId, seen: FleetSeen) -> Result<bool, Fault> {
        if self.told.fleet.get(&release) == Some(&seen) {
            return Ok(false);
        }
        let changed = self.tell(&Event::Fleet { release, seen: seen.clone() })?;
        if !changed {
            self.told.fleet.insert(release, seen);
        }
        Ok(changed)
    }

    /// What is open on a release.
    pub(super) fn saw_open(&mut self, release: ReleaseId, open: (u64, u64)) -> Result<bool, Fault> {
        if self.told.open.get(&release) == Some(&open) {
            return Ok(false);
        }
        let changed = self.tell(&Event::Open { release, requests: open.0, tunnels: open.1 })?;
        if !changed {
            self.told.open.insert(release, open);
        }
        Ok(changed)
    }

    /// Instances that make room, out of the routes.
    pub(super) fn saw_leaving(&mut self, leaving: Leaving) -> Result<bool, Fault> {
        if self.told.leaving.as_ref() == Some(&leaving) {
            return Ok(false);
        }
        let Leaving { release, instances, open } = leaving.clone();
        let Open { requests, tunnels } = open;
        let changed = self.tell(&Event::Leaving { release, instances, requests, tunnels })?;
        if !changed {
            self.told.leaving = Some(leaving);
        }
        Ok(changed)
    }

    /// WebSockets that the router could still move off what leaves.
    pub(super) fn saw_movable(
        &mut self,
        (release, sockets): (ReleaseId, u64),
    ) -> Result<bool, Fault> {
        if self.told.movable == Some((release, sockets)) {
            return Ok(false);
        }
        let changed = self.tell(&Event::Movable { release, sockets })?;
        if !changed {
            self.told.movable = Some((release, sockets));
        }
        Ok(changed)
    }

    /// What lasts on instances that leave: told once in a phase, and again when a deadline is near.
    pub(super) fn saw_lingering(&mut self, open: &Offenders, soon: bool) -> Result<(), Fault> {
        if !open.is_empty() && (soon || !self.told.lingering) {
            let changed = self.tell(&Event::Lingering(open.clone()))?;
            self.told.lingering = !changed;
        }
        Ok(())
    }

    /// The router carries exactly these pools. What is open is told again after that, because only
    /// counts taken after a change of routes speak for it.
    pub(super) fn saw_routes(&mut self, pools: Vec<PoolSeen>) -> Result<bool, Fault> {
        if self.told.pools.as_ref() == Some(&pools) {
            return Ok(false);
        }
        let changed = self.tell(&Event::RoutesSettled { pools: pools.clone() })?;
        if !changed {
            self.told.pools = Some(pools);
            self.told.open.clear();
            self.told.leaving = None;
            self.told.movable = None;
        }
        Ok(true)
    }

    /// Tells the machine the time when it asked to be woken. True when that changed the phase.
    pub(super) fn tick(&mut self) -> Result<bool, Fault> {
        match self.machine.wake() {
            Some(at_ms) if self.clock.now_ms() >= at_ms => self.tell(&Event::Tick),
            _ => Ok(false),
        }
    }

    /// ms until the machine wants to be woken.
    pub(super) fn wake_in_ms(&self) -> Option<u64> {
        self.machine.wake().map(|at_ms| at_ms.saturating_sub(self.clock.now_ms()))
    }

    /// What should be true now.
    pub(super) fn wants(&self) -> Wants {
        self.machine.wants()
    }

    /// Every phase entered so far.
    pub(super) fn entered(&self) -> &[Entered] {
        self.machine.entered()
    }

    /// Why it went the way it went: for one that turned back, what made it turn.
    pub(super) fn reason(&self) -> String {
        let back = [
            Phase::RollingBack,
            Phase::DrainingCandidate,
            Phase::StoppingCandidate,
            Phase::Aborted,
            Phase::Stuck,
        ];
        let turn = self.entered().iter().find(|entered| back.contains(&entered.phase));
        turn.or(self.entered().last()).map(|entered| entered.why.clone()).unwrap_or_default()
    }

    /// How it ended, once it has.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.machine.outcome()
    }

    /// The machine, for questions that change nothing.
    pub(super) const fn machine(&self) -> &Rollout {
        &self.machine
    }

    /// True while the machine looks at what the prober sees.
    pub(super) fn judges_windows(&self) -> bool {
        self.machine.judges_windows()
    }

    /// What is open on the release, or the instances, that traffic is leaving now, if it is.
    pub(super) fn open_old(&self, routes: &RoutesHave) -> Option<Open> {
        if let Some(leaving) = &self.told.leaving {
            return Some(leaving.open);
        }
        let stable = self.run.start.stable.as_ref().map(|named| named.id);
        let release = match self.machine.phase() {
            Phase::Baking | Phase::Draining | Phase::HandingOver => stable,
            Phase::DrainingCandidate => Some(self.run.start.candidate.id),
            _ => None,
        };
        release.map(|release| routes.open_on(release))
    }

    /// The run in the journal.
    pub(super) const fn run(&self) -> &Run {
        &self.run
    }

    /// Its clock.
    pub(super) const fn clock(&self) -> &RolloutClock {
        &self.clock
    }
}

/// The machine as the journal has it, and the time of the last thing that it was told.
fn replay(store: &Store, run: &Run) -> Result<(Rollout, u64), Fault> {
    let (mut machine, mut last_ms, seq) = match store.frozen(run.id)? {
        Some(Frozen { seq, at_ms, machine }) => (Rollout::from_snapshot(machine)?, at_ms, seq),
        None => (Rollout::new(run.start.clone()), 0, 0),
    };
    for (at_ms, event) in store.events(run.id, seq)? {
        machine.advance(at_ms, &event);
        last_ms = at_ms;
    }
    Ok((machine, last_ms))
}

#[cfg(test)]
mod tests;
