//! What an operator wants called at a moment of a rollout.
//!
//! Wishes only, as they are frozen when the rollout begins: secrets stand here by the name of the variable
//! that holds them. When a moment has come is the rollout machine's to say; who calls is the controller.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment of a rollout. Each comes once at most, those of steps once for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before anything of the candidate is started.
    BeforeStart,
    /// The candidate is ready (rolling: its first instances), and no user is on it.
    AfterStart,
    /// It was asked directly, and users come next.
    BeforeSwitch,
    /// The candidate gets the share of a step next.
    BeforeStep,
    /// A step has been judged, and nothing spoke against the candidate.
    AfterStep,
    /// All users are on it; while it bakes.
    AfterSwitch,
    /// It has baked; the promotion is final next.
    BeforeDrain,
    /// No request is open on the old release; it is told to end next, or kept.
    AfterDrain,
    /// The rollout has ended with users on the candidate.
    AfterFinish,
    /// The rollout has ended with users on the old release.
    AfterAbort,
}

impl Moment {
    /// All of them, in the order in which they come.
    pub const ALL: [Self; 10] = [
        Self::BeforeStart,
        Self::AfterStart,
        Self::BeforeSwitch,
        Self::BeforeStep,
        Self::AfterStep,
        Self::AfterSwitch,
        Self::BeforeDrain,
        Self::AfterDrain,
        Self::AfterFinish,
        Self::AfterAbort,
    ];

    /// "before" or "after".
    pub const fn side(self) -> &'static str {
        match self {
            Self::BeforeStart | Self::BeforeSwitch | Self::BeforeStep | Self::BeforeDrain => {
                "before"
            }
            _ => "after",
        }
    }

    /// What it is before or after.
    pub const fn phase(self) -> &'static str {
        match self {
            Self::BeforeStart | Self::AfterStart => "start",
            Self::BeforeSwitch | Self::AfterSwitch => "switch",
            Self::BeforeStep | Self::AfterStep => "step",
            Self::BeforeDrain | Self::AfterDrain => "drain",
            Self::AfterFinish => "finish",
            Self::AfterAbort => "abort",
        }
    }

    /// True of those that come with each step.
    pub const fn is_of_steps(self) -> bool {
        matches!(self, Self::BeforeStep | Self::AfterStep)
    }

    /// True while the rollout can still turn back, and wait for a person.
    pub const fn can_turn_back(self) -> bool {
        !matches!(self, Self::AfterDrain | Self::AfterFinish | Self::AfterAbort)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.side(), self.phase())
    }
}

/// What becomes of a rollout whose hook failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is undone.
    Abort,
    /// A person is to look.
    Pause,
    /// It goes on, and says so.
    Continue,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// A program and its arguments; status 0 is well.
    Program(Vec<String>),
    /// A web server; an answer of 2xx is well.
    Post(Post),
}

/// Where a JSON document is sent with POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// `http://` or `https://`, host, port, path and query.
    pub url: String,
    /// The variable of Cutover's own environment with the bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_from: Option<String>,
    /// The file with the certificates that are trusted, PEM; `None`: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// Something that is called at a moment of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, the only one like it in its app.
    pub name: String,
    /// When.
    pub moment: Moment,
    /// Of which step, counted from 1; `None` where it is none of steps, and before the rollout is frozen of
    /// each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u16>,
    /// What.
    pub call: Call,
    /// How long one attempt may take, ms.
    pub timeout_ms: u64,
    /// How often it is tried again.
    pub retries: u32,
    /// What becomes of the rollout when it fails.
    pub on_failure: OnFailure,
    /// It is not called again where nobody knows whether it ran: that is a failure.
    pub once: bool,
    /// It is called in rollbacks, too.
    pub rollback: bool,
}

impl Hook {
    /// Longest pause before another attempt, ms.
    pub const PAUSE_MOST_MS: u64 = 30_000;

    /// Its name in the configuration: one that is called at each step has that name, `/` and the step.
    pub fn given_name(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(given, _)| given)
    }

    /// When it is called, in words: "before switch", "after step 2".
    pub fn when(&self) -> String {
        match self.step {
            Some(step) => format!("{} {step}", self.moment),
            None => self.moment.to_string(),
        }
    }

    /// The pause before that attempt, ms; the first one is 0.
    pub fn pause_ms(attempt: u32) -> u64 {
        let doubled = 1_000_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
        if attempt == 0 { 0 } else { doubled.min(Self::PAUSE_MOST_MS) }
    }

    /// How long it may take in all, ms.
    pub fn limit_ms(&self) -> u64 {
        let one = |attempt| self.timeout_ms.saturating_add(Self::pause_ms(attempt));
        (0..=self.retries).fold(0, |sum: u64, attempt| sum.saturating_add(one(attempt)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Hook, Moment, OnFailure};

    #[test]
    fn attempts_are_further_and_further_apart() {
        let pauses: Vec<u64> = [0, 1, 2, 5, 6, 99].map(Hook::pause_ms).to_vec();
        assert_eq!(pauses, [0, 1_000, 2_000, 16_000, 30_000, 30_000]);
        let hook = Hook {
            name: "x".to_owned(),
            moment: Moment::AfterStart,
            step: None,
            call: Call::Program(vec!["x".to_owned()]),
            timeout_ms: 500,
            retries: 2,
            on_failure: OnFailure::Abort,
            once: false,
            rollback: false,
        };
        assert_eq!(hook.limit_ms(), 3 * 500 + 1_000 + 2_000);
        let of_step = Hook {
            name: "x/2".to_owned(),
            moment: Moment::AfterStep,
            step: Some(2),
            ..hook.clone()
        };
        let both = [&hook, &of_step].map(|hook| (hook.given_name().to_owned(), hook.when()));
        let wanted = [("x", "after start"), ("x", "after step 2")];
        assert_eq!(both, wanted.map(|(name, when)| (name.to_owned(), when.to_owned())));
    }

    #[test]
    fn a_hook_of_an_older_journal_is_of_no_step() {
        let old = r#"{"name":"a","moment":"after-switch","call":{"program":["a"]},"timeout_ms":1,
            "retries":0,"on_failure":"abort","once":false,"rollback":false}"#;
        let hook: Hook = serde_json::from_str(old).unwrap();
        assert_eq!((hook.moment, hook.step), (Moment::AfterSwitch, None));
        assert!(!serde_json::to_string(&hook).unwrap().contains("step"));
    }

    #[test]
    fn moments_read_as_they_are_written() {
        let words: Vec<String> = Moment::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(words[0], "before start");
        assert_eq!(words[9], "after abort");
    }
}
