//! Ctrl-C, SIGTERM and a closed terminal as something a command can wait for.
//!
//! Made once at the start of a command, so that no signal is lost between two waits.

use model::Fault;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that mean "stop".
#[derive(Debug)]
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
    /// `None` when it is ignored: whoever started us with `nohup` wants us to go on.
    hangup: Option<Signal>,
}

impl Interrupt {
    /// From now on the signals no longer end the process by themselves.
    pub(crate) fn new() -> Result<Self, Fault> {
        let watch = |kind| {
            signal(kind).map_err(|e| Fault::internal(format!("signals cannot be watched: {e}")))
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = (!ignores_hangup(&status)).then(|| watch(SignalKind::hangup())).transpose()?;
        Ok(Self {
            int: watch(SignalKind::interrupt())?,
            term: watch(SignalKind::terminate())?,
            hangup,
        })
    }

    /// Gives SIGHUP another meaning than "stop", for a server; also when it was ignored.
    pub(crate) fn take_hangup(&mut self) -> Result<Signal, Fault> {
        match self.hangup.take() {
            Some(hangup) => Ok(hangup),
            None => signal(SignalKind::hangup())
                .map_err(|e| Fault::internal(format!("signals cannot be watched: {e}"))),
        }
    }

    /// Resolves at the next one.
    pub(crate) async fn wait(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether a process whose `/proc/PID/status` this is ignores SIGHUP, the lowest bit of `SigIgn`.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn nohup_is_seen() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
