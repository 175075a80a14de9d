//! Signals: SIGTERM ends the proxy in good order, a second one hurries it; SIGUSR1 opens the access log
//! anew; others are not for it.
//!
//! What an end in good order is, `life` and the workers know.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::life::Shared;
use crate::limits;

/// Follows the process's signals. From the first call on, a terminal's SIGINT and SIGHUP do nothing.
pub(crate) fn follow(shared: Arc<Shared>) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    // Their default would end the process; who has listened once has replaced it for good.
    drop(signal(SignalKind::interrupt())?);
    drop(signal(SignalKind::hangup())?);
    let mut reopen = signal(SignalKind::user_defined1())?;
    Ok(async move {
        let mut patience = limits::TERM_DEADLINE;
        loop {
            tokio::select! {
                _ = reopen.recv() => {
                    if let Some(log) = &*shared.log.load() {
                        log.reopen();
                    }
                }
                _ = terminate.recv() => {
                    shared.end(Instant::now() + patience);
                    patience = std::time::Duration::ZERO;
                }
            }
        }
    })
}
