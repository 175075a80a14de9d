//! Rules on headers and cookies behind a real HAProxy: who carries the mark goes to its release, at any
//! weight, without a reload, and nobody gets an error because of a rule.
//!
//! The shares of everybody else are in `haproxy`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::haproxy;
use crate::common::load;
use drivers::router::Router;
use haproxy::{Bed, app, looks_at, pool, routes, settle, wait};
use load::{App, Connection};
use model::PoolState::{Retiring, Serving};
use model::{AppName, Mark, Pool, ReleaseId, Routes, Rule, Selector};

haproxy::on_each_haproxy!(
    marked_requests_go_to_their_release_at_any_weight_and_others_never_do,
    rules_change_under_load_and_nobody_is_refused,
    a_rule_whose_release_does_not_serve_is_void,
    a_name_that_is_not_looked_at_is_refused,
);

struct Two {
    v1: App,
    v2: App,
}

impl Two {
    fn start() -> Self {
        Self { v1: App::start("v1"), v2: App::start("v2") }
    }

    fn pools(&self, candidate: Pool) -> Vec<Pool> {
        vec![pool(1, 10_000, Serving, &[self.v1.address]), candidate]
    }

    /// v1 with all requests, v2 at weight 0, and rules.
    fn routes(&self, rules: Vec<Rule>) -> Routes {
        let pools = self.pools(pool(2, 0, Serving, &[self.v2.address]));
        Routes { rules, ..routes(pools) }
    }
}

fn rule(on: Selector, value: &str, release: u32) -> Rule {
    Rule { mark: Mark::new(on, value).unwrap(), release: ReleaseId(release) }
}

fn header(value: &str, release: u32) -> Rule {
    rule(Selector::Header("X-Canary".into()), value, release)
}

fn cookie(value: &str, release: u32) -> Rule {
    rule(Selector::Cookie("canary".into()), value, release)
}

/// Who answers a request with these header lines.
fn ask(connection: &mut Connection, lines: &str) -> String {
    let answer = connection.ask("GET", "/", lines).unwrap();
    assert_eq!(answer.status, 200, "{lines:?}: {}", answer.head);
    assert_eq!(answer.header("x-cutover-version"), Some(answer.body.as_str()));
    answer.body
}

async fn marked_requests_go_to_their_release_at_any_weight_and_others_never_do(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &apps.routes(vec![])).await;
    let worker = bed.worker();
    let rules = vec![header("old", 1), cookie("1", 2), header("new", 2), cookie("a \"b\"", 2)];
    settle(&router, &apps.routes(rules)).await;
    assert_eq!(bed.worker(), worker, "rules need no reload");
    let entrance = bed.entrance;
    let follows = |connection: &mut Connection| {
        for (lines, version) in [
            ("", "v1"),
            ("x-CANARY: new\r\n", "v2"),
            ("X-Canary: other\r\nX-Canary: new\r\n", "v2"),
            ("X-Canary: new\r\nX-Canary: other\r\n", "v2"),
            ("X-Canary: other, new\r\n", "v1"),
            ("X-Canary: newer\r\n", "v1"),
            ("X-Canary: New\r\n", "v1"),
            ("X-Canary: ~\r\n", "v1"),
            ("Cookie: a=b; canary=1\r\n", "v2"),
            ("Cookie: a=b\r\nCookie: c=d;canary=1\r\n", "v2"),
            ("Cookie: canary=\"1\"\r\n", "v1"),
            ("Cookie: canary=a \"b\"; x=y\r\n", "v2"),
            ("Cookie: xcanary=1; Canary=1\r\n", "v1"),
            ("X-Canary: old\r\nCookie: canary=1\r\n", "v1"),
        ] {
            assert_eq!([0; 5].map(|_| ask(connection, lines)), [version; 5], "{lines:?}");
        }
    };
    follows(&mut Connection::open(entrance).unwrap());
    for (lines, version) in [("", "v1"), ("Cookie: canary=1\r\n", "v2")] {
        let mut connection = Connection::open(entrance).unwrap();
        let upgrade = format!("Connection: Upgrade\r\nUpgrade: echo\r\n{lines}");
        let answer = connection.ask("GET", "/", &upgrade).unwrap();
        assert_eq!((answer.status, answer.header("x-app")), (101, Some(version)));
    }
    // A rule of another app is not this one's.
    let mut other = apps.routes(vec![header("new", 1)]);
    other.app = AppName::new("demo-1").unwrap();
    other.hosts = vec!["other.example".into()];
    settle(&router, &other).await;
    bed.reload();
    follows(&mut Connection::open(entrance).unwrap());
}

