//! What every lane of a run needs: whom to ask, how to read the answers, where to write it down.
//!
//! It asks nothing itself: each lane does.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use model::receipt::{self, Item};
use model::survey::PROBE_FIELD;
use model::{Attempt, Fault};

use crate::ask::Ask;
use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::http::Reading;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::target::Target;
use crate::tls::Clients;
use crate::way::Way;

/// The place that is probed, as one run sees it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) target: Target,
    pub(crate) ask: Ask,
    pub(crate) way: Way,
    /// For `https`.
    pub(crate) tls: Option<Clients>,
    pub(crate) reading: Reading,
    pub(crate) timeout: Duration,
    /// Lanes run only where their trial shows that they are served.
    pub(crate) if_served: bool,
    pub(crate) buffers: Buffers,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) clock: Clock,
}

impl Site {
    pub(crate) fn new(options: &Options, ledger: Rc<Ledger>, clock: Clock) -> Result<Self, Fault> {
        let secure = options.url.secure();
        Ok(Self {
            target: options.url.clone(),
            ask: options.ask.clone(),
            way: options.way.clone(),
            tls: secure.then(|| Clients::new(&options.way.tls)).transpose()?,
            reading: Reading::new(options.version_from.clone(), ledger.clients.any()),
            timeout: options.timeout,
            if_served: options.lanes_if_served,
            buffers: Buffers::default(),
            ledger,
            clock,
        })
    }

    /// What this attempt says of itself to a proxy of ours: the key, and its number unless it is a trial.
    fn says(&self, attempt: &Attempt) -> Option<String> {
        let item = u32::try_from(attempt.id).ok().map(Item::Attempt);
        Some(receipt::says(self.target.key()?, item))
    }

    /// The fields that this attempt adds to what all say.
    pub(crate) fn own_fields(&self, attempt: &Attempt) -> Vec<(&str, String)> {
        let mut fields = self.ledger.clients.says(attempt);
        fields.extend(self.says(attempt).map(|value| (PROBE_FIELD, value)));
        fields
    }

    /// A request of HTTP/1.1 with this attempt's own fields, behind its first line.
    pub(crate) fn signed<'a>(&self, request: &'a [u8], attempt: &Attempt) -> Cow<'a, [u8]> {
        let fields = self.own_fields(attempt);
        if fields.is_empty() {
            return Cow::Borrowed(request);
        }
        let end = request.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
        let (first, rest) = request.split_at(end);
        let lines = fields.iter().fold(String::new(), |mut lines, (name, value)| {
            // Writing to a string cannot fail.
            let _written = write!(lines, "{name}: {value}\r\n");
            lines
        });
        Cow::Owned([first, lines.as_bytes(), rest].concat())
    }

    /// What is left of an attempt's time.
    pub(crate) fn time_left(&self, attempt: &Attempt) -> Duration {
        let spent = self.clock.us().saturating_sub(attempt.intended_us);
        self.timeout.saturating_sub(Duration::from_micros(spent))
    }
}
