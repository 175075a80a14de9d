//! What looking, acting and the tasks share: the releases that are followed, and their records.
//!
//! Who is told of a change looks again; nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::fleet::HealthCheck;
use model::{AppName, Change, Fault, Kind, Release};
use tokio::sync::watch;

use super::followed::Followed;
use super::heard::Heard;
use super::plan::Step;
use super::store::{Record, Store};
use super::watch::{Key, Listener, Tasks};
use crate::platform::fleet::{Condition, FleetHave, ReleaseHave};
use crate::platform::health::CheckResult;

/// The insides of the platform.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    state: Mutex<State>,
    /// Held by whoever writes a record, taken before the state: what is newer is written later.
    writing: Mutex<()>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    followed: BTreeMap<Key, (Followed, Tasks)>,
    /// Apps whose records were read.
    read: BTreeSet<AppName>,
}

impl Inner {
    pub(super) fn new(store: Store) -> Self {
        let (state, writing, news) = (Mutex::default(), Mutex::default(), watch::Sender::default());
        Self { store, state, writing, news }
    }

    /// A poisoned lock only means that a task panicked; what it guards is valid after each line.
    fn own(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all tasks.
    pub(super) fn end(&self) {
        self.own().followed.clear();
    }

    fn tell(&self) {
        self.news.send_modify(|n| *n += 1);
    }

    /// Resolves when there is a change newer than `since`.
    pub(super) async fn newer_than(&self, since: u64) {
        let mut changes = self.news.subscribe();
        // The sender lives in `self`, so this cannot fail while we wait.
        let _newest = changes.wait_for(|newest| *newest > since).await;
    }

    /// What is known of an app. Releases on record are followed from here on.
    pub(super) fn look(self: &Arc<Self>, app: &AppName) -> Result<FleetHave, Fault> {
        let change = *self.news.borrow();
        let mut state = self.own();
        if !state.read.contains(app) {
            for record in self.store.records(app)? {
                let key = (app.clone(), record.release.id);
                let followed = record.followed();
                let tasks = self.tasks(&key, &followed);
                state.followed.insert(key, (followed, tasks));
            }
            state.read.insert(app.clone());
        }
        let mut have = FleetHave {
            app: app.clone(),
            change,
            now_ms: 0,
            instances: Vec::new(),
            releases: Vec::new(),
            last_numbers: BTreeMap::new(),
            free_ports: Vec::new(),
        };
        for ((_, _), (followed, _)) in state.followed.iter().filter(|((of, _), _)| of == app) {
            have.instances.extend(followed.instances());
            have.releases.push(ReleaseHave {
                release: followed.release.clone(),
                crashes: 0,
                unstarted: 0,
                not_before_ms: 0,
                last_crash: Vec::new(),
                discovered: Some(followed.discovered()),
            });
        }
        Ok(have)
    }

    fn tasks(self: &Arc<Self>, key: &Key, followed: &Followed) -> Tasks {
        let mut tasks = Tasks::begin(self, key.clone(), followed.release.source.as_ref());
        tasks.check(self, &followed.to_check());
        tasks
    }

    /// Takes one step. Blocks on the disk; must be called inside the runtime.
    pub(super) fn act(self: &Arc<Self>, change: &Change, epoch: u64) -> Result<(), Fault> {
        let step = Step::read(change)?;
        let _first = self.writes();
        let mut state = self.own();
        self.store.admit(epoch)?;
        match step {
            Step::Follow { release } => self.follow(&mut state, *release, change)?,
            Step::LetGo { app, release } => {
                let found = state.followed.get_mut(&(app, release));
                let (followed, tasks) =
                    found.filter(|(of, _)| !of.let_go).ok_or_else(|| not_so(change))?;
                followed.let_go = true;
                if let Err(fault) = self.store.write(&Record::of(followed)) {
                    followed.let_go = false;
                    return Err(fault);
                }
                tasks.check(self, &BTreeSet::new());
            }
            Step::Forget { app, release } => {
                let key = (app, release);
                let found = state.followed.get(&key).map(|(of, _)| of.discovered());
                if found.is_none_or(|of| !of.let_go || !of.left.is_empty()) {
                    return Err(not_so(change));
                }
                self.store.forget(&key.0, key.1)?;
                state.followed.remove(&key);
            }
        }
        drop(state);
        self.tell();
        Ok(())
    }

    fn follow(
        self: &Arc<Self>,
        state: &mut State,
        release: Release,
        change: &Change,
    ) -> Result<(), Fault> {
        let key = (release.app.clone(), release.id);
        let mut followed = match state.followed.get(&key) {
            Some((followed, _)) if !followed.let_go => return Err(not_so(change)),
            Some((followed, _)) => Followed::new((release, true), followed.known()),
            None => Followed::new((release, true), []),
        };
        followed.take_up();
        self.store.write(&Record::of(&followed))?;
        let tasks = self.tasks(&key, &followed);
        state.read.insert(key.0.clone());
        state.followed.insert(key, (followed, tasks));
        Ok(())
    }

    /// Changes what is known; when it says that something did change, that is on record before anybody
    /// is told.
    async fn change(
        self: &Arc<Self>,
        key: &Key,
        change: impl FnOnce(&mut Followed) -> bool + Send,
    ) {
        {
            let mut state = self.own();
            let Some((followed, tasks)) = state.followed.get_mut(key) else { return };
            if !change(followed) {
                return;
            }
            tasks.check(self, &followed.to_check());
        }
        let (inner, key) = (Arc::clone(self), key.clone());
        let written = tokio::task::spawn_blocking(move || {
            let _first = inner.writes();
            let record = inner.own().followed.get(&key).map(|(followed, _)| Record::of(followed));
            record.map_or(Ok(()), |record| inner.store.write(&record))
        });
        if let Ok(Err(fault)) = written.await {
            tracing::warn!(%fault, "who was found could not be recorded");
        }
        self.tell();
    }
}

#[async_trait]
impl Listener for Inner {
    async fn heard(self: Arc<Self>, key: &Key, heard: &Heard) {
        self.change(key, |followed| {
            let before = (followed.known().collect::<Vec<_>>(), followed.discovered());
            followed.hear(heard);
            before != (followed.known().collect(), followed.discovered())
        })
        .await;
    }

    fn lost(&self, key: &Key, fault: &Fault) {
        if let Some((followed, _)) = self.own().followed.get_mut(key) {
            let before = followed.discovered().trouble;
            followed.lost(&fault.what);
            // Once, however long it is away.
            if followed.discovered().trouble != before {
                tracing::warn!(app = %key.0, "{fault}");
            }
        }
        self.tell();
    }

    fn how(&self, key: &Key) -> Option<HealthCheck> {
        self.own().followed.get(key).map(|(followed, _)| followed.how().clone())
    }

    async fn checked(
        self: Arc<Self>,
        key: &Key,
        at: SocketAddr,
        result: CheckResult,
    ) -> Option<Condition> {
        let mut now = None;
        self.change(key, |followed| {
            now = followed.checked(at, result);
            now.is_some()
        })
        .await;
        now
    }
}

fn not_so(change: &Change) -> Fault {
    let what =
        format!("`{}` is not done: not so any more that {}", change.words, change.expected_before);
    Fault::new(Kind::Conflict, what)
}
