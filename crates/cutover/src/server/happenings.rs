//! All that happens to all apps of a server, as one stream: what their rollouts say, and what changes in
//! what `status` shows of them. How much is open at the moment is left out, it changes all the time.

use std::collections::BTreeMap;

use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use model::admin::HoldSeen;
use model::{AppName, Offenders};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use super::bus::Notice;
use super::orders::{AppStatus, Desk};

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Happening {
    app: AppName,
    happened: Happened,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Happened {
    Said(Notice),
    Changed(Box<Changed>),
}

/// What `status` shows has changed.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "notice", rename = "status")]
struct Changed {
    status: AppStatus,
}

/// The present status of each app and what its rollout has said so far, then what follows. It ends when
/// whoever listens is too slow: asked again, it begins again.
pub(super) fn all(desks: &BTreeMap<AppName, Desk>) -> impl Stream<Item = Happening> + use<> {
    let streams: Vec<_> = desks.iter().map(|(app, desk)| of(app, desk)).collect();
    stream::select_all(streams).take_while(|one| ready(one.is_some())).filter_map(ready)
}

fn of(app: &AppName, desk: &Desk) -> BoxStream<'static, Option<Happening>> {
    let (history, notices) = desk.bus.listen();
    let mut status = desk.status.clone();
    // What is there now is told as a change.
    status.mark_changed();
    let listener = Listener { notices, status, shown: None };
    let said = stream::iter(history).map(|notice| Some(Happened::Said(notice)));
    let first = stream::unfold(listener, Listener::next);
    let app = app.clone();
    let named = move |happened: Option<Happened>| {
        happened.map(|happened| Happening { app: app.clone(), happened })
    };
    said.chain(first).map(named).boxed()
}

/// Listens to one app.
struct Listener {
    notices: broadcast::Receiver<Notice>,
    status: watch::Receiver<AppStatus>,
    /// What was told last of it.
    shown: Option<AppStatus>,
}

impl Listener {
    /// The next thing; `None` in it when some were missed.
    async fn next(mut self) -> Option<(Option<Happened>, Self)> {
        loop {
            tokio::select! {
                notice = self.notices.recv() => return match notice {
                    Ok(notice) => Some((Some(Happened::Said(notice)), self)),
                    Err(RecvError::Lagged(_)) => Some((None, self)),
                    Err(RecvError::Closed) => None,
                },
                changed = self.status.changed() => {
                    changed.ok()?;
                    let status = without_counts(&self.status.borrow_and_update());
                    if self.shown.as_ref() != Some(&status) {
                        self.shown = Some(status.clone());
                        return Some((Some(Happened::Changed(Box::new(Changed { status }))), self));
                    }
                }
            }
        }
    }
}

fn without_counts(status: &AppStatus) -> AppStatus {
    let (held, lingering) = (HoldSeen::default(), Offenders::default());
    let mut status = AppStatus { held, lingering, ..status.clone() };
    if let Some(kept) = &mut status.kept {
        kept.left_ms = None;
    }
    for pool in &mut status.pools {
        (pool.requests, pool.tunnels) = (0, 0);
    }
    status
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use futures_util::{FutureExt as _, Stream, StreamExt as _};
    use model::AppName;
    use serde_json::Value;
    use tokio::sync::{mpsc, watch};

    use super::{Happening, all};
    use crate::server::bus::{Bus, Notice};
    use crate::server::orders::{AppStatus, Desk, PoolStatus};

    fn pool(requests: u64, weight: u16) -> PoolStatus {
        let (version, state) = ("v1".to_owned(), "serving".to_owned());
        PoolStatus { version, weight, state, requests, tunnels: 0 }
    }

    async fn told(stream: &mut (impl Stream<Item = Happening> + Unpin)) -> Value {
        serde_json::to_value(stream.next().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_is_said_and_what_changes_is_told_of_every_app_and_counts_are_not() {
        let mut desks = BTreeMap::new();
        let mut apps = Vec::new();
        for name in ["a", "b"] {
            let app = AppName::new(name).unwrap();
            let (shown, status) = watch::channel(AppStatus::unknown(app.clone()));
            let bus = Arc::new(Bus::new());
            let desk = Desk { orders: mpsc::channel(1).0, bus: Arc::clone(&bus), status };
            desks.insert(app, desk);
            apps.push((shown, bus));
        }
        let mut stream = Box::pin(all(&desks));
        let (first, second) = (told(&mut stream).await, told(&mut stream).await);
        assert_ne!(first["app"], second["app"]);
        assert!([&first, &second].iter().all(|one| one["happened"]["notice"] == "status"));
        let [(a, _), (_, b)] = &apps[..] else { panic!() };
        a.send_modify(|status| status.pools = vec![pool(1, 9)]);
        let third = told(&mut stream).await;
        assert_eq!(third["app"], "a");
        assert_eq!(third["happened"]["status"]["pools"][0]["weight"], 9);
        a.send_modify(|status| status.pools = vec![pool(7, 9)]);
        assert!(stream.next().now_or_never().is_none(), "what is open is told");
        b.say(Notice::Note { at_ms: 1, text: "x".into() });
        let fourth = told(&mut stream).await;
        assert_eq!((&fourth["app"], &fourth["happened"]["notice"]), (&"b".into(), &"note".into()));
        a.send_modify(|status| status.pools = vec![pool(7, 10)]);
        assert_eq!(told(&mut stream).await["happened"]["status"]["pools"][0]["weight"], 10);
    }
}
