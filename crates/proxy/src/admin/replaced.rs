//! Proxies that this one replaces: what they count is told with its own numbers, while they live and after.
//!
//! Each is asked again and again over its admin socket, and waits with its end until the last of it was heard. How numbers
//! become one is known in `metrics`. No other proxy is told what to do from here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use model::admin::{Account, Reply, Request};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::Desk;
use crate::limits;
use crate::metrics::{self, Dialect, Theirs};

/// What is known of them, and of who replaces this one.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// By process.
    known: RefCell<BTreeMap<String, Known>>,
    followed: RefCell<BTreeSet<PathBuf>>,
    /// How many successors ask.
    successors: Cell<usize>,
    /// One of them has heard the last of it, or has gone.
    heard: Notify,
    /// Nothing more will be counted here.
    over: Cell<bool>,
}

/// One of them.
#[derive(Debug)]
struct Known {
    told: String,
    /// It said so itself: of others we have heard when they had ended.
    itself: bool,
    lives: bool,
}

impl Replaced {
    /// Takes in what one told of itself and then of those before it; gives the name of who spoke.
    fn hear(&self, accounts: Vec<Account>, own: &str) -> Option<String> {
        let mut known = self.known.borrow_mut();
        let speaker = accounts.first().map(|account| account.process.clone());
        for Account { process, told } in accounts {
            if process == own {
                continue;
            }
            if Some(&process) == speaker.as_ref() {
                known.insert(process, Known { told, itself: true, lives: true });
            } else if known.get(&process).is_none_or(|known| !known.itself) {
                let told = metrics::lasting(&told);
                known.insert(process, Known { told, itself: false, lives: false });
            }
        }
        speaker
    }

    fn ended(&self, process: &str) {
        if let Some(known) = self.known.borrow_mut().get_mut(process) {
            (known.told, known.lives) = (metrics::lasting(&known.told), false);
        }
    }

    /// Our own numbers with theirs.
    pub(super) fn with(&self, own: String) -> String {
        let known = self.known.borrow();
        if known.is_empty() {
            return own;
        }
        let theirs = known.values().map(|one| Theirs { told: &one.told, lives: one.lives });
        metrics::together(&own, theirs)
    }

    /// True when what is answered from now on is the last of it.
    pub(super) fn over(&self) -> bool {
        self.over.get()
    }
}

/// Who asks for our account, until it has heard the last of it or has gone.
pub(super) struct Successor(Rc<Desk>);

impl Successor {
    /// One more.
    pub(super) fn of(desk: &Rc<Desk>) -> Self {
        let successors = &desk.replaced.successors;
        successors.set(successors.get() + 1);
        Self(Rc::clone(desk))
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let Replaced { successors, heard, .. } = &self.0.replaced;
        successors.set(successors.get().saturating_sub(1));
        heard.notify_one();
    }
}

impl Desk {
    /// Follows these until they have ended. Resolves when each was heard for the first time, or is late.
    pub(super) async fn include(self: &Rc<Self>, sockets: Vec<PathBuf>) {
        let mut first = Vec::new();
        for socket in sockets {
            if self.replaced.followed.borrow_mut().insert(socket.clone()) {
                let (told, once_told) = oneshot::channel();
                first.push(once_told);
                spawn_local(follow(Rc::clone(self), socket, told));
            }
        }
        let all = async {
            for told in first {
                // One that cannot be heard is not waited for.
                let _ = told.await;
            }
        };
        // As above.
        let _ = timeout(limits::ACCOUNT_WAITS, all).await;
    }

    /// What this proxy has counted, and those before it, for a successor.
    pub(super) fn account(&self) -> Reply {
        let own =
            Account { process: self.process.clone(), told: self.own_metrics(Dialect::Prometheus) };
        let known = self.replaced.known.borrow();
        let before = known
            .iter()
            .map(|(process, known)| Account { process: process.clone(), told: known.told.clone() });
        Reply::Account { accounts: std::iter::once(own).chain(before).collect() }
    }

    /// When nothing more will be counted: waits until the successors, if there are any, have heard the last of it.
    pub(crate) async fn last_account(&self) {
        let Replaced { successors, heard, over, .. } = &self.replaced;
        over.set(true);
        let all = async {
            while successors.get() > 0 {
                heard.notified().await;
            }
        };
        // One that does not ask in time misses what came last.
        let _ = timeout(limits::ACCOUNT_WAITS, all).await;
    }
}

/// Asks one of them until it has ended.
async fn follow(desk: Rc<Desk>, socket: PathBuf, first: oneshot::Sender<()>) {
    let (mut first, mut process) = (Some(first), None);
    if let Ok(stream) = UnixStream::connect(&socket).await {
        let mut stream = BufReader::new(stream);
        while let Some(accounts) = ask(&mut stream).await {
            process = desk.replaced.hear(accounts, &desk.process);
            drop(first.take());
            sleep(limits::ACCOUNT_BEAT).await;
        }
    }
    if let Some(process) = process {
        desk.replaced.ended(&process);
    }
    desk.replaced.followed.borrow_mut().remove(&socket);
}

/// `None` from one that has ended, or is so old that it does not know the question.
async fn ask(stream: &mut BufReader<UnixStream>) -> Option<Vec<Account>> {
    let mut line = serde_json::to_vec(&Request::Account).ok()?;
    line.push(b'\n');
    stream.write_all(&line).await.ok()?;
    let mut reply = String::new();
    stream.read_line(&mut reply).await.ok()?;
    match serde_json::from_str(&reply) {
        Ok(Reply::Account { accounts }) => Some(accounts),
        _ => None,
    }
}
