//! What the driver says of HAProxy is what HAProxy does, whoever changed it: the map, the servers, the
//! files, the counters.
//!
//! That users lose nothing meanwhile is tried in `haproxy`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use crate::common::haproxy;
use crate::common::load;
use crate::common::relay;
use drivers::router::haproxy::{Address, HaProxy};
use drivers::router::{Open, Router, RoutesHave};
use haproxy::{Bed, PATIENCE, app, pool, routes, settle, wait};
use load::{App, Connection, get};
use model::PoolState::{Retiring, Serving};
use model::{Counter, Kind, Mark, ReleaseId, Routes, Rule, Selector};

haproxy::on_each_haproxy!(
    an_edit_by_somebody_else_is_seen_and_put_back,
    servers_that_somebody_else_changed_are_mended,
    a_reload_with_another_map_is_seen_and_put_back,
    an_edit_is_put_back_also_while_a_release_is_brought_in,
    a_pool_without_a_server_that_is_up_carries_nothing,
    counters_go_on_over_a_reload_and_count_nobody_twice,
    what_users_were_answered_is_counted_once_whatever_was_tried,
    a_map_that_was_not_committed_leaves_nothing_behind,
);

struct Two {
    v1: App,
    v2: App,
}

impl Two {
    fn start() -> Self {
        Self { v1: App::start("v1"), v2: App::start("v2") }
    }

    /// v1 with all requests but those of `new`, and a rule to v2.
    fn routes(&self, new: u16) -> Routes {
        let mark = Mark::new(Selector::Header("x-canary".into()), "1").unwrap();
        let stable = pool(1, 10_000 - new, Serving, &[self.v1.address]);
        let candidate = pool(2, new, Serving, &[self.v2.address]);
        let rules = vec![Rule { mark, release: ReleaseId(2) }];
        Routes { rules, ..routes(vec![stable, candidate]) }
    }
}

/// Releases with their weights and how many of their instances get requests.
type Carried = Vec<(u32, u16, usize)>;

fn carried(have: &RoutesHave) -> Carried {
    let pools = have.routes.iter().flat_map(|routes| &routes.pools);
    pools.map(|p| (p.release.0, p.weight.basis_points(), p.instances.len())).collect()
}

fn bodies(bed: &Bed, times: usize) -> Vec<String> {
    let mut bodies: Vec<String> =
        (0..times).map(|_| get(bed.entrance, "/").map(|a| a.body).unwrap_or_default()).collect();
    bodies.sort();
    bodies.dedup();
    bodies
}

/// It is not called settled, and afterwards everything is as it was, in what is said and what is done.
async fn seen_and_put_back(bed: &Bed, router: &HaProxy, want: &Routes, what: &str) -> RoutesHave {
    let have = router.look(&app()).await.unwrap();
    assert!(!router.plan(Some(want), &have).settled(), "{what} is not seen: {have:?}");
    let before = bed.tell("show servers state");
    let back = settle(router, want).await;
    assert!(back.routes.unwrap().same_as(want), "{what}");
    assert_eq!(bodies(bed, 20), ["v1"], "{what}: {before}");
    let marked = Connection::open(bed.entrance).unwrap().ask("GET", "/", "X-Canary: 1\r\n");
    assert_eq!(marked.unwrap().body, "v2", "{what}");
    have
}

