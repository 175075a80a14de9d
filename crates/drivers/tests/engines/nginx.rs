//! The nginx driver with users, and what it refuses.
//!
//! How its files are read and written is not tried here, but beside the code.

use std::sync::atomic::Ordering;

use crate::common::haproxy;
use crate::common::load;
use crate::common::nginx;
use drivers::router::Router;
use drivers::router::nginx::{Nginx, cuts};
use haproxy::{app, pool, routes, settle};
use load::{App, Users};
use model::PoolState::{Retiring, Serving};
use model::{Kind, ReleaseId};
use nginx::{Bed, wait};

nginx::on_each_nginx!(a_switch_under_load_loses_nothing_but_what_was_predicted);

/// Kept, fresh and slow requests and tunnels across the reloads of a blue-green rollout.
async fn a_switch_under_load_loses_nothing_but_what_was_predicted(bed: Bed) {
    let (v1, v2) = (App::start("v1"), App::start("v2"));
    let stable = |weight, state| pool(1, weight, state, &[v1.address]);
    let candidate = pool(2, 10_000, Serving, &[v2.address]);
    let router = bed.driver();
    settle(&router, &routes(vec![stable(10_000, Serving)])).await;
    let predicted = router.preflight(&[app()]).await.unwrap().iter().any(cuts);
    assert_eq!(predicted, !bed.waits);
    let users = Users::start(bed.entrance(), 8, 2);
    let more = |n: u64| {
        let enough = users.met.asked.load(Ordering::SeqCst) + n;
        wait(|| users.met.asked.load(Ordering::SeqCst) > enough, || "no traffic".into());
    };
    more(100);
    settle(&router, &routes(vec![stable(0, Serving), candidate.clone()])).await;
    // For a while both answered; it is over when that is called settled, on kept connections too.
    let taken = v1.requests();
    more(200);
    assert_eq!(v1.requests(), taken, "settled, and the old version got a request");
    let want = routes(vec![stable(0, Retiring), candidate]);
    settle(&router, &want).await;
    // Of what is open there only the tunnels are left when workers that end have seen off the rest.
    let open = async || router.look(&app()).await.unwrap().open_on(ReleaseId(1)).requests;
    let deadline = std::time::Instant::now() + nginx::PATIENCE;
    while open().await != 2 {
        assert!(std::time::Instant::now() < deadline, "{} open", open().await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let taken = v1.requests();
    more(200);
    assert_eq!(v1.requests(), taken, "a retired pool got a request");
    let met = users.stop();
    let lost = met.lost.lock().unwrap().clone();
    if bed.waits {
        assert!(lost.is_empty(), "{lost:?}");
    }
    let odd = lost.iter().find(|one| !one.starts_with("keep-alive: "));
    assert!(odd.is_none(), "nobody predicted {odd:?}");
    while open().await != 0 {
        assert!(std::time::Instant::now() < deadline, "{} open", open().await);
    }
}

/// While a worker that ends may still bring it a request, a change is not called settled, and the
/// release that is left not idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_open_by_a_worker_that_ends_counts() {
    let Some(program) = nginx::BED[2].program() else { return };
    let bed = Bed::start(program, true);
    // Longer than a busy machine takes to look.
    bed.configure(&bed.config().replace("keepalive_min_timeout 1s;", "keepalive_min_timeout 10s;"));
    let (v1, v2) = (App::start("v1"), App::start("v2"));
    let router = bed.driver();
    settle(&router, &routes(vec![pool(1, 10_000, Serving, &[v1.address])])).await;
    let mut kept = load::Connection::open(bed.entrance()).unwrap();
    assert_eq!(kept.ask("GET", "/", "").unwrap().body, "v1");
    let want = routes(vec![pool(2, 10_000, Serving, &[v2.address])]);
    let deadline = std::time::Instant::now() + nginx::PATIENCE;
    while load::get(bed.entrance(), "/").unwrap().body != "v2" {
        assert!(std::time::Instant::now() < deadline, "it is never taken up");
        for change in router.plan(Some(&want), &router.look(&app()).await.unwrap()).changes {
            router.act(&change, 1).await.unwrap();
        }
    }
    let have = router.look(&app()).await.unwrap();
    assert!(have.open_on(ReleaseId(1)).requests > 0, "{have:?}");
    assert!(!router.plan(Some(&want), &have).settled(), "{have:?}");
    let answer = kept.ask("GET", "/", "").unwrap();
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("v1", Some("close")));
    let have = settle(&router, &want).await;
    assert_eq!(have.open_on(ReleaseId(1)).requests, 0, "{have:?}");
}

