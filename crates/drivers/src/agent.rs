//! One question to the HTTP API of a Consul agent, on a connection of its own.
//!
//! HTTP/1.0, so that the end of the connection is the end of the answer, in plain text or over TLS. It
//! knows no services and no locks, asks nothing twice, and never shows the token.

mod purpose;
mod secure;
mod token;

#[cfg(test)]
mod fuzz;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::{Fault, Kind, Secure};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::words::clean;
pub(crate) use purpose::Purpose;
pub use token::Token;

/// Longest a question may take that waits for nothing.
const LIMIT: Duration = Duration::from_secs(3);
/// Longest answer that is taken, bytes.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;
/// Most header fields of an answer.
const HEADERS_MAX: usize = 100;

/// The API of an agent.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    pub(crate) secure: Option<Secure>,
    pub(crate) token: Option<Token>,
    pub(crate) purpose: Purpose,
}

/// How long a question may take.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    limit: Duration,
    /// After this nothing is sent.
    sent: Option<Instant>,
}

impl Bounds {
    const fn of(limit: Duration) -> Self {
        Self { limit, sent: None }
    }
}

/// A right to ask [`Agent::denied`] about.
pub(crate) fn right(resource: &str, access: &str, segment: &str) -> Value {
    json!({ "Resource": resource, "Access": access, "Segment": segment })
}

/// What it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// Where a blocking query goes on.
    pub(crate) index: u64,
    /// It says that the token may not see all of it; older ones (before 1.11) leave it out in silence.
    pub(crate) partial: bool,
    pub(crate) body: String,
}

impl Said {
    /// The body as JSON.
    pub(crate) fn json(&self, agent: &Agent) -> Result<Value, Fault> {
        serde_json::from_str(&self.body).map_err(|_| agent.odd(&self.body))
    }
}

impl Agent {
    /// Reads something.
    pub(crate) async fn get(&self, path: &str) -> Result<Said, Fault> {
        self.ask(("GET", path), None, Bounds::of(LIMIT)).await
    }

    /// Reads something when it has changed; `within` is part of the path, too.
    pub(crate) async fn watch(&self, path: &str, within: Duration) -> Result<Said, Fault> {
        self.ask(("GET", path), None, Bounds::of(within + LIMIT)).await
    }

    /// Changes something; anything but 200 is a fault.
    pub(crate) async fn put(&self, path: &str, body: Option<&Value>) -> Result<Said, Fault> {
        self.put_within(path, body, Bounds::of(LIMIT)).await
    }

    /// [`Self::put`], but nothing is sent after `until`.
    pub(crate) async fn put_until(
        &self,
        path: &str,
        body: Option<&Value>,
        until: Instant,
    ) -> Result<Said, Fault> {
        self.put_within(path, body, Bounds { sent: Some(until), ..Bounds::of(LIMIT) }).await
    }

    async fn put_within(
        &self,
        path: &str,
        body: Option<&Value>,
        bounds: Bounds,
    ) -> Result<Said, Fault> {
        let said = self.ask(("PUT", path), body, bounds).await?;
        if said.status == 200 { Ok(said) } else { Err(self.refused("PUT", path, &said)) }
    }

    /// Does all of these steps on keys or none of them; false when one of them does not hold.
    pub(crate) async fn transact(&self, steps: &Value) -> Result<bool, Fault> {
        let said = self.ask(("PUT", "/v1/txn"), Some(steps), Bounds::of(LIMIT)).await?;
        match said.status {
            200 => Ok(true),
            409 if !said.body.contains("Permission denied") => Ok(false),
            _ => Err(self.refused("PUT", "/v1/txn", &said)),
        }
    }

