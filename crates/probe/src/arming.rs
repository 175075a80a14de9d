//! What must be in place before a run says that it is armed, so that it is there when what the run is
//! armed for happens: every lane works, the sockets stand, a connection rests, and whatever is slow on
//! purpose has only just begun.
//!
//! It sends nothing: the pacer asks which lane is due. Pure; times are us since the run began.

use std::collections::{BTreeMap, BTreeSet};

use model::Lane;

use crate::options::Options;

/// An idle connection must rest for so much longer, us; less where rests are short.
const REST_US: u64 = 1_000_000;

/// What is to be in place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Sockets that stand.
    sockets: u16,
    /// What is slow on purpose must have begun within this: half of its time is still to come.
    young_us: u64,
    /// A connection of the idle lane must rest for so much longer.
    rest_us: u64,
}

impl Wanted {
    /// For a run with these options, of which `sockets` WebSockets are to stand.
    pub(crate) fn new(options: &Options, sockets: u16) -> Self {
        let us =
            |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let young_us = us(options.slowness / 2);
        Self { sockets, young_us, rest_us: REST_US.min(us(options.idle_most) / 4) }
    }
}

/// What is in place.
#[derive(Debug, Default)]
pub(crate) struct Arming {
    wanted: Wanted,
    lanes: Vec<Lane>,
    /// A controller waits for it.
    asked: bool,
    answered: BTreeSet<Lane>,
    /// When what is slow on purpose and under way began.
    under_way: BTreeMap<(Lane, u64), u64>,
    /// When the latest of each slow lane began, whatever became of it.
    begun: BTreeMap<Lane, u64>,
    standing: u16,
    /// Until when the connection that rests longest rests.
    rests_until_us: u64,
}

impl Arming {
    /// Nothing is in place yet of a run with these lanes.
    pub(crate) fn new(wanted: Wanted, lanes: impl IntoIterator<Item = Lane>) -> Self {
        Self { wanted, lanes: lanes.into_iter().collect(), ..Self::default() }
    }

    /// A controller waits for it, or no longer does.
    pub(crate) const fn ask(&mut self, asked: bool) {
        self.asked = asked;
    }

    /// An attempt was taken up.
    pub(crate) fn began(&mut self, lane: Lane, id: u64, now_us: u64) {
        if lane.slow() {
            self.under_way.insert((lane, id), now_us);
            self.begun.insert(lane, now_us);
        }
    }

    /// An attempt has ended, with a right answer or without.
    pub(crate) fn ended(&mut self, lane: Lane, id: u64, right: bool) {
        self.under_way.remove(&(lane, id));
        if right {
            self.answered.insert(lane);
        }
    }

    /// A socket stands, or no longer does.
    pub(crate) const fn standing(&mut self, up: bool) {
        self.standing =
            if up { self.standing.saturating_add(1) } else { self.standing.saturating_sub(1) };
    }

    /// How many sockets stand.
    pub(crate) const fn stand(&self) -> u16 {
        self.standing
    }

    /// Until when a connection of the idle lane will rest.
    pub(crate) const fn resting(&mut self, until_us: u64) {
        self.rests_until_us = until_us;
    }

    /// The lane that should have the next turn, out of its order: one that is slow on purpose and has
    /// not begun anything lately. One that fails at once gets no more turns for that.
    pub(crate) fn due(&self, now_us: u64) -> Option<Lane> {
        let lately =
            |lane: Lane| self.begun.get(&lane).is_some_and(|began| self.young(*began, now_us));
        let due = |lane: &Lane| lane.slow() && !lately(*lane);
        self.asked.then(|| self.lanes.iter().copied().find(due)).flatten()
    }

    /// True when all is in place.
    pub(crate) fn ready(&self, now_us: u64) -> bool {
        let ready = |lane: &Lane| match lane {
            // That it is served at all was tried before the run.
            slow if slow.slow() => self
                .under_way
                .range((*slow, 0)..=(*slow, u64::MAX))
                .any(|(_, began)| self.young(*began, now_us)),
            Lane::Idle => {
                self.answered.contains(lane)
                    && self.rests_until_us >= now_us.saturating_add(self.wanted.rest_us)
            }
            _ => self.answered.contains(lane),
        };
        !self.lanes.is_empty()
            && self.lanes.iter().all(ready)
            && self.standing >= self.wanted.sockets
    }

    const fn young(&self, began_us: u64, now_us: u64) -> bool {
        now_us.saturating_sub(began_us) <= self.wanted.young_us
    }
}

#[cfg(test)]
mod tests {
    use model::Lane;

    use super::{Arming, Wanted};

    const WANTED: Wanted = Wanted { sockets: 0, young_us: 1_000, rest_us: 500 };

    #[test]
    fn what_is_slow_must_have_begun_lately_and_be_under_way() {
        let mut arming = Arming::new(WANTED, [Lane::Upload]);
        assert!(!arming.ready(0));
        arming.began(Lane::Upload, 7, 100);
        assert!(arming.ready(100) && arming.ready(1_100), "half of its time is to come");
        assert!(!arming.ready(1_101), "it will soon be over");
        arming.began(Lane::Upload, 8, 1_200);
        arming.ended(Lane::Upload, 8, true);
        assert!(!arming.ready(1_200), "it is over");
    }

    #[test]
    fn a_slow_lane_is_due_when_somebody_waits_and_at_most_once_in_a_while() {
        let mut arming = Arming::new(WANTED, [Lane::Fresh, Lane::Upload, Lane::Events]);
        assert_eq!(arming.due(5), None);
        arming.ask(true);
        assert_eq!(arming.due(5), Some(Lane::Upload));
        arming.began(Lane::Upload, 0, 5);
        // It failed at once.
        arming.ended(Lane::Upload, 0, false);
        assert_eq!(arming.due(5), Some(Lane::Events));
        arming.began(Lane::Events, 1, 6);
        assert_eq!(arming.due(6), None);
        assert_eq!(arming.due(1_006), Some(Lane::Upload));
        arming.ask(false);
        assert_eq!(arming.due(1_006), None);
    }

    #[test]
    fn a_connection_must_go_on_resting_and_the_sockets_stand() {
        let mut arming =
            Arming::new(Wanted { sockets: 1, ..WANTED }, [Lane::Idle, Lane::Websocket]);
        for (id, lane) in [(0, Lane::Idle), (1, Lane::Websocket)] {
            arming.ended(lane, id, true);
        }
        arming.resting(1_499);
        arming.standing(true);
        assert!(!arming.ready(1_000), "it does not rest for long enough");
        arming.resting(1_500);
        assert!(arming.ready(1_000));
        arming.standing(false);
        assert!(!arming.ready(1_000));
    }
}
