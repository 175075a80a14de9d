//! Who calls the hooks of the world: it says how each ends, and forgets at its death which one it called.
//!
//! How a hook will end is drawn in `plan`, not here.

use std::collections::BTreeSet;

use model::{Event, Moment, OnFailure, Outcome, Weight};
use rollout::{Rollout, Wants};

use crate::plan::{Fate, Plan};

#[derive(Default)]
pub(crate) struct Calls {
    /// The one that is being called, and since when.
    now: Option<(String, u64)>,
    /// Those that were being called when the controller died.
    uncertain: BTreeSet<String>,
}

impl Calls {
    /// Calls what is wanted; answers when it has ended.
    pub(crate) fn call(&mut self, plan: &Plan, wants: &Wants, now: u64) -> Option<Event> {
        let Some(name) = wants.hook.clone() else {
            self.now = None;
            return None;
        };
        if self.now.as_ref().is_none_or(|(called, _)| *called != name) {
            self.now = Some((name.clone(), now));
        }
        let since = self.now.as_ref().map_or(now, |(_, since)| *since);
        let once = plan.start.settings.hooks.iter().any(|hook| hook.name == name && hook.once);
        let passed = match plan.fate(&name) {
            _ if once && self.uncertain.contains(&name) => false,
            Fate::Passes(after) if now >= since + after => true,
            Fate::Fails(after) if now >= since + after => false,
            Fate::Passes(_) | Fate::Fails(_) | Fate::Lost => return None,
        };
        Some(Event::HookEnded { name, passed, words: "status 1".to_owned() })
    }

    pub(crate) fn die(&mut self) {
        self.uncertain.extend(self.now.take().map(|(name, _)| name));
    }

    /// What failed before any user was on the candidate, and was to end it, has.
    pub(crate) fn judge(
        plan: &Plan,
        (journal, users): (&[(u64, Event)], u64),
        must: &mut impl FnMut(bool, &str),
    ) {
        let said = journal.iter().filter_map(|(_, event)| match event {
            Event::HookEnded { name, passed, .. } => Some((name, *passed)),
            _ => None,
        });
        let said: Vec<_> = said.collect();
        for hook in &plan.start.settings.hooks {
            let early = [Moment::BeforeStart, Moment::AfterStart, Moment::BeforeSwitch];
            let failed = said.contains(&(&hook.name, false));
            let ends = early.contains(&hook.moment) && hook.on_failure == OnFailure::Abort;
            must(!(failed && ends) || users == 0, "users although a hook had failed");
            let times = said.iter().filter(|(name, _)| **name == hook.name).count();
            must(times <= 1, "a hook that had ended was wanted again");
        }
    }

    /// A share before which a hook failed, and was to end it, is never given; but where an operator asks for it,
    /// or lets a rollback that pauses go on, or where it is stuck and nobody else serves.
    pub(crate) fn judge_steps(
        (plan, machine): (&Plan, &Rollout),
        journal: &[(u64, Event)],
        must: &mut impl FnMut(bool, &str),
    ) {
        let asked = journal.iter().any(|(_, event)| matches!(event, Event::WeightAsked { .. }));
        if asked || plan.rolls_back() || machine.outcome() == Some(Outcome::Stuck) {
            return;
        }
        let steps = machine.steps();
        for hook in plan.start.settings.hooks.iter().filter(|h| h.moment == Moment::BeforeStep) {
            let ended = journal.iter().any(|(_, event)| {
                matches!(event, Event::HookEnded { name, passed: false, .. } if *name == hook.name)
            });
            let share = steps[usize::from(hook.step.unwrap()) - 1];
            let given = machine.shares().iter().any(|one| one.share == share);
            let ends = ended && hook.on_failure == OnFailure::Abort && share != Weight::NONE;
            must(!(ends && given), "a share although the hook before it had failed");
        }
    }
}
