//! Ctrl-C and SIGTERM as something a command can wait for.
//!
//! Made once at the start of a command, so that no signal is lost between two waits.

use model::Fault;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals.
#[derive(Debug)]
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// From now on the signals no longer end the process by themselves.
    pub(crate) fn new() -> Result<Self, Fault> {
        let refused = |e| Fault::internal(format!("signals cannot be watched: {e}"));
        let int = signal(SignalKind::interrupt()).map_err(refused)?;
        let term = signal(SignalKind::terminate()).map_err(refused)?;
        Ok(Self { int, term })
    }

    /// Resolves at the next one.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
