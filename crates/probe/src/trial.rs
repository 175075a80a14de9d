//! Does the target serve a lane? One request before the run, outside its book.
//!
//! Trouble that may pass is no answer: then the lane runs, and its attempts fail.

use std::time::Duration;

use model::attempt::{Attempt, Class, Lane};

use crate::connect::Failure;
use crate::site::Site;

/// The longest a target is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the trial; `attempt` gets what would be recorded of it. An error says what is not served.
pub(crate) async fn trial(
    site: &Site,
    lane: Lane,
    carry: impl AsyncFnOnce(&mut Attempt) -> Result<(), Failure>,
) -> Result<(), String> {
    let mut attempt = site.ledger.draft(lane);
    let carried = tokio::time::timeout(PATIENCE.min(site.timeout), carry(&mut attempt)).await;
    let Ok(carried) = carried else {
        attempt.class = Class::Timeout;
        return passing_or(&attempt);
    };
    if let Err(failure) = carried {
        failure.tell(&mut attempt);
    }
    site.ledger.excuse(&mut attempt);
    passing_or(&attempt)
}

/// What an attempt says of the endpoint, rather than of the moment.
fn passing_or(attempt: &Attempt) -> Result<(), String> {
    let passing = match attempt.class {
        Class::BadStatus => matches!(attempt.status, 429 | 500 | 502..),
        Class::Ok
        | Class::Late
        | Class::NotSent
        | Class::Timeout
        | Class::Refused
        | Class::ResetBeforeBytes
        | Class::LostInFlight
        | Class::Truncated => true,
        Class::WrongContent | Class::WsDropped => false,
    };
    if passing {
        return Ok(());
    }
    let detail = attempt.detail.as_deref().unwrap_or("an odd answer");
    Err(format!("tried once: {detail}"))
}
