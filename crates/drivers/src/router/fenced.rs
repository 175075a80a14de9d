//! Changes of a driver that keeps a generation and a fencing epoch on record: how a step travels as a
//! change, and when it is refused because it does not hold any more.
//!
//! It knows no step, and takes none.

use model::{AppName, Change, Fault, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is on record of an app.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnRecord {
    /// Grows with each publication.
    pub(super) generation: u64,
    /// The newest controller that was seen.
    pub(super) epoch: u64,
}

/// A step of a driver. Each relies on the generation that it was planned on.
pub(super) trait Fenced: Serialize + DeserializeOwned {
    /// Whose steps these are, for people.
    const DRIVER: &'static str;

    /// The app, and the generation this relies on.
    fn relies_on(&self) -> (&AppName, u64);

    /// As it travels.
    fn into_change(self, words: String) -> Change {
        let (app, generation) = self.relies_on();
        let expected_before = expectation(app, generation);
        Change { words, expected_before, payload: serde_json::to_value(&self).unwrap_or_default() }
    }

    /// Reads it back.
    fn read(change: &Change) -> Result<Self, Fault> {
        let step: Self = serde_json::from_value(change.payload.clone()).map_err(|error| {
            let (words, driver) = (&change.words, Self::DRIVER);
            Fault::internal(format!("the change `{words}` is none of the {driver} driver: {error}"))
        })?;
        let (app, generation) = step.relies_on();
        if expectation(app, generation) == change.expected_before {
            return Ok(step);
        }
        Err(Fault::internal(format!("the change `{}` contradicts itself", change.words)))
    }

    /// Refuses when something else has changed the routes, or a controller newer than that of `epoch` is
    /// at work.
    fn still_holds(&self, words: &str, found: OnRecord, epoch: u64) -> Result<(), Fault> {
        let (app, generation) = self.relies_on();
        if epoch < found.epoch {
            let what = format!("`{words}` was not done: a newer controller is at work");
            let why = format!("this is epoch {epoch}, {} has seen {}", Self::DRIVER, found.epoch);
            return Err(Fault::new(Kind::Conflict, what).note(why).help("stop this controller"));
        }
        if generation == found.generation {
            return Ok(());
        }
        let what = format!("`{words}` was not done: the routes have changed since it was planned");
        let (expected, found) = (expectation(app, generation), expectation(app, found.generation));
        let why = format!("expected `{expected}`, found `{found}`");
        Err(Fault::new(Kind::Conflict, what).note(why).help("look and plan again"))
    }
}

fn expectation(app: &AppName, generation: u64) -> String {
    format!("{app} at generation {generation}")
}

#[cfg(test)]
mod tests {
    use model::{AppName, Kind};
    use serde::{Deserialize, Serialize};

    use super::{Fenced, OnRecord};

    #[derive(Debug, Serialize, Deserialize)]
    struct One(AppName, u64);

    impl Fenced for One {
        const DRIVER: &'static str = "test";

        fn relies_on(&self) -> (&AppName, u64) {
            (&self.0, self.1)
        }
    }

    #[test]
    fn what_was_planned_on_something_else_is_refused() {
        let step = || One(AppName::new("demo").unwrap(), 7);
        let now = |generation, epoch| OnRecord { generation, epoch };
        assert!(step().still_holds("it", now(7, 3), 3).is_ok());
        assert!(step().still_holds("it", now(7, 3), 4).is_ok());
        for (found, epoch, words) in [
            (now(8, 3), 3, "expected `demo at generation 7`, found `demo at generation 8`"),
            (now(7, 3), 2, "this is epoch 2, test has seen 3"),
        ] {
            let fault = step().still_holds("it", found, epoch).unwrap_err();
            assert_eq!((fault.kind, fault.notes[0].as_str()), (Kind::Conflict, words));
        }
        let mut change = step().into_change("it".to_owned());
        assert_eq!(One::read(&change).unwrap().1, 7);
        change.expected_before = "demo at generation 8".to_owned();
        assert!(One::read(&change).unwrap_err().what.contains("contradicts itself"));
        change.payload = serde_json::Value::Null;
        assert!(One::read(&change).unwrap_err().what.contains("none of the test driver"));
    }
}
