//! Moving WebSockets off instances that leave: one after the other, at a pace, over all threads.
//!
//! One [`Handing`] is one such time of an app; the ledger begins and ends it, and every thread works at
//! it on the WebSockets that are its own. What a WebSocket does when it is asked stands in `talk`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{HandOver, Pace};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::gate::Gate;
use crate::limits;
use crate::roster::Asked;
use crate::thread::Worker;

/// What stays the same while instances come and go.
#[derive(Debug)]
struct Turns {
    began: Instant,
    /// When the next one is due.
    due: Mutex<Instant>,
    places: Arc<Semaphore>,
}

/// One time in which WebSockets move.
#[derive(Debug)]
pub(crate) struct Handing {
    wanted: HandOver,
    gates: Vec<Arc<Gate>>,
    turns: Arc<Turns>,
    over: watch::Sender<bool>,
}

impl Handing {
    /// Goes on with what is wanted now: at the pace of `before`, if it is the same. `None` when nothing is
    /// wanted; the one before is over in any case, unless it is the very same.
    pub(crate) fn follow(
        before: Option<Arc<Self>>,
        wanted: Option<&HandOver>,
        gates: Vec<Arc<Gate>>,
    ) -> Option<Arc<Self>> {
        let same = |old: &Arc<Self>, wanted: &HandOver| {
            let gates = old.gates.iter().map(|gate| gate.serial).eq(gates.iter().map(|g| g.serial));
            old.wanted == *wanted && gates
        };
        match (before, wanted) {
            (Some(old), Some(wanted)) if same(&old, wanted) => Some(old),
            (before, wanted) => {
                let turns = before
                    .as_ref()
                    .filter(|old| wanted.is_some_and(|wanted| old.wanted.pace == wanted.pace));
                let turns = turns.map(|old| Arc::clone(&old.turns));
                if let Some(old) = &before {
                    old.end();
                }
                let wanted = wanted?.clone();
                let turns = turns.unwrap_or_else(|| Arc::new(Turns::new(&wanted.pace)));
                let over = watch::Sender::new(false);
                Some(Arc::new(Self { wanted, gates, turns, over }))
            }
        }
    }

    /// Nobody else is asked.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }

    fn is_of(&self, gate: u64) -> bool {
        self.gates.iter().any(|known| known.serial == gate)
    }

    /// Counts one that is told.
    fn told(&self, gate: u64) {
        if let Some(gate) = self.gates.iter().find(|known| known.serial == gate) {
            gate.counters.sockets_told.up();
        }
    }

    /// Time between two, on average: less than was asked for, where they would not all be told in three
    /// quarters of the time.
    fn gap(&self) -> Duration {
        let left = self.gates.iter().map(|gate| gate.inside().tunnels).sum::<u64>();
        let time = Duration::from_millis(self.wanted.within_ms) * 3 / 4;
        let time = time.saturating_sub(self.turns.began.elapsed());
        let least = time / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
        (Duration::from_secs(1) / self.wanted.pace.per_second.max(1)).min(least)
    }

    /// Waits for a place, then for a turn.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.turns.places).acquire_owned().await.ok()?;
        // First come, first served; the next one waits for its own.
        let mut due = self.turns.due.lock().await;
        sleep_until(*due).await;
        // From half of the gap to one and a half; what is late by more than a moment is not made up for.
        let gap = self.gap().mul_f64(0.5 + fastrand::f64());
        let earliest = Instant::now().checked_sub(limits::FAREWELL_BURST);
        *due = earliest.map_or(*due, |earliest| earliest.max(*due)) + gap;
        Some(place)
    }
}

impl Turns {
    fn new(pace: &Pace) -> Self {
        let now = Instant::now();
        let places = usize::try_from(pace.at_once).unwrap_or(usize::MAX);
        let places = Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Self { began: now, due: Mutex::new(now), places }
    }
}

/// Asks the WebSockets of this thread, until it is over.
pub(crate) async fn hand_over(worker: Rc<Worker>, handing: Arc<Handing>) {
    let mut over = handing.over.subscribe();
    let all = async {
        loop {
            let came = worker.roster.came.notified();
            if worker.roster.next(|gate| handing.is_of(gate)).is_none() {
                // A request may still become one.
                came.await;
                continue;
            }
            let Some(place) = handing.turn().await else { return };
            if let Some(ticket) = worker.roster.next(|gate| handing.is_of(gate)) {
                let farewell = handing.wanted.pace.farewell.clone();
                handing.told(ticket.gate());
                ticket.ask(Asked { farewell, _place: place });
            }
        }
    };
    tokio::select! {
        _ = over.wait_for(|over| *over) => {}
        () = all => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use model::{Farewell, HandOver, InstanceId, Pace};
    use tokio::time::Instant;

    use super::Handing;

    const PER_SECOND: u32 = 100;
    const TURNS: usize = 300;

    /// Begun now.
    fn handing() -> Arc<Handing> {
        let pace = Pace { farewell: Farewell::Close, per_second: PER_SECOND, at_once: 1_000 };
        let instances = vec![InstanceId("old".to_owned())];
        let wanted = HandOver { instances, pace, within_ms: 600_000 };
        Handing::follow(None, Some(&wanted), Vec::new()).unwrap()
    }

    /// The pauses between one turn and the next, in thousandths of the pace's gap, as they were decided.
    async fn pauses(handing: &Handing) -> Vec<u128> {
        let mut due = Vec::new();
        for _ in 0..TURNS {
            drop(handing.turn().await);
            due.push(*handing.turns.due.lock().await);
        }
        let gap = (Duration::from_secs(1) / PER_SECOND).as_micros();
        due.windows(2).map(|two| (two[1] - two[0]).as_micros() * 1_000 / gap).collect()
    }

    /// Each pause is from half of the gap to one and a half, spread evenly, and different for who is told
    /// elsewhere at the same time: those that are told by two proxies do not come back in step.
    #[test]
    fn turns_are_spread_about_the_pace_and_lie_on_no_grid() {
        fastrand::seed(7);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (all, other, took) = runtime.block_on(async {
            let (one, two, began) = (handing(), handing(), Instant::now());
            let (all, other) = tokio::join!(pauses(&one), pauses(&two));
            (all, other, began.elapsed())
        });
        // A machine that was late makes a pause longer, never shorter.
        assert!(all.iter().all(|pause| *pause >= 499), "{all:?}");
        let within = |from: u128| all.iter().filter(|at| (from..from + 200).contains(*at)).count();
        for from in [500, 700, 900, 1_100, 1_300] {
            assert!(
                within(from) > TURNS / 10,
                "{} of {TURNS} from {from} on: {all:?}",
                within(from)
            );
        }
        let gaps = took.as_secs_f64() * f64::from(PER_SECOND) / 300.0;
        assert!(gaps > 0.9, "faster than the pace: {took:?}");
        let same = all.iter().zip(&other).filter(|(one, two)| one.abs_diff(**two) < 10).count();
        assert!(same < TURNS / 10, "{same} of {TURNS} in step");
    }
}
