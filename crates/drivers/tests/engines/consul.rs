//! HAProxy that follows Consul, with users: what is switched, reloaded and killed while they ask, who may
//! change anything, and what is refused before anything is touched.
//!
//! HAProxy with servers that it is told is in `haproxy`; instances that others register are in
//! `discovered`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::authority::Authority;
use crate::common::consul;
use crate::common::haproxy;
use crate::common::load;
use drivers::router::Router;
use drivers::router::consul::{Consul, Setup, Token};
use drivers::router::haproxy::HaProxy;
use haproxy::{app, pool, routes, settle, wait};
use load::{App, Users, get};
use model::PoolState::{Retiring, Serving};
use model::{Kind, ReleaseId, Secure};
use serde_json::Value;

haproxy::on_each_haproxy!(
    a_rollout_under_load_loses_nothing_although_consul_is_killed,
    one_of_four_gets_a_quarter_and_everybody_is_reached,
    an_instance_that_consul_forgets_for_a_moment_goes_on_serving,
    who_gets_a_place_that_was_left_by_hand_is_in_use_after_a_reload,
);

/// A Consul, a HAProxy that follows it, and the driver of both; `None` without them.
async fn beds(program: &Path) -> Option<(consul::Bed, haproxy::Bed, HaProxy)> {
    let consul = consul::Bed::start(&consul::program()?, false);
    let haproxy = haproxy::Bed::following(program, Some(consul.discovery())).await;
    let driver = haproxy.driver().following(Arc::new(consul.consul("one", None)));
    Some((consul, haproxy, driver))
}

