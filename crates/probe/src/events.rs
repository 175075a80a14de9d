//! The lane of server-sent events: a stream is opened, listened to for a while, and left.
//!
//! A stream that the app ends in order is no failure, since every `EventSource` comes back by itself;
//! it is counted. One that breaks is. It does not resume a stream by `Last-Event-ID`.

use std::rc::Rc;
use std::time::Duration;

use model::attempt::{Attempt, Class, Ending, Lane};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connect::Failure;
use crate::exchange::{broken, closed, judge};
use crate::fresh::open;
use crate::http::{Answer, Progress, head};
use crate::options::Options;
use crate::site::Site;
use crate::stream::Stream;
use crate::trial::trial;

const READ_SIZE: usize = 4 * 1024;

/// The lane.
#[derive(Debug)]
pub(crate) struct Events {
    site: Rc<Site>,
    request: Vec<u8>,
    listening: Duration,
}

/// How a stream came to its end.
enum End {
    /// We left.
    Left,
    /// The app ended it in order.
    Over,
}

impl Events {
    /// The lane; an error says why it is not served.
    pub(crate) async fn start(site: Rc<Site>, options: &Options) -> Result<Self, String> {
        let head = head(&site.ask, &site.target, ("GET", &options.events_path));
        let request = head.replacen("Accept: */*\r\n", "Accept: text/event-stream\r\n", 1) + "\r\n";
        let lane = Self { site, request: request.into_bytes(), listening: options.slowness };
        trial(&lane.site, Lane::Events, async |attempt| {
            let mut record = lane.site.ledger.connection(Lane::Events);
            lane.site.ledger.forget_connection();
            let mut stream = open(&lane.site, attempt, &mut record).await?;
            lane.talk(&mut stream, attempt, Duration::ZERO)
                .await
                .map(|_| ())
                .map_err(|failed| failed.0)
        })
        .await?;
        Ok(lane)
    }

    /// Carries one attempt to its end.
    pub(crate) async fn carry(&self, mut attempt: Attempt) {
        let ledger = &self.site.ledger;
        let mut record = ledger.connection(Lane::Events);
        let ending = match open(&self.site, &mut attempt, &mut record).await {
            Err(failure) => {
                failure.tell(&mut attempt);
                Ending::Failed
            }
            Ok(mut stream) => {
                record.attempts = 1;
                let left = self.site.time_left(&attempt);
                let talk = self.talk(&mut stream, &mut attempt, self.listening);
                match tokio::time::timeout(left, talk).await {
                    Ok(Ok(End::Left)) => Ending::ByUs,
                    Ok(Ok(End::Over)) => {
                        ledger.count(|counts| counts.streams_ended += 1);
                        Ending::AnnouncedByPeer
                    }
                    Ok(Err((failure, ending))) => {
                        failure.tell(&mut attempt);
                        ending
                    }
                    Err(_) => {
                        let ms = self.site.timeout.as_millis();
                        let detail = format!("no stream of events within {ms} ms");
                        Failure { class: Class::Timeout, detail }.tell(&mut attempt);
                        Ending::ByUs
                    }
                }
            }
        };
        attempt.done_us = self.site.clock.us();
        ledger.end_connection(record, ending);
        ledger.settle(attempt);
    }

    /// Asks for a stream and listens for so long once it has begun.
    async fn talk(
        &self,
        stream: &mut Stream,
        attempt: &mut Attempt,
        listening: Duration,
    ) -> Result<End, (Failure, Ending)> {
        let mut answer = Answer::new(&self.site.reading).watching_events();
        let result = self.listen(stream, attempt, (&mut answer, listening)).await;
        answer.tell(attempt);
        if result.is_ok() {
            judge(&answer, attempt);
            if attempt.class == Class::Ok && !answer.streams_events() {
                let detail = format!("{}, which is no stream of events", answer.status());
                return Err((Failure { class: Class::WrongContent, detail }, Ending::ByUs));
            }
        }
        result
    }

    async fn listen(
        &self,
        stream: &mut Stream,
        attempt: &mut Attempt,
        (answer, listening): (&mut Answer<'_>, Duration),
    ) -> Result<End, (Failure, Ending)> {
        let request = self.site.signed(&self.request, attempt);
        if let Err(error) = stream.write_all(&request).await {
            return Err(broken(&error, attempt));
        }
        // What the kernel does not take at once is seen by the read below.
        let _ = stream.flush().await;
        attempt.sent_us = self.site.clock.us();
        let mut buffer = vec![0; READ_SIZE];
        let mut until = None;
        loop {
            let read = tokio::select! {
                biased;
                read = stream.read(&mut buffer) => read,
                () = wait_until(until) => return Ok(End::Left),
            };
            let read = match read {
                Ok(0) if answer.ended_by_close() => return Ok(End::Over),
                Ok(0) => return Err(closed(attempt, answer)),
                Ok(read) => read,
                Err(error) => return Err(broken(&error, attempt)),
            };
            if attempt.first_byte_us == 0 {
                attempt.first_byte_us = self.site.clock.us();
            }
            match answer.feed(&buffer[..read]) {
                Progress::More => {}
                Progress::Whole => return Ok(End::Over),
                Progress::Wrong(detail) => {
                    return Err((Failure { class: Class::WrongContent, detail }, Ending::ByUs));
                }
            }
            if until.is_none() && answer.status() != 0 {
                until = Some(tokio::time::Instant::now() + listening);
            }
        }
    }
}

async fn wait_until(until: Option<tokio::time::Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
