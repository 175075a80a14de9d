//! How far the rollouts are that go together with others, as their controllers say it to each other.
//!
//! Whatever is said here is in the journal already, and only grows. So there is nobody who leads: each
//! controller asks for itself, whenever it looks, and a server that comes back begins with an empty list. The
//! rule itself is the machine's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{AppName, Barrier, Event, Fault, Outcome};
use rollout::{Other, Stage, Together};

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
        self.halted((&run.start.app, &run.name), together, &active.machine().stage())
    }

    fn halted(&self, (app, run): (&AppName, &str), together: &Together, own: &Stage) -> bool {
        let mut all = self.lock();
        // One that was halted before is bound to nothing any more.
        let bound = |stage: &Stage| stage.reached == Some(Barrier::Final) && stage.turned.is_none();
        let other = |other: &Other| {
            all.get(&other.app).is_some_and(|(run, stage)| *run == other.run && bound(stage))
        };
        let binding = bound(own) && together.others.iter().all(other);
        if !binding {
            let turned = Some("the server was stopped".to_owned());
            all.insert(app.clone(), (run.to_owned(), Stage { turned, reached: own.reached }));
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

#[cfg(test)]
mod tests {
    use model::{AppName, Barrier, Version};
    use rollout::{Other, Stage, Together};

    use super::Stages;

    const ALL: [&str; 3] = ["cart", "credit", "shop"];

    fn app(name: &str) -> AppName {
        AppName::new(name).unwrap()
    }

    fn at(barrier: Barrier) -> Stage {
        Stage { reached: Some(barrier), turned: None }
    }

    /// One of them says how far it is.
    fn says(stages: &Stages, name: &str, barrier: Barrier) {
        stages.lock().insert(app(name), (format!("run of {name}"), at(barrier)));
    }

    /// The server ends one of them where it stands: whether it is final.
    fn halts(stages: &Stages, name: &str, barrier: Barrier) -> bool {
        let other = |other: &&str| Other {
            app: app(other),
            version: Version::new("v2").unwrap(),
            run: format!("run of {other}"),
        };
        let others = ALL.iter().filter(|other| **other != name).map(other).collect();
        let together = Together { name: app("all"), others, wait_ms: 1 };
        stages.halted((&app(name), &format!("run of {name}")), &together, &at(barrier))
    }

    #[test]
    fn when_all_are_bound_each_ends_final_in_any_order() {
        let stages = Stages::default();
        for name in ALL {
            says(&stages, name, Barrier::Final);
        }
        assert!(ALL.iter().all(|name| halts(&stages, name, Barrier::Final)));
    }

    #[test]
    fn when_one_was_halted_before_all_were_bound_none_ends_final() {
        let stages = Stages::default();
        says(&stages, "cart", Barrier::Final);
        says(&stages, "credit", Barrier::Sure);
        says(&stages, "shop", Barrier::Final);
        assert!(!halts(&stages, "shop", Barrier::Final), "credit is not bound yet");
        says(&stages, "credit", Barrier::Final);
        assert!(!halts(&stages, "cart", Barrier::Final), "shop is on the old version");
        assert!(!halts(&stages, "credit", Barrier::Final));
    }

    #[test]
    fn another_run_of_an_app_binds_nobody() {
        let stages = Stages::default();
        for name in ALL {
            says(&stages, name, Barrier::Final);
        }
        stages.lock().insert(app("cart"), ("its next".to_owned(), at(Barrier::Final)));
        assert!(!halts(&stages, "shop", Barrier::Final));
    }
}
