//! One request and its answer on a connection that stands, and what became of both.
//!
//! The only place where HTTP failures are classified. It never sends anything twice.

use std::io;

use model::attempt::{Attempt, Class, Ending};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connect::Failure;
use crate::http::{Answer, Progress};
use crate::site::Site;

const READ_SIZE: usize = 16 * 1024;

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

/// Sends `request` and reads the answer within what is left of the attempt's time. Stamps, class
/// and facts of the answer are written into the attempt.
pub(crate) async fn exchange(
    site: &Site,
    stream: &mut TcpStream,
    request: &[u8],
    attempt: &mut Attempt,
) -> After {
    let mut answer = Answer::new(&site.reading);
    let left = site.time_left(attempt);
    let whole = talk(site, stream, request, &mut *attempt, &mut answer);
    let result = tokio::time::timeout(left, whole).await;
    attempt.done_us = site.clock.us();
    answer.tell(attempt);
    match result {
        Ok(Ok(())) => {
            judge(&answer, attempt);
            after(&answer)
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
    stream: &mut TcpStream,
    request: &[u8],
    attempt: &mut Attempt,
    answer: &mut Answer<'_>,
) -> Result<(), (Failure, Ending)> {
    if let Err(error) = stream.write_all(request).await {
        return Err(broken(&error, attempt));
    }
    attempt.sent_us = site.clock.us();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(0) if answer.ended_by_close() => return Ok(()),
            Ok(0) => return Err(closed(attempt, answer)),
            Ok(read) => read,
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
    }
}

/// The peer closed without a reset before the answer was whole.
fn closed(attempt: &Attempt, answer: &Answer<'_>) -> (Failure, Ending) {
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
fn broken(error: &io::Error, attempt: &Attempt) -> (Failure, Ending) {
    let (class, words) = match attempt.first_byte_us {
        0 => (Class::ResetBeforeBytes, "before any byte of the answer"),
        _ => (Class::Truncated, "within the answer"),
    };
    let class = if error.kind() == io::ErrorKind::TimedOut { Class::Timeout } else { class };
    (Failure { class, detail: format!("{error} {words}") }, Ending::Reset)
}

/// A whole answer is right unless its status says otherwise.
fn judge(answer: &Answer<'_>, attempt: &mut Attempt) {
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
