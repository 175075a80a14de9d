//! Whether anybody still speaks to the proxy, and what it does by itself while nobody does.
//!
//! A heartbeat on the admin thread. Checks are made by the sentry; here it is decided when.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::time::{MissedTickBehavior, interval};

use super::Desk;
use crate::limits;
use crate::sentry::Sentry;

/// Looks again and again, for as long as it is polled.
pub(crate) async fn keep_watch(desk: Rc<Desk>) {
    let mut beat = interval(limits::WATCH_BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sentry: Option<Sentry> = None;
    loop {
        beat.tick().await;
        let alone = desk.heard.get().elapsed() >= limits::UNATTENDED;
        if desk.shared.unattended.swap(alone, Ordering::Relaxed) != alone {
            tell(alone);
        }
        if alone {
            let watched = desk.ledger.borrow().watched();
            sentry.get_or_insert_default().look(watched);
        } else {
            sentry = None;
        }
    }
}

fn tell(alone: bool) {
    if alone {
        tracing::warn!("nobody speaks to the proxy any more: it checks instances by itself");
    } else {
        tracing::info!("somebody speaks to the proxy again, and checks instances");
    }
}
