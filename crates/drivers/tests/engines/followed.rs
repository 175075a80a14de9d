//! Whoever follows Consul, with users: an nginx for which consul-template writes, and Fabio (both FAKES, see
//! `common/followers`; Consul and nginx are real). Who leaves only goes when the follower has been seen.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::followers::{Follower, Nginx};
use crate::common::stall::Stall;
use crate::common::{consul, haproxy, load, nginx};
use crate::contract::router::or_again;
use drivers::router::follower::{self, AppSetup, Setup};
use drivers::router::{Router, RoutesHave};
use haproxy::{app, pool, routes, wait};
use load::{App, Connection, Users};
use model::PoolState::{Retiring, Serving};
use model::{Kind, ReleaseId, Routes};
use serde_json::Value;

/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_mins(1);
const PACE: Duration = Duration::from_millis(20);

/// Where users will come in.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn driver(consul: &consul::Bed, owner: &str, entrance: SocketAddr) -> follower::Follower {
    reading(consul, owner, (entrance, "x-app-version"))
}

fn reading(consul: &consul::Bed, owner: &str, asked: (SocketAddr, &str)) -> follower::Follower {
    with(consul.consul(owner, None), asked)
}

fn with(
    consul: drivers::router::consul::Consul,
    (entrance, header): (SocketAddr, &str),
) -> follower::Follower {
    let app = AppSetup {
        name: app(),
        host: "shop.example".into(),
        path: "/".into(),
        version_header: header.into(),
    };
    follower::Follower::new(consul, Setup { entrances: vec![entrance], apps: vec![app] })
}

/// Two instances of each version.
struct Versions {
    v1: [App; 2],
    v2: [App; 2],
}

impl Versions {
    fn start() -> Self {
        Self { v1: [App::start("v1"), App::start("v1")], v2: [App::start("v2"), App::start("v2")] }
    }

    fn stable(&self) -> Routes {
        routes(vec![pool(1, 10_000, Serving, &self.v1.each_ref().map(|app| app.address))])
    }

    fn switched(&self) -> Routes {
        let v1 = pool(1, 0, Retiring, &self.v1.each_ref().map(|app| app.address));
        routes(vec![v1, self.promoted().pools.remove(0)])
    }

    fn promoted(&self) -> Routes {
        routes(vec![pool(2, 10_000, Serving, &self.v2.each_ref().map(|app| app.address))])
    }

    fn old(&self) -> u64 {
        self.v1.iter().map(App::requests).sum()
    }

    fn young(&self) -> u64 {
        self.v2.iter().map(App::requests).sum()
    }
}

/// Rounds of look, plan, act, as a controller takes them; `between` hears of each change that was done.
async fn settle_with(
    router: &follower::Follower,
    want: &Routes,
    mut between: impl FnMut(&str),
) -> RoutesHave {
    let mut last = String::new();
    let rounds = async {
        loop {
            let seen = or_again(router.look(&want.app).await, &mut last).await;
            let Some(have) = seen else { continue };
            let plan = router.plan(Some(want), &have);
            if plan.settled() {
                return have;
            }
            last = format!("{plan:#?}");
            for change in &plan.changes {
                if or_again(router.act(change, 1).await, &mut last).await.is_none() {
                    break;
                }
                between(&change.words);
            }
            tokio::time::sleep(PACE).await;
        }
    };
    let settled = tokio::time::timeout(PATIENCE, rounds).await;
    settled.unwrap_or_else(|_| panic!("never settled: {last}"))
}

async fn settle(router: &follower::Follower, want: &Routes) -> RoutesHave {
    settle_with(router, want, |_| {}).await
}

/// Until so many more were asked for.
fn more(users: &Users, n: u64) {
    let enough = users.met.asked.load(Ordering::SeqCst) + n;
    wait(|| users.met.asked.load(Ordering::SeqCst) > enough, || "no traffic".into());
}

/// Nothing but that for a while both versions answered.
fn expect_nothing_lost(users: Users) {
    let met = users.stop();
    let mut lost = met.lost.lock().unwrap().clone();
    lost.retain(|one| !one.starts_with("back from"));
    assert!(lost.is_empty(), "{lost:?}");
}

