//! The HTTP/2 lane: many requests at once on a few connections.
//!
//! A connection that says goodbye is left when its streams have ended, and the next attempt opens
//! another. A stream that the peer says it did not take is recorded as refused and not sent again.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::HeaderName;
use model::attempt::{Attempt, Class, Connection, Ending, Lane};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::connect::{Failure, Speech};
use crate::fresh::open_for;
use crate::http::Said;
use crate::site::Site;
use crate::stream::Stream;
use crate::text;
use crate::trial::trial;

/// Connections: a switch must be seen by more than one client.
const CONNECTIONS: usize = 2;

/// Largest head of an answer, bytes.
const HEAD_MAX: u32 = 64 * 1024;

/// What may come before it is asked for, bytes of body on one connection.
const WINDOW: u32 = 1 << 20;

/// The lane.
#[derive(Debug)]
pub(crate) struct Http2 {
    site: Rc<Site>,
    request: http::Request<()>,
    slots: Vec<Mutex<Option<Standing>>>,
    turn: Cell<usize>,
}

/// A connection that stands.
#[derive(Debug)]
struct Standing {
    connection: u32,
    sender: SendRequest<Bytes>,
    attempts: Rc<Cell<u32>>,
    /// Drives it and records its end.
    driver: JoinHandle<()>,
    leaving: Rc<Cell<bool>>,
}

/// What one stream needs of its connection.
struct Loan {
    connection: u32,
    sender: SendRequest<Bytes>,
}

/// An answer on a stream so far.
#[derive(Default)]
struct Heard {
    said: Said,
    kept: Vec<u8>,
}

impl Http2 {
    /// The lane; an error says why it is not served.
    pub(crate) async fn start(site: Rc<Site>) -> Result<Self, String> {
        let request = request(&site).map_err(|error| format!("no such request: {error}"))?;
        let slots = (0..CONNECTIONS).map(|_| Mutex::new(None)).collect();
        let lane = Self { site, request, slots, turn: Cell::new(0) };
        trial(&lane.site, Lane::Http2, async |attempt| {
            let mut record = lane.site.ledger.connection(Lane::Http2);
            lane.site.ledger.forget_connection();
            let stream = open_for(&lane.site, Speech::Http2, attempt, &mut record).await?;
            agreed(&stream).map_err(|failure| Failure { class: Class::WrongContent, ..failure })?;
            let (mut sender, connection) =
                builder().handshake(stream).await.map_err(|e| odd(&e))?;
            let driver = tokio::task::spawn_local(async move { drop(connection.await) });
            let heard = lane.exchange(&mut sender, attempt).await;
            driver.abort();
            match heard {
                Err(failure) if attempt.status == 0 => {
                    Err(unspoken(lane.site.target.secure(), &failure))
                }
                other => other,
            }
        })
        .await?;
        Ok(lane)
    }

    /// Carries one attempt to its end.
    pub(crate) async fn carry(&self, mut attempt: Attempt) {
        let left = self.site.time_left(&attempt);
        let result = tokio::time::timeout(left, self.try_carry(&mut attempt)).await;
        attempt.done_us = self.site.clock.us();
        match result {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => failure.tell(&mut attempt),
            Err(_) => {
                let detail = format!("no whole answer within {} ms", self.site.timeout.as_millis());
                Failure { class: Class::Timeout, detail }.tell(&mut attempt);
            }
        }
        self.site.ledger.settle(attempt);
    }

    /// Closes every connection, at the end of the run.
    pub(crate) async fn close(&self) {
        for slot in &self.slots {
            if let Some(standing) = slot.lock().await.take() {
                standing.leaving.set(true);
                // The driver ends the connection when nobody can send on it any more.
                drop(standing.sender);
                let ended =
                    tokio::time::timeout(std::time::Duration::from_secs(1), standing.driver);
                if ended.await.is_err() {
                    tracing::warn!("a connection of the HTTP/2 lane did not close in time");
                }
            }
        }
    }

    async fn try_carry(&self, attempt: &mut Attempt) -> Result<(), Failure> {
        let mut loan = self.borrow(attempt).await?;
        attempt.connection = loan.connection;
        self.exchange(&mut loan.sender, attempt).await
    }

