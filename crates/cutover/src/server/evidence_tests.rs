//! What the controller hears once, while the journal cannot be written to: a real journal, no prober.
//!
//! What the machine makes of it is not tried here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::event::PoolSeen;
use model::{Event, Phase, PoolState, ReleaseId, Tally, Weight, Window};
use probe::control::FromProbe;
use rollout::{Settings, Strategy};
use tokio::sync::mpsc;

use super::{Evidence, Heard, Inner, News, Previewed};
use crate::server::active::Active;
use crate::server::bus::Bus;
use crate::server::sample_tools;
use crate::server::tools::Tools;
use crate::store::refusing::Refusing;

/// A rollout that asks its candidate directly now, and what hears of it.
struct Bed {
    directory: tempfile::TempDir,
    tools: Tools,
    active: Active,
    evidence: Evidence,
}

impl Bed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tools = sample_tools::tools(directory.path());
        let steps = vec![Weight::new(1_000).unwrap()];
        let settings = Settings {
            strategy: Strategy::Canary { steps, step_ms: 600_000, counts: Vec::new() },
            preview_requests: 5,
            ..Settings::default()
        };
        let active = sample_tools::shipping(&tools, settings);
        let (sender, _) = mpsc::channel(8);
        let evidence = Evidence::new(tools.clone(), Arc::new(Bus::new()), sender);
        Self { directory, tools, active, evidence }
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn phase(&self) -> Phase {
        self.active.machine().phase()
    }

    /// It hears of that; true when the machine was told.
    fn hears(&mut self, what: Inner) -> bool {
        let run = self.active.run().id;
        self.evidence.hear(&mut self.active, News { run, what }).is_ok()
    }

    /// It hears of that while the journal refuses everything, and then has its next turns.
    fn hears_in_vain(&mut self, what: Inner) {
        let refusing = Refusing::journal(self.at());
        let before = self.phase();
        assert!(!self.hears(what) && self.evidence.tell_again(&mut self.active).is_err());
        assert_eq!(self.phase(), before);
        drop(refusing);
        for _ in 0..2 {
            self.evidence.tell_again(&mut self.active).unwrap();
        }
    }

    /// Events of the journal.
    fn journaled(&self) -> Vec<Event> {
        let events = self.tools.store.events(self.active.run().id, 0).unwrap();
        events.into_iter().map(|(_, event)| event).collect()
    }
}

/// 100 ms in which v2 answered as often.
fn window(number: u64, answers: u64) -> Inner {
    let by_version = BTreeMap::from([("v2".to_owned(), Tally { ok: answers, ..Tally::default() })]);
    let (from_us, to_us) = (number * 100_000, (number + 1) * 100_000);
    let window = Window { from_us, to_us, by_version, ..Window::default() };
    Inner::Probe(Heard::Said(FromProbe::Window(window)))
}

#[test]
fn what_is_said_once_waits_for_the_journal_and_is_told_once() {
    let mut bed = Bed::new();
    assert_eq!(bed.phase(), Phase::Previewing);
    let tally = Tally { ok: 5, ..Tally::default() };
    bed.hears_in_vain(Inner::Preview(Previewed { tally, failures: Vec::new() }));
    assert_eq!(bed.phase(), Phase::Arming);
    bed.hears_in_vain(Inner::Probe(Heard::Said(FromProbe::Armed)));
    assert_eq!(bed.phase(), Phase::Shifting);
    bed.hears_in_vain(Inner::Probe(Heard::Lost));
    let told = bed.journaled();
    let once = |is: fn(&Event) -> bool| told.iter().filter(|event| is(event)).count();
    assert_eq!(once(|event| matches!(event, Event::Preview { .. })), 1, "{told:?}");
    assert_eq!(once(|event| matches!(event, Event::Armed)), 1, "{told:?}");
    assert_eq!(once(|event| matches!(event, Event::ProberLost)), 1, "{told:?}");
}

#[test]
fn windows_that_the_journal_refused_are_joined_to_the_next_one() {
    let mut bed = Bed::new();
    let tally = Tally { ok: 5, ..Tally::default() };
    assert!(bed.hears(Inner::Preview(Previewed { tally, failures: Vec::new() })));
    assert!(bed.hears(Inner::Probe(Heard::Said(FromProbe::Armed))));
    let pool = |release, weight| PoolSeen {
        release: ReleaseId(release),
        weight: Weight::new(weight).unwrap(),
        state: PoolState::Serving,
    };
    bed.active.saw_routes(vec![pool(1, 9_000), pool(2, 1_000)]).unwrap();
    assert!(bed.active.judges_windows(), "{:?}", bed.active.entered());
    let refusing = Refusing::journal(bed.at());
    let told: Vec<bool> = (0..4).map(|number| bed.hears(window(number, 5))).collect();
    assert_eq!(told, [true, true, false, false], "from 250 ms on it is to be told");
    drop(refusing);
    assert!((4..8).all(|number| bed.hears(window(number, 1))));
    let told = bed.journaled();
    let answers = |event: &Event| match event {
        Event::Window(window) => Some(window.by_version["v2"].ok),
        _ => None,
    };
    assert_eq!(told.iter().filter_map(answers).collect::<Vec<_>>(), [21, 3]);
}
