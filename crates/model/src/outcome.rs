//! How a rollout ended and what its traffic saw: two separate answers, and the exit code of both.
//!
//! Neither is found here: the machine decides the one, the report the other.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Users are on the candidate.
    Promoted,
    /// Users are on stable: they never left it, or returned.
    Aborted,
    /// A person is needed.
    Stuck,
    /// No rollout: a probe run alone.
    None,
}

/// What the traffic saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// No request failed, and the prober could have seen it.
    Pass,
    /// At least one request failed.
    Fail,
    /// The prober cannot say.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

/// Exit code of a deploy or probe run: 130 interrupted, 5 stuck, 4 users on stable, 1 requests
/// failed, 3 inconclusive, 0 pass, in this order of precedence.
pub const fn exit_code(interrupted: bool, outcome: Outcome, verdict: Verdict) -> u8 {
    match (interrupted, outcome, verdict) {
        (true, _, _) => 130,
        (_, Outcome::Stuck, _) => 5,
        (_, Outcome::Aborted, _) => 4,
        (_, _, Verdict::Fail) => 1,
        (_, _, Verdict::Inconclusive) => 3,
        (_, _, Verdict::Pass) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Verdict, exit_code};

    #[test]
    fn exit_codes_follow_their_precedence() {
        assert_eq!(exit_code(true, Outcome::Stuck, Verdict::Fail), 130);
        assert_eq!(exit_code(false, Outcome::Stuck, Verdict::Fail), 5);
        assert_eq!(exit_code(false, Outcome::Aborted, Verdict::Fail), 4);
        assert_eq!(exit_code(false, Outcome::Promoted, Verdict::Fail), 1);
        assert_eq!(exit_code(false, Outcome::Promoted, Verdict::Inconclusive), 3);
        assert_eq!(exit_code(false, Outcome::Promoted, Verdict::Pass), 0);
    }
}
