//! The tasks of a release that is followed: one that asks its source, and one for each instance that
//! checks it. They tell what they hear and decide nothing; dropped, they end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::fleet::HealthCheck;
use model::{AppName, Fault, ReleaseId, Source};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::ask::hear;
use super::heard::Heard;
use crate::platform::fleet::Condition;
use crate::platform::health::{Asks, CheckResult, check};

/// Which release.
pub(super) type Key = (AppName, ReleaseId);

/// Whoever is told what the tasks hear.
#[async_trait]
pub(super) trait Listener: Send + Sync + 'static {
    /// A source answered.
    async fn heard(self: Arc<Self>, key: &Key, heard: &Heard);
    /// A source could not be asked.
    fn lost(&self, key: &Key, fault: &Fault);
    /// How instances of a release are checked; `None` when they are not.
    fn how(&self, key: &Key) -> Option<HealthCheck>;
    /// An instance was checked; answers what became of it when that is new.
    async fn checked(
        self: Arc<Self>,
        key: &Key,
        at: SocketAddr,
        result: CheckResult,
    ) -> Option<Condition>;
}

/// Pauses after a source that could not be asked: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A task, ended on drop.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All tasks of one release.
#[derive(Debug)]
pub(super) struct Tasks {
    key: Key,
    _source: Option<Task>,
    checks: BTreeMap<SocketAddr, Task>,
}

impl Tasks {
    /// Begins to ask the source. Must be called inside the runtime.
    pub(super) fn begin(listener: &Arc<impl Listener>, key: Key, source: Option<&Source>) -> Self {
        let ask = source.map(|source| {
            let task = follow(Arc::clone(listener), key.clone(), source.clone());
            Task(tokio::spawn(task).abort_handle())
        });
        Self { key, _source: ask, checks: BTreeMap::new() }
    }

    /// Checks these, and nobody else any more.
    pub(super) fn check(&mut self, listener: &Arc<impl Listener>, whom: &BTreeSet<SocketAddr>) {
        self.checks.retain(|at, _| whom.contains(at));
        for at in whom {
            let begin = || {
                let task = keep_checking(Arc::clone(listener), self.key.clone(), *at);
                Task(tokio::spawn(task).abort_handle())
            };
            self.checks.entry(*at).or_insert_with(begin);
        }
    }
}

/// Asks the source for ever.
async fn follow(listener: Arc<impl Listener>, key: Key, source: Source) {
    let (mut place, mut pause) = (0, BACK_OFF.0);
    loop {
        match hear(&source, &mut place).await {
            Ok(heard) => {
                pause = BACK_OFF.0;
                Arc::clone(&listener).heard(&key, &heard).await;
                sleep(heard.again).await;
            }
            Err(fault) => {
                listener.lost(&key, &fault);
                sleep(pause).await;
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// Checks one instance for ever.
async fn keep_checking(listener: Arc<impl Listener>, key: Key, at: SocketAddr) {
    let Some(how) = listener.how(&key) else { return };
    let asks = how.path.clone().map_or(Asks::Connection, Asks::Path);
    loop {
        let result = check(at, &asks, &how).await;
        let words = result.words.clone();
        match Arc::clone(&listener).checked(&key, at, result).await {
            Some(Condition::Unready) => {
                let (app, n) = (&key.0, how.fall);
                tracing::warn!(%app, %at, "failed {n} checks in a row and is not ready: {words}");
            }
            Some(Condition::Ready) => tracing::info!(app = %key.0, %at, "is ready"),
            _ => {}
        }
        sleep(Duration::from_millis(how.interval_ms.max(1))).await;
    }
}
