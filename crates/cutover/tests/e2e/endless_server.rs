//! Servers for every lane that answer right once, so that the lane is run, and from then on never end, or never say the
//! same twice.
//!
//! "Never" is far more than anybody may keep: then they wait until the other side goes. No test is in here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_tungstenite::tungstenite::accept;

/// How much of what never ends is sent, bytes.
const ENDLESS: usize = 48 << 20;
/// Who takes nothing for so long is left.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    Endless,
    Names,
}

/// Whose turn a kind of endless answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Any request over HTTP/1.1.
    Request,
    Events,
    /// A message on a WebSocket.
    Message,
    /// A stream of HTTP/2.
    Stream,
}

/// Its name, for whom, how it begins, and what comes again and again.
struct Kind {
    name: &'static str,
    of: For,
    begin: &'static [u8],
    again: &'static [u8],
}

const fn kind(name: &'static str, of: For, begin: &'static [u8], again: &'static [u8]) -> Kind {
    Kind { name, of, begin, again }
}

const EVENTS: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNK_SIZE: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x";
const LAST_CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";

/// All of them.
const KINDS: [Kind; 18] = [
    kind("a field", For::Request, b"HTTP/1.1 200 OK\r\nx: ", &[b'y'; 4_096]),
    kind("fields", For::Request, b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    kind("a reason", For::Request, b"HTTP/1.1 200 ", &[b'k'; 512]),
    kind("interim answers", For::Request, b"", b"HTTP/1.1 102 Wait\r\n\r\n"),
    kind("a body", For::Request, b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4_096]),
    kind("a body of none", For::Request, b"HTTP/1.1 204 None\r\n\r\n", &[b'x'; 4_096]),
    kind(
        "more than said",
        For::Request,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 ",
    ),
    kind("chunks", For::Request, CHUNKED, b"3\r\nabc\r\n"),
    kind("a chunk's size", For::Request, CHUNK_SIZE, &[b'x'; 512]),
    kind("trailers", For::Request, LAST_CHUNK, b"a: b\r\n"),
    kind("a line", For::Events, EVENTS, &[b'd'; 4_096]),
    kind("events", For::Events, EVENTS, b"data: x\n\n"),
    // One frame of 2^62 bytes, and one message of ever more frames of 4,094 bytes.
    kind("a frame", For::Message, &[0x81, 127, 0x40, 0, 0, 0, 0, 0, 0, 0], &[b'w'; 4_096]),
    kind("a message", For::Message, &[0x01, 1, b'w'], &FRAGMENT),
    // Each wants an answer, which nobody reads.
    kind("pings", For::Message, b"", &PING),
    kind("messages", For::Message, b"", b"\x81\x05hello"),
    // The head of stream 1 in ever more frames of 1,024 bytes; and the same with pings.
    kind("a head", For::Stream, &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88], &CONTINUATION),
    kind(
        "pings of streams",
        For::Stream,
        b"",
        &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
    ),
];

const PING: [u8; 127] = {
    let mut frame = [b'p'; 127];
    (frame[0], frame[1]) = (0x89, 125);
    frame
};

const FRAGMENT: [u8; 4_098] = {
    let mut frame = [b'w'; 4_098];
    (frame[0], frame[1], frame[2], frame[3]) = (0, 126, 0x0F, 0xFE);
    frame
};

/// Fields that are not to be remembered: `0: 0`, literal and never indexed.
const CONTINUATION: [u8; 9 + 1_024] = {
    let mut frame = [0; 9 + 1_024];
    (frame[1], frame[3], frame[8]) = (4, 9, 1);
    let mut at = 9;
    while at + 4 <= frame.len() {
        frame[at] = 0x10;
        frame[at + 1] = 1;
        frame[at + 2] = b'0';
        frame[at + 3] = 0;
        at += 4;
    }
    frame
};

/// A running server; its threads end with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Answers that named somebody new.
    pub(crate) answers: Arc<AtomicU64>,
    book: Arc<Book>,
}

/// What was asked and served.
struct Book {
    lies: Lies,
    /// Requests by lane: of each the first is answered right.
    asked: [AtomicU64; 6],
    right: AtomicU64,
    /// How often each kind was sent.
    served: [AtomicU64; KINDS.len()],
    turn: AtomicU64,
    answers: Arc<AtomicU64>,
}

impl Server {
    pub(crate) fn start(lies: Lies) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(AtomicU64::new(0));
        let book = Arc::new(Book {
            lies,
            asked: Default::default(),
            right: AtomicU64::new(0),
            served: Default::default(),
            turn: AtomicU64::new(0),
            answers: Arc::clone(&answers),
        });
        let told = Arc::clone(&book);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let book = Arc::clone(&told);
                // Who goes in the midst of it has had enough.
                std::thread::spawn(move || drop(book.serve(stream)));
            }
        });
        Self { address, answers, book }
    }

    /// Right answers so far.
    pub(crate) fn right(&self) -> u64 {
        self.book.right.load(Ordering::SeqCst)
    }

    /// Kinds that were not sent so often yet.
    pub(crate) fn missing(&self, times: u64) -> Vec<&'static str> {
        let served = KINDS.iter().zip(&self.book.served);
        let rare = served.filter(|(_, served)| served.load(Ordering::SeqCst) < times);
        rare.map(|(kind, _)| kind.name).collect()
    }
}

