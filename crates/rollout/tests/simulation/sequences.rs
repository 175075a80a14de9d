//! Every short sequence of everything that the machine can hear, from the beginning of each kind of rollout and
//! from each phase that a quiet one comes to, forward and back: no invariant breaks, nothing is moved or ended
//! that must not be, and once all is well the rollout has an end.
//!
//! Sequences that lead to the very same machine go on as one: it knows nothing but what it has. Time
//! stands still but for the tick that the machine waits for. From a third of the beginnings, which the day
//! chooses, they have two events, from the others one; `CUTOVER_FULL=1` takes two from all of them, and
//! `CUTOVER_SIM_LENGTH=n` so many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use model::{Event, Phase, ReleaseId, RunState, Weight};
use rollout::{Rollout, Strategy, Wants};

use crate::asked;
use crate::grounds::grounds;
use crate::hearable::{KINDS, hearable, kind};
use crate::plan::CANDIDATE;
use crate::quiet::LOOKS;
use crate::ways::{self, Way};

/// More turns than any rollout needs when all is well.
const TURNS: u64 = 200;

/// A machine at a time, and who was ready when it was last told so in this life.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Instant {
    machine: Rollout,
    now: u64,
    ready: BTreeMap<ReleaseId, u16>,
}

/// What is told if the test fails here.
struct Story<'a> {
    ground: &'a str,
    from: Phase,
    events: Vec<&'a Event>,
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}, from {}: {:#?}", self.ground, self.from, self.events);
        }
    }
}

impl Instant {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Tick => self.now = self.machine.wake().unwrap_or(self.now),
            Event::Fleet { release, seen } => {
                self.ready.insert(*release, seen.ready);
            }
            Event::Resumed => self.ready.clear(),
            _ => {}
        }
        self.machine.advance(self.now, event);
    }

    /// The machine after an event.
    fn told(&self, event: &Event) -> Self {
        let mut next = self.clone();
        next.hear(event);
        self.expect_lawful(event, &next);
        next
    }

    /// Nothing is done when it is over, nor for a wish that is refused; traffic goes to nobody who was not
    /// reported ready, and whom users were on is not told to end while nobody else was.
    fn expect_lawful(&self, event: &Event, next: &Self) {
        let (before, after) = (self.machine.wants(), next.machine.wants());
        let but_hooks = |wants: &Wants| Wants { hook: None, ..wants.clone() };
        if self.machine.outcome().is_some() {
            assert_eq!(self.machine.outcome(), next.machine.outcome(), "{event:?}");
            assert_eq!(but_hooks(&before), but_hooks(&after), "{event:?}");
        }
        if let Some(why) = self.machine.refuses(event) {
            let is = |one: &Rollout| (one.entered().len(), one.paused().cloned());
            assert_eq!((&before, is(&self.machine)), (&after, is(&next.machine)), "{why}");
        }
        let ready = |release: ReleaseId| next.ready.get(&release).copied().unwrap_or(0);
        let stuck = next.machine.phase() == Phase::Stuck;
        for pool in &after.pools {
            let was = before.pools.iter().find(|was| was.release == pool.release);
            let more = pool.weight > was.map_or(Weight::NONE, |was| was.weight);
            assert!(!more || stuck || ready(pool.release) > 0, "{:?} {event:?}", after.pools);
        }
        let rolling = matches!(self.machine.start().settings.strategy, Strategy::Rolling { .. });
        let home = after.pools.iter().find(|pool| pool.weight == Weight::ALL);
        let users = next.machine.entered().iter().any(|one| one.phase == Phase::Shifting);
        for (was, is) in before.fleet.iter().zip(&after.fleet) {
            let told = was.state == RunState::Running && is.state != RunState::Running;
            let had_users = is.release != CANDIDATE || users;
            let nobody = home.is_some_and(|home| ready(home.release) == 0);
            assert!(rolling || !(told && had_users && nobody), "{is:?} {event:?}");
        }
    }

    fn place(&self) -> Place {
        let (entered, notes) = (self.machine.entered().len(), self.machine.notes().len());
        (self.machine.phase(), self.now, entered, notes, self.ready.values().copied().collect())
    }
}

/// How it goes on when all is well, to its end; told after each event.
fn when_all_is_well(from: &Instant, mut tell: impl FnMut(&Instant)) -> Rollout {
    let (mut here, mut turns) = (from.clone(), 0);
    while here.machine.outcome().is_none() {
        let wants = here.machine.wants();
        let entered = here.machine.entered().len();
        for look in LOOKS {
            if let Some(event) = look(&here.machine, &wants, 1_000 + turns) {
                here.hear(&event);
                tell(&here);
            }
        }
        if here.machine.entered().len() == entered && here.machine.wants() == wants {
            here.hear(&Event::Tick);
            tell(&here);
        }
        turns += 1;
        assert!(turns < TURNS, "no end: {:#?}", (here.machine.entered(), here.machine.notes()));
    }
    here.machine
}

