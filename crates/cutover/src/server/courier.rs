//! Delivers notifications, each at least once: it is in the outbox before it is sent and until it is known to have
//! arrived, so a crash or a receiver that is away for a while lose none.
//!
//! What happens is `herald`'s affair, how a document gets there `post`'s. A receiver that is away for longer than
//! an hour is not waited for.

use std::sync::Arc;
use std::time::Duration;

use model::Hook;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::post::{self, Letter};
use crate::clock;
use crate::config::{NotifyConfig, Told};
use crate::store::{Put, Store, WAITING, Waiting};

/// For so long one is tried again, ms ...
pub(super) const LIFETIME_MS: u64 = 3_600_000;
/// ... and so often at least by each `up`, however long that was away. So often, too, the ones behind it wait
/// for it, which is a quarter of a minute.
const ATTEMPTS: u32 = 5;

/// Something that happened, as it is told.
#[derive(Clone, Debug)]
pub(super) struct Tiding {
    pub(super) told: Told,
    pub(super) id: String,
    pub(super) body: Value,
}

/// Delivers to one receiver.
#[derive(Debug)]
pub(super) struct Courier {
    wants: Vec<Told>,
    /// What it is called in the outbox.
    receiver: String,
    shown: String,
    store: Arc<Store>,
    bag: mpsc::Sender<Waiting>,
}

impl Courier {
    /// One for each receiver. They begin with what an earlier `up` did not deliver.
    pub(super) fn all(configs: &[NotifyConfig], store: &Arc<Store>) -> Vec<Self> {
        let names = names(configs);
        // Where nobody is told anything, no table is made; one that was made may stay as it is.
        if !names.is_empty()
            && let Err(fault) = store.open_outbox(&names, clock::unix_ms())
        {
            tracing::warn!("{fault}: a notification may be lost when `up` ends");
        }
        configs.iter().zip(names).map(|(config, name)| Self::start(config, name, store)).collect()
    }

    fn start(config: &NotifyConfig, receiver: String, store: &Arc<Store>) -> Self {
        // What could not be read was complained of.
        let left = store.waiting(&receiver).unwrap_or_default();
        let (bag, inbox) = mpsc::channel(WAITING);
        let way = Way { config: config.clone(), store: Arc::clone(store) };
        tokio::spawn(way.deliver(left, inbox));
        let (wants, shown) = (config.events.clone(), post::shown(&config.to));
        Self { wants, receiver, shown, store: Arc::clone(store), bag }
    }

    /// Takes something to its receiver who wants it, once.
    pub(super) fn take(&self, tiding: &Tiding) {
        if !self.wants.contains(&tiding.told) {
            return;
        }
        let (key, body, now) = (&tiding.id, tiding.body.to_string(), clock::unix_ms());
        let waiting = match self.store.put(&self.receiver, (key, &body), now) {
            Ok(Put::Taken(waiting)) => Some(waiting),
            Ok(Put::Known) => return,
            Ok(Put::Full) => None,
            Err(fault) => {
                tracing::warn!("{fault}: a notification is lost if `up` ends before it arrives");
                Some(Waiting { row: None, key: key.clone(), body, at_unix_ms: now })
            }
        };
        if waiting.is_none_or(|waiting| self.bag.try_send(waiting).is_err()) {
            tracing::warn!("{} is too slow: a notification was given up", self.shown);
        }
    }
}