type Outcome = std::io::Result<()>;

impl Book {
    fn serve(&self, mut stream: TcpStream) -> Outcome {
        stream.set_nodelay(true)?;
        let mut first = [0; 7];
        let seen = stream.peek(&mut first)?;
        match &first[..seen] {
            b"PRI * H" => self.streams(stream),
            b"GET /ws" => self.socket(stream),
            _ => {
                while let Some((target, body)) = request(&mut stream)? {
                    if self.lies == Lies::Names {
                        stream.write_all(
                            named(self.answers.fetch_add(1, Ordering::SeqCst)).as_bytes(),
                        )?;
                    } else {
                        self.answer(&mut stream, &target, &body)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// True for the first of a lane.
    fn is_first(&self, lane: usize) -> bool {
        let first = self.asked[lane].fetch_add(1, Ordering::SeqCst) == 0;
        self.right.fetch_add(u64::from(first), Ordering::SeqCst);
        first
    }

    fn answer(&self, stream: &mut TcpStream, target: &str, body: &[u8]) -> Outcome {
        let (lane, words) = match target.split('?').next().unwrap_or_default() {
            "/upload" => (0, hex(body)),
            "/download" => (1, "x".repeat(1_000)),
            "/events" => (2, String::new()),
            "/orders" => (3, "{\"orders\":0,\"doubled\":[]}".to_owned()),
            // Others are right at times, so that some connections stay.
            _ if self.turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) => {
                self.right.fetch_add(1, Ordering::SeqCst);
                return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            _ => return self.endless(stream, For::Request),
        };
        if !self.is_first(lane) {
            return self.endless(stream, if lane == 2 { For::Events } else { For::Request });
        }
        if lane == 2 {
            stream.write_all(EVENTS)?;
            return stream.write_all(b"id: 1\ndata: x\n\n");
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", words.len());
        stream.write_all((head + &words).as_bytes())
    }

    /// The kind that was sent least so far.
    fn endless(&self, stream: &mut TcpStream, of: For) -> Outcome {
        let served = |at: &usize| self.served[*at].load(Ordering::SeqCst);
        let fitting = (0..KINDS.len()).filter(|at| KINDS[*at].of == of);
        let at = fitting.min_by_key(served).unwrap();
        let Kind { begin, again, .. } = &KINDS[at];
        stream.write_all(begin)?;
        // Who waits for room to answer reads nothing any more.
        stream.set_write_timeout(Some(PATIENCE))?;
        let piece = again.repeat((64 << 10) / again.len() + 1);
        let mut sent = 0;
        self.served[at].fetch_add(1, Ordering::SeqCst);
        while sent < ENDLESS {
            stream.write_all(&piece)?;
            sent += piece.len();
        }
        // A socket or a connection of streams is left by nobody else.
        let stays = matches!(of, For::Request | For::Events);
        while stays && stream.read(&mut [0; 4_096])? > 0 {}
        Ok(())
    }

    /// A WebSocket: the first ones echo.
    fn socket(&self, stream: TcpStream) -> Outcome {
        let Ok(mut socket) = accept(stream) else { return Ok(()) };
        let echoes = self.asked[4].fetch_add(1, Ordering::SeqCst) < 1;
        while let Ok(message) = socket.read() {
            if !message.is_text() {
                continue;
            }
            if !echoes {
                return self.endless(socket.get_mut(), For::Message);
            }
            self.right.fetch_add(1, Ordering::SeqCst);
            if socket.send(message).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// HTTP/2, by hand: the first stream of the first connection is answered.
    fn streams(&self, mut stream: TcpStream) -> Outcome {
        stream.read_exact(&mut [0; 24])?;
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head)?;
            let [_, high, low, kind, flags, id @ ..] = head;
            let mut body = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            stream.read_exact(&mut body)?;
            match (kind, flags & 1) {
                (1, _) if self.is_first(5) => {
                    stream.write_all(&[&[0, 0, 1, 1, 4][..], &id, &[0x88]].concat())?;
                    stream.write_all(&[&[0, 0, 2, 0, 1][..], &id, b"ok"].concat())?;
                }
                (1, _) => return self.endless(&mut stream, For::Stream),
                (4, 0) => stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0])?,
                _ => {}
            }
        }
    }
}

/// Target and body of the next request; `None` at the end.
fn request(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.map_or(0, |digits| digits.parse().unwrap())];
    stream.read_exact(&mut body)?;
    Ok(Some((head.split(' ').nth(1).unwrap_or_default().to_owned(), body)))
}

/// An answer with names that nobody had before; every second one is a failure, with words of its own.
fn named(number: u64) -> String {
    let long = format!("{number:x<90}");
    let status = if number.is_multiple_of(2) { "200 OK" } else { "500 No" };
    let body = format!("{number} {}", "y".repeat(200));
    format!(
        "HTTP/1.1 {status}\r\nX-App-Version: v{long}\r\nX-App-Instance: i{long}\r\nSet-Cookie: c{long}={long}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
