//! Cutover's reverse proxy: it carries.
//!
//! HTTP/1.1 over `httparse` on both sides, HTTP/2 over `h2` and TLS over rustls towards clients. It starts with nothing; listeners and routes arrive over
//! the admin socket (`model::admin`). It decides nothing about a rollout, starts no process, checks
//! instances only while nobody speaks to it (`sentry`), and outlives whoever told it what to carry.
//!
//! One request: `worker` accepts, `client` waits and reads, `framing` delimits, `call` routes and
//! rewrites, `pick` chooses, `gate` counts, `upload` and `answer` carry, `replay` decides after a
//! failure. One switch: `admin` hears, `ledger` checks and swaps the `table`.

mod account;
mod admin;
mod age;
mod answer;
mod asker;
mod buffer;
mod call;
mod census;
mod class;
mod client;
mod clients;
mod cohort;
mod connection;
#[cfg(test)]
mod copies;
mod counters;
mod crossing;
mod ejection;
mod evidence;
mod exchange;
mod files;
mod finely;
mod forwarded;
mod frames;
mod framing;
#[cfg(test)]
mod fuzz;
mod gate;
mod gather;
mod handover;
mod held;
mod hold;
mod http2;
mod ledger;
mod life;
mod limits;
mod lines;
mod log;
mod metrics;
mod outlier;
mod overdue;
mod pace;
mod pages;
mod pick;
mod prober;
mod ramp;
mod receipts;
mod replay;
mod roster;
mod rules;
mod said;
mod sentry;
mod settings;
mod share;
mod signals;
mod space;
mod stream;
mod survey;
mod table;
mod talk;
mod thread;
mod tls;
#[cfg(test)]
mod tracks;
mod trail;
mod tunnel;
mod upload;
mod upstream;
mod visitors;
mod websocket;
mod wire;
mod worker;

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use model::Fault;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use crate::admin::Desk;
pub use crate::cohort::new_cohort_key;
use crate::files::Files;
use crate::life::Shared;
pub use crate::limits::POOL_IDLE;
pub use crate::pages::check_page;
use crate::tls::Tls;
pub use crate::tls::{check_pair, tls_of};
use crate::worker::Control;

/// How metrics are written and asked for, for others that tell some.
pub mod exposition {
    pub use crate::metrics::{Dialect, Kind, Labels, Text, open, serve};
}

/// How a proxy is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the admin socket goes; created with mode 0600.
    pub admin_socket: PathBuf,
    /// Worker threads; 0 counts as 1.
    pub threads: usize,
    /// Lets the admin socket inject faults.
    pub allow_faults: bool,
}

/// Runs a proxy on this thread and its workers until it was told to stop (`Request::Stop` or
/// SIGTERM) and what was open has finished, or its deadline has passed. The process should end
/// then. Takes over SIGTERM, SIGINT, SIGHUP and SIGUSR1.
///
/// # Errors
/// The admin socket cannot be opened or belongs to a living proxy, or threads cannot be started.
pub fn serve(options: Options) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::environment(format!("cannot start the proxy: {error}")))?;
    LocalSet::new().block_on(&runtime, run(options))
}

async fn run(options: Options) -> Result<(), Fault> {
    let trouble = |error: io::Error| Fault::environment(format!("cannot start the proxy: {error}"));
    let (_socket, listener) = admin::bind(&options.admin_socket)?;
    let listener = tokio::net::UnixListener::from_std(listener).map_err(trouble)?;
    let threads = options.threads.max(1);
    let shared = Arc::new(Shared::new(Files::raised(threads), Tls::new()?));
    spawn_local(signals::follow(Arc::clone(&shared)).map_err(trouble)?);
    let ending = Arc::clone(&shared);
    let mut controls = Vec::new();
    let mut workers = Vec::new();
    for number in 0..threads {
        let (control, worker) = start(number, Arc::clone(&shared)).map_err(trouble)?;
        controls.push(control);
        workers.push(worker);
    }
    let desk = Rc::new(Desk::new(shared, controls, options.allow_faults));
    let watching = spawn_local(admin::keep_watch(Rc::clone(&desk)));
    let receiving = spawn_local(admin::receive(Rc::clone(&desk), listener));
    for worker in workers {
        // The sender is dropped when its thread ends, however it ends.
        let _ = worker.ended.await;
        worker
            .thread
            .join()
            .map_err(|_| Fault::internal("a worker thread of the proxy panicked"))?
            .map_err(trouble)?;
    }
    desk.last_account().await;
    receiving.abort();
    watching.abort();
    if let Some(log) = ending.log.load_full() {
        log.finish();
    }
    Ok(())
}

struct Running {
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<io::Result<()>>,
}

fn start(number: usize, shared: Arc<Shared>) -> io::Result<(UnboundedSender<Control>, Running)> {
    let (control, controls) = unbounded_channel();
    let (alive, ended) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let _alive = alive;
        worker::run(shared, controls)
    })?;
    Ok((control, Running { ended, thread }))
}
