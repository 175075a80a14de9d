//! What others are told, by a bus that speaks and a socket that listens.
//!
//! Which rollouts really say so is not tried here, but end to end in `hooks`.

use std::sync::Arc;
use std::time::Duration;

use model::{AppName, Entered, Outcome, Phase, Post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::super::post::tests::converse;
use super::begin;
use crate::config::{NotifyConfig, Told};
use crate::server::bus::{Bus, Ended, Notice};
use crate::server::orders::{AppStatus, Desk};
use crate::store::Store;

/// A receiver that answers so, one after the other and the last for ever, and what it was sent.
async fn receiver(answers: &'static [&'static str]) -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let (sender, got) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let request = converse(stream, answers[n.min(answers.len() - 1)]).await;
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            if sender.send(serde_json::from_str(body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, got)
}

fn wants(url: String, events: &[Told]) -> NotifyConfig {
    let to = Post { url, token_from: None, ca: None };
    NotifyConfig { to, events: events.to_vec(), timeout: Duration::from_secs(5) }
}

fn began(run: &str) -> Notice {
    let (from, to) = (Some("v1".to_owned()), "v2".to_owned());
    Notice::Began { run: run.to_owned(), from, to, began_unix_ms: 1 }
}

fn entered(phase: Phase, at_ms: u64) -> Notice {
    Notice::Phase(Entered { phase, at_ms, why: format!("{phase} it is") })
}

fn ended(run: &str, outcome: Outcome) -> Notice {
    Notice::Ended(Ended {
        run: run.to_owned(),
        at_ms: 9_000,
        outcome,
        verdict: None,
        why: "because".to_owned(),
        users_on: Some("v2".to_owned()),
        report: false,
    })
}

struct Stage {
    app: AppName,
    bus: Arc<Bus>,
    desk: Desk,
    shown: watch::Sender<AppStatus>,
    store: Arc<Store>,
    _directory: tempfile::TempDir,
}

fn stage() -> Stage {
    let app = AppName::new("shop").unwrap();
    let (shown, status) = watch::channel(AppStatus::unknown(app.clone()));
    let bus = Arc::new(Bus::new());
    let desk = Desk { orders: mpsc::channel(1).0, bus: Arc::clone(&bus), status };
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path()).unwrap());
    Stage { app, bus, desk, shown, store, _directory: directory }
}

async fn next(got: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    timeout(Duration::from_secs(10), got.recv()).await.expect("in time").unwrap()
}

#[tokio::test]
async fn each_thing_that_happens_is_told_once_to_whoever_wants_it() {
    let (url, mut all) = receiver(&["200 OK"]).await;
    let (other, mut ends) = receiver(&["200 OK"]).await;
    let Stage { app, bus, desk, shown, store, .. } = &stage();
    // An earlier rollout, told by whoever saw it end.
    bus.say(began("old"));
    bus.say(ended("old", Outcome::Aborted));
    let receivers = [wants(url, &Told::ALL), wants(other, &[Told::Finished, Told::Failed])];
    begin(&receivers, [(app, desk)].into_iter(), store);
    bus.say(began("new"));
    let first = next(&mut all).await;
    assert_eq!((&first["event"], &first["run"]), (&"started".into(), &"new".into()), "{first}");
    assert_eq!((&first["schema"], &first["kind"]), (&1.into(), &"notification".into()));
    assert_eq!(
        (&first["from"], &first["to"], &first["app"]),
        (&"v1".into(), &"v2".into(), &"shop".into())
    );
    bus.say(entered(Phase::Shifting, 5));
    bus.say(entered(Phase::Baking, 6));
    let switched = next(&mut all).await;
    assert_eq!(
        (&switched["event"], &switched["why"]),
        (&"switched".into(), &"baking it is".into())
    );
    assert_eq!(switched["id"], "new/switched/6");
    for _ in 0..2 {
        shown.send_modify(|status| status.paused = Some("to look".to_owned()));
    }
    let paused = next(&mut all).await;
    assert_eq!((&paused["event"], &paused["why"]), (&"paused".into(), &"to look".into()));
    bus.say(ended("new", Outcome::Promoted));
    let end = next(&mut all).await;
    assert_eq!((&end["event"], &end["users_on"]), (&"finished".into(), &"v2".into()), "{end}");
    assert_eq!(next(&mut ends).await["event"], "finished", "and nothing before it");
    assert!(all.try_recv().is_err() && ends.try_recv().is_err());
}

#[tokio::test]
async fn a_rollout_that_goes_on_is_told_again_and_one_that_refuses_is_asked_again() {
    let (url, mut got) = receiver(&["503 Busy", "200 OK"]).await;
    let Stage { app, bus, desk, shown, store, .. } = &stage();
    bus.say(began("on"));
    shown.send_modify(|status| status.rollout = Some(("on".into(), "v2".into(), Phase::Starting)));
    begin(&[wants(url, &Told::ALL)], [(app, desk)].into_iter(), store);
    // Nobody waits for it: all of this is said before anything is delivered.
    bus.say(ended("on", Outcome::Stuck));
    let (refused, again, end) = (next(&mut got).await, next(&mut got).await, next(&mut got).await);
    assert_eq!((&refused["event"], &refused["id"]), (&"started".into(), &again["id"]));
    assert_eq!(end["event"], "failed");
}

/// What was delivered is not sent again, what was not is, under the same id: one `up` after another on one journal.
#[test]
fn what_an_earlier_server_did_not_deliver_is_delivered_by_the_next() {
    let server = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outside = tokio::runtime::Runtime::new().unwrap();
    let answers = &["200 OK", "503 Busy", "503 Busy", "200 OK"];
    let (url, mut got) = outside.block_on(receiver(answers));
    let Stage { app, store, .. } = &stage();
    let begun = || {
        let stage = stage();
        let on = Some(("on".into(), "v2".into(), Phase::Starting));
        stage.shown.send_modify(|status| status.rollout = on);
        stage.bus.say(began("on"));
        begin(&[wants(url.clone(), &Told::ALL)], [(app, &stage.desk)].into_iter(), store);
        stage.bus.say(ended("on", Outcome::Stuck));
        stage
    };
    let refused = server().block_on(async {
        let _stage = begun();
        assert_eq!(next(&mut got).await["event"], "started");
        next(&mut got).await
    });
    // It is dead now: nothing of it goes on.
    assert_eq!((&refused["event"], &refused["id"]), (&"failed".into(), &"on/failed".into()));
    server().block_on(async {
        let _stage = begun();
        for _ in 0..2 {
            assert_eq!(next(&mut got).await, refused, "what was delivered is sent again");
        }
    });
}