    /// A connection that takes another stream: the one whose turn it is, or a new one in its place.
    async fn borrow(&self, attempt: &mut Attempt) -> Result<Loan, Failure> {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % self.slots.len());
        let mut slot = self.slots[turn].lock().await;
        if let Some(standing) = slot.as_mut() {
            let taking = !standing.driver.is_finished()
                && futures_util::future::poll_fn(|context| standing.sender.poll_ready(context))
                    .await
                    .is_ok();
            if taking {
                standing.attempts.set(standing.attempts.get() + 1);
                return Ok(Loan {
                    connection: standing.connection,
                    sender: standing.sender.clone(),
                });
            }
            // It said goodbye; what is open on it goes on.
            *slot = None;
        }
        let standing = self.open(attempt).await?;
        let loan = Loan { connection: standing.connection, sender: standing.sender.clone() };
        *slot = Some(standing);
        Ok(loan)
    }

    async fn open(&self, attempt: &mut Attempt) -> Result<Standing, Failure> {
        let ledger = &self.site.ledger;
        let mut record = ledger.connection(Lane::Http2);
        let connection = record.connection;
        let failed = |failure, record: Connection| {
            ledger.end_connection(record, Ending::Failed);
            failure
        };
        let stream = match open_for(&self.site, Speech::Http2, attempt, &mut record).await {
            Ok(stream) => stream,
            Err(failure) => return Err(failed(failure, record)),
        };
        if let Err(failure) = agreed(&stream) {
            return Err(failed(failure, record));
        }
        let (sender, connected) = match builder().handshake(stream).await {
            Ok(both) => both,
            Err(error) => return Err(failed(odd(&error), record)),
        };
        let (attempts, leaving) = (Rc::new(Cell::new(1)), Rc::new(Cell::new(false)));
        let site = Rc::clone(&self.site);
        let (carried, left) = (Rc::clone(&attempts), Rc::clone(&leaving));
        let driver = tokio::task::spawn_local(async move {
            let ending = match connected.await {
                Ok(()) if left.get() => Ending::ByUs,
                Ok(()) => Ending::AnnouncedByPeer,
                Err(error) if error.is_go_away() => Ending::AnnouncedByPeer,
                Err(error) if error.is_io() => Ending::Reset,
                Err(_) => Ending::MidAttempt,
            };
            record.attempts = carried.get();
            site.ledger.end_connection(record, ending);
        });
        Ok(Standing { connection, sender, attempts, driver, leaving })
    }

    /// One request on a stream of its own.
    async fn exchange(
        &self,
        sender: &mut SendRequest<Bytes>,
        attempt: &mut Attempt,
    ) -> Result<(), Failure> {
        let mut heard = Heard::default();
        let result = self.talk(sender, attempt, &mut heard).await;
        let right = result.is_ok() && attempt.status < 400;
        self.site.reading.body(&heard.kept, right, &mut heard.said);
        heard.said.tell(attempt);
        self.site.ledger.clients.told(attempt, heard.said.cookies());
        result?;
        attempt.class = Class::Ok;
        attempt.done_us = self.site.clock.us();
        if attempt.status >= 400 {
            attempt.class = Class::BadStatus;
            let words = [format!("{}: ", attempt.status).as_bytes(), &heard.kept].concat();
            attempt.detail = Some(text::detail(&words));
        }
        Ok(())
    }

    async fn talk(
        &self,
        sender: &mut SendRequest<Bytes>,
        attempt: &mut Attempt,
        so_far: &mut Heard,
    ) -> Result<(), Failure> {
        let body = Bytes::copy_from_slice(self.site.ask.body());
        let mut request = self.request.clone();
        for (name, value) in self.site.own_fields(attempt) {
            // Neither can be odd: names were checked, values are plain.
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                request.headers_mut().insert(name, value);
            }
        }
        let sent = sender.send_request(request, body.is_empty());
        let (answer, mut sending) = sent.map_err(|error| failure(&error, attempt))?;
        if !body.is_empty() {
            sending.send_data(body, true).map_err(|error| failure(&error, attempt))?;
        }
        attempt.sent_us = self.site.clock.us();
        let (head, mut body) = answer.await.map_err(|error| failure(&error, attempt))?.into_parts();
        attempt.first_byte_us = self.site.clock.us();
        attempt.status = head.status.as_u16();
        let fields = head.headers.iter();
        so_far.said =
            self.site.reading.head(fields.map(|(name, value)| (name.as_str(), value.as_bytes())));
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| self.cut(&error, attempt))?;
            attempt.bytes += data.len() as u64;
            let room = self.site.reading.keeps().saturating_sub(so_far.kept.len());
            so_far.kept.extend_from_slice(&data[..data.len().min(room)]);
            body.flow_control()
                .release_capacity(data.len())
                .map_err(|error| failure(&error, attempt))?;
        }
        Ok(())
    }

    /// What broke a body; one behind an answer to HEAD breaks it by being there (RFC 9113, section 8.1.1).
    fn cut(&self, error: &h2::Error, attempt: &Attempt) -> Failure {
        if self.site.ask.head_only() && error.is_library() {
            let detail = format!("{}, and a body behind the answer to HEAD", attempt.status);
            return Failure { class: Class::WrongContent, detail };
        }
        failure(error, attempt)
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(HEAD_MAX)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    builder
}

