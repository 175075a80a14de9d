//! Platforms and routers that lie for a while: an earlier report told again, counts that are wrong for a moment,
//! routes said to be there that are not yet.
//!
//! The machine can only go by what it is told. So of a world in which somebody lied it is demanded that users and
//! instances are treated rightly as far as was told (traffic goes to nobody who was not reported ready, nobody is
//! told to end while nobody else was; requests wait exactly while nobody is to be routed), that a promotion was
//! seen, that the journal makes the same machine, and that there is an end in time once nobody lies any more. What
//! is true of the world itself (no request lost, never two copies) nobody can promise then.

use model::Event;
use rollout::Wants;

use crate::plan::Plan;
use crate::rng::Rng;

impl Plan {
    /// In one of ten worlds somebody lies for some seconds.
    pub(crate) fn lie(&mut self, rng: &mut Rng) {
        let (from, lasts) = (rng.between(0, 20_000), rng.between(500, 10_000));
        self.lies = rng.chance(10).then_some((from, from + lasts));
    }

    /// True when what is told now may not be so.
    pub(crate) fn lies_at(&self, now: u64) -> bool {
        self.lies.is_some_and(|(from, to)| from <= now && now <= to)
    }

    /// True when something may have been told by now that was not so.
    pub(crate) fn lied_by(&self, now: u64) -> bool {
        self.lies.is_some_and(|(from, _)| from <= now)
    }
}

/// Who stands between the world and the controller.
pub(crate) struct Liar {
    rng: Rng,
    /// What was told earlier.
    told: Vec<Event>,
}

impl Liar {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, told: Vec::new() }
    }

    /// What the controller hears of this instead.
    pub(crate) fn tell(&mut self, mut events: Vec<Event>, wants: &Wants) -> Vec<Event> {
        for event in &mut events {
            let truth = event.clone();
            if self.rng.chance(50) {
                self.twist(event);
            }
            self.told.push(truth);
        }
        let settled = |event: &Event| matches!(event, Event::RoutesSettled { .. });
        if !events.iter().any(settled) && self.rng.chance(30) {
            events.push(Event::RoutesSettled { pools: wants.pools.clone() });
        }
        events
    }

    fn twist(&mut self, event: &mut Event) {
        let wrong = self.rng.between(0, 2);
        match event {
            Event::Fleet { seen, .. } if wrong == 0 => seen.ready = 0,
            Event::Fleet { seen, .. } if wrong == 1 => seen.ready = seen.existing,
            Event::Open { requests, .. } | Event::Leaving { requests, .. } if wrong == 0 => {
                *requests = 0;
            }
            Event::Fleet { .. }
            | Event::Open { .. }
            | Event::Leaving { .. }
            | Event::RoutesSettled { .. } => self.repeat(event),
            _ => {}
        }
    }

    /// Something of the same kind that was told earlier, if there is any.
    fn repeat(&mut self, event: &mut Event) {
        let of = |event: &Event| match event {
            Event::Fleet { release, .. } => (0, Some(*release)),
            Event::Open { release, .. } => (1, Some(*release)),
            Event::Leaving { release, .. } => (2, Some(*release)),
            _ => (3, None),
        };
        let settled = matches!(event, Event::RoutesSettled { .. });
        let alike = |told: &&Event| {
            of(told) == of(event) && settled == matches!(told, Event::RoutesSettled { .. })
        };
        let alike: Vec<_> = self.told.iter().filter(alike).collect();
        if alike.is_empty() {
            return;
        }
        let pick = usize::try_from(self.rng.next() % alike.len() as u64).unwrap();
        *event = alike[pick].clone();
    }
}
