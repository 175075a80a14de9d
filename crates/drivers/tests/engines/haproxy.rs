//! The HAProxy driver with users: what is switched, reloaded, killed and counted while they ask.
//!
//! What the driver says of it is tried in `haproxy_truth`, where it cannot work in `haproxy_trouble`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::common::haproxy;
use crate::common::load;
use drivers::router::{Drain, Open, Router};
use haproxy::{Bed, app, pool, routes, settle, settle_with, wait};
use load::{App, Connection, Met, Users, get};
use model::PoolState::{Retiring, Serving};
use model::{Pool, ReleaseId, Routes};

haproxy::on_each_haproxy!(
    a_switch_under_load_loses_nothing,
    reloads_in_every_step_lose_nothing_and_nobody_goes_back,
    a_crash_brings_the_routes_back,
    a_share_is_what_was_asked,
    a_dead_port_never_gets_a_request,
    tunnels_and_requests_are_counted_apart,
    without_backends_for_tunnels_a_drain_is_timed,
    what_may_not_be_repeated_is_not,
    a_reload_without_its_instances_is_repaired,
    hosts_and_prefixes_find_their_app,
    a_worker_that_ends_is_counted_and_passes_on,
    what_stands_by_takes_over,
);

const PATIENT: std::time::Duration = haproxy::PATIENCE;

/// Requests by which a share is measured.
const SHARED: u32 = 4000;

struct Two {
    v1: [App; 2],
    v2: [App; 2],
}

impl Two {
    fn start() -> Self {
        Self { v1: [App::start("v1"), App::start("v1")], v2: [App::start("v2"), App::start("v2")] }
    }

    fn stable(&self, weight: u16, state: model::PoolState) -> Pool {
        pool(1, weight, state, &self.v1.each_ref().map(|app| app.address))
    }

    fn candidate(&self, weight: u16) -> Pool {
        pool(2, weight, Serving, &self.v2.each_ref().map(|app| app.address))
    }

    /// The states of a blue-green rollout, in order.
    fn blue_green(&self) -> [Routes; 4] {
        [
            routes(vec![self.stable(10_000, Serving)]),
            routes(vec![self.stable(0, Serving), self.candidate(10_000)]),
            routes(vec![self.stable(0, Retiring), self.candidate(10_000)]),
            routes(vec![self.candidate(10_000)]),
        ]
    }
}

