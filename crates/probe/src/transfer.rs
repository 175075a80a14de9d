//! The lanes of long bodies: sent or taken slowly over a connection of their own, and checked by
//! digest, so that a byte lost, doubled or changed on the way is seen.
//!
//! How slow is the prober's choice; the app's share of the time is judged by the ledger. The next body does
//! not wait for this one.

use std::rc::Rc;
use std::time::Duration;

use model::attempt::{Attempt, Class, Ending, Lane};
use sha2::{Digest as _, Sha256};

use crate::connect::Failure;
use crate::exchange::{After, Slowly, Words, exchange};
use crate::fresh::{open, wait_for_close};
use crate::http::{Answer, head};
use crate::options::Options;
use crate::site::Site;
use crate::text::hex;
use crate::trial::trial;

/// Bytes of an answer that are searched for a digest.
const SEARCHED: usize = 16 * 1024;

/// Fewer bytes are no long answer for a lane that nobody named: a page that is there for every path has them, too.
const LONG: u64 = 64 * 1024;

/// One of the two lanes.
#[derive(Debug)]
pub(crate) struct Transfer {
    site: Rc<Site>,
    request: Vec<u8>,
    over: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The body, and its digest in hex.
    Upload(Vec<u8>, String),
    /// The digest that every body must have, once one has come whole without naming its own.
    Download(std::cell::OnceCell<String>),
}

impl Transfer {
    /// The lane of uploads; an error says why it is not served.
    pub(crate) async fn upload(site: Rc<Site>, options: &Options) -> Result<Self, String> {
        let mut word = 0x9E37_79B9_7F4A_7C15_u64;
        let body: Vec<u8> = std::iter::repeat_with(|| {
            // Marsaglia's xorshift64: no short period, so that no piece can stand in for another.
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        })
        .flatten()
        .take(options.upload_bytes)
        .collect();
        let fields = format!(
            "Content-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let head = head(&site.ask, &site.target, ("POST", &options.upload_path)) + &fields;
        let digest = hex(&Sha256::digest(&body));
        let request = head.into_bytes();
        let lane = Self { site, request, over: options.slowness, kind: Kind::Upload(body, digest) };
        lane.try_once(Lane::Upload).await
    }

    /// The lane of downloads; an error says why it is not served.
    pub(crate) async fn download(site: Rc<Site>, options: &Options) -> Result<Self, String> {
        let head = head(&site.ask, &site.target, ("GET", &options.download_path));
        let request = (head + "Connection: close\r\n\r\n").into_bytes();
        let kind = Kind::Download(std::cell::OnceCell::new());
        let lane = Self { site, request, over: options.slowness, kind };
        lane.try_once(Lane::Download).await
    }

    /// Once, as fast as it goes.
    async fn try_once(self, lane: Lane) -> Result<Self, String> {
        let site = Rc::clone(&self.site);
        trial(&site, lane, async |attempt| {
            let mut record = self.site.ledger.connection(lane);
            self.site.ledger.forget_connection();
            let mut stream = open(&self.site, attempt, &mut record).await?;
            self.talk(&mut stream, attempt, Duration::ZERO).await;
            let short = site.if_served && lane == Lane::Download && attempt.bytes < LONG;
            if attempt.class == Class::Ok && short {
                let detail = format!("{} bytes are no long answer", attempt.bytes);
                return Err(Failure { class: Class::WrongContent, detail });
            }
            Ok(())
        })
        .await?;
        Ok(self)
    }

    /// Carries one attempt to its end.
    pub(crate) async fn carry(&self, mut attempt: Attempt) {
        let ledger = &self.site.ledger;
        let mut record = ledger.connection(attempt.lane);
        match open(&self.site, &mut attempt, &mut record).await {
            Err(failure) => {
                failure.tell(&mut attempt);
                ledger.end_connection(record, Ending::Failed);
                ledger.settle(attempt);
            }
            Ok(mut stream) => {
                record.attempts = 1;
                let after = self.talk(&mut stream, &mut attempt, self.over).await;
                ledger.settle(attempt);
                let ending = match after {
                    After::Ended(ending) => ending,
                    After::Reusable | After::Closing => wait_for_close(stream).await,
                };
                ledger.end_connection(record, ending);
            }
        }
    }

    async fn talk(
        &self,
        stream: &mut crate::stream::Stream,
        attempt: &mut Attempt,
        over: Duration,
    ) -> After {
        let reading = &self.site.reading;
        let (words, mut answer) = match &self.kind {
            Kind::Upload(body, _) => {
                let slowly = Slowly { body, over };
                let words = Words { slowly: Some(slowly), ..Words::plain(&self.request) };
                (words, Answer::new(reading).keeping(SEARCHED))
            }
            Kind::Download(_) => {
                stream.take_little();
                let words = Words { taking: Some(over), ..Words::plain(&self.request) };
                (words, Answer::new(reading).hashing())
            }
        };
        let after = exchange(&self.site, stream, &words, &mut answer, attempt).await;
        if attempt.class == Class::Ok
            && let Err(detail) = self.check(&answer)
        {
            Failure { class: Class::WrongContent, detail }.tell(attempt);
        }
        after
    }

    /// Whether what arrived is what was sent.
    fn check(&self, answer: &Answer<'_>) -> Result<(), String> {
        match &self.kind {
            Kind::Upload(_, digest) if answer.holds(digest) => Ok(()),
            Kind::Upload(..) => {
                Err(format!("no SHA-256 of what was sent in the answer: {}", answer.excerpt()))
            }
            Kind::Download(known) => {
                let found = answer.digest();
                let named = answer.stated_digest().map(str::to_ascii_lowercase);
                let wanted = named.unwrap_or_else(|| known.get_or_init(|| found.clone()).clone());
                let differs = || format!("SHA-256 is {found} and should be {wanted}");
                if found == wanted { Ok(()) } else { Err(differs()) }
            }
        }
    }
}
