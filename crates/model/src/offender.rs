//! What an instance that is to go still has open, by name: what a drain waits for.
//!
//! Facts for people. Queries are no part of them, since they may hold secrets; who is named, and when,
//! is decided elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fleet::InstanceId;

/// One request or tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offender {
    /// The instance.
    pub instance: InstanceId,
    /// An upgraded connection or an event stream.
    pub tunnel: bool,
    /// Its method.
    pub method: String,
    /// The front of its path in printable ASCII, without the query; `…` ends one that is longer.
    pub path: String,
    /// Since its head was read, ms.
    pub age_ms: u64,
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, tunnel, method, path, age_ms } = self;
        let kind = if *tunnel { "tunnel " } else { "" };
        let (s, tenths) = (age_ms / 1000, age_ms % 1000 / 100);
        write!(f, "{kind}{method} {path} on {instance}, open for {s}.{tenths} s")
    }
}

/// Those that are open for longest, oldest first, and how many there are besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offenders {
    /// The oldest.
    pub oldest: Vec<Offender>,
    /// How many more.
    pub more: u64,
}

impl Offenders {
    /// Most that are named.
    pub const MOST: usize = 8;

    /// True when there is none.
    pub const fn is_empty(&self) -> bool {
        self.oldest.is_empty() && self.more == 0
    }

    /// Takes in those that somebody else counts.
    pub fn add(&mut self, other: Self) {
        self.oldest.extend(other.oldest);
        self.oldest.sort_by_key(|one| std::cmp::Reverse(one.age_ms));
        let beyond = self.oldest.len().saturating_sub(Self::MOST);
        self.oldest.truncate(Self::MOST);
        self.more = self.more.saturating_add(other.more).saturating_add(beyond as u64);
    }

    /// A line for each, and one for the rest.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let rest = (self.more > 0).then(|| format!("and {} more", self.more));
        self.oldest.iter().map(Offender::to_string).chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Offender, Offenders};
    use crate::fleet::InstanceId;

    fn open(ages: std::ops::Range<u64>, more: u64) -> Offenders {
        let one = |age_ms| Offender {
            instance: InstanceId("shop-1-1".into()),
            tunnel: age_ms % 2 == 1,
            method: "GET".into(),
            path: "/slow".into(),
            age_ms,
        };
        Offenders { oldest: ages.rev().map(one).collect(), more }
    }

    #[test]
    fn the_oldest_of_both_are_named_and_the_others_counted() {
        let mut all = open(1_250..1_256, 2);
        all.add(open(2_000..2_005, 1));
        let ages: Vec<_> = all.oldest.iter().map(|one| one.age_ms).collect();
        assert_eq!(ages, [2_004, 2_003, 2_002, 2_001, 2_000, 1_255, 1_254, 1_253]);
        assert_eq!(all.more, 2 + 1 + 3);
        let lines: Vec<_> = all.lines().collect();
        assert_eq!(lines[0], "GET /slow on shop-1-1, open for 2.0 s");
        assert_eq!(lines[5], "tunnel GET /slow on shop-1-1, open for 1.2 s");
        assert_eq!(lines[8], "and 6 more");
        assert!(open(0..0, 0).is_empty() && open(0..0, 0).lines().count() == 0);
    }
}
