//! How far the rollouts are that go together with others, as their controllers say it to each other.
//!
//! Whatever is said here is in the journal already, and only grows. So there is nobody who leads: each
//! controller asks for itself, whenever it looks, and a server that comes back begins with an empty list. The
//! rule itself is the machine's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{AppName, Event, Fault};
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
        let past = self.past(together, store)?;
        let others = said(&self.lock(), together, past);
        Ok(active.machine().ruling(&others))
    }

    /// The server ends a rollout where it stands. True when all are bound: then it is final, as it is or will be
    /// found to be of the others; else none of them gets any further with it.
    pub(super) fn halt(&self, active: &Active, store: &Store) -> Result<bool, Fault> {
        let run = active.run();
        let Some(together) = &run.start.settings.together else { return Ok(false) };
        let past = self.past(together, store)?;
        let own = active.machine().stage();
        Ok(self.halted((&run.start.app, &run.name), (together, past), own))
    }

    fn halted(
        &self,
        (app, run): (&AppName, &str),
        (together, past): (&Together, Vec<Stage>),
        own: Stage,
    ) -> bool {
        let mut all = self.lock();
        let binding = own.is_final_with(&said(&all, together, past));
        if !binding {
            all.insert(app.clone(), (run.to_owned(), own.halted()));
        }
        binding
    }

    /// How far the others are of whom nobody spoke since the server began: they have ended before.
    fn past(&self, together: &Together, store: &Store) -> Result<Vec<Stage>, Fault> {
        let of = |other: &Other| {
            if self.lock().get(&other.app).is_some_and(|(run, _)| *run == other.run) {
                return Ok(Stage::default());
            }
            let run = store.run_named(&other.run)?;
            let ended = run.and_then(|run| Some((run.outcome?, run)));
            let Some((outcome, run)) = ended else { return Ok(Stage::default()) };
            Ok(Active::last(store, &run)?.stage().ended(outcome))
        };
        together.others.iter().map(of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppName, (String, Stage)>> {
        // Each change is one insertion: there is no half of one.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the others are, all at one moment: between two looks one of them could halt.
fn said(
    all: &BTreeMap<AppName, (String, Stage)>,
    together: &Together,
    past: Vec<Stage>,
) -> Vec<Stage> {
    let now = |(other, past): (&Other, Stage)| {
        let said = all.get(&other.app).filter(|(run, _)| *run == other.run);
        said.map_or(past, |(_, stage)| stage.clone())
    };
    together.others.iter().zip(past).map(now).collect()
}

#[cfg(test)]
mod tests {
    use model::{AppName, Barrier, Outcome, Version};
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
        halts_after(stages, (name, barrier), vec![Stage::default(); 2])
    }

    /// The same, where the others had come so far before the server began.
    fn halts_after(stages: &Stages, (name, own): (&str, Barrier), past: Vec<Stage>) -> bool {
        let other = |other: &&str| Other {
            app: app(other),
            version: Version::new("v2").unwrap(),
            run: format!("run of {other}"),
        };
        let others = ALL.iter().filter(|other| **other != name).map(other).collect();
        let together = Together { name: app("all"), others, wait_ms: 1 };
        stages.halted((&app(name), &format!("run of {name}")), (&together, past), at(own))
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
    fn one_that_was_promoted_before_the_server_began_is_final() {
        let promoted = at(Barrier::Final).ended(Outcome::Promoted);
        // A stop ended it while it was bound.
        let aborted = at(Barrier::Final).ended(Outcome::Aborted);
        let shop = ("shop", Barrier::Final);
        assert!(halts_after(&Stages::default(), shop, vec![promoted.clone(); 2]));
        assert!(!halts_after(&Stages::default(), shop, vec![promoted, aborted]));
        assert!(!halts(&Stages::default(), "shop", Barrier::Final), "nobody knows of the others");
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
