//! The prober's end of its control socket: tells a controller what it sees and takes its orders.
//!
//! It outlives controllers. Without one for too long it stops the run; when the run is over it
//! waits as long for somebody to hear so. It decides nothing else.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use model::attempt::{RunFooter, RunHeader};
use model::{Fault, Kind};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::clock::Clock;
use crate::control::{FromProbe, ToProbe};
use crate::ledger::Ledger;

/// How often a window is told.
pub(crate) const WINDOW_EVERY: Duration = Duration::from_millis(100);

/// A controller that does not read for this long is left.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long is waited for what a controller said before it went.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What a controller says, line by line.
type Orders = Lines<BufReader<OwnedReadHalf>>;

/// A socket that listens; the file goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Post {
    listener: UnixListener,
    path: PathBuf,
}

impl Post {
    /// Listens on `path`, which nobody but this user can ever connect to.
    pub(crate) fn bind(path: &Path) -> Result<Self, Fault> {
        if somebody_listens(path) {
            let what = format!("another prober listens on {}", path.display());
            return Err(Fault::new(Kind::Conflict, what).help("stop it, or name another socket"));
        }
        // Made ready under another name: the final one never exists with wider permissions.
        let mut making = path.as_os_str().to_owned();
        making.push(format!(".{}", std::process::id()));
        let making = PathBuf::from(making);
        let bound = bind_private(&making).and_then(|listener| {
            std::fs::rename(&making, path)?;
            Ok(listener)
        });
        let listener = bound.map_err(|error| {
            // Whatever was made is of no use.
            let _ = std::fs::remove_file(&making);
            Fault::environment(format!("cannot listen on {}: {error}", path.display()))
                .help("use a path of at most 90 bytes in a directory that can be written")
        })?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks without connecting, which would take the place of the other prober's controller: a datagram
/// socket is told that the one it found is of another type, or that nobody holds it any more.
fn somebody_listens(path: &Path) -> bool {
    let asked = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    let wrong_type = rustix::io::Errno::PROTOTYPE.raw_os_error();
    asked.map_or_else(|error| error.raw_os_error() == Some(wrong_type), |()| true)
}

fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Who serves controllers during a run.
#[derive(Debug)]
pub(crate) struct Clerk {
    pub(crate) post: Post,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) clock: Clock,
    pub(crate) header: RunHeader,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) ended: watch::Receiver<Option<RunFooter>>,
    pub(crate) orphaned_after: Duration,
}

/// Why a conversation ended.
enum Over {
    /// The controller went away.
    Gone,
    /// Another one came; it takes over.
    Replaced(UnixStream),
    /// The end of the run has been told.
    Told,
}

impl Clerk {
    /// Serves until the end of the run has been told, or nobody came to hear it.
    pub(crate) async fn serve(mut self) {
        let mut asked_to_arm = false;
        let mut next = None;
        let mut alone_since = Instant::now();
        loop {
            let stream = match next.take() {
                Some(stream) => stream,
                None => match self.wait(alone_since).await {
                    Some(stream) => stream,
                    None => return,
                },
            };
            match self.converse(stream, &mut asked_to_arm).await {
                Over::Told => return,
                Over::Replaced(stream) => next = Some(stream),
                Over::Gone => alone_since = Instant::now(),
            }
        }
    }

    /// Waits for a controller; `None` when nobody came and the run is over.
    async fn wait(&mut self, alone_since: Instant) -> Option<UnixStream> {
        let limit = alone_since + self.orphaned_after;
        loop {
            tokio::select! {
                accepted = self.post.listener.accept() => match accepted {
                    Ok((stream, _)) => return Some(stream),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a controller");
                        // Out of descriptors, most likely: others must close some first.
                        tokio::time::sleep(WINDOW_EVERY).await;
                    }
                },
                () = tokio::time::sleep_until(limit) => break,
            }
        }
        tracing::warn!("without a controller for too long: the run stops");
        self.stop.send_replace(true);
        tokio::select! {
            accepted = self.post.listener.accept() => accepted.ok().map(|(stream, _)| stream),
            _ = self.ended.wait_for(Option::is_some) => None,
        }
    }

    async fn converse(&mut self, stream: UnixStream, asked_to_arm: &mut bool) -> Over {
        let (reader, mut writer) = stream.into_split();
        let mut orders = BufReader::new(reader).lines();
        let over = self.talk(&mut orders, &mut writer, asked_to_arm).await;
        if !matches!(over, Over::Told) {
            // What it said before it went holds, also when a failed write showed its end first.
            while let Ok(Some(order)) = timeout(LAST_WORDS, next_order(&mut orders)).await {
                self.obey(order, asked_to_arm);
            }
        }
        over
    }

    fn obey(&self, order: ToProbe, asked_to_arm: &mut bool) {
        match order {
            ToProbe::Stop => {
                self.stop.send_replace(true);
            }
            ToProbe::Arm => {
                *asked_to_arm = true;
                self.ledger.arm(true);
            }
        }
    }

    async fn talk(
        &mut self,
        orders: &mut Orders,
        writer: &mut OwnedWriteHalf,
        asked_to_arm: &mut bool,
    ) -> Over {
        if say(writer, &FromProbe::Hello(self.header.clone())).await.is_err() {
            return Over::Gone;
        }
        let mut tick = interval(WINDOW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told_armed = false;
        self.ledger.arm(*asked_to_arm);
        loop {
            let footer = self.ended.borrow_and_update().clone();
            if let Some(footer) = footer {
                return self.tell_end(writer, footer).await;
            }
            tokio::select! {
                order = next_order(orders) => match order {
                    Some(order) => {
                        self.obey(order, asked_to_arm);
                        told_armed &= order != ToProbe::Arm;
                    }
                    None => return Over::Gone,
                },
                Ok((stream, _)) = self.post.listener.accept() => return Over::Replaced(stream),
                changed = self.ended.changed() => if changed.is_err() { return Over::Told },
                _ = tick.tick() => if self.tell_window(writer).await.is_err() {
                    return Over::Gone;
                },
            }
            if *asked_to_arm && !told_armed && self.ledger.armed() {
                told_armed = true;
                self.ledger.arm(false);
                if say(writer, &FromProbe::Armed).await.is_err() {
                    return Over::Gone;
                }
            }
        }
    }

    async fn tell_window(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let window = self.ledger.control.take(self.clock.us());
        let told = say(writer, &FromProbe::Window(window.clone())).await;
        if told.is_err() {
            self.ledger.control.put_back(window);
        }
        told
    }

    async fn tell_end(&self, writer: &mut OwnedWriteHalf, footer: RunFooter) -> Over {
        let told = match self.tell_window(writer).await {
            Ok(()) => say(writer, &FromProbe::Ended(footer)).await,
            Err(error) => Err(error),
        };
        if told.is_ok() { Over::Told } else { Over::Gone }
    }
}

/// The next order; `None` when the controller is gone or speaks nonsense.
async fn next_order(lines: &mut Orders) -> Option<ToProbe> {
    let line = lines.next_line().await.ok()??;
    let order = serde_json::from_str(&line);
    if let Err(error) = &order {
        tracing::warn!(%error, "a controller said nonsense and is left");
    }
    order.ok()
}

async fn say(writer: &mut OwnedWriteHalf, message: &FromProbe) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    timeout(PATIENCE, writer.write_all(&line)).await?
}