/// The beginning, and the first moment of each phase to which it comes when all is well, also when it is
/// taken back from there.
fn moments(mut machine: Rollout) -> Vec<Instant> {
    machine.advance(0, &Event::Tick);
    let mut all = vec![Instant { machine, now: 0, ready: BTreeMap::new() }];
    let mut seen = BTreeSet::new();
    let mut new = |one: &Instant| {
        let (phase, entered) = (one.machine.phase(), one.machine.entered().iter());
        let times = entered.filter(|entered| entered.phase == phase).count();
        seen.insert((phase, one.machine.turns_back(), times.min(2)))
    };
    new(&all[0]);
    let mut forward = Vec::new();
    when_all_is_well(&all[0], |one| forward.extend(new(one).then(|| one.clone())));
    for one in forward {
        let back = one.told(&Event::AbortAsked { reason: "asked".to_owned() });
        all.push(one);
        all.extend(new(&back).then(|| back.clone()));
        when_all_is_well(&back, |one| all.extend(new(one).then(|| one.clone())));
    }
    all
}

/// What can be compared at once: those that are the same are at the same place.
type Place = (Phase, u64, usize, usize, Vec<u16>);

/// The machines that were met.
#[derive(Default)]
struct Known(BTreeMap<Place, Vec<Instant>>);

impl Known {
    /// True of one that was not met before.
    fn add(&mut self, one: &Instant) -> bool {
        let alike = self.0.entry(one.place()).or_default();
        let new = !alike.contains(one);
        if new {
            alike.push(one.clone());
        }
        new
    }
}

/// What was met on all ways.
#[derive(Default)]
struct Met {
    kinds: BTreeSet<u8>,
    ways: BTreeSet<Way>,
    sequences: u64,
    machines: u64,
}

/// Tells every sequence of that length from there.
fn explore((ground, strategy): (&str, &'static str), from: &Instant, length: u64, met: &mut Met) {
    let (mut known, mut level) = (Known::default(), vec![(from.clone(), Vec::new())]);
    known.add(from);
    for at_s in 0..length {
        let mut next: Vec<(Instant, Vec<Event>)> = Vec::new();
        for (here, path) in &level {
            for event in hearable(&here.machine, 100 + at_s) {
                let events = path.iter().chain([&event]).collect();
                let _story = Story { ground, from: from.machine.phase(), events };
                met.kinds.insert(kind(&event));
                met.sequences += 1;
                let told = here.told(&event);
                // A wish that is refused leaves nothing but a note.
                if here.machine.refuses(&event).is_none() && known.add(&told) {
                    let path = path.iter().chain([&event]).cloned().collect();
                    next.push((told, path));
                }
            }
        }
        for (here, path) in &next {
            let _story =
                Story { ground, from: from.machine.phase(), events: path.iter().collect() };
            let end = when_all_is_well(here, |_| {});
            met.ways.extend(ways::of(strategy, &end));
        }
        met.machines += next.len() as u64;
        level = next;
    }
}

/// The ways that sequences of one event take, each of which goes on to its end when all is well.
pub(crate) fn ways_of_one_event() -> BTreeSet<Way> {
    let mut met = Met::default();
    for (ground, strategy, start) in grounds() {
        for from in moments(Rollout::new(start)) {
            explore((ground, strategy), &from, 1, &mut met);
        }
    }
    met.ways
}

/// How many events a sequence has that begins there.
fn length(beginning: u64) -> u64 {
    let day = UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() / 86_400);
    let chosen = asked("CUTOVER_FULL").is_some() || (beginning + day).is_multiple_of(3);
    asked("CUTOVER_SIM_LENGTH").unwrap_or(if chosen { 2 } else { 1 })
}

#[test]
fn every_short_sequence_of_events_breaks_nothing_and_has_an_end() {
    let (mut met, mut beginnings) = (Met::default(), 0);
    for (ground, strategy, start) in grounds() {
        for from in moments(Rollout::new(start)) {
            explore((ground, strategy), &from, length(beginnings), &mut met);
            beginnings += 1;
        }
    }
    println!("{beginnings} beginnings, {} sequences, {} machines", met.sequences, met.machines);
    assert!(met.kinds.into_iter().eq(0..KINDS), "a kind of event is never told");
    ways::expect_known(&met.ways);
}
