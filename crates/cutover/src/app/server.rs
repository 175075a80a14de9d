//! The listener, and the order of events from "told to stop" to the end.
//!
//! It hears no signals: whoever runs it calls [`State::stop`].

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use model::Fault;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::connection::serve;
use super::options::Options;
use super::state::{Open, Phase, State, Thing};

/// With nothing open, how long no business request may have come before the app ends. Clients that
/// were not told yet get this long to send their next request.
const QUIET: Duration = Duration::from_millis(300);

/// How long the last answers and close frames may take to leave once the app closes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Pause after `accept` failed; the likely cause is "too many open files", which passes when a
/// connection closes and cannot be waited for.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A sample app that listens.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing was open and nobody asked any more.
    Quiet,
    /// The drain deadline came first; this much was still open.
    Deadline { requests: u64, sockets: u64 },
}

impl Server {
    /// Listens on the address and port of `options`.
    pub(super) async fn bind(options: Options) -> Result<Self, Fault> {
        let wanted = SocketAddr::new(options.address, options.port);
        let refused = |error: std::io::Error| no_listener(wanted, &error);
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, state: State::new(options) })
    }

    /// Where it listens, the real port included.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shares with whoever tells it to stop.
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Serves until it was told to stop and is done. New connections are taken until then.
    pub(super) async fn run(self) -> Ended {
        let Self { listener, state, .. } = self;
        let mut drained = pin!(drained(&state));
        let ended = loop {
            tokio::select! {
                // Accepting comes first, so that nobody is left in the backlog at the end.
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // Best effort: an answer in two writes must not wait for an acknowledgement.
                        drop(stream.set_nodelay(true));
                        let open = Open::new(&state, Thing::Connection);
                        tokio::spawn(serve(Arc::clone(&state), stream, open));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                ended = &mut drained => break ended,
            }
        };
        drop(listener);
        state.enter(Phase::Closing);
        let mut load = state.watch_load();
        let _ = timeout(LAST_WORDS, load.wait_for(|l| l.connections == 0 && l.sockets == 0)).await;
        ended
    }
}

/// Resolves when it was told to stop and is done, or the drain deadline is over.
async fn drained(state: &State) -> Ended {
    state.reached(Phase::Stopping).await;
    let deadline = Instant::now() + state.options.drain_deadline;
    if timeout_at(deadline, quiet(state)).await.is_ok() {
        return Ended::Quiet;
    }
    let load = state.load();
    Ended::Deadline { requests: load.requests, sockets: load.sockets }
}

/// Resolves when nothing is open and no business request came for [`QUIET`], counted from now.
async fn quiet(state: &State) {
    let told = Instant::now();
    let mut load = state.watch_load();
    loop {
        let now = *load.borrow_and_update();
        let changed = load.changed();
        if now.requests > 0 || now.sockets > 0 {
            let _ = changed.await;
            continue;
        }
        tokio::select! {
            _ = changed => {}
            () = sleep_until(now.last_request.max(told) + QUIET) => return,
        }
    }
}

/// Why there is no listener, and what to do.
fn no_listener(wanted: SocketAddr, error: &std::io::Error) -> Fault {
    let (port, address) = (wanted.port(), wanted.ip());
    match error.kind() {
        ErrorKind::AddrInUse => Fault::environment(format!("port {port} on {address} is in use"))
            .help(format!(
                "stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose \
                 another with --port"
            )),
        ErrorKind::PermissionDenied => {
            Fault::environment(format!("port {port} on {address} is not ours to take"))
                .help("choose a port of 1024 or more with --port")
        }
        ErrorKind::AddrNotAvailable => {
            Fault::environment(format!("{address} is no address of this machine"))
                .help("listen on 127.0.0.1, or on 0.0.0.0 for all addresses, with --address")
        }
        _ => Fault::environment(format!("cannot listen on port {port} on {address}: {error}")),
    }
}