async fn an_edit_by_somebody_else_is_seen_and_put_back(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let (router, want) = (bed.driver(), apps.routes(0));
    let first = settle(&router, &want).await;
    let map = bed.path("cutover-demo.map").display().to_string();
    let as_before = vec![(1, 10_000, 1), (2, 0, 1)];
    let cases: [(&str, &[&str], Carried); 9] = [
        ("all to v2", &["set map MAP at:*/ 1:10000:v1:v2"], vec![(1, 0, 1), (2, 10_000, 1)]),
        ("none to v2", &["set map MAP at:*/ 1:0:v1:~"], vec![(1, 10_000, 1), (2, 0, 1)]),
        ("a deleted entry", &["del map MAP at:*/"], vec![]),
        ("a cleared map", &["clear map MAP"], vec![]),
        ("one more host", &["add map MAP at:a.example/ 1000001:10000:v1:v2"], as_before.clone()),
        ("a deleted rule", &["del map MAP 31.h.x-canary"], as_before.clone()),
        ("a rule elsewhere", &["set map MAP 31.h.x-canary 0:a:v1"], as_before.clone()),
        ("a lost note", &["del map MAP cutover:pool:0"], as_before.clone()),
        ("lost notes", &["del map MAP cutover:app", "del map MAP cutover:epoch"], as_before),
    ];
    for (what, commands, obeyed) in cases {
        for command in commands {
            bed.tell(&command.replace("MAP", &map));
        }
        let goes = bodies(&bed, 20);
        let have = seen_and_put_back(&bed, &router, &want, what).await;
        assert_eq!(carried(&have), obeyed, "{what}, and requests went to {goes:?}");
        assert_eq!(have.epoch, first.epoch, "{what}: the fence fell");
        let expected: &[&str] = match what {
            "all to v2" => &["v2"],
            "a deleted entry" | "a cleared map" => &["no app here"],
            _ => &["v1"],
        };
        assert_eq!(goes, expected, "{what}");
    }
    let last = router.look(&app()).await.unwrap().routes.unwrap();
    assert!(last.generation > first.routes.unwrap().generation, "a generation only grows");
}

async fn servers_that_somebody_else_changed_are_mended(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let (router, want) = (bed.driver(), apps.routes(0));
    settle(&router, &want).await;
    let worker = bed.worker();
    for (what, command) in [
        ("no weight", "set server SERVER weight 0"),
        ("a drain", "set server SERVER state drain"),
        ("maintenance", "disable server SERVER"),
        ("another address", "set server SERVER addr 127.0.0.1 port 1"),
        ("deletion", "set server SERVER state maint;del server SERVER"),
    ] {
        for backend in ["cutover_demo_a", "cutover_demo_a_ws"] {
            bed.tell(&command.replace("SERVER", &format!("{backend}/demo-1-0")));
        }
        let have = seen_and_put_back(&bed, &router, &want, what).await;
        assert_eq!(carried(&have), [(1, 10_000, 0), (2, 0, 1)], "{what}");
    }
    assert_eq!(bed.worker(), worker, "nothing of this needs a reload");
}

async fn a_reload_with_another_map_is_seen_and_put_back(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    let file = bed.path("cutover-demo.map");
    settle(&router, &apps.routes(2_500)).await;
    let yesterday = std::fs::read_to_string(&file).unwrap();
    let want = apps.routes(0);
    settle(&router, &want).await;
    let today = std::fs::read_to_string(&file).unwrap();
    let turned = today.replace("at:*/ 1:0:", "at:*/ 1:10000:");
    assert_ne!(turned, today);
    for (what, text, obeyed) in [
        ("yesterday's map", yesterday.as_str(), vec![(1, 7_500, 1), (2, 2_500, 1)]),
        ("a map with one other entry", &turned, vec![(1, 0, 1), (2, 10_000, 1)]),
        ("an empty map", "", vec![]),
    ] {
        std::fs::write(&file, text).unwrap();
        bed.reload();
        let have = seen_and_put_back(&bed, &router, &want, what).await;
        assert_eq!(carried(&have), obeyed, "{what}");
        let unknown = [1, 2].map(|release| have.open_on(ReleaseId(release)) != Open::default());
        assert_eq!(unknown, [text.is_empty(); 2], "{what}: what is not known has not ended");
        bed.reload();
        assert_eq!(bodies(&bed, 20), ["v1"], "{what}: and the next reload finds what it should");
    }
}