fn nothing_lost(met: &Met, at_least: u64) {
    let lost = met.lost.lock().unwrap();
    let asked = met.asked.load(Ordering::SeqCst);
    assert!(lost.is_empty(), "{} of {asked} lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    assert!(asked >= at_least, "only {asked} requests");
}

async fn idle(router: &dyn Router, release: u32, enough: impl Fn(Open) -> bool) {
    let deadline = std::time::Instant::now() + PATIENT;
    loop {
        let open = router.look(&app()).await.unwrap().open_on(ReleaseId(release));
        if enough(open) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{open:?}");
    }
}

async fn a_switch_under_load_loses_nothing(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    let [first, switched, retired, last] = apps.blue_green();
    settle(&router, &first).await;
    let users = Users::start(bed.entrance, 8, 2);
    wait(|| users.met.asked.load(Ordering::SeqCst) > 200, || "no traffic".into());
    settle(&router, &switched).await;
    settle(&router, &retired).await;
    idle(&router, 1, |open| open == Open { requests: 0, tunnels: 2 }).await;
    let taken = apps.v1.each_ref().map(App::requests);
    let more = users.met.asked.load(Ordering::SeqCst) + 400;
    wait(|| users.met.asked.load(Ordering::SeqCst) > more, || "no traffic".into());
    assert_eq!(apps.v1.each_ref().map(App::requests), taken, "a retired pool got a request");
    let met = users.stop();
    nothing_lost(&met, 600);
    assert_eq!(*met.versions.lock().unwrap(), ["v1", "v2"]);
    idle(&router, 1, |open| open == Open::default()).await;
    let have = settle(&router, &last).await;
    assert!(have.routes.unwrap().same_as(&last));
    assert!(!bed.tell("show servers state").contains("demo-1-"), "old servers are deleted");
}

async fn reloads_in_every_step_lose_nothing_and_nobody_goes_back(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    let states = apps.blue_green();
    settle(&router, &states[0]).await;
    let users = Users::start(bed.entrance, 6, 1);
    // After each different change: what was added and is not in use yet is lost each time.
    let mut done = std::collections::BTreeSet::new();
    for want in &states[..3] {
        bed.reload();
        let between = |words: &str| {
            if done.insert(words.to_owned()) {
                bed.reload();
            }
        };
        settle_with(&router, want, 1, between).await;
        bed.reload();
        let have = settle(&router, want).await;
        assert!(have.routes.unwrap().same_as(want));
    }
    idle(&router, 1, |open| open == Open { requests: 0, tunnels: 1 }).await;
    let met = users.stop();
    nothing_lost(&met, 200);
    assert_eq!(*met.versions.lock().unwrap(), ["v1", "v2"], "nobody went back");
    assert!(done.len() >= 4, "{done:?}");
}

async fn a_crash_brings_the_routes_back(program: PathBuf) {
    let (mut bed, apps) = (Bed::start(&program).await, Two::start());
    let want = routes(vec![apps.stable(7_500, Serving), apps.candidate(2_500)]);
    let before = settle_with(&bed.driver(), &want, 7, |_| {}).await;
    bed.crash();
    bed.launch();
    let router = bed.driver();
    let after = router.look(&app()).await.unwrap();
    assert_eq!((&after.routes, after.epoch), (&before.routes, 7));
    assert_ne!(after.pid, before.pid);
    assert!(router.plan(Some(&want), &after).settled());
    assert_eq!(get(bed.entrance, "/").unwrap().status, 200);
    let older = routes(vec![apps.stable(10_000, Serving)]);
    for change in router.plan(Some(&older), &after).changes {
        assert!(router.act(&change, 6).await.is_err(), "the fence is gone with the crash");
    }
}

async fn a_share_is_what_was_asked(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &routes(vec![apps.stable(7_500, Serving), apps.candidate(2_500)])).await;
    let mut connection = Connection::open(bed.entrance).unwrap();
    let mut new = 0;
    for _ in 0..SHARED {
        let answer = connection.ask("GET", "/", "").unwrap();
        assert_eq!(answer.header("x-cutover-version"), Some(answer.body.as_str()));
        let instance = answer.header("x-cutover-instance").unwrap();
        assert!(instance.starts_with(&format!("demo-{}-", &answer.body[1..])), "{instance}");
        new += u32::from(answer.body == "v2");
    }
    // Binomial: 1000 expected, standard deviation 27.4; five of them.
    assert!((863..=1137).contains(&new), "{new} of {SHARED}");
    settle(&router, &routes(vec![apps.stable(0, Serving), apps.candidate(10_000)])).await;
    let taken = apps.v1.each_ref().map(App::requests);
    for _ in 0..200 {
        assert_eq!(connection.ask("GET", "/", "").unwrap().body, "v2");
    }
    assert_eq!(apps.v1.each_ref().map(App::requests), taken);
}

async fn a_dead_port_never_gets_a_request(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &routes(vec![apps.stable(10_000, Serving)])).await;
    let users = Users::start(bed.entrance, 4, 0);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let addresses = [apps.v2[0].address, dead];
    let want = routes(vec![apps.stable(0, Serving), pool(2, 10_000, Serving, &addresses)]);
    let deadline = std::time::Instant::now() + PATIENT;
    // It goes over to the one that lives, and says that it waits for the other.
    loop {
        let have = router.look(&app()).await.unwrap();
        let plan = router.plan(Some(&want), &have);
        assert!(!plan.settled(), "a dead port is settled: {have:?}");
        let moved = have.routes.as_ref().is_some_and(|routes| routes.pools.len() == 2);
        if moved && plan.changes.is_empty() {
            assert!(plan.waiting[0].contains("demo-2-1 to pass its check"), "{:?}", plan.waiting);
            assert_eq!(have.routes.unwrap().pools[1].instances.len(), 1);
            break;
        }
        for change in &plan.changes {
            router.act(change, 1).await.unwrap();
        }
        assert!(std::time::Instant::now() < deadline, "{plan:?}");
    }
    let more = users.met.asked.load(Ordering::SeqCst) + 200;
    wait(|| users.met.asked.load(Ordering::SeqCst) > more, || "no traffic".into());
    nothing_lost(&users.stop(), 200);
    let stat = bed.tell("show stat");
    let columns: Vec<&str> = stat.lines().next().unwrap().split(',').collect();
    let at = |name: &str| columns.iter().position(|column| column.ends_with(name)).unwrap();
    let rows = stat.lines().filter(|line| line.contains(",demo-2-1,"));
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!((cells[at("stot")], cells[at("wretr")], cells[at("wredis")]), ("0", "0", "0"));
    }
}

