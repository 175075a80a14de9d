//! What a change of this driver does, as it travels in its payload.

use model::{AppName, Change, Fault, Instance, InstanceId, Kind, Version};
use serde::{Deserialize, Serialize};

use super::record::{Record, Slot};

/// One step. Each relies on the generation it was planned on.
#[expect(clippy::large_enum_variant, reason = "one at a time, and soon text")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Adds an instance that gets nothing yet and is checked.
    Add { app: AppName, generation: u64, slot: Slot, version: Version, instance: Instance },
    /// Takes an instance out of maintenance: it gets nothing yet and is checked.
    Recheck { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Gives an instance its weight back.
    Reweigh { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Puts servers of the new record to work, writes its files, replaces the map.
    Publish { app: AppName, generation: u64, record: Record, ready: Vec<(Slot, InstanceId)> },
    /// Puts an instance that is in no pool into maintenance; what is open on it finishes.
    Leave { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Deletes an instance in maintenance with nothing open.
    Remove { app: AppName, generation: u64, slot: Slot, id: InstanceId },
    /// Says why what is wanted cannot be carried; changes nothing.
    Refuse { app: AppName, generation: u64, why: String, help: String },
}

impl Step {
    /// The app, and the generation this relies on.
    pub(super) const fn relies_on(&self) -> (&AppName, u64) {
        match self {
            Self::Add { app, generation, .. }
            | Self::Recheck { app, generation, .. }
            | Self::Reweigh { app, generation, .. }
            | Self::Publish { app, generation, .. }
            | Self::Leave { app, generation, .. }
            | Self::Remove { app, generation, .. }
            | Self::Refuse { app, generation, .. } => (app, *generation),
        }
    }

    pub(super) fn into_change(self, words: String) -> Change {
        let (app, generation) = self.relies_on();
        let expected_before = expectation(app, generation);
        Change { words, expected_before, payload: serde_json::to_value(&self).unwrap_or_default() }
    }

    /// Reads it back.
    pub(super) fn read(change: &Change) -> Result<Self, Fault> {
        let step: Self = serde_json::from_value(change.payload.clone()).map_err(|error| {
            let what = format!("the change `{}` is none of the HAProxy driver", change.words);
            Fault::internal(format!("{what}: {error}"))
        })?;
        let (app, generation) = step.relies_on();
        if expectation(app, generation) == change.expected_before {
            return Ok(step);
        }
        Err(Fault::internal(format!("the change `{}` contradicts itself", change.words)))
    }

    /// Refuses when something else has changed the routes, or a newer controller is at work.
    pub(super) fn still_holds(
        &self,
        words: &str,
        record: &Record,
        epoch: u64,
    ) -> Result<(), Fault> {
        let (app, generation) = self.relies_on();
        if epoch < record.epoch {
            let what = format!("`{words}` was not done: a newer controller is at work");
            let why = format!("this is epoch {epoch}, HAProxy has seen {}", record.epoch);
            return Err(Fault::new(Kind::Conflict, what).note(why).help("stop this controller"));
        }
        if generation == record.generation {
            return Ok(());
        }
        let what = format!("`{words}` was not done: the routes have changed since it was planned");
        let (expected, found) = (expectation(app, generation), expectation(app, record.generation));
        let why = format!("expected `{expected}`, found `{found}`");
        Err(Fault::new(Kind::Conflict, what).note(why).help("look and plan again"))
    }
}

fn expectation(app: &AppName, generation: u64) -> String {
    format!("{app} at generation {generation}")
}