/// A candidate that never gets ready does not keep anybody from putting right what users obey.
async fn an_edit_is_put_back_also_while_a_release_is_brought_in(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    let stable = || pool(1, 10_000, Serving, &[apps.v1.address]);
    settle(&router, &routes(vec![stable()])).await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut want = routes(vec![stable(), pool(2, 2_500, Serving, &[dead])]);
    want.pools[0].weight = want.pools[1].weight.rest();
    let map = bed.path("cutover-demo.map").display().to_string();
    bed.tell(&format!("set map {map} at:*/ 1:0:~:~"));
    assert_eq!(bodies(&bed, 5), ["no release serves"]);
    let deadline = Instant::now() + PATIENCE;
    while bodies(&bed, 5) != ["v1"] {
        let have = router.look(&app()).await.unwrap();
        let plan = router.plan(Some(&want), &have);
        assert!(!plan.settled(), "{have:?}");
        for change in &plan.changes {
            router.act(change, 1).await.unwrap();
        }
        assert!(Instant::now() < deadline, "{plan:?}");
    }
}

async fn a_pool_without_a_server_that_is_up_carries_nothing(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    let want = apps.routes(2_500);
    settle(&router, &want).await;
    let Two { v1, v2 } = apps;
    let at = v2.address;
    drop(v2);
    let down = "srv_op_state";
    let says = || bed.tell("show servers state");
    assert!(says().contains(down));
    // HAProxy has it down after three checks.
    let is_down = || {
        let of = |line: &&str| line.contains(" cutover_demo_b ") && line.contains(" demo-2-0 ");
        let state = says();
        state.lines().find(of).is_some_and(|line| line.split(' ').nth(5) == Some("0"))
    };
    wait(is_down, says);
    let have = router.look(&app()).await.unwrap();
    assert_eq!(carried(&have), [(1, 7_500, 1), (2, 2_500, 0)], "{have:?}");
    let plan = router.plan(Some(&want), &have);
    assert!(plan.changes.is_empty() && plan.waiting[0].contains("demo-2-0 to pass its check"));
    // It is not given more, and giving it nothing waits for nobody.
    let share = |new: u16| {
        let stable = pool(1, 10_000 - new, Serving, &[v1.address]);
        routes(vec![stable, pool(2, new, Serving, &[at])])
    };
    assert!(router.plan(Some(&share(5_000)), &have).changes.is_empty());
    settle(&router, &share(0)).await;
    let mut retired = share(0);
    retired.pools[1].state = Retiring;
    settle(&router, &retired).await;
    assert_eq!(bodies(&bed, 20), ["v1"]);
}

/// What each counter has grown by, look by look: what a rollout adds up.
#[derive(Default)]
struct Growth {
    last: BTreeMap<String, u64>,
    requests: u64,
    workers: std::collections::BTreeSet<String>,
}

impl Growth {
    async fn look(&mut self, router: &HaProxy) {
        for (source, seen) in router.look(&app()).await.unwrap().counters {
            self.workers.insert(source.split('/').next().unwrap().to_owned());
            let before = self.last.insert(source.clone(), seen.requests).unwrap_or(0);
            assert!(seen.requests >= before, "{source} fell from {before}: {seen:?}");
            self.requests += seen.requests - before;
        }
    }
}