/// A pool at weight 0 gets nothing until the others have no instance that passes its check.
async fn what_stands_by_takes_over(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &routes(vec![apps.stable(0, Serving), apps.candidate(10_000)])).await;
    let body = || get(bed.entrance, "/").unwrap().body;
    assert!((0..100).all(|_| body() == "v2"));
    assert_eq!(apps.v1.each_ref().map(App::requests), [0, 0]);
    drop(apps.v2);
    wait(|| body() == "v1", || "nobody took over".into());
}

async fn tunnels_and_requests_are_counted_apart(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    // Connections to the app are kept here, to show that idle ones are not counted either.
    let config = bed.path("00-cutover.cfg");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("option http-server-close", "http-reuse always")).unwrap();
    bed.reload();
    let router = bed.driver();
    settle(&router, &routes(vec![apps.stable(10_000, Serving)])).await;
    let mut kept: Vec<_> = (0..3).map(|_| Connection::open(bed.entrance).unwrap()).collect();
    for connection in &mut kept {
        assert_eq!(connection.ask("GET", "/", "").unwrap().status, 200);
    }
    let mut tunnels: Vec<_> =
        (0..2).map(|_| Connection::upgrade(bed.entrance).unwrap().0).collect();
    for tunnel in &mut tunnels {
        tunnel.echo("hello").unwrap();
    }
    let conn = bed.tell("show servers conn cutover_demo_a");
    assert!(conn.lines().any(|line| line.contains("demo-1-")), "{conn}");
    let open = router.look(&app()).await.unwrap().open_on(ReleaseId(1));
    assert_eq!(open, Open { requests: 0, tunnels: 2 }, "idle connections are no requests");
    let each = router.look(&app()).await.unwrap().instances;
    assert_eq!(
        each.values().map(|open| (open.requests, open.tunnels)).collect::<Vec<_>>(),
        [(0, 1); 2]
    );
    let entrance = bed.entrance;
    let slow = std::thread::spawn(move || get(entrance, "/slow?400").unwrap().status);
    idle(&router, 1, |open| open == Open { requests: 1, tunnels: 2 }).await;
    assert_eq!(slow.join().unwrap(), 200);
    tunnels.into_iter().for_each(Connection::close);
    idle(&router, 1, |open| open == Open::default()).await;
    let total = router.look(&app()).await.unwrap().totals[&ReleaseId(1)].clone();
    assert_eq!((total.requests, total.tunnels, total.answers[1], total.answers[0]), (4, 2, 4, 2));
}

/// A configuration that sends upgrades where requests go: it works, and says what it cannot tell.
async fn without_backends_for_tunnels_a_drain_is_timed(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    assert_eq!(router.preflight(&[app()]).await.unwrap(), []);
    let edit = |name: &str, change: &dyn Fn(&str) -> String| {
        let text = std::fs::read_to_string(bed.path(name)).unwrap();
        std::fs::write(bed.path(name), change(&text)).unwrap();
    };
    edit("cutover-demo.cfg", &|text| {
        let sections = text.split("\nbackend ").filter(|one| !one.contains("_ws from"));
        sections.collect::<Vec<_>>().join("\nbackend ")
    });
    edit("00-cutover.cfg", &|text| {
        let lines = text.lines().filter(|line| !line.contains("_ws\""));
        lines.collect::<Vec<_>>().join("\n") + "\n"
    });
    bed.reload();
    settle(&router, &routes(vec![apps.stable(10_000, Serving)])).await;
    assert_eq!(router.can().drain, Drain::Timed);
    let found = router.preflight(&[app()]).await.unwrap();
    assert!(found.iter().any(|one| one.setting.contains("for upgrades")), "{found:?}");
    let (mut tunnel, _) = Connection::upgrade(bed.entrance).unwrap();
    tunnel.echo("hello").unwrap();
    let have = router.look(&app()).await.unwrap();
    let by_instance: u64 = have.instances.values().map(|open| open.requests).sum();
    assert_eq!((have.open_on(ReleaseId(1)), by_instance), (Open { requests: 1, tunnels: 0 }, 1));
    let want = routes(vec![apps.stable(0, Retiring), apps.candidate(10_000)]);
    assert!(settle(&router, &want).await.routes.unwrap().same_as(&want));
    assert_eq!(get(bed.entrance, "/").unwrap().body, "v2");
    tunnel.close();
    idle(&router, 1, |open| open == Open::default()).await;
    let last = routes(vec![apps.candidate(10_000)]);
    settle(&router, &last).await;
    assert!(!bed.tell("show servers state").contains("demo-1-"), "old servers are deleted");
}

