//! Does the target serve a lane? One request before the run, outside its book.
//!
//! Trouble that may pass is no answer for a lane that somebody named: it runs, and its attempts fail. A lane that
//! nobody named does not run then.

use std::time::Duration;

use model::attempt::{Attempt, Class, Lane};

use crate::connect::Failure;
use crate::site::Site;

/// The longest a target is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the trial; `attempt` gets what would be recorded of it. An error says what is not served.
pub(crate) async fn trial(
    site: &Site,
    lane: Lane,
    carry: impl AsyncFnOnce(&mut Attempt) -> Result<(), Failure>,
) -> Result<(), String> {
    let mut attempt = site.ledger.draft(lane);
    let patience = PATIENCE.min(site.timeout);
    match tokio::time::timeout(patience, carry(&mut attempt)).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => failure.tell(&mut attempt),
        Err(_) => {
            let detail = format!("no whole answer within {} ms", patience.as_millis());
            Failure { class: Class::Timeout, detail }.tell(&mut attempt);
        }
    }
    site.ledger.excuse(&mut attempt);
    let served = matches!(attempt.class, Class::Ok | Class::Late);
    if served || (!site.if_served && may_pass(&attempt)) {
        return Ok(());
    }
    let detail = attempt.detail.as_deref().unwrap_or("an odd answer");
    Err(format!("tried once: {detail}"))
}

/// True when an attempt says something of the moment, rather than of the endpoint.
const fn may_pass(attempt: &Attempt) -> bool {
    match attempt.class {
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
    }
}