async fn counters_go_on_over_a_reload_and_count_nobody_twice(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &apps.routes(2_500)).await;
    let ask = |times: usize| (0..times).for_each(|_| drop(get(bed.entrance, "/").unwrap()));
    let taken = || apps.v1.requests() + apps.v2.requests();
    let mut growth = Growth::default();
    ask(50);
    growth.look(&router).await;
    assert_eq!((growth.requests, taken()), (50, 50));
    // A tunnel keeps the old worker alive, beside the new one and one more.
    let (mut tunnel, _) = Connection::upgrade(bed.entrance).unwrap();
    for round in 1..=2 {
        tunnel.echo("still there").unwrap();
        bed.reload();
        growth.look(&router).await;
        ask(30);
        growth.look(&router).await;
        // The tunnel is one that an app takes, too.
        assert_eq!((growth.requests, taken()), (50 + 30 * round, 50 + 30 * round + 1));
    }
    assert!(growth.workers.len() >= 3, "{:?}", growth.workers);
    tunnel.close();
    ask(10);
    growth.look(&router).await;
    assert_eq!(growth.requests, 120);
    // By release, too, as the apps took them.
    let mut by_release = BTreeMap::new();
    for seen in router.look(&app()).await.unwrap().counters.values() {
        *by_release.entry(seen.release.0).or_insert(0) += seen.requests;
    }
    assert!(by_release[&1] <= apps.v1.requests() && by_release[&2] <= apps.v2.requests());
}

/// Requests and failures of a release, as its users were answered.
async fn answered(router: &HaProxy, release: u32) -> (u64, u64) {
    let all = router.look(&app()).await.unwrap().answered;
    let of = |one: &&Counter| one.release == Some(ReleaseId(release));
    let one = all.values().find(of).unwrap();
    (one.requests, one.failed)
}

async fn what_users_were_answered_is_counted_once_whatever_was_tried(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &apps.routes(0)).await;
    let status = |path| get(bed.entrance, path).unwrap().status;
    // Every other try fails: half of them are sent again, and nobody notices.
    for _ in 0..10 {
        assert_eq!(status("/moody"), 200);
    }
    assert_eq!([status("/drop"), status("/drop")], [502; 2]);
    let (mut tunnel, _) = Connection::upgrade(bed.entrance).unwrap();
    tunnel.echo("here").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while answered(&router, 1).await != (12, 2) {
        assert!(Instant::now() < deadline, "{:?}", answered(&router, 1).await);
    }
    let have = router.look(&app()).await.unwrap();
    // What is sent again counts as a failure of a server, or in 2.6 only as one more request of it.
    let tries = &have.totals[&ReleaseId(1)];
    assert!(tries.failed > 2 || tries.requests > 13, "its servers count tries: {tries:?}");
    assert_eq!(answered(&router, 2).await, (0, 0));
    drop(tunnel);
}

async fn a_map_that_was_not_committed_leaves_nothing_behind(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let relay = relay::Relay::start(&bed.path("relay.sock"), &bed.path("admin.sock"));
    let router = HaProxy::new(Address::Unix(bed.path("relay.sock")));
    settle(&router, &apps.routes(0)).await;
    let map = bed.path("cutover-demo.map").display().to_string();
    // Versions are numbered; `entry_cnt` counts an entry once for each line that uses the map.
    let number = |word: &str| {
        let list = bed.tell("show map");
        let line = list.lines().find(|line| line.contains(&map)).unwrap();
        let said = line.split_once(word).unwrap().1.split(' ').next().unwrap();
        said.parse::<u64>().unwrap()
    };
    let entries = || bed.tell(&format!("show map {map}"));
    let (before, current) = (entries(), number("curr_ver="));
    let next = apps.routes(2_500);
    for words in ["add map @", "commit map @"] {
        relay.refuse(Some(words));
        let have = router.look(&app()).await.unwrap();
        let change = &router.plan(Some(&next), &have).changes[0];
        let fault = router.act(change, 1).await.unwrap_err();
        assert!(fault.kind == Kind::Internal && fault.what.contains("Out of memory"), "{fault:?}");
        relay.refuse(None);
        let prepared = number("next_ver=");
        assert!(prepared > number("curr_ver=") && number("curr_ver=") == current, "{words}");
        let left = bed.tell(&format!("show map @{prepared} {map}"));
        assert_eq!((left.trim(), entries()), ("", before.clone()), "{words}");
        assert_eq!(bodies(&bed, 10), ["v1"]);
    }
    let have = settle(&router, &next).await;
    assert!(have.routes.unwrap().same_as(&next));
}