async fn what_may_not_be_repeated_is_not(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    settle(&bed.driver(), &routes(vec![apps.stable(10_000, Serving)])).await;
    let taken = |method: &str| -> u64 {
        let of = |app: &App| app.taken.lock().unwrap().get(method).copied().unwrap_or(0);
        apps.v1.iter().map(of).sum()
    };
    let ask = |method: &str| {
        let more = "Connection: close\r\nContent-Length: 0\r\n";
        Connection::open(bed.entrance).unwrap().ask(method, "/drop", more).unwrap().status
    };
    assert_eq!((ask("POST"), taken("POST")), (502, 1), "a POST was sent twice");
    assert_eq!((ask("PATCH"), taken("PATCH")), (502, 1));
    assert_eq!((ask("GET"), taken("GET")), (502, 4), "a GET was not tried again");
}

async fn a_reload_without_its_instances_is_repaired(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.plain_driver();
    let old = std::fs::read_to_string(bed.path("cutover-demo.cfg")).unwrap();
    let want = routes(vec![apps.stable(10_000, Serving)]);
    settle(&router, &want).await;
    let before = router.look(&app()).await.unwrap();
    // Somebody puts yesterday's file back and reloads.
    std::fs::write(bed.path("cutover-demo.cfg"), old).unwrap();
    bed.reload();
    let have = router.look(&app()).await.unwrap();
    assert_ne!(have.pid, before.pid);
    assert_eq!(
        have.routes.as_ref().unwrap().pools[0].instances,
        [],
        "what is not there is not said"
    );
    assert_eq!(get(bed.entrance, "/").unwrap().status, 503);
    let repaired = settle(&router, &want).await;
    assert!(repaired.routes.unwrap().same_as(&want));
    assert_eq!(get(bed.entrance, "/").unwrap().body, "v1");
    bed.reload();
    assert_eq!(get(bed.entrance, "/").unwrap().body, "v1", "and the next reload finds them");
}

async fn hosts_and_prefixes_find_their_app(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &routes(vec![apps.stable(10_000, Serving)])).await;
    let mut other = routes(vec![apps.candidate(10_000)]);
    other.app = model::AppName::new("demo-1").unwrap();
    other.path_prefix = "/shop".into();
    settle(&router, &other).await;
    let body = |path: &str| get(bed.entrance, path).unwrap().body;
    let seen = ["/", "/shop", "/shop/x?y", "/shopping", "/x/shop"].map(body);
    assert_eq!(seen, ["v1", "v2", "v2", "v1", "v1"]);
    other.hosts = vec!["shop.example".into(), "other.example".into()];
    other.path_prefix = "/".into();
    settle(&router, &other).await;
    let ask = |host: &str| {
        let mut connection = Connection::open(bed.entrance).unwrap();
        let head = format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        connection.send(&head).unwrap();
        connection.receive().unwrap().body
    };
    let seen = ["Shop.Example:80", "other.example", "third.example", "*"].map(ask);
    assert_eq!(seen, ["v2", "v2", "v1", "v1"]);
    let mut gone = routes(vec![]);
    gone.hosts = vec!["nobody.example".into()];
    settle(&router, &gone).await;
    assert_eq!(ask("third.example"), "no app here");
    assert_eq!(ask("nobody.example"), "no release serves");
}

/// After a reload, connections of users may stay with the old worker. What is open there counts, and
/// what they ask there goes where it should.
async fn a_worker_that_ends_is_counted_and_passes_on(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    let [first, _, retired, _] = apps.blue_green();
    settle(&router, &first).await;
    let mut kept = Connection::open(bed.entrance).unwrap();
    assert_eq!(kept.ask("GET", "/", "").unwrap().body, "v1");
    let (mut tunnel, _) = Connection::upgrade(bed.entrance).unwrap();
    tunnel.echo("before").unwrap();
    let worker = bed.worker();
    bed.reload();
    assert_ne!(bed.worker(), worker);
    assert_eq!(router.look(&app()).await.unwrap().open_on(ReleaseId(1)).tunnels, 1);
    let plain = bed.plain_driver();
    let unknown = plain.look(&app()).await.unwrap().open_on(ReleaseId(1));
    assert_eq!(unknown, Open { requests: 1, tunnels: 1 }, "what cannot be seen is not called idle");
    settle(&router, &retired).await;
    let answer = kept.ask("GET", "/", "").unwrap();
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("v2", Some("close")));
    tunnel.echo("after").unwrap();
    tunnel.close();
    idle(&router, 1, |open| open == Open::default()).await;
    let alone = std::time::Instant::now() + PATIENT;
    while plain.look(&app()).await.unwrap().open_on(ReleaseId(1)) != Open::default() {
        assert!(std::time::Instant::now() < alone, "the old worker never ends");
    }
}