    /// Asks something that needs a body; whatever it answers is the caller's.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Said, Fault> {
        self.ask(("POST", path), Some(body), Bounds::of(LIMIT)).await
    }

    /// The first of these rights that the token has not, in words.
    pub(crate) async fn denied(&self, rights: &[Value]) -> Result<Option<String>, Fault> {
        let said = self.post("/v1/internal/acl/authorize", &Value::from(rights)).await?;
        // 401: there are no rights to have. 404: this version cannot be asked; it will say so itself.
        let answer = if said.status == 200 { said.json(self)? } else { Value::Null };
        let mut pairs = rights.iter().zip(answer.as_array().into_iter().flatten());
        let denied = pairs.find(|(_, answer)| answer["Allow"] != true);
        let word = |right: &Value, key| right[key].as_str().unwrap_or_default().to_owned();
        Ok(denied.map(|(right, _)| {
            let [access, resource, segment] =
                ["Access", "Resource", "Segment"].map(|key| word(right, key));
            format!("{access} the {resource} `{segment}` (`{resource}:{access}`)")
        }))
    }

    async fn ask(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
        bounds: Bounds,
    ) -> Result<Said, Fault> {
        let Bounds { limit, sent } = bounds;
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = self.token.as_ref().map_or(String::new(), Token::line);
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{token}\r\n{body}",
            self.address,
            body.len()
        );
        let bytes = match timeout(limit, self.exchange(request.as_bytes(), sent)).await {
            Ok(answer) => answer?,
            Err(_late) => return Err(self.away(&format!("no answer within {} s", limit.as_secs()))),
        };
        if bytes.is_empty() {
            return Err(self.away("it ended the connection without an answer"));
        }
        let said = read(&bytes).ok_or_else(|| self.odd(&String::from_utf8_lossy(&bytes)))?;
        match said.status {
            400 if said.body.contains("HTTP request to an HTTPS server") => Err(self.speaks_tls()),
            403 => Err(self.refused(method, path, &said)),
            // Too many ask at once; no leader; or it is just starting.
            429 | 500.. if !said.body.starts_with('[') => {
                Err(self.away(&clean(said.body.as_bytes(), 120)))
            }
            _ => Ok(said),
        }
    }

    async fn exchange(&self, request: &[u8], sent: Option<Instant>) -> Result<Vec<u8>, Fault> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| self.lost(&error))?;
        let late = || sent.is_some_and(|until| Instant::now() >= until);
        let answer = match &self.secure {
            None if late() => return Err(self.too_late()),
            None => converse(stream, request).await,
            Some(secure) => match secure::shake(stream, self.address.ip(), secure).await? {
                Ok(_) if late() => return Err(self.too_late()),
                Ok(stream) => converse(stream, request).await,
                Err(error) => Err(error),
            },
        };
        answer.map_err(|error| self.lost(&error))
    }

    /// The right to change something may have ended while nothing was done, such as in a process that was
    /// stopped.
    fn too_late(&self) -> Fault {
        let what =
            format!("nothing was changed at Consul {self}: our lock may have ended meanwhile");
        Fault::new(Kind::Conflict, what).help("look and plan again")
    }

    /// Why a connection failed.
    fn lost(&self, error: &io::Error) -> Fault {
        let keys = |key: &str| self.purpose.place(key);
        let why = self.secure.as_ref().and_then(|of| secure::reason(error, of, keys));
        match why {
            Some((what, help)) => {
                Fault::new(Kind::Config, format!("Consul at {self} {what}")).help(help)
            }
            None => self.away(&error.to_string()),
        }
    }

    fn away(&self, why: &str) -> Fault {
        Fault::environment(format!("Consul at {self} cannot be asked: {why}")).help(format!(
            "is its agent running, and is this the address of its HTTP API ({})?",
            self.purpose.place("agent")
        ))
    }

    fn speaks_tls(&self) -> Fault {
        let what = format!("Consul at {self} speaks TLS there, and was asked in plain text");
        let help = format!("write \"https://{}\" as {}", self.address, self.purpose.place("agent"));
        Fault::new(Kind::Config, what).help(help)
    }

    /// An answer that is none.
    pub(crate) fn odd(&self, answer: &str) -> Fault {
        let shown = clean(answer.as_bytes(), 80);
        let what = format!("what answers on {self} is no Consul: `{shown}`");
        Fault::new(Kind::Config, what)
            .help(format!("write the address of its HTTP API as {}", self.purpose.place("agent")))
    }

    /// It understood, and will not.
    fn refused(&self, method: &str, path: &str, said: &Said) -> Fault {
        let path = path.split('?').next().unwrap_or_default();
        let why = clean(said.body.as_bytes(), 120);
        let what = if said.status == 403 && why.contains("ACL not found") {
            format!("Consul at {self} does not know the token (any more): {why}")
        } else {
            format!("Consul at {self} refuses `{method} {path}`: {why}")
        };
        let fault = Fault::new(Kind::Config, what);
        if said.status == 403 { fault.help(self.purpose.rights()) } else { fault }
    }
}

