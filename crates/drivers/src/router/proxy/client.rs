//! One question at a time over one connection, opened anew when it is broken.
//!
//! What changes something is never sent twice: whether a broken request had its effect is for the
//! next look to see. What only asks is asked again when a kept connection turns out to be closed.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Fault;
use model::admin::{Reply, Request};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::wire::{idle, receive, send};
use crate::words::clean;

/// Longest a question may take, from connecting to the whole answer.
const LIMIT: Duration = Duration::from_secs(2);

/// A client of the admin socket.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    connection: Mutex<Option<UnixStream>>,
}

impl Client {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), connection: Mutex::new(None) }
    }

    /// Where it is.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks and waits for the answer; a refusal of the proxy is its own fault, passed on.
    pub(super) async fn ask(
        &self,
        request: &Request,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(Reply, Vec<OwnedFd>), Fault> {
        let mut line = serde_json::to_vec(request)
            .map_err(|error| Fault::internal(format!("an admin request: {error}")))?;
        line.push(b'\n');
        let only_asks = matches!(
            request,
            Request::Look
                | Request::Survey { .. }
                | Request::Receipts(_)
                | Request::Offenders { .. }
                | Request::Listeners
                | Request::TicketKeys
        );
        let mut connection = self.connection.lock().await;
        // Taken out: whatever breaks from here on, also a caller who gives up, drops it.
        let kept = connection.take().filter(idle);
        let exchange = async {
            if let Some(stream) = kept {
                match exchange(stream, &line, descriptor).await {
                    // It may have been closed in the instant after we looked.
                    Err(_closed) if only_asks => {}
                    answered => return answered.map_err(|e| self.broken(&e)),
                }
            }
            let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.absent(&e))?;
            exchange(stream, &line, descriptor).await.map_err(|e| self.broken(&e))
        };
        let late = || self.fault(&format!("did not answer within {} s", LIMIT.as_secs()));
        let (stream, line, descriptors) =
            timeout(LIMIT, exchange).await.unwrap_or_else(|_late| Err(late()))?;
        let reply: Reply = serde_json::from_slice(&line).map_err(|error| {
            let start = clean(&line[..line.len().min(80)], 80);
            self.fault(&format!("answered what is no answer ({error}): `{start}`"))
        })?;
        *connection = Some(stream);
        match reply {
            Reply::Refused(fault) => Err(fault),
            reply => Ok((reply, descriptors)),
        }
    }

    /// An answer that does not belong to the question.
    pub(super) fn odd(&self, request: &Request, reply: &Reply) -> Fault {
        let shown = clean(format!("{reply:?}").as_bytes(), 80);
        // The question's name alone: it may hold a key.
        let asked = format!("{request:?}");
        let asked = asked.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        self.fault(&format!("answered `{shown}` to {asked}"))
    }

    fn broken(&self, error: &io::Error) -> Fault {
        self.fault(&format!("broke off: {error}"))
    }

    fn fault(&self, what: &str) -> Fault {
        Fault::internal(format!("the proxy at `{}` {what}", self.socket.display()))
    }

    fn absent(&self, error: &io::Error) -> Fault {
        let what = format!("the proxy at `{}` cannot be reached: {error}", self.socket.display());
        Fault::environment(what).help("is it running? `cutover up` starts it")
    }
}

async fn exchange(
    stream: UnixStream,
    line: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<(UnixStream, Vec<u8>, Vec<OwnedFd>)> {
    send(&stream, line, descriptor).await?;
    let (answer, descriptors) = receive(&stream).await?;
    Ok((stream, answer, descriptors))
}
