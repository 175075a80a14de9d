//! Sends each attempt when the schedule says so, and never waits for an answer.
//!
//! An attempt that cannot be sent is recorded as such: over the cap on attempts in flight, or when
//! the prober itself was stopped past its time (a burst after a stall would measure the prober).

use std::rc::Rc;

use model::attempt::Attempt;
use model::{Class, Fault};
use tokio::sync::watch;

use crate::alarm::Alarm;
use crate::clock::monotonic_ns;
use crate::heartbeat::BLIND_NS;
use crate::lanes::Lanes;
use crate::schedule::{Turns, offset_ns};
use crate::site::Site;

/// Below this rate, per second, the prober is awake before it sends,
const RARE: u32 = 500;

/// by this much.
const AWAKE_NS: u64 = 250_000;

/// The schedule of a run.
#[derive(Debug)]
pub(crate) struct Pacer {
    pub(crate) site: Rc<Site>,
    pub(crate) turns: Turns,
    pub(crate) rate: u32,
    /// How many attempts at most.
    pub(crate) count: u64,
    /// Most attempts in flight.
    pub(crate) cap: u64,
}

impl Pacer {
    /// Sends until the count is reached or `stop` turns true.
    pub(crate) async fn run(
        mut self,
        lanes: &Lanes,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let alarm = Alarm::new()?;
        let start_ns = monotonic_ns();
        for i in 0..self.count {
            let due_ns = start_ns.saturating_add(offset_ns(i, self.rate));
            if due_ns > monotonic_ns() {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return Ok(()),
                    woken = self.wake(&alarm, due_ns) => woken?,
                }
            } else if *stop.borrow() {
                return Ok(());
            } else {
                // Behind: let the lanes go on between two sends.
                tokio::task::yield_now().await;
            }
            self.dispatch(lanes, due_ns);
        }
        Ok(())
    }

    /// Waits until it is time. A core that has rested wakes late, by up to a quarter of a millisecond:
    /// where rests are long, the alarm is set as much earlier and the rest is spent awake, at a cost
    /// that stays below an eighth of a core.
    async fn wake(&self, alarm: &Alarm, due_ns: u64) -> Result<(), Fault> {
        if self.rate >= RARE {
            return alarm.until(due_ns).await;
        }
        alarm.until(due_ns.saturating_sub(AWAKE_NS)).await?;
        while monotonic_ns() < due_ns {
            // Lanes go on meanwhile: what has come is read.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn dispatch(&mut self, lanes: &Lanes, due_ns: u64) {
        let ledger = &self.site.ledger;
        let Some(lane) = self.turns.next(ledger.due()) else { return };
        let over = ledger.in_flight() >= self.cap;
        let attempt = ledger.take(lane, self.site.clock.us_at(due_ns));
        let behind_ns = monotonic_ns().saturating_sub(due_ns);
        if behind_ns > BLIND_NS {
            let why =
                format!("the prober was stopped for {} ms at its time", behind_ns / 1_000_000);
            return self.not_sent(attempt, why);
        }
        if over {
            return self.not_sent(attempt, format!("{} attempts were in flight", self.cap));
        }
        if let Some((attempt, why)) = lanes.carry(attempt) {
            self.not_sent(attempt, why.to_owned());
        }
    }

    fn not_sent(&self, mut attempt: Attempt, why: String) {
        attempt.class = Class::NotSent;
        attempt.detail = Some(why);
        self.site.ledger.settle(attempt);
    }
}
