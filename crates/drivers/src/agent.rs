//! One question to the HTTP API of a Consul agent, on a connection of its own.
//!
//! HTTP/1.0, so that the end of the connection is the end of the answer. It knows no services and no
//! locks, asks nothing twice, and never shows the token.

#[cfg(test)]
mod fuzz;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use model::{Fault, Kind, TokenPlace};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::words::clean;

/// Longest a question may take that waits for nothing.
const LIMIT: Duration = Duration::from_secs(3);
/// Longest answer that is taken, bytes.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;
/// Most header fields of an answer.
const HEADERS_MAX: usize = 100;

/// What an agent wants to be shown; it is never written anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes it as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Takes it from where it is. Nothing of it is shown.
    pub fn read(place: &TokenPlace) -> Result<Self, Fault> {
        let (text, shown) = match place {
            TokenPlace::Variable(name) => {
                (std::env::var(name).ok(), format!("the variable {name}"))
            }
            TokenPlace::File(path) => {
                (std::fs::read_to_string(path).ok(), path.display().to_string())
            }
        };
        let text = text.as_deref().map(str::trim).unwrap_or_default();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self::new(text));
        }
        let what =
            format!("{shown}, which should hold Consul's token, is not there, empty, or no token");
        Err(Fault::environment(what).help("set it where `cutover` is started, or remove `token`"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The API of an agent.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<Token>,
    pub(crate) purpose: Purpose,
}

/// What an agent is asked for; decides what is said of one that does not answer as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Instances are registered there for a router that follows it.
    Register,
    /// Instances that somebody else registered are read.
    Read,
}

impl Purpose {
    /// Where its address stands in the file.
    const fn place(self) -> &'static str {
        match self {
            Self::Register => "`agent` under [router]",
            Self::Read => "`agent` in `instances`",
        }
    }

    /// What a token must allow, as what to do.
    pub(crate) const fn rights(self) -> &'static str {
        match self {
            Self::Register => {
                "give the token a policy with `service_prefix \"\" { policy = \"write\" }` (or one \
                 `service` for each app), `key_prefix \"cutover/\" { policy = \"write\" }`, \
                 `session_prefix \"\" { policy = \"write\" }` and `node_prefix \"\" { policy = \
                 \"read\" }`, and name its variable: `token = { from = \"CONSUL_HTTP_TOKEN\" }`"
            }
            Self::Read => {
                "give the token a policy with `service_prefix \"\" { policy = \"read\" }` and \
                 `node_prefix \"\" { policy = \"read\" }`, and name its variable: `token = { from = \
                 \"CONSUL_HTTP_TOKEN\" }`"
            }
        }
    }
}

/// What it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// Where a blocking query goes on.
    pub(crate) index: u64,
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
        self.ask(("GET", path), None, LIMIT).await
    }

    /// Reads something when it has changed; `within` is part of the path, too.
    pub(crate) async fn watch(&self, path: &str, within: Duration) -> Result<Said, Fault> {
        self.ask(("GET", path), None, within + LIMIT).await
    }

    /// Changes something; anything but 200 is a fault.
    pub(crate) async fn put(&self, path: &str, body: Option<&Value>) -> Result<Said, Fault> {
        let said = self.ask(("PUT", path), body, LIMIT).await?;
        if said.status == 200 { Ok(said) } else { Err(self.refused("PUT", path, &said)) }
    }

    /// Asks something that needs a body; whatever it answers is the caller's.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Said, Fault> {
        self.ask(("POST", path), Some(body), LIMIT).await
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
            format!("{access} the {resource} `{segment}`")
        }))
    }

    async fn ask(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Said, Fault> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = self
            .token
            .as_ref()
            .map_or(String::new(), |token| format!("X-Consul-Token: {}\r\n", token.0));
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{token}\r\n{body}",
            self.address,
            body.len()
        );
        let bytes = match timeout(limit, self.exchange(request.as_bytes())).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(self.away(&error.to_string())),
            Err(_late) => return Err(self.away(&format!("no answer within {} s", limit.as_secs()))),
        };
        let said = read(&bytes).ok_or_else(|| self.odd(&String::from_utf8_lossy(&bytes)))?;
        match said.status {
            403 => Err(self.refused(method, path, &said)),
            // No leader, or it is just starting.
            500.. if !said.body.starts_with('[') => {
                Err(self.away(&clean(said.body.as_bytes(), 120)))
            }
            _ => Ok(said),
        }
    }

    async fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
    }

    fn away(&self, why: &str) -> Fault {
        Fault::environment(format!("Consul at {} cannot be asked: {why}", self.address)).help(
            format!(
                "is its agent running, and is this the address of its HTTP API ({})?",
                self.purpose.place()
            ),
        )
    }

    /// An answer that is none.
    pub(crate) fn odd(&self, answer: &str) -> Fault {
        let shown = clean(answer.as_bytes(), 80);
        let what = format!("what answers on {} is no Consul: `{shown}`", self.address);
        Fault::new(Kind::Config, what)
            .help(format!("write the address of its HTTP API as {}", self.purpose.place()))
    }

    /// It understood, and will not.
    fn refused(&self, method: &str, path: &str, said: &Said) -> Fault {
        let path = path.split('?').next().unwrap_or_default();
        let why = clean(said.body.as_bytes(), 120);
        let what = format!("Consul at {} refuses `{method} {path}`: {why}", self.address);
        let fault = Fault::new(Kind::Config, what);
        if said.status == 403 { fault.help(self.purpose.rights()) } else { fault }
    }
}

/// A whole answer; `None` when it is none.
fn read(bytes: &[u8]) -> Option<Said> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = head.parse(bytes).ok()? else { return None };
    let field = |name: &str| {
        let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()?.trim().parse::<u64>().ok()
    };
    let body = bytes.get(used..)?;
    // What is shorter than it said was cut off on its way.
    if field("content-length").is_some_and(|length| length != body.len() as u64) {
        return None;
    }
    let body = String::from_utf8(body.to_vec()).ok()?;
    Some(Said { status: head.code?, index: field("x-consul-index").unwrap_or_default(), body })
}

#[cfg(test)]
mod tests {
    use super::{Token, read};

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

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new("secret-of-ours")), "Token");
    }
}
