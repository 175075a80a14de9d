//! A client's side of one exchange as an HTTP/2 stream, and heads between text and fields.
//!
//! Requests become text and take the same way through framing, routing and rewriting as those that
//! came as text; answers are rewritten as text and become fields here. It drives no connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::framing::{Field, Refusal, classify};
use crate::limits;
use crate::lines::line;
use crate::pace::{Jam, Pace};
use crate::settings::Patience;
use crate::stream::Writing;
use crate::wire::Stuck;

/// Where an answer goes.
pub(crate) enum Taker<'a, 'io> {
    /// A connection that carries one exchange at a time.
    Bytes(&'a mut Writing<'io>),
    /// A stream.
    Frames(&'a RefCell<Outgoing>),
}

/// One stream. Both directions reach the answer's side, since a reset is seen there.
pub(crate) struct Frames {
    /// From the client.
    pub(crate) incoming: RecvStream,
    /// To the client.
    pub(crate) outgoing: RefCell<Outgoing>,
}

/// The answer's side of a stream.
pub(crate) struct Outgoing {
    respond: SendResponse<Bytes>,
    body: Option<SendStream<Bytes>>,
    /// What the streams of the connection keep from each other.
    jam: Rc<Jam>,
}

impl Outgoing {
    /// Nothing was sent yet.
    pub(crate) const fn new(respond: SendResponse<Bytes>, jam: Rc<Jam>) -> Self {
        Self { respond, body: None, jam }
    }

    /// What the streams of its connection keep from each other.
    pub(crate) fn jam(&self) -> Rc<Jam> {
        Rc::clone(&self.jam)
    }

    /// Sends an interim head.
    pub(crate) fn inform(&mut self, head: &[u8]) -> Result<(), Stuck> {
        let (head, _) = fields(head).ok_or(Stuck::Gone)?;
        self.respond.send_informational(head).map_err(gone)
    }

    /// Sends the final head.
    pub(crate) fn begin(&mut self, head: &[u8], end: bool) -> Result<(), Stuck> {
        let (head, _) = fields(head).ok_or(Stuck::Gone)?;
        self.body = Some(self.respond.send_response(head, end).map_err(gone)?);
        Ok(())
    }

    /// Ends the answer, with trailers if there are any (as lines).
    pub(crate) fn end(&mut self, trailers: &[u8]) -> Result<(), Stuck> {
        let body = self.body.as_mut().ok_or(Stuck::Gone)?;
        let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
        match httparse::parse_headers(trailers, &mut room) {
            Ok(httparse::Status::Complete((_, trailers))) if !trailers.is_empty() => {
                body.send_trailers(map(trailers)).map_err(gone)
            }
            _ => body.send_data(Bytes::new(), true).map_err(gone),
        }
    }

