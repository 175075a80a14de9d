//! Where apps that are rolled out together wait for each other.
//!
//! Names and their order only: who has come how far, and what follows, is not known here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a rollout that no app of a group passes before all have come to it. They are ordered as a
/// rollout comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Barrier {
    /// The candidate is ready and was asked directly; nothing that users notice has been done.
    Ready,
    /// Before the candidate is given its share of that number, from 1; where instances are replaced in
    /// place, the first is before anything of stable leaves.
    Share(u16),
    /// The candidate has served for long enough, and nothing speaks against it.
    Sure,
    /// The promotion becomes final. Whoever waits here turns back only because another one has.
    Final,
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("being ready"),
            Self::Share(1) => f.write_str("the switch"),
            Self::Share(n) => write!(f, "step {n}"),
            Self::Sure => f.write_str("the end of the bake"),
            Self::Final => f.write_str("the promotion"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Barrier::{Final, Ready, Share, Sure};

    #[test]
    fn they_are_in_the_order_in_which_a_rollout_comes_to_them() {
        let order = [Ready, Share(1), Share(2), Sure, Final];
        assert!(order.is_sorted() && None < Some(Ready));
    }
}