impl fmt::Display for Agent {
    /// Where it is, as it is written in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure.is_some() { "https://" } else { "" };
        write!(f, "{scheme}{}", self.address)
    }
}

/// Sends a question, and reads until the other side ends the connection.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> io::Result<Vec<u8>> {
    let sent = async {
        stream.write_all(request).await?;
        stream.flush().await
    };
    let sent = sent.await;
    let mut answer = Vec::new();
    // Who breaks off before it has read all may have said why.
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    if answer.is_empty() { sent.map(|()| answer) } else { Ok(answer) }
}

/// A whole answer; `None` when it is none.
fn read(bytes: &[u8]) -> Option<Said> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = head.parse(bytes).ok()? else { return None };
    let text = |name: &str| {
        let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let field = |name: &str| text(name)?.parse::<u64>().ok();
    let body = bytes.get(used..)?;
    // What is shorter than it said was cut off on its way.
    if field("content-length").is_some_and(|length| length != body.len() as u64) {
        return None;
    }
    let body = String::from_utf8(body.to_vec()).ok()?;
    let index = field("x-consul-index").unwrap_or_default();
    let partial = text("x-consul-results-filtered-by-acls") == Some("true");
    Some(Said { status: head.code?, index, partial, body })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use model::Kind;

    use super::{Agent, Purpose, read};

    /// A Consul that is killed while it is asked.
    #[tokio::test]
    async fn no_answer_at_all_is_not_that_of_somebody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let agent = Agent { address, secure: None, token: None, purpose: Purpose::Register };
        let ends = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
        });
        let fault = agent.get("/v1/it").await.unwrap_err();
        ends.await.unwrap();
        assert_eq!(fault.kind, Kind::Environment, "{fault:?}");
        assert!(fault.what.contains("cannot be asked: it ended the connection"), "{fault:?}");
    }

    /// What may not be done any more is not sent, although the connection is there.
    #[tokio::test]
    async fn nothing_is_sent_after_its_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let agent = Agent { address, secure: None, token: None, purpose: Purpose::Register };
        for (until, sends) in
            [(Instant::now(), false), (Instant::now() + Duration::from_mins(1), true)]
        {
            let asked = tokio::spawn({
                let agent = agent.clone();
                async move { agent.put_until("/v1/it", None, until).await }
            });
            let accept = listener.try_clone().unwrap();
            let came = tokio::task::spawn_blocking(move || {
                let (mut stream, _) = accept.accept().unwrap();
                let mut first = [0; 4];
                stream.read(&mut first).unwrap()
            });
            assert_eq!(came.await.unwrap() > 0, sends);
            let fault = asked.await.unwrap().unwrap_err();
            assert_eq!(fault.kind == Kind::Conflict, !sends, "{fault:?}");
        }
    }

    #[test]
    fn a_cut_answer_is_none() {
        let whole = b"HTTP/1.0 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 4\r\n\r\ntrue";
        let said = read(whole).unwrap();
        assert_eq!((said.status, said.index, said.body.as_str()), (200, 7, "true"));
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_none(), "{cut}");
        }
        assert!(read(b"garbage\r\n\r\n").is_none());
    }
}