/// The instances that every follower gets.
fn named(consul: &consul::Bed) -> Vec<String> {
    let entries = consul.get("/v1/health/service/demo?passing");
    let id = |one: &Value| one["Service"]["Meta"]["cutover-instance"].as_str().unwrap().to_owned();
    let mut all: Vec<String> = entries.as_array().unwrap().iter().map(id).collect();
    all.sort();
    all
}

/// Ships v2, and sees that v1 leaves only when v2 has answered, and gets nothing when it has left.
async fn ship(router: &follower::Follower, apps: &Versions, users: &Users) -> RoutesHave {
    let mut in_time = false;
    settle_with(router, &apps.switched(), |words| {
        if words.contains("into maintenance") {
            in_time |= apps.v2.iter().all(|app| app.requests() > 0);
            assert!(in_time, "{words}, and not every new one was seen to answer");
        }
    })
    .await;
    assert!(in_time && apps.young() > 50);
    promote(router, apps, users).await
}

/// It is settled that v1 gets nothing: so it is, and it may go.
async fn promote(router: &follower::Follower, apps: &Versions, users: &Users) -> RoutesHave {
    let taken = apps.old();
    more(users, 200);
    assert_eq!(apps.old(), taken, "settled, and the old version got a request");
    settle(router, &apps.promoted()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_fabio_the_old_ones_leave_when_it_was_seen_to_follow() {
    let Some(program) = consul::program() else { return };
    let (mut consul, entrance) = (consul::Bed::start(&program, false), free());
    let _fabio = Follower::fabio(consul.http, entrance);
    let (router, apps) = (driver(&consul, "one", entrance), Versions::start());
    settle(&router, &apps.stable()).await;
    let tags = consul.get("/v1/health/service/demo")[0]["Service"]["Tags"].to_string();
    assert_eq!(tags, r#"["release-1","v1","urlprefix-/"]"#);
    router.preflight(&[app()]).await.unwrap();
    let mute = reading(&consul, "one", (entrance, "x-other")).preflight(&[app()]).await;
    let fault = mute.unwrap_err();
    assert!(
        fault.what.contains("says neither its version") && fault.kind == Kind::Config,
        "{fault}"
    );
    let users = Users::unstamped(entrance, 4);
    more(&users, 50);
    let have = ship(&router, &apps, &users).await;
    assert_eq!(have.routes.as_ref().map(|routes| routes.pools.len()), Some(1));
    wait(|| named(&consul) == ["demo-2-0", "demo-2-1"], || format!("{:?}", named(&consul)));
    // One controller at a time, and none that is older.
    let other = driver(&consul, "another", entrance);
    let change = &router.plan(Some(&apps.stable()), &have).changes[0];
    for (who, epoch, kind) in [(&other, 1, Kind::Environment), (&router, 0, Kind::Conflict)] {
        let fault = who.act(change, epoch).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault:?}");
    }
    other.unheld(&[app()]).await.unwrap_err();
    // A controller that comes back believes what is on record, and asks nobody.
    let again = driver(&consul, "one", entrance);
    let have = again.look(&app()).await.unwrap();
    assert!(again.plan(Some(&apps.promoted()), &have).settled(), "{have:?}");
    consul.crash();
    let fault = router.look(&app()).await.unwrap_err();
    assert!(fault.kind == Kind::Environment && fault.what.contains("Consul"), "{fault:?}");
    more(&users, 50);
    expect_nothing_lost(users);
}

/// What Consul has on record of the app, and at its agent.
fn everything(consul: &consul::Bed) -> (Value, Value) {
    let record = consul.tell("GET", "/v1/kv/cutover/demo/routes?raw", "", &Value::Null).unwrap();
    let record = serde_json::from_str(&record).unwrap();
    (record, consul.get("/v1/agent/services"))
}

/// A controller that stands still in the middle of a change, until its session is gone and another one has
/// taken over: what it wrote before is refused, and it finds out who has the app now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_was_overtaken_in_mid_change_changes_nothing() {
    let Some(program) = consul::program() else { return };
    let (consul, entrance) = (consul::Bed::start(&program, false), free());
    let _fabio = Follower::fabio(consul.http, entrance);
    let stall = Stall::before(consul.http);
    let slow = consul::Bed::consul_by((stall.address, None), "one", None);
    let one = with(slow, (entrance, "x-app-version"));
    let (other, apps) = (driver(&consul, "other", entrance), Versions::start());
    settle(&one, &apps.stable()).await;
    // Another one that wants nobody leaves it alone, and is not told that anything of it is its own.
    let have = other.look(&app()).await.unwrap();
    assert_eq!(have.routes, None);
    assert!(
        other.plan(None, &have).settled() && other.plan(Some(&routes(vec![])), &have).settled()
    );
    let have = one.look(&app()).await.unwrap();
    let change = one.plan(Some(&apps.switched()), &have).changes.remove(0);
    // The transaction with the record is on its way, and it stays there.
    stall.stop("/v1/txn");
    let one = std::sync::Arc::new(one);
    let acting = tokio::spawn({
        let (one, change) = (std::sync::Arc::clone(&one), change.clone());
        async move { one.act(&change, 1).await }
    });
    wait(|| stall.holds(), || "nothing was stopped".into());
    consul.end_sessions();
    settle(&other, &apps.promoted()).await;
    let before = everything(&consul);
    assert_eq!((&before.0["holder"], &before.0["lock_epoch"]), (&"other".into(), &2.into()));
    stall.go();
    wait(|| !stall.holds(), || "it does not go on".into());
    acting.await.unwrap().unwrap_err();
    assert_eq!(everything(&consul), before, "a holder of yesterday changed something");
    let fault = one.act(&change, 1).await.unwrap_err();
    assert!(fault.kind == Kind::Conflict, "its ground is gone: {fault:?}");
    let have = one.look(&app()).await.unwrap();
    let change = one.plan(Some(&apps.stable()), &have).changes.remove(0);
    let fault = one.act(&change, 1).await.unwrap_err();
    assert!(fault.what.contains("another Cutover: other on this host"), "{fault:?}");
    assert_eq!(everything(&consul), before);
    // The other one is gone, too: what it did is found out before anything is changed.
    consul.end_sessions();
    let fault = one.act(&change, 1).await.unwrap_err();
    assert!(fault.what.contains("by another Cutover meanwhile"), "{fault:?}");
    assert_eq!(everything(&consul), before);
    settle(&one, &apps.stable()).await;
    assert_eq!(everything(&consul).0["lock_epoch"], 3);
}

/// A controller that crashed has lost the connections that it kept: those of others are watched until they
/// have ended, and not for a fixed time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_comes_back_watches_the_connections_of_others() {
    let Some(program) = consul::program() else { return };
    let (consul, entrance) = (consul::Bed::start(&program, false), free());
    let _fabio = Follower::fabio(consul.http, entrance);
    let (router, apps) = (driver(&consul, "one", entrance), Versions::start());
    settle(&router, &apps.stable()).await;
    let mut idle = Connection::open(entrance).unwrap();
    idle.ask("GET", "/", "").unwrap();
    let left = loop {
        let have = router.look(&app()).await.unwrap();
        let plan = router.plan(Some(&apps.switched()), &have);
        for change in &plan.changes {
            assert!(!change.words.contains("note that"), "it is done, and should be at it");
            router.act(change, 1).await.unwrap();
        }
        if plan.changes.iter().any(|change| change.words.contains("into maintenance")) {
            break Instant::now();
        }
    };
    drop(router);
    let again = driver(&consul, "one", entrance);
    let waiting = || async {
        let have = again.look(&app()).await.unwrap();
        again.plan(Some(&apps.switched()), &have)
    };
    loop {
        let plan = waiting().await;
        assert!(plan.changes.is_empty() && !plan.waiting.is_empty(), "{plan:?}");
        if plan.waiting[0].contains("1 connections of others are older") {
            break;
        }
        assert!(left.elapsed() < Duration::from_secs(8), "{plan:?}");
        tokio::time::sleep(PACE).await;
    }
    drop(idle);
    settle(&again, &apps.switched()).await;
    assert!(left.elapsed() < Duration::from_secs(9), "the time was waited out");
}