fn request(site: &Site) -> Result<http::Request<()>, http::Error> {
    let scheme = if site.target.secure() { "https" } else { "http" };
    let mut request = http::Request::builder()
        .method(site.ask.method())
        .uri(format!("{scheme}://{}{}", site.target.authority(), site.target.path()))
        .version(http::Version::HTTP_2);
    let says = |name: &str| site.ask.fields().any(|(said, _)| said.eq_ignore_ascii_case(name));
    if !says("user-agent") {
        request =
            request.header("user-agent", concat!("cutover-probe/", env!("CARGO_PKG_VERSION")));
    }
    if !says("accept") {
        request = request.header("accept", "*/*");
    }
    for (name, value) in site.ask.fields() {
        request = request.header(name, value);
    }
    request.body(())
}

/// What broke a stream, and in which class that falls.
fn failure(error: &h2::Error, attempt: &Attempt) -> Failure {
    let detail = text::detail(error.to_string().as_bytes());
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && attempt.first_byte_us == 0);
    let (class, detail) = if refused {
        (Class::Refused, format!("the peer did not take the stream: {detail}"))
    } else if attempt.first_byte_us > 0 {
        (Class::Truncated, format!("{detail} within the answer"))
    } else if error.is_reset() {
        (Class::ResetBeforeBytes, format!("{detail} before any byte of the answer"))
    } else if error.is_io() {
        let reset =
            error.get_io().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset);
        let class = if reset { Class::ResetBeforeBytes } else { Class::LostInFlight };
        (class, format!("{detail} before any byte of the answer"))
    } else {
        (Class::WrongContent, detail)
    };
    Failure { class, detail }
}

/// What a target without HTTP/2 does with it can be anything: it is told with what it means.
fn unspoken(secure: bool, failure: &Failure) -> Failure {
    let what = if secure { "HTTP/2" } else { "HTTP/2 without TLS" };
    let detail = format!("no {what} is spoken there: {}", failure.detail);
    Failure { class: Class::WrongContent, detail }
}

/// Over TLS both sides must have agreed on HTTP/2; without it there is nothing to agree on.
fn agreed(stream: &Stream) -> Result<(), Failure> {
    match stream {
        Stream::Tls(_) if stream.protocol() != Some(b"h2") => {
            let detail = "the TLS handshake agreed on no HTTP/2".to_owned();
            Err(Failure { class: Class::Refused, detail })
        }
        Stream::Tls(_) | Stream::Plain(_) => Ok(()),
    }
}

/// A handshake that failed.
fn odd(error: &h2::Error) -> Failure {
    let detail = text::detail(format!("no HTTP/2: {error}").as_bytes());
    Failure { class: Class::Refused, detail }
}
