//! The prober's watch over itself: when it was stopped or starved it saw nothing, and says so.
//!
//! What such a time means for a verdict is the report's affair.

use std::rc::Rc;

use model::Fault;
use model::attempt::BlindWindow;

use crate::alarm::Alarm;
use crate::clock::{Clock, monotonic_ns};
use crate::ledger::Ledger;

const BEAT_NS: u64 = 10_000_000;

/// A beat later than this makes a blind window. The pacer uses the same limit.
pub(crate) const BLIND_NS: u64 = 25_000_000;

/// Beats until it is dropped.
pub(crate) async fn watch(ledger: Rc<Ledger>, clock: Clock) -> Result<(), Fault> {
    let alarm = Alarm::new()?;
    let mut last = monotonic_ns();
    loop {
        let due = last + BEAT_NS;
        alarm.until(due).await?;
        let now = monotonic_ns();
        if now.saturating_sub(due) > BLIND_NS {
            ledger.blind(BlindWindow { from_us: clock.us_at(last), to_us: clock.us_at(now) });
        }
        last = now;
    }
}
