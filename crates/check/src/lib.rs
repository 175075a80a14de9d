//! Asking one instance one question: the only health check there is.
//!
//! The platform's gate, the controller's preview, doctor and, while nobody else does, the proxy all ask
//! through here, so that they mean the same by "it answers": over HTTP (`ask`) or by connecting (`connect`);
//! checks by a program are the drivers'. One request on one new connection, never repeated; how often to ask
//! is the caller's affair, and [`Row`] counts what comes of it. Who must know what becomes of a connection
//! asks on one that is [`Kept`].

mod body;
#[cfg(test)]
mod fuzz;
mod kept;
mod row;
pub mod words;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::words::{clean, span};
use body::{Body, Framing};
pub use kept::Kept;
pub use row::{Row, passes};

/// Longest head of an answer that is read, bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Most of a header field's value that is kept, characters.
const VALUE_MAX: usize = 200;
/// Most header fields that are read.
const HEADERS_MAX: usize = 100;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What the app says it is (`x-app-version`), made fit for a terminal.
    pub version: Option<String>,
    /// Where a redirect points to, made fit for a terminal.
    pub location: Option<String>,
    /// The first 80 bytes of the body, made fit for a terminal.
    pub body_head: String,
    /// Length of the body.
    pub body_bytes: u64,
    /// All header fields in their order, with lower-case names and values made fit for a terminal.
    pub fields: Vec<(String, String)>,
    /// From the start of connecting to the last byte.
    pub latency: Duration,
}

impl Answer {
    /// The first value of a header field; `name` in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// What a prober would call it.
    pub class: Class,
    /// In words for people.
    pub words: String,
    /// From the start of connecting to giving up.
    pub latency: Duration,
}

/// Opens a connection and closes it again; says how long that took.
pub async fn connect(address: SocketAddr, limit: Duration) -> Result<Duration, NoAnswer> {
    let begun = Instant::now();
    let opened = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_stream)) => return Ok(begun.elapsed()),
        Ok(Err(error)) => refused(&error),
        Err(_late) => (Class::Timeout, format!("no connection within {}", span(limit))),
    };
    Err(NoAnswer { class: opened.0, words: opened.1, latency: begun.elapsed() })
}

/// Asks `GET path` and takes the whole answer, all within `limit`.
pub async fn ask(
    address: SocketAddr,
    host: &str,
    path: &str,
    limit: Duration,
) -> Result<Answer, NoAnswer> {
    let begun = Instant::now();
    let mut reached = Reached::Nothing;
    let ended = match timeout(limit, exchange(address, (host, path), &mut reached)).await {
        Ok(ended) => ended,
        Err(_late) => Err((Class::Timeout, reached.late(limit))),
    };
    let latency = begun.elapsed();
    match ended {
        Ok(answer) => Ok(Answer { latency, ..answer }),
        Err((class, words)) => Err(NoAnswer { class, words, latency }),
    }
}

/// How far an exchange came.
#[derive(Clone, Copy)]
enum Reached {
    Nothing,
    Connected,
    FirstByte,
}

impl Reached {
    fn late(self, limit: Duration) -> String {
        let limit = span(limit);
        match self {
            Self::Nothing => format!("no connection within {limit}"),
            Self::Connected => format!("connected, but no answer within {limit}"),
            Self::FirstByte => format!("the answer began but was not whole within {limit}"),
        }
    }

    fn broken(self, error: &io::Error) -> Failure {
        match self {
            Self::FirstByte => (Class::Truncated, format!("the answer broke off: {error}")),
            _ => {
                (Class::ResetBeforeBytes, format!("the connection broke before an answer: {error}"))
            }
        }
    }
}

type Failure = (Class, String);

fn refused(error: &io::Error) -> Failure {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => format!("no connection: {error}"),
    };
    (Class::Refused, words)
}

async fn exchange(
    address: SocketAddr,
    (host, path): (&str, &str),
    reached: &mut Reached,
) -> Result<Answer, Failure> {
    let request = request(host, path, "Connection: close\r\n")?;
    let mut stream = TcpStream::connect(address).await.map_err(|e| refused(&e))?;
    *reached = Reached::Connected;
    stream.write_all(request.as_bytes()).await.map_err(|e| reached.broken(&e))?;
    Ok(take_answer(&mut stream, reached).await?.0)
}

/// Takes the whole answer to a request that was written; true when another may follow.
async fn take_answer(
    stream: &mut TcpStream,
    reached: &mut Reached,
) -> Result<(Answer, bool), Failure> {
    let mut buffer = Vec::with_capacity(2048);
    let head = loop {
        if let Some(head) = parse_head(&buffer)? {
            if !(100..200).contains(&head.answer.status) {
                break head;
            }
            buffer.drain(..head.used);
            continue;
        }
        let n = stream.read_buf(&mut buffer).await.map_err(|e| reached.broken(&e))?;
        if n == 0 {
            return Err(closed_early(*reached));
        }
        *reached = Reached::FirstByte;
    };
    let body = read_body(stream, &head.framing, buffer.split_off(head.used)).await?;
    let mut answer = head.answer;
    answer.body_head = clean(&body.head, 80);
    answer.body_bytes = body.bytes;
    Ok((answer, head.kept && head.framing != Framing::UntilClose))
}

