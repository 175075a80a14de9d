//! The time that a whole request may take: what follows when it is over depends on who was waited for.
//!
//! Nothing is sent here. Tunnels have no such time.

use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;

use crate::answer::{Ended, Progress};
use crate::replay::Failure;
use crate::upload::Broke;

/// Waits until a request's time is over, of which so much is left.
pub(crate) async fn overdue(left: Duration, progress: &Progress) -> Result<Ended, Broke> {
    if left == Duration::MAX {
        return pending().await;
    }
    sleep(left).await;
    if matches!(progress.first.get(), Some((.., endless)) if endless) {
        return pending().await;
    }
    match (progress.wants.get() || progress.gives.get(), progress.begun.get()) {
        (true, false) => Err(Broke::Stalled),
        (true, true) => Ok(Ended::ClientGone),
        (false, false) => Ok(Ended::Failed(Failure::Overdue)),
        (false, true) => Ok(Ended::Overdue),
    }
}
