//! WebSockets that echo every message, and drop the socket at every eighth, without a word.
//!
//! A thread of its own. How many it has dropped is all that is asked of it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_tungstenite::tungstenite::{Message, accept};

use crate::Outcome;

/// Of so many messages the last one is not echoed.
const EVERY: u64 = 8;

/// A running server. Its threads end with the sockets of the prober; the last one, which accepts, ends
/// with the process.
#[derive(Debug)]
pub(crate) struct Echoes {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    messages: Arc<AtomicU64>,
}

impl Echoes {
    /// Starts one.
    pub(crate) fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let messages = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&messages);
        std::thread::Builder::new().name("echoes".to_owned()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || echo(stream, &counted));
            }
        })?;
        Ok(Self { address, messages })
    }

    /// Messages that came, and those of them that were not echoed.
    pub(crate) fn count(&self) -> (u64, u64) {
        let messages = self.messages.load(Ordering::SeqCst);
        (messages, messages / EVERY)
    }
}

fn echo(stream: TcpStream, messages: &AtomicU64) {
    let nodelay = stream.set_nodelay(true);
    let (Ok(()), Ok(mut socket)) = (nodelay, accept(stream)) else { return };
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        let number = messages.fetch_add(1, Ordering::SeqCst) + 1;
        if number.is_multiple_of(EVERY) || socket.send(Message::Text(text)).is_err() {
            return;
        }
    }
}