fn request(host: &str, path: &str, more: &str) -> Result<String, Failure> {
    let odd = |b: u8| b <= b' ' || b == 0x7f;
    if !path.starts_with('/') || path.bytes().any(odd) || host.bytes().any(odd) {
        let words = format!("`{}` cannot be asked for", path.escape_debug());
        return Err((Class::WrongContent, words));
    }
    Ok(format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: cutover-check\r\nAccept: */*\r\n\
         {more}\r\n"
    ))
}

fn closed_early(reached: Reached) -> Failure {
    match reached {
        Reached::FirstByte => {
            (Class::Truncated, "closed in the middle of the answer's head".into())
        }
        _ => (Class::LostInFlight, "closed without an answer".into()),
    }
}

async fn read_body(
    stream: &mut TcpStream,
    framing: &Framing,
    mut buffer: Vec<u8>,
) -> Result<Body, Failure> {
    let mut body = Body::new(framing);
    loop {
        body.feed(&buffer).map_err(|words| (Class::WrongContent, words))?;
        if body.whole() {
            return Ok(body);
        }
        buffer.clear();
        let read = stream.read_buf(&mut buffer).await;
        if read.map_err(|e| Reached::FirstByte.broken(&e))? == 0 {
            return body.closed().map(|()| body).map_err(|words| (Class::Truncated, words));
        }
    }
}

/// What the head of an answer says.
struct Head {
    answer: Answer,
    /// What frames the body.
    framing: Framing,
    /// Nothing in it says that the connection ends.
    kept: bool,
    /// Where the body begins.
    used: usize,
}

/// The head; `None` when more must be read.
fn parse_head(buffer: &[u8]) -> Result<Option<Head>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(buffer) {
        Ok(httparse::Status::Complete(used)) => {
            let status = head.code.unwrap_or_default();
            let answer = Answer {
                status,
                version: field(&head, "x-app-version"),
                location: field(&head, "location"),
                body_head: String::new(),
                body_bytes: 0,
                fields: all_fields(&head),
                latency: Duration::ZERO,
            };
            let (framing, kept) = (framing(&head, status)?, keeps(&head));
            Ok(Some(Head { answer, framing, kept, used }))
        }
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_MAX => Ok(None),
        Ok(httparse::Status::Partial) => {
            Err((Class::WrongContent, "the answer's head is too long".into()))
        }
        Err(error) => {
            let start = clean(&buffer[..buffer.len().min(80)], 80);
            Err((Class::WrongContent, format!("not an HTTP answer ({error}): `{start}`")))
        }
    }
}

fn fields<'a>(head: &'a httparse::Response<'_, '_>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    head.headers.iter().filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
}

/// True when nothing in the head says that the connection ends.
fn keeps(head: &httparse::Response<'_, '_>) -> bool {
    let closing = |value: &[u8]| value.to_ascii_lowercase().windows(5).any(|word| word == b"close");
    head.version == Some(1) && !fields(head, "connection").any(closing)
}

fn field(head: &httparse::Response<'_, '_>, name: &str) -> Option<String> {
    let first = fields(head, name).next()?;
    Some(clean(first, VALUE_MAX))
}

fn all_fields(head: &httparse::Response<'_, '_>) -> Vec<(String, String)> {
    let one = |field: &httparse::Header<'_>| {
        (field.name.to_ascii_lowercase(), clean(field.value, VALUE_MAX))
    };
    head.headers.iter().map(one).collect()
}

fn framing(head: &httparse::Response<'_, '_>, status: u16) -> Result<Framing, Failure> {
    if status < 200 || status == 204 || status == 304 {
        return Ok(Framing::Length(0));
    }
    if let Some(coding) = fields(head, "transfer-encoding").last() {
        let last = coding.rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii();
        let chunked = last.eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Framing::Chunked } else { Framing::UntilClose });
    }
    let mut length = None;
    for value in fields(head, "content-length") {
        let digits = value.trim_ascii();
        let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().filter(|_| plain);
        let parsed = number.and_then(|text| text.parse::<u64>().ok());
        if parsed.is_none() || length.is_some_and(|known| Some(known) != parsed) {
            return Err((Class::WrongContent, "the answer's content-length makes no sense".into()));
        }
        length = parsed;
    }
    Ok(length.map_or(Framing::UntilClose, Framing::Length))
}
