//! The phases a rollout will go through when all goes well: the machine itself, told an ideal world.
//!
//! Nothing is asked or done, and no time passes. What a real world does to it, nobody can foresee.

use std::collections::BTreeMap;

use model::{Event, FleetSeen, InstanceId, Measured, Phase, ReleaseId, RunState, Tally, Window};

use crate::machine::Rollout;
use crate::settings::Start;
use crate::wants::Wants;

/// A rollout of so many events does not end.
const EVENTS_MAX: u32 = 100_000;

/// A phase that a rollout will enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The phase.
    pub phase: Phase,
    /// What will be wanted in it.
    pub wants: Wants,
    /// How long it lasts at most, ms; of *baking*, how long it is judged. `None` of the last one.
    pub limit_ms: Option<u64>,
}

/// Every phase in its order, the last one final. There are tunnels on what leaves, so that the hand-over
/// is among them.
pub fn foresee(start: &Start) -> Vec<Foreseen> {
    let mut world = World::new(start);
    for _ in 0..EVENTS_MAX {
        if world.machine.outcome().is_some() {
            break;
        }
        if world.machine.paused().is_some() {
            // Whoever is waited for is content.
            world.tell(&Event::ResumeAsked);
        }
        while let Some(name) = world.machine.wants().hook {
            world.tell(&Event::HookEnded { name, passed: true, words: String::new() });
        }
        while let Some(barrier) = world.machine.awaits() {
            world.tell(&Event::BarrierOpened { barrier });
        }
        let told = world.events().iter().any(|event| world.tell(event));
        let held = world.machine.wants().hook.is_some() || world.machine.awaits().is_some();
        if !told && !held {
            // Only time is missing.
            world.now_ms = world.machine.wake().unwrap_or(world.now_ms).max(world.now_ms + 1);
            world.tell(&Event::Tick);
        }
    }
    world.foreseen
}

/// A world in which whatever is wanted is so.
struct World {
    machine: Rollout,
    now_ms: u64,
    foreseen: Vec<Foreseen>,
    /// The numbers of the instances of each release.
    running: BTreeMap<ReleaseId, Vec<u32>>,
    started: u32,
    version: String,
}

impl World {
    fn new(start: &Start) -> Self {
        let instances = u32::from(start.instances.max(1));
        let stable = start.stable.iter().map(|named| (named.id, (1..=instances).collect()));
        let mut world = Self {
            machine: Rollout::new(start.clone()),
            now_ms: 0,
            foreseen: Vec::new(),
            running: stable.collect(),
            started: instances,
            version: start.candidate.version.to_string(),
        };
        world.note();
        world
    }

    /// Tells the machine. True when it entered another phase.
    fn tell(&mut self, event: &Event) -> bool {
        let before = self.machine.entered().len();
        self.machine.advance(self.now_ms, event);
        let entered = self.machine.entered().len() > before;
        if entered {
            self.note();
        }
        entered
    }

    fn note(&mut self) {
        self.foreseen.push(Foreseen {
            phase: self.machine.phase(),
            wants: self.machine.wants(),
            limit_ms: self.machine.wake().map(|at_ms| at_ms.saturating_sub(self.now_ms)),
        });
    }

    /// What is seen once everything is as it is wanted now.
    fn events(&mut self) -> Vec<Event> {
        let wants = self.machine.wants();
        let leaving = self.obey(&wants);
        let phase = self.machine.phase();
        let tunnels = u64::from(phase == Phase::Draining);
        let mut events = Vec::new();
        for (release, running) in &self.running {
            let n = u16::try_from(running.len()).unwrap_or(u16::MAX);
            let seen =
                FleetSeen { existing: n, ready: n, crashes: 0, unstarted: 0, trouble: Vec::new() };
            events.push(Event::Fleet { release: *release, seen });
        }
        events.push(Event::RoutesSettled { pools: wants.pools.clone() });
        for release in self.running.keys() {
            events.push(Event::Open { release: *release, requests: 0, tunnels });
        }
        // Something is open on them as long as they are being taken out of the routes.
        let requests = u64::from(phase == Phase::Shifting);
        events.extend(leaving.map(|(release, instances)| Event::Leaving {
            release,
            instances,
            requests,
            tunnels,
        }));
        let good = |ok| Tally { ok, ..Tally::default() };
        if let Some(asked) = wants.preview {
            events.push(Event::Preview { tally: good(asked.into()), failures: Vec::new() });
        }
        events.extend(self.machine.measures().map(|metric| Event::Measured {
            metric: metric.name.clone(),
            found: Measured::Within,
            words: metric.name.clone(),
        }));
        if phase == Phase::Arming {
            events.push(Event::Armed);
        }
        let by_version = BTreeMap::from([(self.version.clone(), good(1))]);
        let window = Window { by_version, ..Window::default() };
        // The first one ends a time of which it is not certain who answered.
        events.extend([Event::Window(window.clone()), Event::Window(window)]);
        events
    }

