//! Apps that are rolled out together, as one of them knows of the others, and how far each is: also of one
//! that has ended, or is ended where it stands.
//!
//! What follows from that for a rollout, `barrier` decides; how the others hear of it is the controller's
//! affair.

use model::{AppName, Barrier, Outcome, Phase, Version};
use serde::{Deserialize, Serialize};

/// The others that this rollout goes together with. Written once, into the beginning of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    /// What the apps are called together.
    pub name: AppName,
    /// The others.
    pub others: Vec<Other>,
    /// How long the others are waited for at one place, ms. Each of them has deadlines of its own: this one is
    /// for nobody being there to say that they came.
    pub wait_ms: u64,
}

impl Together {
    /// The others, for people: "credit and orders".
    pub(crate) fn others(&self) -> String {
        self.others.iter().map(|other| other.app.as_str()).collect::<Vec<_>>().join(" and ")
    }
}

/// Another app of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The app.
    pub app: AppName,
    /// Its version that is being shipped.
    pub version: Version,
    /// Id of its run.
    pub run: String,
}

/// How far one of the group is. Only what lasts: each later look finds it there, or farther.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The last place at which it waits for the others, or that it has passed.
    pub reached: Option<Barrier>,
    /// It is being undone, or was, or a person is needed; and why.
    pub turned: Option<String>,
}

impl Stage {
    /// One that ended like this before anybody asked how far it is, and whose machine came to this stage. What
    /// its machine does not know of is that a stop of the server ended it.
    #[must_use]
    pub fn ended(self, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Promoted => Self { reached: Some(Barrier::Final), turned: None },
            Outcome::Aborted if self.turned.is_none() => self.halted(),
            Outcome::Aborted | Outcome::Stuck | Outcome::None => self,
        }
    }

    /// One that the server ends where it stands, and that is not final: the others get no further with it.
    #[must_use]
    pub fn halted(self) -> Self {
        Self { turned: Some("its server was stopped".to_owned()), ..self }
    }

    /// True when it is final where the server ends it now, as it is or will be found to be of the others: all
    /// are bound.
    pub fn is_final_with(&self, others: &[Self]) -> bool {
        self.is_bound() && others.iter().all(Self::is_bound)
    }

    /// One that was halted before is bound to nothing any more.
    fn is_bound(&self) -> bool {
        self.reached == Some(Barrier::Final) && self.turned.is_none()
    }
}

/// A wait for the others. A fact; `barrier` establishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaiting {
    pub barrier: Barrier,
    pub since_ms: u64,
    /// What follows, and why.
    pub to: Phase,
    pub why: String,
}
