//! How far the rollouts are that go together with others, as their controllers say it to each other.
//!
//! Whatever is said here is in the journal already, and only grows. So there is nobody who leads: each
//! controller asks for itself, whenever it looks, and a server that comes back begins with an empty list. The
//! rule itself is the machine's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{AppName, Barrier, Event, Fault, Outcome};
use rollout::{Other, Stage};

use super::active::Active;
use crate::store::Store;

/// The last rollout of each app that went together with others: its run, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Stages {
    all: Mutex<BTreeMap<AppName, (String, Stage)>>,
}

impl Stages {
    /// Says how far a rollout is.
    pub(super) fn say(&self, active: &Active) {
        let run = active.run();
        if run.start.settings.together.is_some() {
            let said = (run.name.clone(), active.machine().stage());
            self.lock().insert(run.start.app.clone(), said);
        }
    }

    /// What the machine of a rollout is to be told now because of the others.
    pub(super) fn ruling(&self, active: &Active, store: &Store) -> Result<Option<Event>, Fault> {
        let Some(together) = &active.run().start.settings.together else { return Ok(None) };
        let past = together.others.iter().map(|other| self.past(other, store));
        let past = past.collect::<Result<Vec<_>, _>>()?;
        // All at one moment: between two looks one of them could halt.
        let all = self.lock();
        let now = |(other, past): (&Other, Stage)| {
            let said = all.get(&other.app).filter(|(run, _)| *run == other.run);
            said.map_or(past, |(_, stage)| stage.clone())
        };
        let others: Vec<Stage> = together.others.iter().zip(past).map(now).collect();
        Ok(active.machine().ruling(&others))
    }

    /// The server ends a rollout where it stands. True when all are bound: then it is final, as it is or will be
    /// found to be of the others; else none of them gets any further with it.
    pub(super) fn halt(&self, active: &Active) -> bool {
        let run = active.run();
        let Some(together) = &run.start.settings.together else { return false };
        let mut all = self.lock();
        let said = |app: &AppName, run: &str| all.get(app).filter(|(said, _)| said == run);
        // One that was halted before is bound to nothing any more.
        let is_bound =
            |stage: &Stage| stage.reached == Some(Barrier::Final) && stage.turned.is_none();
        let bound =
            |app: &AppName, run: &str| said(app, run).is_some_and(|(_, stage)| is_bound(stage));
        let others = together.others.iter().all(|other| bound(&other.app, &other.run));
        let binding = others && is_bound(&active.machine().stage());
        if !binding {
            let turned = Some("the server was stopped".to_owned());
            let stage = Stage { turned, ..active.machine().stage() };
            all.insert(run.start.app.clone(), (run.name.clone(), stage));
        }
        binding
    }

    /// How far another one is of whom nobody spoke since the server began: it has ended before.
    fn past(&self, other: &Other, store: &Store) -> Result<Stage, Fault> {
        if self.lock().get(&other.app).is_some_and(|(run, _)| *run == other.run) {
            return Ok(Stage::default());
        }
        let Some(run) = store.run_named(&other.run)? else { return Ok(Stage::default()) };
        let Some(outcome) = run.outcome else { return Ok(Stage::default()) };
        let stage = Active::last(store, &run)?.stage();
        Ok(match outcome {
            Outcome::Promoted => Stage { reached: Some(Barrier::Final), turned: None },
            Outcome::Aborted if stage.turned.is_none() => {
                Stage { turned: Some("its server was stopped".to_owned()), ..stage }
            }
            Outcome::Aborted | Outcome::Stuck | Outcome::None => stage,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppName, (String, Stage)>> {
        // Each change is one insertion: there is no half of one.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