/// One that asks with the mark and one without it, while rules come and go.
async fn rules_change_under_load_and_nobody_is_refused(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &apps.routes(vec![])).await;
    let (entrance, over) = (bed.entrance, Arc::new(AtomicBool::new(false)));
    let users = |lines: &'static str| {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            let mut seen = [0_u32; 2];
            let mut connection = Connection::open(entrance).unwrap();
            while !over.load(Ordering::SeqCst) {
                seen[usize::from(ask(&mut connection, lines) == "v2")] += 1;
            }
            seen
        })
    };
    let (marked, plain) = (users("X-Canary: new\r\n"), users(""));
    for round in 0..20 {
        let (rules, version) =
            if round % 2 == 0 { (vec![header("new", 2)], "v2") } else { (vec![], "v1") };
        settle(&router, &apps.routes(rules)).await;
        let mut connection = Connection::open(entrance).unwrap();
        assert_eq!(ask(&mut connection, "X-Canary: new\r\n"), version);
    }
    over.store(true, Ordering::SeqCst);
    let (marked, plain) = (marked.join().unwrap(), plain.join().unwrap());
    assert!(marked[0] > 20 && marked[1] > 20, "{marked:?}");
    assert!(plain[0] > 100 && plain[1] == 0, "{plain:?}");
}

async fn a_rule_whose_release_does_not_serve_is_void(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    let entrance = bed.entrance;
    let marked = || ask(&mut Connection::open(entrance).unwrap(), "X-Canary: new\r\n");
    for (candidate, version) in [
        (pool(2, 0, Serving, &[apps.v2.address]), "v2"),
        (pool(2, 0, Retiring, &[apps.v2.address]), "v1"),
        (pool(2, 0, Serving, &[apps.v2.address]), "v2"),
        (pool(2, 0, Serving, &[]), "v1"),
        (pool(3, 0, Serving, &[apps.v2.address]), "v1"),
    ] {
        let want = Routes { rules: vec![header("new", 2)], ..routes(apps.pools(candidate)) };
        settle(&router, &want).await;
        assert_eq!([0; 10].map(|_| marked()), [version; 10], "{want:?}");
    }
    // Nor while its instances fail their checks.
    let candidate = pool(2, 0, Serving, &[apps.v2.address]);
    let want = Routes { rules: vec![header("new", 2)], ..routes(apps.pools(candidate)) };
    settle(&router, &want).await;
    assert_eq!(marked(), "v2");
    drop(apps.v2);
    let body = || {
        let answer = Connection::open(entrance).unwrap().ask("GET", "/", "X-Canary: new\r\n");
        answer.map(|answer| answer.body).unwrap_or_default()
    };
    wait(|| body() == "v1", || "nobody took over".into());
}

async fn a_name_that_is_not_looked_at_is_refused(program: PathBuf) {
    let (bed, apps) = (Bed::start(&program).await, Two::start());
    let router = bed.driver();
    settle(&router, &apps.routes(vec![header("new", 2)])).await;
    assert_eq!(router.looks_at(&app()).await.unwrap(), looks_at());
    let before = router.look(&app()).await.unwrap();
    let other = rule(Selector::Header("x-other".into()), "new", 2);
    let plan = router.plan(Some(&apps.routes(vec![other])), &before);
    assert!(plan.changes.len() == 1 && plan.changes[0].words.starts_with("refuse"), "{plan:?}");
    let fault = router.act(&plan.changes[0], 1).await.unwrap_err();
    assert!(fault.what.contains("a rule on the header x-other"), "{fault:?}");
    assert!(fault.help.unwrap().contains("cutover haproxy install"));
    assert_eq!(router.look(&app()).await.unwrap().routes, before.routes, "it was touched");
    // An entrance of before there were rules says so too.
    let config = bed.path("00-cutover.cfg");
    let text = std::fs::read_to_string(&config).unwrap();
    let older: Vec<&str> = text.lines().filter(|line| !line.contains("proc.cutover")).collect();
    std::fs::write(&config, older.join("\n") + "\n").unwrap();
    bed.reload();
    assert_eq!(router.looks_at(&app()).await.unwrap(), []);
    let have = router.look(&app()).await.unwrap();
    let said = router.plan(Some(&apps.routes(vec![header("new", 2)])), &have).changes;
    assert!(said[0].words.contains("does not look at it"), "{said:?}");
}
