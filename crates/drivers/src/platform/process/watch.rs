//! One task per living instance: its exit and its checks.
//!
//! The tasks end when what holds them is dropped; the processes live on. Nothing is decided here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::fleet::HealthCheck;
use model::{AppName, InstanceId, ReleaseId};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::procfs::Identity;
use super::record::now_ms;
use super::signal::{exit_descriptor, reap};
use super::store::Store;
use crate::exit;
use crate::platform::fleet::Condition;
use crate::platform::health::{Asks, Health, Past, check};

/// How an instance ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) words: Option<String>,
    pub(super) at_ms: u64,
}

/// What the tasks tell the platform.
#[derive(Debug, Default)]
pub(super) struct News {
    change: watch::Sender<u64>,
    ends: Mutex<BTreeMap<InstanceId, End>>,
}

impl News {
    /// Number of the newest change.
    pub(super) fn newest(&self) -> u64 {
        *self.change.borrow()
    }

    /// Something changed.
    pub(super) fn tell(&self) {
        self.change.send_modify(|n| *n += 1);
    }

    /// Resolves when there is a change newer than `since`.
    pub(super) async fn newer_than(&self, since: u64) {
        let mut changes = self.change.subscribe();
        // The sender lives in `self`, so this cannot fail while we wait.
        let _newest = changes.wait_for(|newest| *newest > since).await;
    }

    /// How an instance that is not alive ended. Reaps it if nobody did: the lock makes sure that
    /// whoever finds it reaped also finds its status.
    pub(super) fn end_of(&self, id: &InstanceId, identity: &Identity) -> End {
        let end = || End { words: reap(identity), at_ms: now_ms() };
        own(&self.ends).entry(id.clone()).or_insert_with(end).clone()
    }

    /// An instance is forgotten.
    pub(super) fn forget(&self, id: &InstanceId) {
        own(&self.ends).remove(id);
    }
}

/// A poisoned lock only means that another task panicked; what it guards is replaced whole.
pub(super) fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is watched.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) app: AppName,
    pub(super) release: ReleaseId,
    pub(super) number: u32,
    pub(super) id: InstanceId,
    pub(super) identity: Identity,
    pub(super) address: SocketAddr,
    pub(super) how: HealthCheck,
    /// What a check asks it.
    pub(super) asks: Asks,
}

/// A running task, ended on drop.
#[derive(Debug)]
pub(super) struct Watched {
    health: Arc<Mutex<Health>>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    /// Begins to watch. Must be called inside the runtime.
    pub(super) fn begin(subject: Subject, past: Past, store: Store, news: Arc<News>) -> Self {
        let health = Arc::new(Mutex::new(Health::new(past)));
        let shared = Arc::clone(&health);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = ended(&subject.identity) => {
                    news.end_of(&subject.id, &subject.identity);
                }
                () = keep_checking(&subject, &shared, &store, &news) => {}
            }
            own(&shared).condition = Condition::Ended;
            news.tell();
        });
        Self { health, task: task.abort_handle() }
    }

    /// What the checks say so far.
    pub(super) fn health(&self) -> Health {
        own(&self.health).clone()
    }
}

/// Resolves when the process is gone (or a zombie).
async fn ended(identity: &Identity) {
    let Some(descriptor) = exit_descriptor(identity) else {
        return;
    };
    if let Err(error) = exit::ended(descriptor).await {
        tracing::warn!(pid = identity.pid, %error, "exit is polled for");
        while identity.alive() {
            sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn keep_checking(subject: &Subject, health: &Mutex<Health>, store: &Store, news: &News) {
    loop {
        let result = check(subject.address, &subject.asks, &subject.how).await;
        let before = own(health).condition;
        let next = own(health).after(result.passed, &subject.how);
        if next != before && matches!(next, Condition::Ready | Condition::Unready) {
            // On record before anybody may route to it, or away from it: a successor of ours must know.
            remember(subject, store, next == Condition::Ready).await;
        }
        let words = (next != before).then(|| result.words.clone());
        own(health).note(result, &subject.how, Instant::now());
        if let Some(words) = words {
            news.tell();
            tell(subject, store, (before, next), &words).await;
        }
        sleep(Duration::from_millis(subject.how.interval_ms.max(1))).await;
    }
}

/// Once for each change: it serves no more, it serves again. What was told to end is expected to fail.
async fn tell(
    subject: &Subject,
    store: &Store,
    (before, next): (Condition, Condition),
    last: &str,
) {
    let (id, how) = (&subject.id, &subject.how);
    let words = match (before, next) {
        (_, Condition::Unready) => {
            format!("{id} failed {} checks in a row and is not ready: {last}", how.fall)
        }
        (Condition::Unready, Condition::Ready) => {
            format!("{id} passed {} checks in a row and is ready again", how.rise)
        }
        _ => return,
    };
    let (store, app) = (store.clone(), subject.app.clone());
    let (release, number) = (subject.release, subject.number);
    let told = tokio::task::spawn_blocking(move || {
        let mut record = store.record(&app, release).ok()??;
        record.entry(number)?.told_at_ms
    });
    if !matches!(told.await, Ok(Some(_))) {
        tracing::warn!("{words}");
    }
}

async fn remember(subject: &Subject, store: &Store, ready: bool) {
    let (store, subject) = (store.clone(), subject.clone());
    let id = subject.id.clone();
    let written = tokio::task::spawn_blocking(move || {
        let _lock = store.lock()?;
        let Some(mut record) = store.record(&subject.app, subject.release)? else {
            return Ok(());
        };
        let Some(entry) = record.entry(subject.number) else { return Ok(()) };
        let before = (entry.ready_before, entry.unready);
        entry.ready_before |= ready;
        entry.unready = !ready;
        let now = (entry.ready_before, entry.unready);
        if now == before { Ok(()) } else { store.write(&record) }
    });
    if let Ok(Err(fault)) = written.await {
        tracing::warn!(instance = %id, %fault, "readiness could not be recorded");
    }
}
