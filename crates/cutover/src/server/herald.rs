//! Tells others what happens to rollouts: a JSON document for each event, by POST.
//!
//! It listens as anybody may, and nobody waits for it. After a restart a rollout that goes on is told from its
//! beginning, and the end of one that ended lately: under the same ids, so that `courier`, which delivers, knows
//! what it had before. What nobody had seen, such as a pause that was over by then, is not told later.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{AppName, Outcome, Phase};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::bus::{Ended, Notice};
use super::courier::{Courier, LIFETIME_MS, Tiding};
use super::orders::{AppStatus, Desk};
use crate::clock;
use crate::config::{NotifyConfig, Told};
use crate::store::Store;

/// Begins to tell. Ends when the apps' controllers do.
pub(super) fn begin<'a>(
    receivers: &[NotifyConfig],
    desks: impl Iterator<Item = (&'a AppName, &'a Desk)>,
    store: &Arc<Store>,
) {
    let couriers: Arc<[_]> = Courier::all(receivers, store).into();
    if couriers.is_empty() {
        return;
    }
    for (app, desk) in desks {
        let (history, notices) = desk.bus.listen();
        let status = desk.status.clone();
        let mut herald = Herald::new(app.clone(), Arc::clone(&couriers));
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let on = status.borrow().rollout.is_some() || !ended(&history);
            // What ended long ago was told by whoever saw it end, or nobody waits for it any more.
            if on || ended_lately(&store, &herald.app) {
                for notice in &history {
                    herald.hear(notice);
                }
            }
            herald.follow(notices, status).await;
        });
    }
}

fn ended(history: &[Notice]) -> bool {
    history.last().is_none_or(|last| matches!(last, Notice::Ended(_)))
}

/// The last rollout of an app ended while a notification of it could still be on its way.
fn ended_lately(store: &Store, app: &AppName) -> bool {
    let last = store.past(Some(app), 1).ok().and_then(|past| past.into_iter().next());
    last.is_some_and(|past| {
        let at = past.began_unix_ms.saturating_add(past.took_ms);
        clock::unix_ms().saturating_sub(at) < LIFETIME_MS
    })
}

/// Listens to one app.
struct Herald {
    app: AppName,
    couriers: Arc<[Courier]>,
    run: String,
    from: Option<String>,
    to: String,
    /// A pause that was told.
    paused: Option<String>,
    /// Ids of what was told of this run.
    told: BTreeSet<String>,
}

impl Herald {
    fn new(app: AppName, couriers: Arc<[Courier]>) -> Self {
        let (run, from, to) = (String::new(), None, String::new());
        Self { app, couriers, run, from, to, paused: None, told: BTreeSet::new() }
    }

    async fn follow(
        &mut self,
        mut notices: broadcast::Receiver<Notice>,
        mut status: watch::Receiver<AppStatus>,
    ) {
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Ok(notice) => self.hear(&notice),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(app = %self.app, missed, "notices were missed, they are not told");
                    }
                    Err(RecvError::Closed) => return,
                },
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let why = status.borrow_and_update().paused.clone();
                    self.pause(why);
                }
            }
        }
    }

    fn hear(&mut self, notice: &Notice) {
        match notice {
            Notice::Began { run, from, to, .. } => {
                (self.run, self.from, self.to) = (run.clone(), from.clone(), to.clone());
                (self.paused, self.told) = (None, BTreeSet::new());
                self.tell(Told::Started, 0, json!({}));
            }
            Notice::Phase(entered) if entered.phase == Phase::Baking => {
                self.tell(Told::Switched, entered.at_ms, json!({ "why": entered.why }));
            }
            Notice::Ended(ended) if ended.run == self.run => self.end(ended),
            Notice::Phase(_)
            | Notice::Live(_)
            | Notice::Note { .. }
            | Notice::Change(_)
            | Notice::Hook(_)
            | Notice::Ended(_) => {}
        }
    }

    fn end(&mut self, ended: &Ended) {
        let told = match ended.outcome {
            Outcome::Promoted => Told::Finished,
            Outcome::Stuck => Told::Failed,
            Outcome::Aborted | Outcome::None => Told::Aborted,
        };
        let Ended { outcome, verdict, why, users_on, .. } = ended;
        let more =
            json!({ "outcome": outcome, "verdict": verdict, "why": why, "users_on": users_on });
        // It ends once: whoever recalls it later tells the same.
        self.say(told, format!("{}/{}", self.run, told.name()), more);
    }

    fn pause(&mut self, why: Option<String>) {
        let again = self.paused == why;
        self.paused.clone_from(&why);
        if let Some(why) = why.filter(|_| !again) {
            // No event of the bus says when: each pause has another reason, or a time between.
            let now = clock::unix_ms();
            self.tell(Told::Paused, now, json!({ "why": why }));
        }
    }

    fn tell(&mut self, told: Told, at_ms: u64, more: Value) {
        self.say(told, format!("{}/{}/{at_ms}", self.run, told.name()), more);
    }

    fn say(&mut self, told: Told, id: String, more: Value) {
        if !self.told.insert(id.clone()) {
            return;
        }
        let mut body = json!({
            "schema": 1,
            "kind": "notification",
            "id": id,
            "event": told.name(),
            "app": self.app,
            "run": self.run,
            "from": self.from,
            "to": self.to,
            "at_unix_ms": clock::unix_ms(),
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let tiding = Tiding { told, id, body };
        for courier in self.couriers.iter() {
            courier.take(&tiding);
        }
    }
}

#[cfg(test)]
#[path = "herald_tests.rs"]
mod tests;