/// A user whose connection was opened before the switch and has asked for nothing yet, and one who is half
/// through an upload: the worker that has them brings both to the old version, which is there for them as
/// long as a request may last. A tunnel is counted as before: once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_not_asked_yet_is_waited_for() {
    let Some(program) = nginx::BED[2].program() else { return };
    let mut bed = Bed::start(program, true);
    bed.setup.apps[0].longest_request = std::time::Duration::from_mins(10);
    let (v1, v2) = (App::start("v1"), App::start("v2"));
    let router = bed.driver();
    settle(&router, &routes(vec![pool(1, 10_000, Serving, &[v1.address])])).await;
    let open = || load::Connection::open(bed.entrance()).unwrap();
    let mut silent: Vec<_> = (0..3).map(|_| open()).collect();
    let mut upload = open();
    let head = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 6\r\n\r\nabc";
    upload.send(head).unwrap();
    let (mut tunnel, _) = load::Connection::upgrade(bed.entrance()).unwrap();
    let want =
        routes(vec![pool(1, 0, Retiring, &[v1.address]), pool(2, 10_000, Serving, &[v2.address])]);
    let left = async |router: &Nginx| {
        let have = router.look(&app()).await.unwrap();
        let told = have.detail["told_ms"].as_u64().unwrap();
        (have.open_on(ReleaseId(1)).requests, std::time::Duration::from_millis(told))
    };
    settle(&router, &want).await;
    // No worker waits for kept connections any more.
    let over = std::time::Duration::from_millis(2_500);
    let waits = loop {
        let (open, told) = left(&router).await;
        if open == 0 || told > over {
            break open;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(waits, 5, "three silent ones, an upload and a tunnel");
    // They are not waited for beyond what a request may take.
    bed.setup.apps[0].longest_request = std::time::Duration::ZERO;
    assert_eq!(left(&bed.driver()).await.0, 1);
    tunnel.echo("still there").unwrap();
    for one in &mut silent {
        let answer = one.ask("GET", "/", "").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "v1"));
    }
    upload.send("def").unwrap();
    assert_eq!(upload.receive().unwrap().status, 200);
    let deadline = std::time::Instant::now() + nginx::PATIENCE;
    while left(&router).await.0 != 1 {
        assert!(std::time::Instant::now() < deadline, "{:?}", left(&router).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tunnel.close();
    while left(&router).await.0 != 0 {
        assert!(std::time::Instant::now() < deadline, "{:?}", left(&router).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A reload of somebody else's that has read the file of before, and begins its workers when a change is
/// already written: those are old ones, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_is_under_way_is_waited_for() {
    let Some(program) = nginx::BED[2].program() else { return };
    let mut bed = Bed::installed(program, true);
    // Nginx reads both behind the files of the apps, and waits at each until somebody writes into it.
    let gates = ["first", "second"].map(|name| bed.path(name));
    for gate in &gates {
        assert!(std::process::Command::new("mkfifo").arg(gate).status().unwrap().success());
    }
    let tested = bed.path("tested.conf");
    std::fs::write(&tested, bed.config()).unwrap();
    let behind_them = "include first; include second;\n    server {\n";
    bed.configure(&bed.config().replacen("server {\n", behind_them, 1));
    let open_both = Gatekeeper::of(&gates);
    bed.launch();
    bed.setup.program.config = tested;
    let (v1, v2, router) = (App::start("v1"), App::start("v2"), bed.driver());
    settle(&router, &routes(vec![pool(1, 10_000, Serving, &[v1.address])])).await;
    let before = bed.workers();
    let written = |name: &str| std::fs::read_to_string(bed.setup.directory.join(name)).unwrap();
    let (file, record) = (written("demo.conf"), written("demo.json"));
    open_both.stop();
    bed.reload();
    wait(|| opened(&gates[0]), || "it never read its files".into());
    // It has read the file of v1, and stands at the second gate.
    let want = routes(vec![pool(2, 10_000, Serving, &[v2.address])]);
    let change = async { settle(&router, &want).await };
    let somebody_else = async {
        let deadline = std::time::Instant::now() + nginx::PATIENCE;
        while written("demo.conf") == file {
            assert!(std::time::Instant::now() < deadline, "nothing is written");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // Long enough for whoever does not wait; for whoever does, it is all the same.
        let since = std::time::Instant::now();
        while written("demo.json") == record && since.elapsed().as_millis() < 1_000 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Gatekeeper::of(&gates)
    };
    let (_, open_both) = tokio::join!(change, somebody_else);
    let told = router.look(&app()).await.unwrap().detail["record"]["told"]["workers"].clone();
    let told: Vec<u64> =
        told.as_array().unwrap().iter().map(|one| one["pid"].as_u64().unwrap()).collect();
    let foreign = told.iter().any(|pid| !before.contains(&pid.to_string()));
    assert!(foreign, "{told:?} are those of before: {before:?}");
    open_both.stop();
}

/// Opens a pipe at which somebody waits; false when nobody does.
fn opened(gate: &std::path::Path) -> bool {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    std::fs::OpenOptions::new().write(true).custom_flags(flags).open(gate).is_ok()
}

/// Opens pipes for whoever waits there.
struct Gatekeeper {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Gatekeeper {
    fn of(gates: &[std::path::PathBuf]) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (gates, stopped) = (gates.to_vec(), std::sync::Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                for gate in &gates {
                    let _whether_anybody_waits = opened(gate);
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

/// What cannot work is refused before anything is touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_refused_and_nothing_is_touched() {
    let Some(program) = nginx::BED[2].program() else { return };
    let bed = Bed::start(program, true);
    let (v1, router) = (App::start("v1"), bed.driver());
    let want = routes(vec![pool(1, 10_000, Serving, &[v1.address])]);
    settle(&router, &want).await;
    let files = || {
        let read = |name| std::fs::read_to_string(bed.setup.directory.join(name)).unwrap();
        ["demo.conf", "demo.json"].map(read)
    };
    let (before, config) = (files(), bed.config());
    let refused = async |router: &Nginx, words: &str| {
        let fault = router.preflight(&[app()]).await.unwrap_err();
        let said = format!("{fault:?}");
        assert!(said.contains(words), "{words}: {said}");
        fault.kind
    };
    // A configuration that does not pass, also in the middle of a rollout.
    bed.configure(&config.replace("events", "evnets"));
    assert_eq!(refused(&router, "evnets").await, Kind::Config);
    let have = router.look(&app()).await.unwrap();
    let change = router.plan(None, &have).changes.remove(0);
    let fault = router.act(&change, 1).await.unwrap_err();
    assert!(format!("{fault:?}").contains("evnets"), "{fault:?}");
    assert_eq!(files(), before);
    // A literal address; nothing included; no such program; a pid file that names somebody else.
    bed.configure(&config.replace("http://$cutover_demo;", "http://127.0.0.1:3000;"));
    assert_eq!(refused(&router, "literal: `proxy_pass http://127.0.0.1:3000`").await, Kind::Config);
    bed.configure(&config);
    let with = |change: &dyn Fn(&mut drivers::router::nginx::Setup)| {
        let mut setup = bed.setup.clone();
        change(&mut setup);
        Nginx::new(setup)
    };
    let elsewhere = with(&|setup| setup.control = v1.address);
    assert_eq!(refused(&elsewhere, "is not what was written for demo").await, Kind::Config);
    let none = with(&|setup| setup.program.path = "/nowhere/nginx".into());
    assert_eq!(refused(&none, "/nowhere/nginx").await, Kind::Environment);
    std::fs::write(bed.path("lie"), std::process::id().to_string()).unwrap();
    let lied_to = with(&|setup| setup.pid = bed.path("lie"));
    assert_eq!(refused(&lied_to, "no master of nginx").await, Kind::Config);
    let other = Bed::start(bed.setup.program.path.clone(), true);
    let crossed = with(&|setup| setup.pid.clone_from(&other.setup.pid));
    assert_eq!(refused(&crossed, "is not that of the pid file").await, Kind::Config);
    assert_eq!(router.preflight(&[app()]).await.unwrap(), []);
    assert_eq!((files(), load::get(bed.entrance(), "/").unwrap().body), (before, "v1".to_owned()));
}

/// The longest name that an app may have, with rules of two digits; a configuration that has no room for it
/// is refused with the lines that are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_name_is_carried() {
    let Some(program) = nginx::BED[2].program() else { return };
    let name = "a-name-of-forty-letters-takes-much-room1";
    let app = model::AppName::new(name).unwrap();
    assert!(model::AppName::new(format!("{name}2")).is_err(), "it is the longest");
    // Beside another one: nginx looks nobody up by name where there is one server.
    let mut bed = Bed::of((program, true), "cutover", &[name, "demo"]);
    bed.launch();
    let (v1, v2, router) = (App::start("v1"), App::start("v2"), bed.driver());
    let mut want =
        routes(vec![pool(1, 10_000, Serving, &[v1.address]), pool(2, 0, Serving, &[v2.address])]);
    want.app = app.clone();
    let rule = |n| model::Rule {
        mark: model::Mark::new(model::Selector::Cookie("n".into()), n).unwrap(),
        release: ReleaseId(2),
    };
    want.rules = (0..12).map(|n: u32| rule(n.to_string())).collect();
    settle(&router, &want).await;
    assert_eq!(router.preflight(std::slice::from_ref(&app)).await.unwrap(), []);
    let asked = |header: &str| {
        load::Connection::open(bed.entrance()).unwrap().ask("GET", "/", header).unwrap().body
    };
    assert_eq!((asked("Cookie: n=11\r\n"), asked("")), ("v2".to_owned(), "v1".to_owned()));
    for line in ["variables_hash_bucket_size 128;", "server_names_hash_bucket_size 128;"] {
        let whole = bed.config();
        bed.configure(&whole.replacen(line, "", 1));
        let fault = router.preflight(std::slice::from_ref(&app)).await.unwrap_err();
        assert!(fault.help.as_ref().unwrap().contains(line), "{fault:?}");
        bed.configure(&whole);
    }
}

/// Directories may be called what they like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_directories_are_included() {
    let Some(program) = nginx::BED[2].program() else { return };
    let mut bed = Bed::of((program, true), "a b;{\"\\[c]*?${d}#'é", &["demo"]);
    bed.launch();
    let (v1, router) = (App::start("v1"), bed.driver());
    settle(&router, &routes(vec![pool(1, 10_000, Serving, &[v1.address])])).await;
    assert_eq!(router.preflight(&[app()]).await.unwrap(), []);
    assert_eq!(load::get(bed.entrance(), "/").unwrap().body, "v1");
}

/// A value with what means something in a file of nginx, and in a pattern.
const HOSTILE: &str = "a\" $b;{.*\\";

/// A rule by header or cookie, and a share, are kept by what nginx really does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_shares_are_what_was_asked() {
    let Some(program) = nginx::BED[2].program() else { return };
    let bed = Bed::start(program, true);
    let (v1, v2) = (App::start("v1"), App::start("v2"));
    let mut want = routes(vec![
        pool(1, 7_500, Serving, &[v1.address]),
        pool(2, 2_500, Serving, &[v2.address]),
    ]);
    let rule = |on, value: &str, release| model::Rule {
        mark: model::Mark::new(on, value).unwrap(),
        release: ReleaseId(release),
    };
    want.rules = vec![
        rule(model::Selector::Header("x-canary".into()), "New.1", 2),
        rule(model::Selector::Cookie("a-b".into()), "x", 2),
        rule(model::Selector::Header("x-canary".into()), "old", 1),
        rule(model::Selector::Header("x-odd".into()), HOSTILE, 2),
        rule(model::Selector::Cookie("odd".into()), "a$b'(.*)|[{}", 2),
    ];
    settle(&bed.driver(), &want).await;
    let of = |header: &str, times: usize| {
        let mut client = load::Connection::open(bed.entrance()).unwrap();
        let new = (0..times).filter(|_| client.ask("GET", "/", header).unwrap().body == "v2");
        new.count()
    };
    assert_eq!((of("X-Canary: New.1\r\n", 20), of("X-Canary: old\r\n", 20)), (20, 0));
    assert_eq!(of("Cookie: z=1; a-b=x\r\n", 20), 20);
    assert_eq!(of(&format!("X-Odd: {HOSTILE}\r\n"), 20), 20);
    assert_eq!(of("Cookie: odd=a$b'(.*)|[{}\r\n", 20), 20);
    // One line of several, which our own proxy takes for one value.
    assert_eq!(of("X-Canary: other, New.1\r\n", 20), 20);
    let half = format!("X-Odd: {}\r\n", &HOSTILE[..HOSTILE.len() - 1]);
    for other in [
        half.as_str(),
        "Cookie: odd=ab\r\n",
        "X-Canary: new.1\r\n",
        "X-Canary: Newx1\r\n",
        "Cookie: a-b=xx\r\n",
        "",
    ] {
        // 4 standard deviations about a quarter.
        let new = of(other, 400);
        assert!((65..=135).contains(&new), "{other}: {new} of 400");
    }
}