/// A real nginx, the newest; its reloads cut nobody, and one that ends still takes a request on each
/// connection that is kept.
fn nginx(waits: &str) -> Option<Nginx> {
    let wanted = nginx::BED[2];
    Some(Nginx::start(&wanted.program()?, free(), Some(waits)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_consul_template_kept_connections_are_seen_to_have_moved_too() {
    let (Some(program), Some(nginx)) = (consul::program(), nginx("4s")) else { return };
    let consul = consul::Bed::start(&program, false);
    let _template = Follower::consul_template(consul.http, "demo", &nginx);
    let (router, apps) = (driver(&consul, "one", nginx.entrance), Versions::start());
    settle(&router, &apps.stable()).await;
    let users = Users::unstamped(nginx.entrance, 4);
    more(&users, 50);
    // Idle from before the switch until it is called done.
    let mut idle: Vec<_> = (0..4).map(|_| Connection::open(nginx.entrance).unwrap()).collect();
    for one in &mut idle {
        assert_eq!(one.ask("GET", "/", "").unwrap().body, "v1");
    }
    settle(&router, &apps.switched()).await;
    for mut one in idle {
        let answer = one.ask("GET", "/", "").map(|answer| answer.body);
        assert_ne!(answer.as_deref(), Ok("v1"), "settled, and a kept connection leads to v1");
    }
    promote(&router, &apps, &users).await;
    expect_nothing_lost(users);
}

/// Looks for a while; nothing is settled, nobody leaves unseen. What was waited for at last.
async fn stuck(router: &follower::Follower, want: &Routes) -> String {
    let (until, mut last) = (Instant::now() + Duration::from_millis(1500), String::new());
    while Instant::now() < until {
        let have = router.look(&want.app).await.unwrap();
        let plan = router.plan(Some(want), &have);
        assert!(!plan.settled(), "{have:?}");
        assert!(have.open_on(ReleaseId(1)).requests > 0, "the old version may be ended: {have:?}");
        for change in &plan.changes {
            router.act(change, 1).await.unwrap();
        }
        last = plan.waiting.join("; ");
        tokio::time::sleep(PACE).await;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_stops_keeps_its_instances_until_it_goes_on() {
    let (Some(program), Some(nginx)) = (consul::program(), nginx("1s")) else { return };
    let consul = consul::Bed::start(&program, false);
    let template = Follower::consul_template(consul.http, "demo", &nginx);
    let (router, apps) = (driver(&consul, "one", nginx.entrance), Versions::start());
    settle(&router, &apps.stable()).await;
    let users = Users::unstamped(nginx.entrance, 2);
    // It does not hear of the new version, so the old one stays in Consul's answers.
    template.hold(true);
    let waiting = stuck(&router, &apps.switched()).await;
    assert!(waiting.contains("follower to take up v2"), "{waiting}");
    assert_eq!(named(&consul), ["demo-1-0", "demo-1-1", "demo-2-0", "demo-2-1"]);
    template.hold(false);
    // It does not hear that the old one left, so that one is not called idle.
    let mut held = false;
    while !held {
        let have = router.look(&app()).await.unwrap();
        for change in &router.plan(Some(&apps.switched()), &have).changes {
            if change.words.contains("into maintenance") {
                template.hold(true);
                held = true;
            }
            router.act(change, 1).await.unwrap();
        }
        tokio::time::sleep(PACE).await;
    }
    let waiting = stuck(&router, &apps.switched()).await;
    assert!(waiting.contains("v1 still answers"), "{waiting}");
    template.hold(false);
    settle(&router, &apps.switched()).await;
    promote(&router, &apps, &users).await;
    expect_nothing_lost(users);
}