    /// Starts and ends instances. Answers those that make room, if some should.
    fn obey(&mut self, wants: &Wants) -> Option<(ReleaseId, Vec<InstanceId>)> {
        let leave = wants.leave.as_ref();
        let named: Vec<&InstanceId> = leave.iter().flat_map(|leave| &leave.named).collect();
        let ends = leave.is_some_and(|leave| leave.state != RunState::Running)
            && self.machine.phase() != Phase::HandingOver;
        for fleet in &wants.fleet {
            let running = self.running.entry(fleet.release).or_default();
            if fleet.state == RunState::Gone {
                running.clear();
            }
            if ends && leave.is_some_and(|leave| leave.release == fleet.release) {
                running.retain(|n| !named.contains(&&id(fleet.release, *n)));
            }
            let of_leave = |n: &&u32| named.contains(&&id(fleet.release, **n));
            let staying = running.iter().filter(|n| !of_leave(n)).count();
            for _ in staying..usize::from(fleet.instances) {
                self.started += 1;
                running.push(self.started);
            }
        }
        let leave = leave?;
        let wanted = wants.fleet.iter().find(|fleet| fleet.release == leave.release)?.instances;
        let running = self.running.get(&leave.release)?;
        let instances = if leave.named.is_empty() {
            let beyond = running.len().saturating_sub(wanted.into());
            running
                .iter()
                .take(beyond.min(leave.instances.into()))
                .map(|n| id(leave.release, *n))
                .collect()
        } else {
            let there = running.iter().map(|n| id(leave.release, *n));
            there.filter(|id| leave.named.contains(id)).collect()
        };
        Some((leave.release, instances))
    }
}

fn id(release: ReleaseId, n: u32) -> InstanceId {
    InstanceId(format!("{}-{n}", release.0))
}

#[cfg(test)]
mod tests {
    use model::{AppName, Phase, ReleaseId, Version, Weight};

    use super::foresee;
    use crate::settings::{Named, Settings, Start};
    use crate::strategy::Strategy;

    fn start(stable: bool, instances: u16, settings: Settings) -> Start {
        let named = |id, version: &str| Named {
            id: ReleaseId(id),
            version: Version::new(version).unwrap(),
        };
        let stable = stable.then(|| named(1, "v1"));
        let app = AppName::new("shop").unwrap();
        Start { app, stable, candidate: named(2, "v2"), instances, settings }
    }

    /// Phases, each with the candidate's share where it is one of shifting.
    fn story(start: &Start) -> String {
        let seen = foresee(start);
        assert_eq!(seen.last().map(|last| last.phase), Some(Phase::Promoted), "{seen:#?}");
        let words = seen.iter().map(|one| {
            let pool = one.wants.pools.iter().find(|pool| pool.release == ReleaseId(2));
            match (one.phase, pool) {
                (Phase::Shifting, Some(pool)) => format!("shifting:{}", pool.weight.basis_points()),
                (phase, _) => phase.to_string(),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_strategy_is_foreseen_to_its_end() {
        let blue =
            "starting previewing arming shifting:10000 baking draining handing-over stopping";
        let of = |strategy| Settings { strategy, ..Settings::default() };
        assert_eq!(story(&start(true, 2, Settings::default())), format!("{blue} promoted"));
        let first = "starting previewing shifting:10000 baking promoted";
        let unwatched = Settings { probing: false, ..Settings::default() };
        assert_eq!(story(&start(false, 2, unwatched)), first);
        let steps = [500, 2_500].map(|points| Weight::new(points).unwrap()).to_vec();
        let canary = of(Strategy::Canary { steps, step_ms: 4_000, counts: Vec::new() });
        let wanted = "starting previewing arming shifting:500 baking shifting:2500 baking \
             shifting:10000 baking draining handing-over stopping promoted";
        assert_eq!(story(&start(true, 2, canary.clone())), wanted);
        let limits: Vec<_> = foresee(&start(true, 2, canary))
            .iter()
            .filter(|one| one.phase == Phase::Baking)
            .map(|one| one.limit_ms)
            .collect();
        assert_eq!(limits, [Some(4_000), Some(4_000), Some(10_000)]);
        let home = Settings { return_home: true, ..Settings::default() };
        let back = "starting shifting:10000 draining promoted";
        assert_eq!(story(&start(true, 2, home)), format!("{blue} {back}"));
    }

    #[test]
    fn with_a_surge_the_candidate_comes_first_and_is_judged_once_more_at_the_end() {
        for (instances, batch, surge) in [(1, 1, 1), (4, 1, 1), (4, 2, 1), (5, 2, 2), (4, 4, 4)] {
            let strategy = Strategy::Rolling { batch, surge };
            let settings = Settings { strategy, ..Settings::default() };
            let told = story(&start(true, instances, settings));
            let batches = usize::from(instances.div_ceil(batch));
            let times = |phase: &str| told.split(' ').filter(|one| one.starts_with(phase)).count();
            assert_eq!((times("draining"), times("shifting")), (batches, batches + 1), "{told}");
            assert!(told.starts_with("starting previewing arming shifting:"), "{told}");
            assert!(told.ends_with("shifting:10000 baking promoted"), "{told}");
        }
    }

    #[test]
    fn a_rolling_replacement_is_foreseen_batch_by_batch() {
        for (instances, batch) in [(2, 1), (4, 2), (5, 2), (100, 7)] {
            let strategy = Strategy::Rolling { batch, surge: 0 };
            let settings = Settings { strategy, ..Settings::default() };
            let told = story(&start(true, instances, settings));
            let batches = usize::from(instances.div_ceil(batch));
            assert_eq!(told.matches("shifting").count(), batches, "{told}");
            assert!(
                told.starts_with("starting draining handing-over stopping starting previewing"),
                "{told}"
            );
            assert!(told.ends_with("shifting:10000 baking promoted"), "{told}");
        }
    }
}
