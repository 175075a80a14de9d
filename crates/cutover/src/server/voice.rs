//! Says on an app's bus what becomes of its rollout, each thing once.
//!
//! Words and order only: what is said has happened already. Live figures are said by `live`.

use std::sync::Arc;

use model::{AppName, Fault, Outcome, Release, Verdict};

use super::active::Active;
use super::bus::{Act, Bus, Ended, Notice, Stage};
use super::desired::Desired;
use super::ending::Finished;
use crate::store::Run;

/// The voice of one app's controller.
#[derive(Debug)]
pub(super) struct Voice {
    app: AppName,
    bus: Arc<Bus>,
    /// Phases of the present rollout that were said.
    phases: usize,
    /// Notes of its machine that were said.
    notes: usize,
    trouble: Option<String>,
}

impl Voice {
    pub(super) const fn new(app: AppName, bus: Arc<Bus>) -> Self {
        Self { app, bus, phases: 0, notes: 0, trouble: None }
    }

    /// A rollout is under way; one that was taken up again is told from its beginning.
    pub(super) fn began(&mut self, active: &Active) {
        self.bus.say(began(active.run()));
        (self.phases, self.notes) = (0, 0);
        self.phases(active);
    }

    /// The phases entered since this was last called, and what the machine noted beside them.
    pub(super) fn phases(&mut self, active: &Active) {
        for entered in active.entered().iter().skip(self.phases) {
            self.bus.say(Notice::Phase(entered.clone()));
        }
        self.phases = active.entered().len();
        let notes = active.machine().notes();
        for note in notes.iter().skip(self.notes) {
            self.bus.say(Notice::Note { at_ms: note.at_ms, text: note.words.clone() });
        }
        self.notes = notes.len();
    }

    /// A driver makes a change; whether it is in the journal is not known here.
    pub(super) fn change(&self, at_ms: u64, stage: Stage, text: String) {
        self.bus.say(Notice::Change(Act { at_ms, stage, text }));
    }

    /// A hook is called, or has ended.
    pub(super) fn hook(&self, at_ms: u64, stage: Stage, text: String) {
        self.bus.say(Notice::Hook(Act { at_ms, stage, text }));
    }

    /// The rollout is over.
    pub(super) fn ended(&self, active: &Active, finished: Finished, why: String) {
        let start = &active.run().start;
        let moved = match finished.outcome {
            Outcome::Promoted => true,
            Outcome::Stuck => Desired::of(&active.wants()).carrying() == Some(start.candidate.id),
            Outcome::Aborted | Outcome::None => false,
        };
        let users_on = if moved { Some(&start.candidate) } else { start.stable.as_ref() };
        self.bus.say(Notice::Ended(Ended {
            run: active.run().name.clone(),
            at_ms: active.clock().now_ms(),
            outcome: finished.outcome,
            verdict: finished.verdict,
            why,
            users_on: users_on.map(|named| named.version.to_string()),
            report: finished.report,
        }));
    }

    /// How the last rollout ended, for those who watched it when an earlier server died.
    pub(super) fn recall(&self, run: &Run, stable: Option<&Release>, report: bool) {
        self.bus.say(began(run));
        let Some(outcome) = run.outcome else { return };
        self.bus.say(Notice::Ended(Ended {
            run: run.name.clone(),
            at_ms: 0,
            outcome,
            // Without its report nobody knows what the traffic saw.
            verdict: (run.start.settings.probing && !report).then_some(Verdict::Inconclusive),
            why: "it ended before this server started".to_owned(),
            users_on: stable.map(|release| release.version.to_string()),
            report,
        }));
    }

    /// A rollout that was to follow another one never begins.
    pub(super) fn never_began(
        &self,
        (run, at_ms): (&str, u64),
        outcome: Outcome,
        why: String,
        stable: Option<&Release>,
    ) {
        self.bus.say(Notice::Ended(Ended {
            run: run.to_owned(),
            at_ms,
            outcome,
            verdict: None,
            why,
            users_on: stable.map(|release| release.version.to_string()),
            report: false,
        }));
    }

    /// Something is wrong; said again only when it is another thing.
    pub(super) fn complain(&mut self, at_ms: u64, fault: &Fault) {
        let text = fault.to_string();
        if self.trouble.as_ref() != Some(&text) {
            tracing::warn!(app = %self.app, "{text}");
            self.bus.say(Notice::Note { at_ms, text: text.clone() });
            self.trouble = Some(text);
        }
    }

    /// Something that is worth to be known, and nothing wrong.
    pub(super) fn mention(&self, at_ms: u64, text: String) {
        tracing::info!(app = %self.app, "{text}");
        self.bus.say(Notice::Note { at_ms, text });
    }

    /// Nothing is wrong any more.
    pub(super) fn calm(&mut self) {
        self.trouble = None;
    }

    /// What is wrong now, if something is.
    pub(super) const fn trouble(&self) -> Option<&String> {
        self.trouble.as_ref()
    }
}

fn began(run: &Run) -> Notice {
    let start = &run.start;
    Notice::Began {
        run: run.name.clone(),
        from: start.stable.as_ref().map(|named| named.version.to_string()),
        to: start.candidate.version.to_string(),
        began_unix_ms: run.began_unix_ms,
    }
}
