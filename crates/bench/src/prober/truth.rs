//! The server of truth: it writes down when each request came, to the nanosecond, and plays a script.
//!
//! One thread on a core of its own; the times are the kernel's (`arrival`). At a rate it does not sleep there, so that
//! answers come at once. Heads are searched, not parsed, and requests have no bodies. Sockets for the WebSocket lane
//! stand in `echoes`.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::arrival;
use super::arrival::monotonic_ns;
use super::script::{ANSWER, Act, Script};
use crate::Outcome;
use crate::cores::Cores;

/// Connections that may wait to be accepted: as many as come while it stands still.
const BACKLOG: u32 = 4_096;

/// What it has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When each request came, CLOCK_MONOTONIC, ns.
    pub(crate) received_ns: Vec<u64>,
    /// From when to when it stood still, ns.
    pub(crate) frozen_ns: Option<(u64, u64)>,
}

type Log = Arc<Mutex<Seen>>;

/// A running server; gone when dropped.
#[derive(Debug)]
pub(crate) struct Truth {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Truth {
    /// Starts one on a core, which may have other work.
    pub(crate) fn start(script: Script, core: usize) -> Outcome<Self> {
        Self::with(script, core, false)
    }

    /// Starts one that answers everything and never sleeps, where it has a core to itself.
    pub(crate) fn awake(cores: Cores) -> Outcome<Self> {
        Self::with(Script::Answer, cores.load, cores.apart())
    }

    fn with(script: Script, core: usize, awake: bool) -> Outcome<Self> {
        let log = Log::default();
        let (told, address) = channel();
        let (stop, stopped) = oneshot::channel();
        let seen = Arc::clone(&log);
        let thread = std::thread::Builder::new().name("truth".to_owned()).spawn(move || {
            let served =
                Cores::go_to(core).and_then(|()| serve((script, awake), &seen, &told, stopped));
            if let Err(error) = served {
                // Who waits for the address hears of it by its absence.
                eprintln!("the server of truth: {error}");
            }
        })?;
        let address = address.recv().map_err(|_| "the server of truth did not start")?;
        Ok(Self { address, log, stop: Some(stop), thread: Some(thread) })
    }

    /// Requests so far.
    pub(crate) fn count(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).received_ns.len()
    }

    /// What it has seen so far, which it forgets.
    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has said what went wrong.
            let _ = thread.join();
        }
    }
}

fn serve(
    (script, awake): (Script, bool),
    log: &Log,
    told: &Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        arrival::stamp(&listener)?;
        told.send(listener.local_addr()?)?;
        let accepting = async {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(converse(stream, script, Arc::clone(log)));
            }
        };
        let polling = async {
            if !awake {
                pending::<()>().await;
            }
            loop {
                // Each turn asks the kernel what has come.
                yield_now().await;
            }
        };
        tokio::select! {
            () = accepting => Err("it accepts no more".into()),
            never = polling => never,
            _ = stopped => Ok(()),
        }
    })
}

/// `None` when the connection has ended.
async fn converse(mut stream: TcpStream, script: Script, log: Log) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = [0; 2_048];
    let mut filled = 0;
    loop {
        let (read, came_ns) = arrival::read(&stream, buffer.get_mut(filled..)?).await.ok()?;
        filled += Some(read).filter(|read| *read > 0)?;
        let head = buffer.get(..filled)?;
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let closes = memmem::find(head, b"onnection: close").is_some();
        filled = 0;
        let number = {
            let mut seen = log.lock().unwrap_or_else(PoisonError::into_inner);
            seen.received_ns.push(came_ns);
            seen.received_ns.len() as u64 - 1
        };
        play(&mut stream, script.act(number), &log).await?;
        if closes {
            return None;
        }
    }
}

/// `None` when the connection ends with it.
async fn play(stream: &mut TcpStream, act: Act, log: &Log) -> Option<()> {
    let said = match act {
        Act::Answer => ANSWER,
        Act::Say(said) | Act::SayAndClose(said) | Act::SayAndReset(said) => said,
        Act::Wait(time) => {
            tokio::time::sleep(time).await;
            ANSWER
        }
        Act::Freeze(time) => {
            let begin = monotonic_ns();
            // The one thread, and so the whole server.
            std::thread::sleep(time);
            let frozen = Some((begin, monotonic_ns()));
            log.lock().unwrap_or_else(PoisonError::into_inner).frozen_ns = frozen;
            ANSWER
        }
        Act::Hang => {
            // Until the other side has had enough.
            let _ = stream.read(&mut [0]).await;
            return None;
        }
    };
    stream.write_all(said).await.ok()?;
    match act {
        Act::SayAndReset(_) => {
            if !said.is_empty() {
                // A reset overtakes what was not read yet, and then it never came.
                unread(stream).await;
            }
            stream.set_zero_linger().ok()?;
            None
        }
        Act::SayAndClose(_) => None,
        _ => Some(()),
    }
}

/// Waits for a moment in which the other side reads what was said.
async fn unread(stream: &mut TcpStream) {
    const MOMENT: Duration = Duration::from_millis(50);
    // Nothing comes: the other side waits for the rest.
    let _ = tokio::time::timeout(MOMENT, stream.read(&mut [0])).await;
}
