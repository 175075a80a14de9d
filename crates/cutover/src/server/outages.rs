//! When looks at the router leave it open whether it was there, while a rollout was under way.
//!
//! A look that found it says that it was there at some time of the look: after an absence that is the
//! end of it, before one its beginning. What users met in between the prober knows, not this. What an
//! earlier server saw is not known to this one.

/// A time in which the router was away, or after which it was another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    /// When the last look that found it was begun, ms of the rollout.
    pub(super) from_ms: u64,
    /// When the first look that found it again had its answer; `None` while it is away.
    pub(super) to_ms: Option<u64>,
    /// It is not known to be the same process as before.
    pub(super) replaced: bool,
}

/// What looks at the router have told so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Outages {
    found: Vec<Outage>,
    /// When the last look that found it was begun, and the process it found.
    last: Option<(u64, Option<u32>)>,
}

impl Outages {
    /// A look that was begun at one time and answered at another found it.
    pub(super) fn found(&mut self, (begun_ms, at_ms): (u64, u64), pid: Option<u32>) {
        let replaced = self.last.is_none_or(|(_, before)| before.is_none() || before != pid);
        let open = self.found.last_mut().filter(|outage| outage.to_ms.is_none());
        match (open, self.last) {
            (Some(outage), _) => {
                outage.to_ms = Some(at_ms);
                outage.replaced = replaced;
            }
            (None, Some((from_ms, before))) if before != pid => {
                self.found.push(Outage { from_ms, to_ms: Some(at_ms), replaced });
            }
            (None, _) => {}
        }
        self.last = Some((begun_ms, pid));
    }

    /// A look that was begun then did not find it.
    pub(super) fn missed(&mut self, begun_ms: u64) {
        if self.found.last().is_none_or(|outage| outage.to_ms.is_some()) {
            let from_ms = self.last.map_or(begun_ms, |(from_ms, _)| from_ms);
            self.found.push(Outage { from_ms, to_ms: None, replaced: true });
        }
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> Vec<Outage> {
        self.found.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Outage, Outages};

    #[test]
    fn an_outage_lasts_from_the_beginning_of_one_look_to_the_end_of_another() {
        let mut outages = Outages::default();
        outages.found((8, 10), Some(1));
        outages.missed(20);
        outages.missed(30);
        let away = Outage { from_ms: 8, to_ms: None, replaced: true };
        assert_eq!(outages.all(), [away]);
        outages.found((38, 40), Some(1));
        outages.found((48, 50), Some(1));
        outages.found((58, 60), Some(2));
        let away = Outage { from_ms: 8, to_ms: Some(40), replaced: false };
        let another = Outage { from_ms: 48, to_ms: Some(60), replaced: true };
        assert_eq!(outages.all(), [away, another]);
    }

    #[test]
    fn one_that_comes_back_as_another_process_is_another() {
        let mut outages = Outages::default();
        outages.found((0, 1), Some(1));
        outages.missed(2);
        outages.found((4, 5), Some(2));
        assert_eq!(outages.all(), [Outage { from_ms: 0, to_ms: Some(5), replaced: true }]);
        // Of one that was never seen before nobody knows.
        let mut outages = Outages::default();
        outages.missed(2);
        outages.found((4, 5), Some(2));
        assert_eq!(outages.all(), [Outage { from_ms: 2, to_ms: Some(5), replaced: true }]);
    }
}
