//! What the router counted while a rollout was under way, from look to look.
//!
//! Counters only grow until the router is another process; then they begin anew. What an earlier
//! server saw is not known to this one.

use std::collections::BTreeMap;

use drivers::router::RoutesHave;
use model::ReleaseId;

/// Requests and failures per release, since the first look.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pid: Option<u32>,
    last: Option<BTreeMap<ReleaseId, (u64, u64)>>,
    sums: BTreeMap<ReleaseId, (u64, u64)>,
}

impl Counted {
    /// Takes a look; the first one is where counting begins.
    pub(super) fn add(&mut self, have: &RoutesHave) {
        let now: BTreeMap<ReleaseId, (u64, u64)> =
            have.totals.iter().map(|(id, seen)| (*id, (seen.requests, seen.failed))).collect();
        let same = have.pid == self.pid;
        if let Some(last) = &self.last {
            for (id, (requests, failed)) in &now {
                let before = last.get(id).filter(|_| same).copied().unwrap_or_default();
                let sum = self.sums.entry(*id).or_default();
                sum.0 += requests.saturating_sub(before.0);
                sum.1 += failed.saturating_sub(before.1);
            }
        }
        self.pid = have.pid;
        self.last = Some(now);
    }

    /// Requests to a release, and how many of them failed.
    pub(super) fn of(&self, release: ReleaseId) -> (u64, u64) {
        self.sums.get(&release).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use model::admin::ReleaseSeen;
    use model::{AppName, ReleaseId};

    use super::Counted;
    use crate::server::sight::unseen;

    fn look(counted: &mut Counted, pid: u32, requests: u64, failed: u64) {
        let mut have = unseen(&AppName::new("shop").unwrap());
        let release = ReleaseId(1);
        have.pid = Some(pid);
        let seen = ReleaseSeen { release, requests, failed, ..ReleaseSeen::default() };
        have.totals.insert(release, seen);
        counted.add(&have);
    }

    #[test]
    fn counts_from_the_first_look_and_over_a_new_process() {
        let mut counted = Counted::default();
        look(&mut counted, 7, 1_000, 50);
        assert_eq!(counted.of(ReleaseId(1)), (0, 0));
        look(&mut counted, 7, 1_010, 51);
        look(&mut counted, 7, 1_015, 51);
        look(&mut counted, 8, 4, 2);
        assert_eq!(counted.of(ReleaseId(1)), (19, 3));
    }
}
