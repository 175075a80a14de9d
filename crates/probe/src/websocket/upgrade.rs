//! Opening one socket: a connection, the upgrade, and why it failed.
//!
//! What is said on it afterwards is in `socket`; whether another one is opened is decided in `slot`.

use std::rc::Rc;

use model::attempt::{Class, Connection};
use model::receipt::{self, Item};
use model::survey::PROBE_FIELD;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, http};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::echo::Numbering;
use crate::connect::{Failure, Speech, connect};
use crate::http::Said;
use crate::site::Site;
use crate::stream::Stream;
use crate::text;

/// Largest message taken from the peer, bytes.
const MESSAGE_MAX: usize = 64 * 1024;

/// Most that waits for a peer that does not read, bytes: it gets an answer to each of its pings.
const UNREAD_MAX: usize = 512 * 1024;

/// What the sockets of a run have in common.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) site: Rc<Site>,
    pub(super) path: String,
    pub(super) numbering: Numbering,
}

/// A socket that stands, and what the upgrade's answer said.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) stream: WebSocketStream<Stream>,
    pub(super) said: Said,
}

/// Why there is no socket.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// Status of an answer that was no upgrade, else 0.
    pub(super) status: u16,
}

impl Refusal {
    /// The reason, when the answer means that there is no such endpoint, rather than trouble that
    /// may pass; with `strict` trouble is one, too.
    pub(super) fn unserved(&self, strict: bool) -> Option<String> {
        match self.status {
            0 => strict.then(|| format!("tried once: {}", self.failure.detail)),
            429 | 500 | 502.. if !strict => None,
            _ => Some(format!("the upgrade was answered with {}", self.failure.detail)),
        }
    }
}

/// Opens a socket, within one timeout.
pub(super) async fn upgrade(
    endpoint: &Endpoint,
    record: &mut Connection,
) -> Result<Box<Open>, Refusal> {
    let limit = endpoint.site.timeout;
    tokio::time::timeout(limit, try_upgrade(endpoint, record)).await.unwrap_or_else(|_| {
        let detail = format!("no socket within {} ms", limit.as_millis());
        Err(Refusal { failure: Failure { class: Class::Timeout, detail }, status: 0 })
    })
}

async fn try_upgrade(endpoint: &Endpoint, record: &mut Connection) -> Result<Box<Open>, Refusal> {
    let refusal = |failure| Refusal { failure, status: 0 };
    let stream = connect(&endpoint.site, Speech::Http1, record).await.map_err(refusal)?;
    record.established_us = 0;
    let url = format!("ws://{}{}", endpoint.site.target.authority(), endpoint.path);
    let mut request = url.into_client_request().map_err(|error| refused(&error))?;
    let item = Some(Item::Socket(record.connection));
    let key = endpoint.site.target.key().map(|key| receipt::says(key, item));
    if let Some(key) = key.and_then(|key| http::HeaderValue::from_str(&key).ok()) {
        request.headers_mut().insert(PROBE_FIELD, key);
    }
    for (name, value) in endpoint.site.ask.fields() {
        let field =
            (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_str(value));
        // Neither can be odd: they were checked when they were given.
        if let (Ok(name), Ok(value)) = field {
            request.headers_mut().append(name, value);
        }
    }
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
        .max_write_buffer_size(UNREAD_MAX);
    let upgraded = client_async_with_config(request, stream, Some(limits)).await;
    let (stream, answer) = upgraded.map_err(|error| refused(&error))?;
    record.established_us = endpoint.site.clock.us().max(1);
    Ok(Box::new(Open { stream, said: said(&endpoint.site, &answer) }))
}

fn said(site: &Site, answer: &Response) -> Said {
    site.reading
        .head(answer.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

fn refused(error: &Error) -> Refusal {
    let (class, status) = match error {
        Error::Http(answer) => (Class::BadStatus, answer.status().as_u16()),
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            (Class::LostInFlight, 0)
        }
        Error::Io(_) => (Class::ResetBeforeBytes, 0),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => (Class::LostInFlight, 0),
        _ => (Class::WrongContent, 0),
    };
    let detail = match error {
        Error::Http(answer) => excerpt(answer),
        other => text::detail(other.to_string().as_bytes()),
    };
    Refusal { failure: Failure { class, detail }, status }
}

fn excerpt(answer: &http::Response<Option<Vec<u8>>>) -> String {
    let body = answer.body().as_deref().unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(256)]).into_owned();
    text::detail(format!("{} {body}", answer.status()).as_bytes())
}
