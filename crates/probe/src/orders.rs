//! The lane of orders: each has an id of its own and must be carried out once, whatever happens to
//! the connection. At the end the app is asked what it has carried out.
//!
//! It knows no idempotency: an order is never sent again, neither here nor, by right, by a proxy.

use std::cell::Cell;
use std::rc::Rc;

use model::attempt::{Attempt, Class, Lane, OrderCount};
use serde::Deserialize;

use crate::exchange::{Words, exchange};
use crate::fresh::open;
use crate::http::{Answer, head};
use crate::keepalive::KeepAlive;
use crate::options::Options;
use crate::site::Site;
use crate::text;
use crate::trial::trial;

/// Longest account of the orders that is read, bytes.
const ACCOUNT_MAX: usize = 1024 * 1024;

/// Doubled orders named one by one.
const EXAMPLES: usize = 10;

/// The lane.
#[derive(Debug)]
pub(crate) struct Orders {
    site: Rc<Site>,
    pool: KeepAlive,
    path: String,
    /// Tells this run's orders from another's.
    run: String,
    acknowledged: Cell<u64>,
}

/// What the app says of a run's orders.
#[derive(Debug, Deserialize)]
struct Account {
    orders: u64,
    #[serde(default)]
    doubled: Vec<String>,
    doubled_orders: Option<u64>,
}

impl Orders {
    /// The lane; an error says why it is not served. It asks for an account and places no order.
    pub(crate) async fn start(
        site: Rc<Site>,
        options: &Options,
        rate: f64,
    ) -> Result<Self, String> {
        let run = format!("{:x}{:08x}", site.clock.t0_unix_ms, fastrand::u32(..));
        let pool = KeepAlive::warm(Rc::clone(&site), rate);
        let path = options.orders_path.clone();
        let lane = Self { site, pool, path, run, acknowledged: Cell::new(0) };
        trial(&lane.site, Lane::Orders, async |attempt| {
            if lane.account(attempt).await.is_none() && attempt.class == Class::Ok {
                attempt.class = Class::WrongContent;
                attempt.detail = Some("no account of orders".to_owned());
            }
            Ok(())
        })
        .await?;
        Ok(lane)
    }

    /// Its connections.
    pub(crate) const fn pool(&self) -> &KeepAlive {
        &self.pool
    }

    /// Carries one attempt to its end.
    pub(crate) async fn carry(&self, attempt: Attempt) {
        let id = format!("{}-{}", self.run, attempt.id);
        let body = format!("{{\"id\":\"{id}\"}}");
        let fields = format!(
            "X-Request-Id: {id}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let request = head(&self.site.ask, &self.site.target, ("POST", &self.path)) + &fields;
        let attempt = self.pool.say(request.as_bytes(), attempt).await;
        if attempt.class == Class::Ok {
            self.acknowledged.set(self.acknowledged.get() + 1);
        }
        self.site.ledger.settle(attempt);
    }

    /// Asks what was carried out, and closes the connections.
    pub(crate) async fn close(&self) {
        let mut draft = self.site.ledger.draft(Lane::Orders);
        let account = tokio::time::timeout(self.site.timeout, self.account(&mut draft)).await;
        if let Ok(Some(account)) = account {
            let name = |id: &String| text::name(id.as_bytes());
            let examples: Vec<_> = account.doubled.iter().filter_map(name).take(EXAMPLES).collect();
            let count = OrderCount {
                acknowledged: self.acknowledged.get(),
                executed: account.orders,
                doubled: account.doubled_orders.unwrap_or(account.doubled.len() as u64),
                examples,
            };
            self.site.ledger.count(|counts| counts.orders = Some(count));
        }
        self.pool.close();
    }

    async fn account(&self, attempt: &mut Attempt) -> Option<Account> {
        let mut record = self.site.ledger.connection(Lane::Orders);
        self.site.ledger.forget_connection();
        let mut stream = match open(&self.site, attempt, &mut record).await {
            Ok(stream) => stream,
            Err(failure) => {
                failure.tell(attempt);
                return None;
            }
        };
        let sign = if self.path.contains('?') { '&' } else { '?' };
        let path = format!("{}{sign}run={}", self.path, self.run);
        let request =
            head(&self.site.ask, &self.site.target, ("GET", &path)) + "Connection: close\r\n\r\n";
        let words = Words::plain(request.as_bytes());
        let mut answer = Answer::new(&self.site.reading).keeping(ACCOUNT_MAX);
        exchange(&self.site, &mut stream, &words, &mut answer, attempt).await;
        (attempt.class == Class::Ok).then(|| serde_json::from_slice(answer.kept()).ok()).flatten()
    }
}
