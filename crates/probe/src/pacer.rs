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
use crate::pace::Early;
use crate::schedule::{Turns, offset_ns};
use crate::site::Site;

/// The schedule of a run.
#[derive(Debug)]
pub(crate) struct Pacer {
    pub(crate) site: Rc<Site>,
    pub(crate) turns: Turns,
    pub(crate) rate: u32,
    pub(crate) early: Early,
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

    /// Waits until it is time: asleep, then awake.
    async fn wake(&mut self, alarm: &Alarm, due_ns: u64) -> Result<(), Fault> {
        let set_ns = due_ns.saturating_sub(self.early.lead_ns());
        if set_ns > monotonic_ns() {
            alarm.until(set_ns).await?;
            self.early.woken(monotonic_ns().saturating_sub(set_ns));
        }
        while monotonic_ns() < due_ns {
            // Lanes go on meanwhile: each turn of the runtime asks the kernel what has come.
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
