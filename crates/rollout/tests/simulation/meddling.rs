//! Third parties who change the route, at moments drawn from a stream of their own. What they set stays until the
//! controller orders its own again, and that may be late.
//!
//! What users lose who came by a route that the controller did not order is counted apart: it is not the
//! controller's.

use model::event::PoolSeen;
use model::{PoolState, ReleaseId, Weight};

use crate::plan::{CANDIDATE, Plan, STABLE};
use crate::rng::Rng;
use crate::router::Routes;
use crate::world::World;

/// What somebody else does to the routes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meddling {
    /// The candidate gets so much, and stable the rest.
    Share(Weight),
    /// Only that one is carried.
    Alone(ReleaseId),
    /// One more instance gets nothing new: the n-th of all.
    Out(u64),
}

impl Plan {
    /// In one of ten worlds somebody meddles, up to four times.
    pub(crate) fn meddle(&mut self, rng: &mut Rng) {
        if !rng.chance(10) || self.start.stable.is_none() {
            return;
        }
        for _ in 0..rng.between(1, 4) {
            let what = match rng.between(0, 3) {
                0 => Meddling::Alone(STABLE),
                1 => Meddling::Alone(CANDIDATE),
                2 => Meddling::Out(rng.next()),
                _ => {
                    let points = u16::try_from(rng.between(0, 10_000)).unwrap();
                    Meddling::Share(Weight::new(points).unwrap())
                }
            };
            self.meddling.push((rng.between(0, 30_000), what));
        }
    }

    /// When nobody meddles or lies any more, ms.
    pub(crate) fn left_ms(&self) -> u64 {
        let meddling = self.meddling.iter().map(|(at, _)| *at);
        meddling.chain(self.lies.map(|(_, to)| to)).max().unwrap_or(0)
    }
}

impl World<'_> {
    /// Somebody else sets the routes.
    pub(crate) fn meddle(&mut self) {
        let due = |(at, what): &(u64, Meddling)| self.due(Some(*at)).then_some(*what);
        let now: Vec<_> = self.plan.meddling.iter().filter_map(due).collect();
        for what in now {
            let routes = self.meddled(what);
            self.router.meddle(routes, self.now);
        }
    }

    fn meddled(&self, what: Meddling) -> Routes {
        let state = PoolState::Serving;
        let pool = |release, weight| PoolSeen { release, weight, state };
        let (mut pools, mut out) = self.router.routes.clone();
        match what {
            Meddling::Share(share) => {
                pools = vec![pool(STABLE, share.rest()), pool(CANDIDATE, share)];
                out.clear();
            }
            Meddling::Alone(release) => pools = vec![pool(release, Weight::ALL)],
            Meddling::Out(pick) => {
                let all = [&self.stable, &self.candidate].map(|fleet| &fleet.instances);
                let ids: Vec<_> = all.into_iter().flatten().map(|one| one.id).collect();
                let place = usize::try_from(pick % ids.len().max(1) as u64).unwrap();
                out.extend(ids.get(place));
            }
        }
        (pools, out)
    }
}
