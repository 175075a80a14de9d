//! Idle connections: does the app close them sooner than the router stops using them?
//!
//! One connection, one request: how it fares under load is not tried here. The words are in `finding`.

use drivers::check::Kept;
use tokio::time::{Instant, timeout};

use super::finding;
use super::{Asked, Chart, ms};

/// What became of an idle connection.
pub(super) enum Idled {
    /// The app closed it after so long.
    Closed(std::time::Duration),
    /// It was still open when the router would have closed it.
    Kept,
    /// There was none, for this reason.
    None(String),
}

/// Asks once and waits.
pub(super) async fn idle(asked: &Asked, say: &(dyn Fn(&str) + Sync)) -> Idled {
    let wait = crate::duration::show(asked.reuse);
    say(&format!("leaving a connection idle for {wait}, as long as the router keeps one"));
    let opened = Kept::open(asked.address, &asked.host, asked.limit).await;
    let answered = match opened {
        Ok(mut kept) => match kept.send(&asked.path).await {
            Ok(()) => kept.receive(asked.limit).await,
            Err(failed) => Err(failed),
        },
        Err(failed) => Err(failed),
    };
    match answered {
        Ok((_, Some(mut kept))) => {
            let idle = Instant::now();
            match timeout(asked.reuse, kept.ended()).await {
                Ok(()) => Idled::Closed(idle.elapsed()),
                Err(_still_open) => Idled::Kept,
            }
        }
        Ok((_, None)) => Idled::None("the app ends the connection with each answer".to_owned()),
        Err(failed) => Idled::None(failed.words),
    }
}

impl Idled {
    /// Puts it on the chart.
    pub(super) fn enter(self, chart: &mut Chart<'_>) {
        match self {
            Self::Closed(after) => {
                chart.examined.measured.idle_ms = Some(ms(after));
                chart.find(finding::closes_idle(after, chart.reuse));
            }
            Self::Kept => chart.examined.measured.idle_ms = Some(ms(chart.reuse)),
            Self::None(why) => chart.not_tried(&format!("idle connections: {why}")),
        }
    }
}
