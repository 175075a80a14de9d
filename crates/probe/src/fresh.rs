//! The fresh lane: a new connection for each request, its name looked up each time.
//!
//! When it asks is the schedule's; what is said on the connection, and what became of it, is in `exchange`.

use std::rc::Rc;
use std::time::Duration;

use model::attempt::{Attempt, Class, Connection, Ending, Lane};
use tokio::io::AsyncReadExt;

use crate::connect::{Failure, Speech, connect};
use crate::exchange::{After, Words, exchange};
use crate::http::{Answer, request};
use crate::site::Site;
use crate::stream::Stream;

/// How long the peer is given to close first.
const LINGER: Duration = Duration::from_millis(250);

/// The lane.
#[derive(Debug)]
pub(crate) struct Fresh {
    site: Rc<Site>,
    request: Vec<u8>,
}

impl Fresh {
    pub(crate) fn new(site: Rc<Site>) -> Self {
        let request = request(&site.ask, &site.target, true);
        Self { site, request }
    }

    /// Carries one attempt to its end.
    pub(crate) async fn carry(&self, mut attempt: Attempt) {
        let ledger = &self.site.ledger;
        let mut record = ledger.connection(Lane::Fresh);
        match open(&self.site, &mut attempt, &mut record).await {
            Err(failure) => {
                failure.tell(&mut attempt);
                ledger.end_connection(record, Ending::Failed);
                ledger.settle(attempt);
            }
            Ok(mut stream) => {
                record.attempts = 1;
                let words = Words::plain(&self.request);
                let mut answer = Answer::new(&self.site.reading);
                let after =
                    exchange(&self.site, &mut stream, &words, &mut answer, &mut attempt).await;
                ledger.settle(attempt);
                let ending = match after {
                    After::Ended(ending) => ending,
                    After::Reusable | After::Closing => wait_for_close(stream).await,
                };
                ledger.end_connection(record, ending);
            }
        }
    }
}

/// Opens a connection for an attempt, within what is left of its time.
pub(crate) async fn open(
    site: &Site,
    attempt: &mut Attempt,
    record: &mut Connection,
) -> Result<Stream, Failure> {
    open_for(site, Speech::Http1, attempt, record).await
}

/// The same for either way of speaking.
pub(crate) async fn open_for(
    site: &Site,
    speech: Speech,
    attempt: &mut Attempt,
    record: &mut Connection,
) -> Result<Stream, Failure> {
    let opened = tokio::time::timeout(site.time_left(attempt), connect(site, speech, record)).await;
    let stream = opened.unwrap_or_else(|_| {
        let detail = format!("no connection within {} ms", site.timeout.as_millis());
        Err(Failure { class: Class::Timeout, detail })
    })?;
    attempt.connection = record.connection;
    attempt.connected_us = record.established_us;
    Ok(stream)
}

/// Lets the peer close first, as it was asked to: who closes first keeps the port busy, and at a
/// high rate the prober would run out of ports.
pub(crate) async fn wait_for_close(mut stream: Stream) -> Ending {
    let mut byte = [0];
    match tokio::time::timeout(LINGER, stream.read(&mut byte)).await {
        Ok(Ok(0)) => Ending::AnnouncedByPeer,
        Ok(Err(_)) => Ending::Reset,
        Ok(Ok(_)) | Err(_) => Ending::ByUs,
    }
}