/// Kept, fresh and slow requests and tunnels in a blue-green rollout. HAProxy is reloaded and Consul
/// killed and started in the middle of each of its steps.
async fn a_rollout_under_load_loses_nothing_although_consul_is_killed(program: PathBuf) {
    let Some((mut consul, haproxy, router)) = beds(&program).await else { return };
    let (v1, v2) = ([App::start("v1"), App::start("v1")], [App::start("v2"), App::start("v2")]);
    let stable = |weight, state| pool(1, weight, state, &v1.each_ref().map(|app| app.address));
    let candidate = pool(2, 10_000, Serving, &v2.each_ref().map(|app| app.address));
    settle(&router, &routes(vec![stable(10_000, Serving)])).await;
    let users = Users::start(haproxy.entrance, 8, 2);
    let more = |n: u64| {
        let enough = users.met.asked.load(Ordering::SeqCst) + n;
        wait(|| users.met.asked.load(Ordering::SeqCst) > enough, || "no traffic".into());
    };
    more(100);
    let steps = [
        routes(vec![stable(0, Serving), candidate.clone()]),
        routes(vec![stable(0, Retiring), candidate.clone()]),
        routes(vec![candidate]),
    ];
    for (n, want) in steps.iter().enumerate() {
        consul.crash();
        let fault = router.look(&app()).await.unwrap_err();
        assert!(fault.kind == Kind::Environment && fault.what.contains("Consul"), "{fault:?}");
        more(50);
        consul.launch();
        haproxy.reload();
        settle(&router, want).await;
        if n == 0 {
            // From the moment that this is called settled.
            for _ in 0..50 {
                assert_eq!(get(haproxy.entrance, "/").unwrap().body, "v2");
            }
        }
        more(50);
    }
    // Only what is open in tunnels is left on the old release, and nothing of it is at Consul.
    let deadline = Instant::now() + haproxy::PATIENCE;
    while router.look(&app()).await.unwrap().open_on(ReleaseId(1)).requests > 0 {
        assert!(Instant::now() < deadline, "{:?}", router.look(&app()).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let taken: u64 = v1.iter().map(App::requests).sum();
    more(200);
    assert_eq!(v1.iter().map(App::requests).sum::<u64>(), taken, "a retired pool got a request");
    let met = users.stop();
    let lost = met.lost.lock().unwrap().clone();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Every instance of one address is used: without `allow-dup-ip` two of them would not be.
async fn one_of_four_gets_a_quarter_and_everybody_is_reached(program: PathBuf) {
    let Some((consul, haproxy, router)) = beds(&program).await else { return };
    let (v1, v2) = ([(); 3].map(|()| App::start("v1")), App::start("v2"));
    let stable = pool(1, 7_500, Serving, &v1.each_ref().map(|app| app.address));
    let want = routes(vec![stable, pool(2, 2_500, Serving, &[v2.address])]);
    settle(&router, &want).await;
    let version = |name: &str| {
        let path = format!("/v1/health/service/demo?passing&tag={name}");
        consul.get(&path).as_array().unwrap().len()
    };
    assert_eq!((version("v1"), version("v2"), version("a"), version("b")), (3, 1, 3, 1));
    for _ in 0..800 {
        get(haproxy.entrance, "/").unwrap();
    }
    let each: Vec<u64> = v1.iter().chain([&v2]).map(App::requests).collect();
    assert_eq!(each.iter().sum::<u64>(), 800, "{each:?}");
    // 4.4 standard deviations of a share, and of a place in three.
    assert!((147..=253).contains(&each[3]), "{each:?}");
    assert!(each[..3].iter().all(|taken| (140..=260).contains(taken)), "{each:?}");
    // One that dies is no longer in Consul's answers, and nobody meets it.
    let [gone, ..] = v1;
    drop(gone);
    wait(|| version("v1") == 2, || format!("{} of v1", version("v1")));
    for _ in 0..50 {
        assert_eq!(get(haproxy.entrance, "/").unwrap().status, 200);
    }
}

/// As when Consul was just started and reads its log again: it names one that is long gone, and not yet
/// the one that serves.
async fn an_instance_that_consul_forgets_for_a_moment_goes_on_serving(program: PathBuf) {
    let Some((consul, haproxy, router)) = beds(&program).await else { return };
    let file = haproxy.path("00-cutover.cfg");
    let text = std::fs::read_to_string(&file).unwrap();
    let shipped = text.replace("hold obsolete 150ms", "hold obsolete 10s");
    assert_ne!(shipped, text);
    std::fs::write(&file, shipped).unwrap();
    haproxy.reload();
    let v1 = App::start("v1");
    settle(&router, &routes(vec![pool(1, 10_000, Serving, &[v1.address])])).await;
    let users = Users::start(haproxy.entrance, 4, 0);
    let more = |n: u64| {
        let enough = users.met.asked.load(Ordering::SeqCst) + n;
        wait(|| users.met.asked.load(Ordering::SeqCst) > enough, || "no traffic".into());
    };
    more(20);
    let services = consul.get("/v1/agent/services");
    let (ours, entry) = services.as_object().unwrap().iter().next().unwrap();
    let long_gone = serde_json::json!({
        "ID": "long-gone", "Name": entry["Service"], "Tags": entry["Tags"],
        "Address": "127.0.0.1", "Port": 1,
    });
    let tell = |path: &str, body: &Value| consul.tell("PUT", path, "", body).unwrap();
    let maintenance = |on: bool| {
        tell(&format!("/v1/agent/service/maintenance/{ours}?enable={on}"), &Value::Null);
    };
    maintenance(true);
    tell("/v1/agent/service/register", &long_gone);
    let servers = || haproxy.tell("show servers state cutover_demo_a");
    wait(|| servers().lines().any(|line| line.split(' ').nth(18) == Some("1")), servers);
    maintenance(false);
    tell("/v1/agent/service/deregister/long-gone", &Value::Null);
    more(50);
    let met = users.stop();
    let lost = met.lost.lock().unwrap().clone();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Places that HAProxy was told to leave, since DNS did not have it leave them in time, are in maintenance
/// until they are told otherwise. The next instance gets one in the instant in which its routes are published.
async fn who_gets_a_place_that_was_left_by_hand_is_in_use_after_a_reload(program: PathBuf) {
    let Some((_consul, haproxy, router)) = beds(&program).await else { return };
    let (v1, v2) = (App::start("v1"), App::start("v2"));
    let stable = pool(1, 10_000, Serving, &[v1.address]);
    settle(&router, &routes(vec![stable.clone()])).await;
    let backends = ["cutover_demo_b", "cutover_demo_b_ws"];
    for place in 1..=4 {
        for backend in backends {
            haproxy.tell(&format!("set server {backend}/place{place} state maint"));
        }
    }
    let want = routes(vec![stable, pool(2, 0, Retiring, &[v2.address])]);
    let have = router.look(&app()).await.unwrap();
    let [add, publish] = &router.plan(Some(&want), &have).changes[..] else { panic!("{have:?}") };
    router.act(add, have.epoch).await.unwrap();
    let servers = || haproxy.tell("show servers state");
    let port = v2.address.port().to_string();
    let found = |backend: &str| {
        let here = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            words.get(1) == Some(&backend) && words.get(18) == Some(&port.as_str())
        };
        servers().lines().any(here)
    };
    wait(|| backends.into_iter().all(found), servers);
    router.act(publish, have.epoch).await.unwrap();
    settle(&router, &want).await;
    // None waits for an instance that comes when nobody is there to say that it is in use.
    let forced = |line: &str| {
        let state = line.split(' ').nth(6).and_then(|state| state.parse::<u64>().ok());
        line.contains(" place") && state.is_some_and(|state| state & 1 != 0)
    };
    assert!(!servers().lines().any(forced), "{}", servers());
    haproxy.reload();
    let deadline = Instant::now() + haproxy::PATIENCE;
    while router.look(&app()).await.unwrap().routes.is_none_or(|there| !there.same_as(&want)) {
        assert!(Instant::now() < deadline, "{}", servers());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Two controllers that know nothing of each other.
#[tokio::test]
async fn one_controller_ships_and_the_other_is_refused() {
    let Some(program) = consul::program() else { return };
    let Some(theirs) = haproxy::BED.iter().find_map(|one| one.there()) else { return };
    let (mut consul, v1) = (consul::Bed::start(&program, false), App::start("v1"));
    let haproxy = haproxy::Bed::following(&theirs, Some(consul.discovery())).await;
    let named = |consul: &consul::Bed, name| {
        haproxy.driver().following(Arc::new(consul.consul(name, None)))
    };
    let (one, other) = (named(&consul, "one"), named(&consul, "other"));
    let want = routes(vec![pool(1, 10_000, Serving, &[v1.address])]);
    settle(&one, &want).await;
    let before = consul.get("/v1/agent/services");
    let have = other.look(&app()).await.unwrap();
    let plan = other.plan(None, &have);
    // Also with an epoch that is newer than any: the other's journal is not ours.
    let fault = other.act(&plan.changes[0], 1_000_000).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Environment, "{fault:?}");
    assert!(fault.what.contains("another Cutover: one on this host"), "{fault:?}");
    let refused = other.unheld(&[app()]).await.unwrap_err();
    assert_eq!(refused, fault);
    one.unheld(&[app()]).await.unwrap();
    assert_eq!(consul.get("/v1/agent/services"), before);
    // The same one after a crash, and after Consul has been away, goes on at once.
    let again = named(&consul, "one");
    settle(&again, &routes(vec![])).await;
    consul.crash();
    consul.launch();
    settle(&again, &want).await;
    // Its session is gone: the other may.
    consul.end_sessions();
    settle(&other, &routes(vec![])).await;
    let have = again.look(&app()).await.unwrap();
    let late = again.plan(Some(&want), &have).changes;
    let fault = again.act(&late[0], have.epoch).await.unwrap_err();
    assert!(fault.what.contains("another Cutover: other"), "{fault:?}");
}

/// Sessions are a right to the agent's node, whatever they are called; DNS tells of nobody whose node it may not read.
#[tokio::test]
async fn rights_are_asked_for_by_the_nodes_real_name() {
    let Some(program) = consul::program() else { return };
    let Some(theirs) = haproxy::BED.iter().find_map(|one| one.there()) else { return };
    let consul = consul::Bed::secure(&program, true);
    let haproxy = haproxy::Bed::following(&theirs, Some(consul.discovery())).await;
    let with =
        |token: &str| haproxy.driver().following(Arc::new(consul.consul("one", Some(token))));
    let node = consul.get("/v1/catalog/nodes")[0]["Node"].as_str().unwrap().to_owned();
    let of = |name: &str, more: &str| {
        let rules = "service_prefix \"\" { policy = \"write\" } key_prefix \"cutover/\" { policy = \"write\" }";
        consul.grant(name, &format!("{rules} {more}")).1
    };
    let nodes = "node_prefix \"\" { policy = \"read\" }";
    let session = |node: &str| format!("{nodes} session \"{node}\" {{ policy = \"write\" }}");
    let elsewhere = of("elsewhere", &session("cutover"));
    let fault = with(&elsewhere).preflight(&[app()]).await.unwrap_err();
    assert!(fault.what.contains("may not write a session"), "{fault:?}");
    let nodeless = of("nodeless", "session_prefix \"\" { policy = \"write\" }");
    let fault = with(&nodeless).preflight(&[app()]).await.unwrap_err();
    assert!(fault.kind == Kind::Config && fault.what.contains("read the node"), "{fault:?}");
    let here = of("here", &session(&node));
    with(&here).preflight(&[app()]).await.unwrap();
    consul.let_dns("nodeless-dns", "service_prefix \"\" { policy = \"read\" }");
    let fault = with(&here).preflight(&[app()]).await.unwrap_err();
    assert!(fault.what.contains("DNS") && fault.what.contains("read the node"), "{fault:?}");
    assert_eq!(consul.get("/v1/session/list"), serde_json::json!([]), "what was tried is gone");
}

/// Of a token and of an agent that cannot be worked with, before anything is touched.
#[tokio::test]
async fn what_cannot_be_worked_with_is_refused_and_untouched() {
    let Some(program) = consul::program() else { return };
    let Some(theirs) = haproxy::BED.iter().find_map(|one| one.there()) else { return };
    let consul = consul::Bed::secure(&program, true);
    let haproxy = haproxy::Bed::following(&theirs, Some(consul.discovery())).await;
    let with =
        |token: Option<&str>| haproxy.driver().following(Arc::new(consul.consul("one", token)));
    let policy = |name: &str, rules: &str| consul.grant(name, rules).1;
    let dns = "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
    let all = "service_prefix \"\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" } \
               session_prefix \"\" { policy = \"write\" } ";
    let weak = policy("weak", dns);
    let keyless = policy("keyless", all);
    let whole = format!("{all}key_prefix \"cutover/\" {{ policy = \"write\" }}");
    let (accessor, enough) = consul.grant("enough", &whole);
    for (token, word) in
        [(None, "session"), (Some(weak.as_str()), "session"), (Some(&keyless), "key")]
    {
        let fault = with(token).preflight(&[app()]).await.unwrap_err();
        assert!(fault.kind == Kind::Config && fault.what.contains(word), "{token:?}: {fault:?}");
        assert!(fault.help.unwrap().contains("key_prefix"));
        let shown = format!("{:?} {}", fault.notes, fault.what);
        assert!(token.is_none_or(|token| !shown.contains(token)), "the token is shown");
    }
    let services = consul.get("/v1/agent/services");
    assert_eq!(
        (services, consul.get("/v1/session/list")),
        (serde_json::json!({}), serde_json::json!([]))
    );
    let router = with(Some(&enough));
    router.preflight(&[app()]).await.unwrap();
    // One that loses its rights later: nothing is taken for gone, and why is said.
    let v1 = App::start("v1");
    let want = routes(vec![pool(1, 10_000, Serving, &[v1.address])]);
    settle(&router, &want).await;
    let rights = |policies: Value| {
        let path = format!("/v1/acl/token/{accessor}");
        let body = serde_json::json!({ "Policies": policies });
        consul.tell("PUT", &path, consul::MASTER, &body).unwrap();
    };
    rights(serde_json::json!([]));
    let fault = router.look(&app()).await.unwrap_err();
    assert!(fault.what.contains("Permission denied"), "{fault:?}");
    assert!(fault.help.unwrap().contains("service_prefix"));
    assert_eq!(get(haproxy.entrance, "/").unwrap().status, 200);
    rights(serde_json::json!([{ "Name": "enough" }]));
    settle(&router, &want).await;
    settle(&router, &routes(vec![])).await;
    consul.let_dns_read_nothing();
    let fault = with(Some(&enough)).preflight(&[app()]).await.unwrap_err();
    assert!(
        fault.what.contains("DNS") && fault.what.contains("read the service `demo`"),
        "{fault:?}"
    );
    // The same agent, whom somebody else should have certified.
    let strangers = Authority::new();
    let secure = Some(Secure { ca: Some(strangers.ca.clone()), ..Secure::default() });
    let (agent, token) = (consul.api().0, Some(Token::new(enough)));
    let doubted = Consul::new(Setup { agent, secure, token, ..Setup::local() });
    let fault =
        haproxy.driver().following(Arc::new(doubted)).preflight(&[app()]).await.unwrap_err();
    assert!(fault.kind == Kind::Config && fault.what.contains("has signed"), "{fault:?}");
    assert!(fault.help.unwrap().contains("`ca` under [router]"));
    let gone = consul::Bed::start(&program, false);
    let nobody = gone.consul("one", None);
    drop(gone);
    let router = haproxy.driver().following(Arc::new(nobody));
    let fault = router.preflight(&[app()]).await.unwrap_err();
    assert!(fault.kind == Kind::Environment && fault.what.contains("cannot be asked"), "{fault:?}");
}
