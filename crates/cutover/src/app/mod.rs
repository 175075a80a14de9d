//! The sample app: a small web service that stops politely, and misbehaves when asked to.
//!
//! It stands in for a user's service in the demo and in the tests: ordinary requests, sockets,
//! event streams, long transfers, and one switch for each way in which a real service spoils a
//! deploy. It knows nothing of proxies, rollouts or probes; `run` is all that the command line sees.

mod answer;
mod body;
mod book;
mod connection;
mod events;
mod metrics;
mod options;
mod orders;
mod reply;
mod route;
mod server;
mod socket;
mod state;
#[cfg(test)]
mod tests;
mod transfer;

use std::io::Write as _;
use std::net::SocketAddr;

use model::Fault;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use options::{Options, share};
use server::{Ended, Server};
use state::State;

/// Serves until it is told to stop (SIGTERM or Ctrl-C) and what is open has ended.
///
/// A second signal ends it at once. Both ways are success: the process then exits 0.
pub(crate) fn run(options: Options) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Fault::environment(format!("the runtime did not start: {error}")))?;
    let result = runtime.block_on(live(options));
    // What is still open (a second signal, the deadline) is cut here and not waited for.
    runtime.shutdown_background();
    result
}

/// From the first signal handler to the last word.
async fn live(options: Options) -> Result<(), Fault> {
    let on_sigterm = options.faults.on_sigterm.clone();
    let mut stop = StopSignals::watch(on_sigterm.ignore_sigterm)?;
    tokio::select! {
        () = tokio::time::sleep(options.faults.start_delay) => {}
        () = stop.next() => return Ok(()),
    }
    let server = Server::bind(options).await?;
    let state = server.state();
    greet(&state, server.address());
    let mut serving = tokio::spawn(server.run());
    stop.next().await;
    if on_sigterm.exit_on_sigterm {
        return Ok(());
    }
    state.stop();
    let load = state.load();
    say(&format!("told to stop: {} requests and {} sockets open", load.requests, load.sockets));
    tokio::select! {
        ended = &mut serving => match ended {
            Ok(Ended::Quiet) => say("stopped: nothing was open"),
            Ok(Ended::Deadline { requests, sockets }) => {
                say(&format!("stopped at the deadline: {requests} requests and {sockets} sockets cut"));
            }
            Err(error) => return Err(Fault::internal(format!("the sample app broke: {error}"))),
        },
        () = stop.next() => say("stopped at once: told twice"),
    }
    Ok(())
}

fn greet(state: &State, address: SocketAddr) {
    let (version, instance) = (&state.identity.version, &state.identity.instance);
    say(&format!("listening on http://{address} (version {version}, instance {instance})"));
}

/// One line on stdout; a reader that has gone away is no reason to end.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The signals that mean "stop": SIGTERM unless it is to be ignored, and Ctrl-C.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    ignore_terminate: bool,
}

impl StopSignals {
    fn watch(ignore_terminate: bool) -> Result<Self, Fault> {
        let listen = |kind| {
            signal(kind).map_err(|error| Fault::environment(format!("no signal handler: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            ignore_terminate,
        })
    }

    async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {
                    if !self.ignore_terminate {
                        return;
                    }
                    say("SIGTERM ignored, as asked");
                }
                _ = self.interrupt.recv() => return,
            }
        }
    }
}