/// What receivers are called in the outbox: by a digest, since what follows a host may be a secret; and by how
/// many of the same address were before.
fn names(configs: &[NotifyConfig]) -> Vec<String> {
    let name = |(at, config): (usize, &NotifyConfig)| {
        let before = configs[..at].iter().filter(|one| one.to.url == config.to.url).count();
        let hash = Sha256::digest(format!("{before} {}", config.to.url).as_bytes());
        hash.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    configs.iter().enumerate().map(name).collect()
}

/// The way to one receiver.
#[derive(Debug)]
struct Way {
    config: NotifyConfig,
    store: Arc<Store>,
}

/// What is on it.
#[derive(Debug)]
struct OnTheWay {
    waiting: Waiting,
    attempts: u32,
    due: Instant,
}

/// All of it, the oldest first.
#[derive(Debug, Default)]
struct Queue(Vec<OnTheWay>);

impl Queue {
    fn push(&mut self, waiting: Waiting) {
        let now = Instant::now();
        let tried = |one: &&OnTheWay| (1..ATTEMPTS).contains(&one.attempts);
        let due = self.0.iter().filter(tried).map(|one| one.due.max(now)).max().unwrap_or(now);
        self.0.push(OnTheWay { waiting, attempts: 0, due });
    }

    /// Which is tried next, and when: the oldest of those that are due first.
    fn next(&self) -> Option<(usize, Instant)> {
        let first = self.0.iter().enumerate().min_by_key(|(_, one)| one.due);
        first.map(|(at, one)| (at, one.due))
    }

    /// One was tried in vain. At first those behind it wait for it, so that all arrive in their order.
    fn failed(&mut self, at: usize) {
        let one = &mut self.0[at];
        one.due = Instant::now() + Duration::from_millis(Hook::pause_ms(one.attempts));
        let due = one.due;
        if one.attempts < ATTEMPTS {
            for behind in self.0.iter_mut().skip(at).filter(|one| one.attempts < ATTEMPTS) {
                behind.due = behind.due.max(due);
            }
        }
    }
}

impl Way {
    async fn deliver(self, left: Vec<Waiting>, mut inbox: mpsc::Receiver<Waiting>) {
        let mut queue = Queue::default();
        for waiting in left {
            queue.push(waiting);
        }
        let mut open = true;
        while open || !queue.0.is_empty() {
            let next = queue.next();
            tokio::select! {
                biased;
                new = inbox.recv(), if open => match new {
                    Some(waiting) => queue.push(waiting),
                    None => open = false,
                },
                () = due(next) => {
                    let Some((at, _)) = next else { continue };
                    if self.attempt(&mut queue.0[at]).await {
                        queue.0.remove(at);
                    } else {
                        queue.failed(at);
                    }
                }
            }
        }
    }

    /// True when nothing more is to be done about it.
    async fn attempt(&self, one: &mut OnTheWay) -> bool {
        let Waiting { row, key, body, at_unix_ms } = &one.waiting;
        let body = serde_json::from_str(body).unwrap_or_default();
        let letter = Letter { to: self.config.to.clone(), body, key: key.clone() };
        one.attempts += 1;
        if let Err(why) = post::send(&letter, self.config.timeout).await {
            let old = clock::unix_ms().saturating_sub(*at_unix_ms) >= LIFETIME_MS;
            if !old || one.attempts < ATTEMPTS {
                if one.attempts == ATTEMPTS {
                    tracing::warn!("a notification is late, and is tried for an hour: {why}");
                }
                return false;
            }
            tracing::warn!("a notification was given up after an hour: {why}");
        }
        // It is sent once more by the next `up` if this cannot be written.
        if let Some(Err(fault)) = row.map(|row| self.store.settle(row)) {
            tracing::warn!("{fault}");
        }
        true
    }
}

/// Resolves when the next attempt is due; never without one.
async fn due(next: Option<(usize, Instant)>) {
    match next {
        Some((_, at)) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::Post;
    use tokio::time::Instant;

    use super::{ATTEMPTS, Queue, names};
    use crate::config::{NotifyConfig, Told};
    use crate::store::Waiting;

    fn queue(keys: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for key in keys {
            let (key, body) = ((*key).to_owned(), String::new());
            queue.push(Waiting { row: None, key, body, at_unix_ms: 0 });
        }
        queue
    }

    fn next(queue: &Queue) -> (usize, Instant) {
        queue.next().unwrap()
    }

    /// For a quarter of a minute all wait for one, then they pass it.
    #[test]
    fn one_that_is_refused_holds_the_others_up_for_a_while_and_no_longer() {
        let mut queue = queue(&["a", "b"]);
        let begun = Instant::now();
        for attempt in 1..=ATTEMPTS {
            let (at, due) = next(&queue);
            assert_eq!(at, 0, "attempt {attempt}");
            let pause = Duration::from_secs([0, 1, 2, 4, 8][attempt as usize - 1]);
            assert!(due < begun + pause + Duration::from_millis(900), "attempt {attempt}");
            queue.0[0].attempts += 1;
            queue.failed(0);
        }
        let (at, due) = next(&queue);
        assert!(at == 1 && due < queue.0[0].due, "the second one still waits");
        // Who comes in the meantime stays behind the second one, which is tried now.
        queue.0[1].attempts = 1;
        queue.failed(1);
        let second = queue.0[1].due;
        queue.push(Waiting { row: None, key: "c".into(), body: String::new(), at_unix_ms: 0 });
        assert!(queue.0[2].due >= second && next(&queue).0 == 1);
    }

    #[test]
    fn a_receiver_is_known_by_no_part_of_its_address() {
        let to = |url: &str| NotifyConfig {
            to: Post { url: url.to_owned(), token_from: None, ca: None },
            events: Told::ALL.to_vec(),
            timeout: Duration::from_secs(1),
        };
        let all = [to("http://h/secret"), to("http://h/other"), to("http://h/secret")];
        let found = names(&all);
        assert!(found.iter().all(|name| name.len() == 32 && !name.contains("secret")), "{found:?}");
        assert!(found[0] != found[1] && found[0] != found[2] && found[1] != found[2]);
        assert_eq!(names(&all[..2]), found[..2], "whoever comes behind changes none");
    }
}
