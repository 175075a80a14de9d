//! One request and its answer on a connection that stands, and what became of both.
//!
//! The only place where failures of HTTP/1.1 are classified. It never sends anything twice.

use std::io;
use std::pin::pin;
use std::time::Duration;

use model::attempt::{Attempt, Class, Ending};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::connect::Failure;
use crate::http::{Answer, Progress};
use crate::site::Site;
use crate::stream::Stream;

/// Pieces of a body that is sent slowly.
const PIECES: usize = 32;

/// What became of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It may carry another request.
    Reusable,
    /// The answer said, or showed, that the peer closes it.
    Closing,
    /// It has ended, or must be ended, like this.
    Ended(Ending),
}

/// What is said, and how.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    /// Sent at once.
    pub(crate) request: &'a [u8],
    /// Sent after it.
    pub(crate) slowly: Option<Slowly<'a>>,
    /// The answer is taken evenly over this time, where its length is known.
    pub(crate) taking: Option<Duration>,
}

/// A body that is sent evenly over a time.
#[derive(Debug)]
pub(crate) struct Slowly<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) over: Duration,
}

impl<'a> Words<'a> {
    /// Said and heard as fast as it goes.
    pub(crate) const fn plain(request: &'a [u8]) -> Self {
        Self { request, slowly: None, taking: None }
    }
}

/// Says `words` and reads the answer within what is left of the attempt's time. Stamps, class and
/// facts of the answer are written into the attempt.
pub(crate) async fn exchange(
    site: &Site,
    stream: &mut Stream,
    words: &Words<'_>,
    answer: &mut Answer<'_>,
    attempt: &mut Attempt,
) -> After {
    if words.request.starts_with(b"HEAD ") {
        answer.ends_with_its_head();
    }
    let left = site.time_left(attempt);
    let whole = talk(site, stream, words, &mut *attempt, &mut *answer);
    let result = tokio::time::timeout(left, whole).await;
    attempt.done_us = site.clock.us();
    answer.tell(attempt);
    site.ledger.clients.told(attempt, answer.cookies());
    match result {
        Ok(Ok(())) => {
            judge(answer, attempt);
            after(answer)
        }
        Ok(Err((failure, ending))) => {
            failure.tell(attempt);
            After::Ended(ending)
        }
        Err(_) => {
            attempt.class = Class::Timeout;
            let ms = site.timeout.as_millis();
            attempt.detail = Some(match attempt.first_byte_us {
                0 => format!("no answer within {ms} ms"),
                _ => format!("no whole answer within {ms} ms: {} bytes of body", attempt.bytes),
            });
            After::Ended(Ending::ByUs)
        }
    }
}

async fn talk(
    site: &Site,
    stream: &mut Stream,
    words: &Words<'_>,
    attempt: &mut Attempt,
    answer: &mut Answer<'_>,
) -> Result<(), (Failure, Ending)> {
    if let Err(error) = send(stream, &site.signed(words.request, attempt)).await {
        return Err(broken(&error, attempt));
    }
    let Some(slowly) = &words.slowly else {
        attempt.sent_us = site.clock.us();
        return hear(site, stream, words.taking, (attempt, answer)).await;
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut sent_us, mut broke) = (0, None);
    let heard = {
        let mut hearing = pin!(hear(site, &mut reader, words.taking, (&mut *attempt, answer)));
        let mut sending = pin!(slowly.send(&mut writer));
        tokio::select! {
            sent = &mut sending => {
                // A peer that takes no more may have answered before it closed.
                match sent {
                    Ok(()) => sent_us = site.clock.us(),
                    Err(error) => broke = Some(error),
                }
                hearing.await
            }
            heard = &mut hearing => heard,
        }
    };
    attempt.sent_us = sent_us;
    match (heard, broke) {
        // The kernel tells of a reset once: who was told so was sending, and the reader saw an end.
        (Err(_), Some(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            Err(broken(&error, attempt))
        }
        (heard, _) => heard,
    }
}

impl Slowly<'_> {
    /// Sends it in pieces, evenly.
    async fn send(&self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let start = Instant::now();
        let size = self.body.len().div_ceil(PIECES).max(1);
        let pieces = u32::try_from(self.body.len().div_ceil(size)).unwrap_or(u32::MAX);
        for (number, piece) in (1_u32..).zip(self.body.chunks(size)) {
            tokio::time::sleep_until(start + self.over * number / pieces.max(1)).await;
            send(writer, piece).await?;
        }
        Ok(())
    }
}

/// Reads the answer, evenly over `taking` when that is asked for and its length is known.
async fn hear(
    site: &Site,
    stream: &mut (impl AsyncRead + Unpin),
    taking: Option<Duration>,
    (attempt, answer): (&mut Attempt, &mut Answer<'_>),
) -> Result<(), (Failure, Ending)> {
    let mut buffer = site.buffers.lend();
    let start = Instant::now();
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(0) if answer.ended_by_close() => return Ok(()),
            Ok(0) => return Err(closed(attempt, answer)),
            Ok(read) => read,
            // TLS without a word of goodbye: what had no end of its own may have been cut.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(closed(attempt, answer));
            }
            Err(error) => return Err(broken(&error, attempt)),
        };
        if attempt.first_byte_us == 0 {
            attempt.first_byte_us = site.clock.us();
        }
        match answer.feed(&buffer[..read]) {
            Progress::More => {}
            Progress::Whole => return Ok(()),
            Progress::Wrong(detail) => {
                return Err((Failure { class: Class::WrongContent, detail }, Ending::ByUs));
            }
        }
        if let Some((over, part)) = taking.zip(answer.part()) {
            tokio::time::sleep_until(start + over.mul_f64(part)).await;
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    // TLS keeps what the kernel did not take at once.
    stream.flush().await
}

/// The peer closed without a reset before the answer was whole.
pub(crate) fn closed(attempt: &Attempt, answer: &Answer<'_>) -> (Failure, Ending) {
    let (class, detail) = if attempt.first_byte_us == 0 {
        (Class::LostInFlight, "closed by the peer after the request was sent".to_owned())
    } else if answer.status() == 0 {
        (Class::Truncated, format!("closed within the head: {}", answer.first_bytes()))
    } else {
        (Class::Truncated, format!("closed before the end of the body ({})", answer.status()))
    };
    (Failure { class, detail }, Ending::MidAttempt)
}

/// The connection broke with an error.
pub(crate) fn broken(error: &io::Error, attempt: &Attempt) -> (Failure, Ending) {
    let (class, words) = match attempt.first_byte_us {
        0 => (Class::ResetBeforeBytes, "before any byte of the answer"),
        _ => (Class::Truncated, "within the answer"),
    };
    let class = if error.kind() == io::ErrorKind::TimedOut { Class::Timeout } else { class };
    (Failure { class, detail: format!("{error} {words}") }, Ending::Reset)
}

/// A whole answer is right unless its status says otherwise.
pub(crate) fn judge(answer: &Answer<'_>, attempt: &mut Attempt) {
    attempt.class = Class::Ok;
    if answer.status() >= 400 {
        attempt.class = Class::BadStatus;
        attempt.detail = Some(answer.excerpt());
    }
}

fn after(answer: &Answer<'_>) -> After {
    if answer.reusable() {
        After::Reusable
    } else if answer.announced_close() || answer.ended_by_close() {
        After::Closing
    } else {
        After::Ended(Ending::ByUs)
    }
}
