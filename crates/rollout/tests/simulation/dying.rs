//! The death of a controller: between two records, and what the next one makes of the journal.
//!
//! When it looks and acts while it lives is in `controller`.

use model::Tally;
use rollout::{Rollout, Snapshot};

use crate::controller::Controller;
use crate::world::STEP_MS;

impl Controller<'_> {
    /// After an event was journaled and before its effect.
    pub(crate) fn dies(&mut self) -> bool {
        if let Some((_, down)) = self.death.take_if(|(record, _)| *record == self.journal.len()) {
            self.deaths += 1;
            self.die(self.world.now + down, self.journal.len().is_multiple_of(2));
            return true;
        }
        if self.world.rng.between(1, 10_000) > self.world.plan.deaths {
            return false;
        }
        self.deaths += 1;
        let until = self.world.now + self.world.rng.between(STEP_MS, self.world.plan.down);
        let whole = self.world.rng.chance(50);
        self.die(until, whole);
        true
    }

    /// The next one comes then; it replays the whole journal, or takes what was kept of the machine.
    pub(crate) fn die(&mut self, until: u64, whole: bool) {
        self.down_until = until;
        let rebuilt = if whole { self.replayed() } else { self.restored() };
        if rebuilt != self.machine {
            self.world.violations.push("a rebuilt machine differs".to_owned());
        }
        self.machine = rebuilt;
        self.reported.clear();
        self.routes = None;
        self.calls.die();
        self.preview = Tally::default();
    }

    /// The machine as its journal makes it.
    pub(crate) fn replayed(&self) -> Rollout {
        let mut machine = Rollout::new(self.world.plan.start.clone());
        for (at, event) in &self.journal {
            machine.advance(*at, event);
        }
        machine
    }

    fn restored(&self) -> Rollout {
        let text = serde_json::to_string(&self.machine.snapshot()).unwrap();
        let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
        Rollout::from_snapshot(snapshot).unwrap()
    }
}
