//! One version of a small app: answers with its name, until it leaves in the worst permitted way.
//!
//! Leaving, it takes no new connections, and on each that is kept it reads one more request and closes
//! without an answer: to the client that is a request which crossed the end of its connection on the way.
//! What takes long is in `long`, and is cut where it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use memchr::memmem;

use super::leaving::State;
use super::long;
use crate::Outcome;

/// What a browser opens.
pub(crate) const PAGE: &str = include_str!("../../clients/page.html");

/// A running instance; its threads end with their connections.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Instance {
    /// Starts one.
    pub(crate) fn start(version: &'static str, listener: TcpListener) -> Outcome<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let told = Arc::clone(&state);
        std::thread::Builder::new().name(version.to_owned()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if told.leaving() {
                    return;
                }
                let told = Arc::clone(&told);
                std::thread::spawn(move || converse(stream, version, &told));
            }
        })?;
        Ok(Self { address, state })
    }

    /// From now on each answer says that its connection ends with it.
    pub(crate) fn announce(&self) {
        self.state.announce();
    }

    /// Leaves.
    pub(crate) fn leave(&self) {
        self.state.leave();
        // Wakes the one that accepts, which then closes the door.
        let _ = TcpStream::connect(self.address);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.leave();
    }
}

/// `None` when the connection has ended.
fn converse(mut stream: TcpStream, version: &str, state: &State) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut received = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = memmem::find(&received, b"\r\n\r\n") {
                break received.drain(..end + 4).collect::<Vec<u8>>();
            }
            more(&mut stream, &mut received)?;
        };
        let said = String::from_utf8_lossy(&head);
        let head = said.to_ascii_lowercase();
        let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
        if state.leaving() {
            return None;
        }
        if head.starts_with("get /ws") {
            return long::socket((stream, received), &said, (version, state));
        }
        if head.starts_with("get /events") {
            return long::events(&mut stream, (version, state));
        }
        if head.starts_with("get /slow") {
            let announced = long::download(&mut stream, (version, state))?;
            if announced || head.contains("connection: close") {
                return None;
            }
            continue;
        }
        let digest = if head.starts_with("post /slow") {
            Some(long::upload((&mut stream, &mut received), length, state)?)
        } else {
            while received.len() < length {
                more(&mut stream, &mut received)?;
            }
            received.drain(..length);
            None
        };
        if state.leaving() {
            return None;
        }
        let announced = state.announcing();
        let close = if announced { "Connection: close\r\n" } else { "" };
        let body = if head.starts_with("get /page") { PAGE } else { version };
        let body = digest.as_deref().unwrap_or(body);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-App-Version: {version}\r\n{close}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).ok()?;
        if announced || head.contains("connection: close") {
            return None;
        }
    }
}

fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4_096];
    let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
    received.extend_from_slice(piece.get(..read)?);
    Some(())
}
