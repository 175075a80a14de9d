//! A way to a server on which a question can be stopped, and go on later, or gets nonsense for an answer.
//!
//! It understands nothing of what is said.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Which questions stop, and how many stand there.
#[derive(Default)]
struct Gate {
    words: Option<&'static str>,
    standing: usize,
    nonsense: Option<Vec<u8>>,
}

type Shared = Arc<(Mutex<Gate>, Condvar)>;

pub(crate) struct Stall {
    pub(crate) address: SocketAddr,
    gate: Shared,
}

impl Stall {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Shared::default();
        let shared = Arc::clone(&gate);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let gate = Arc::clone(&shared);
                std::thread::spawn(move || carry(stream, server, &gate));
            }
        });
        Self { address, gate }
    }

    /// Stops questions with these words in them.
    pub(crate) fn stop(&self, words: &'static str) {
        self.gate.0.lock().unwrap().words = Some(words);
    }

    /// True while one stands there, or is on its way from there.
    pub(crate) fn holds(&self) -> bool {
        self.gate.0.lock().unwrap().standing > 0
    }

    /// Answers everything with these bytes, until told otherwise.
    pub(crate) fn say(&self, nonsense: Option<&[u8]>) {
        self.gate.0.lock().unwrap().nonsense = nonsense.map(<[u8]>::to_vec);
    }

    /// Lets all go on.
    pub(crate) fn go(&self) {
        self.gate.0.lock().unwrap().words = None;
        self.gate.1.notify_all();
    }
}

/// One question and its answer; `None` when somebody hangs up.
fn carry(mut client: TcpStream, server: SocketAddr, gate: &Shared) -> Option<()> {
    let mut question = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&question) {
        let n = client.read(&mut piece).ok().filter(|n| *n > 0)?;
        question.extend_from_slice(&piece[..n]);
    }
    let text = String::from_utf8_lossy(&question).into_owned();
    if let Some(says) = gate.0.lock().unwrap().nonsense.clone() {
        return client.write_all(&says).ok();
    }
    let stops = gate.0.lock().unwrap().words.is_some_and(|words| text.contains(words));
    if stops {
        let mut state = gate.0.lock().unwrap();
        state.standing += 1;
        drop(gate.1.wait_while(state, |state| state.words.is_some()).unwrap());
    }
    let answer = ask(server, &question);
    if stops {
        gate.0.lock().unwrap().standing -= 1;
    }
    client.write_all(&answer?).ok()?;
    client.shutdown(Shutdown::Write).ok()
}

fn ask(server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let mut onward = TcpStream::connect(server).ok()?;
    onward.write_all(question).ok()?;
    let mut answer = Vec::new();
    onward.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// Head and as much of a body as it says.
fn is_whole(question: &[u8]) -> bool {
    let text = String::from_utf8_lossy(question);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
