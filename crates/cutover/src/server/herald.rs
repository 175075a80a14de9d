//! Tells others what happens to rollouts: a JSON document for each event, by POST.
//!
//! It listens as anybody may, and nobody waits for it: what cannot be delivered is tried again for a while,
//! then given up and said so once. What happened before a restart is not told later, except of a rollout that
//! goes on: that is told again, under the same id.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{AppName, Hook, Outcome, Phase};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

use super::bus::{Ended, Notice};
use super::orders::{AppStatus, Desk};
use super::post::{self, Letter};
use crate::clock;
use crate::config::{NotifyConfig, Told};

/// Attempts at one document.
const ATTEMPTS: u32 = 5;
/// Documents that wait for one receiver; further ones are given up.
const WAITING: usize = 256;

/// Something that happened, as it is told.
#[derive(Clone, Debug)]
struct Tiding {
    told: Told,
    id: String,
    body: Value,
}

/// Begins to tell. Ends when the apps' controllers do.
pub(super) fn begin<'a>(
    receivers: &[NotifyConfig],
    desks: impl Iterator<Item = (&'a AppName, &'a Desk)>,
) {
    if receivers.is_empty() {
        return;
    }
    let couriers: Arc<[_]> = receivers.iter().map(Courier::start).collect();
    for (app, desk) in desks {
        let (history, notices) = desk.bus.listen();
        let status = desk.status.clone();
        let mut herald = Herald::new(app.clone(), Arc::clone(&couriers));
        tokio::spawn(async move {
            // What has ended was told by whoever saw it end.
            if status.borrow().rollout.is_some() || !ended(&history) {
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
        self.tell(told, ended.at_ms, more);
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
        let id = format!("{}/{}/{at_ms}", self.run, told.name());
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
        for courier in self.couriers.iter() {
            courier.take(Tiding { told, id: id.clone(), body: body.clone() });
        }
    }
}

/// Delivers to one receiver, one thing after the other.
struct Courier {
    wants: Vec<Told>,
    bag: mpsc::Sender<Tiding>,
    shown: String,
}

impl Courier {
    fn start(config: &NotifyConfig) -> Self {
        let (bag, inbox) = mpsc::channel(WAITING);
        let shown = post::shown(&config.to);
        tokio::spawn(deliver(config.clone(), inbox));
        Self { wants: config.events.clone(), bag, shown }
    }

    fn take(&self, tiding: Tiding) {
        if self.wants.contains(&tiding.told) && self.bag.try_send(tiding).is_err() {
            tracing::warn!("{} is too slow: a notification was given up", self.shown);
        }
    }
}

async fn deliver(config: NotifyConfig, mut inbox: mpsc::Receiver<Tiding>) {
    while let Some(tiding) = inbox.recv().await {
        let letter = Letter { to: config.to.clone(), body: tiding.body, key: tiding.id };
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            tokio::time::sleep(Duration::from_millis(Hook::pause_ms(attempt))).await;
            match post::send(&letter, config.timeout).await {
                Ok(_) => {
                    why.clear();
                    break;
                }
                Err(words) => why = words,
            }
        }
        if !why.is_empty() {
            tracing::warn!("a notification was given up after {ATTEMPTS} attempts: {why}");
        }
    }
}

#[cfg(test)]
#[path = "herald_tests.rs"]
mod tests;
