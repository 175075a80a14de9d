//! What the prober's memory grows by for each attempt that it records, by lane.
//!
//! It is what the kernel says is resident, so it holds whatever else grew meanwhile. No mark is set here.

use std::time::Duration;

use model::Lane;

use super::place::{Place, Subject};
use super::subject::Order;
use super::truth::Truth;
use crate::Outcome;

/// Lanes that keep different things: an attempt, and an attempt with a connection of its own.
const LANES: [Lane; 2] = [Lane::KeepAlive, Lane::Fresh];
/// Attempts a second,
const RATE: u32 = 2_000;
/// and how long.
const LASTS: Duration = Duration::from_secs(20);
/// Of fewer attempts the pages of everything else would be counted.
const FEWEST: u64 = 20_000;

/// What one lane has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfLane {
    pub(crate) lane: Lane,
    /// Bytes for each attempt; none when the machine left it open.
    pub(crate) bytes: Option<f64>,
}

/// Each lane for itself.
pub(crate) fn of_lanes(place: &Place) -> Outcome<Vec<OfLane>> {
    LANES.into_iter().map(|lane| of_lane(place, lane)).collect()
}

fn of_lane(place: &Place, lane: Lane) -> Outcome<OfLane> {
    let server = Truth::awake(place.cores)?;
    let count = u64::from(RATE) * LASTS.as_secs();
    let mut subject = place.probe(&Order { lane, ..Order::plain(server.address, RATE, count) })?;
    let bytes = growth(&mut subject, &server, count)?;
    let account = subject.account()?;
    if account.intended_us.is_empty() {
        return Err(format!("the {} lane sent nothing", lane.name()).into());
    }
    Ok(OfLane { lane, bytes })
}

/// Memory per attempt between a fifth and nearly all of the run; none of a short one, or where it shrank: then a
/// stall of the machine had filled it with what was in flight.
pub(crate) fn growth(subject: &mut Subject, server: &Truth, count: u64) -> Outcome<Option<f64>> {
    let (mut first, mut last) = (None, None);
    while subject.goes_on()? {
        let now = (server.count() as u64, subject.memory());
        if now.0 >= count / 5 && now.0 < count {
            first = first.or(Some(now));
            last = Some(now);
        }
    }
    let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
    let enough = last.0 - first.0 >= FEWEST && last.1 > first.1;
    Ok(enough.then(|| (last.1 - first.1) as f64 / (last.0 - first.0) as f64))
}