    /// Waits until the client has reset the stream or its connection is gone.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.body {
            Some(body) => body.poll_reset(context),
            None => self.respond.poll_reset(context),
        };
        reset.map(|_| ())
    }

    /// Breaks the answer off, so that nobody takes it for whole.
    pub(crate) fn reset(&mut self) {
        match &mut self.body {
            Some(body) => body.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Room for the next bytes, as far as the client and our own buffer allow.
    fn poll_room(&mut self, wanted: usize, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
        let body = self.body.as_mut().ok_or_else(lost)?;
        body.reserve_capacity(wanted);
        while body.capacity() == 0 {
            ready!(body.poll_capacity(context)).ok_or_else(lost)?.map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(body.capacity().min(wanted)))
    }
}

fn gone(_: h2::Error) -> Stuck {
    Stuck::Gone
}

/// Sends content as the client takes it, which may not be too slow about it.
pub(crate) async fn send(
    to: &RefCell<Outgoing>,
    mut content: &[u8],
    end: bool,
    pace: &mut Pace,
) -> Result<(), Stuck> {
    while !content.is_empty() {
        let room = poll_fn(|context| to.borrow_mut().poll_room(content.len(), context));
        let (part, rest) = content.split_at(pace.wait(|| false, room).await?);
        content = rest;
        pace.came(part.len());
        let mut to = to.borrow_mut();
        let body = to.body.as_mut().ok_or(Stuck::Gone)?;
        let copy = Bytes::copy_from_slice(part);
        #[cfg(test)]
        for whole in [part, &copy[..]] {
            crate::tracks::lie(whole);
        }
        body.send_data(copy, end && rest.is_empty()).map_err(gone)?;
    }
    Ok(())
}

/// Sends a whole answer that is there as text.
pub(crate) async fn send_whole(
    to: &RefCell<Outgoing>,
    answer: &[u8],
    patience: &Patience,
) -> Result<(), Stuck> {
    let (head, length) = fields(answer).ok_or(Stuck::Gone)?;
    let content = &answer[length..];
    {
        let mut to = to.borrow_mut();
        to.body = Some(to.respond.send_response(head, content.is_empty()).map_err(gone)?);
    }
    send(to, content, true, &mut Pace::of_answer(patience, limits::WRITE_STALL)).await
}

/// The next content from the client; `None` at its end.
pub(crate) async fn next(from: &mut RecvStream) -> io::Result<Option<Bytes>> {
    let next = poll_fn(|context| from.poll_data(context)).await;
    #[cfg(test)]
    if let Some(Ok(content)) = &next {
        crate::tracks::lie(content);
    }
    next.transpose().map_err(io::Error::other)
}

/// A request's head as text, framed as its body will be. What h2 has checked (RFC 9113 section 8.2
/// and 8.3) is relied on; the rest is found by those who read the text. It has `most` bytes at most.
pub(crate) fn request_head(
    request: &http::request::Parts,
    bodiless: bool,
    most: usize,
) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(512);
    let mut hosts = request.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::bad("more than one Host field"));
    }
    if request.headers.values().any(has_edges) {
        return Err(Refusal::bad(EDGES));
    }
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    if matches!((named, authority), (Some(named), Some(authority)) if named != authority) {
        return Err(Refusal::bad("Host and authority differ"));
    }
    let host = authority.or(named).unwrap_or_default();
    let target = request.uri.path_and_query().map_or("", |target| target.as_str());
    let target =
        if target.is_empty() { request.uri.authority().map_or("", |a| a.as_str()) } else { target };
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    line(&mut out, "host", &[host]);
    for (name, value) in
        request.headers.iter().filter(|(name, _)| **name != HOST && **name != COOKIE)
    {
        line(&mut out, name.as_str(), &[value.as_bytes()]);
    }
    // Split for compression only (RFC 9113 section 8.2.3).
    let cookies: Vec<_> =
        request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        line(&mut out, "cookie", &[&cookies.join(&b"; "[..])]);
    }
    if !bodiless && !request.headers.contains_key(http::header::CONTENT_LENGTH) {
        line(&mut out, "transfer-encoding", &[b"chunked"]);
    }
    out.extend_from_slice(b"\r\n");
    if out.len() > most {
        return Err(Refusal::with(431, "the head is too large"));
    }
    Ok(out)
}

/// RFC 9113 section 8.2.1.
pub(crate) const EDGES: &str = "a field begins or ends with a blank";

/// True for a value that as text would be another one, without the blanks around it.
pub(crate) fn has_edges(value: &HeaderValue) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.as_bytes().first()) || blank(value.as_bytes().last())
}

/// A client's trailers as lines.
pub(crate) fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in trailers {
        line(&mut out, name.as_str(), &[value.as_bytes()]);
    }
    out
}

/// An answer's head as fields, and the length of its text.
fn fields(text: &[u8]) -> Option<(Response<()>, usize)> {
    // The proxy's own fields come on top of the instance's.
    let mut room = [httparse::EMPTY_HEADER; limits::FIELDS + 8];
    let mut head = httparse::Response::new(&mut room);
    let Ok(httparse::Status::Complete(length)) = head.parse(text) else { return None };
    let mut response = Response::builder().status(head.code?).body(()).ok()?;
    *response.headers_mut() = map(head.headers);
    Some((response, length))
}

/// Fields that HTTP/2 knows; those of a connection stay behind (RFC 9113 section 8.2.2).
fn map(fields: &[httparse::Header<'_>]) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let of_connection = matches!(
            classify(field.name),
            Field::Connection | Field::HopByHop | Field::Upgrade | Field::TransferEncoding
        );
        let pair =
            (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value));
        if let (false, (Ok(name), Ok(value))) = (of_connection, pair) {
            map.append(name, value);
        }
    }
    map
}
