//! When the router was away while a rollout was under way, as the controller's looks tell.
//!
//! The bounds are the looks themselves: the last that found it and the first that found it again. What
//! an earlier server saw is not known to this one.

/// A time in which the router was away, or after which it was another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    /// The last look that found it, ms of the rollout.
    pub(super) from_ms: u64,
    /// The first look that found it again; `None` while it is away.
    pub(super) to_ms: Option<u64>,
}

/// What looks at the router have told so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Outages {
    found: Vec<Outage>,
    /// When and with which process it was last found.
    last: Option<(u64, Option<u32>)>,
}

impl Outages {
    /// It was found.
    pub(super) fn found(&mut self, at_ms: u64, pid: Option<u32>) {
        let open = self.found.last_mut().filter(|outage| outage.to_ms.is_none());
        match (open, self.last) {
            (Some(outage), _) => outage.to_ms = Some(at_ms),
            (None, Some((before_ms, before))) if before != pid => {
                self.found.push(Outage { from_ms: before_ms, to_ms: Some(at_ms) });
            }
            (None, _) => {}
        }
        self.last = Some((at_ms, pid));
    }

    /// It could not be looked at.
    pub(super) fn missed(&mut self, at_ms: u64) {
        if self.found.last().is_none_or(|outage| outage.to_ms.is_some()) {
            let from_ms = self.last.map_or(at_ms, |(before_ms, _)| before_ms);
            self.found.push(Outage { from_ms, to_ms: None });
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
    fn an_outage_lasts_from_look_to_look() {
        let mut outages = Outages::default();
        outages.found(10, Some(1));
        outages.missed(20);
        outages.missed(30);
        assert_eq!(outages.all(), [Outage { from_ms: 10, to_ms: None }]);
        outages.found(40, Some(1));
        outages.found(50, Some(1));
        outages.found(60, Some(2));
        let replaced = Outage { from_ms: 50, to_ms: Some(60) };
        assert_eq!(outages.all(), [Outage { from_ms: 10, to_ms: Some(40) }, replaced]);
    }
}
