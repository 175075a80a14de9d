//! What the preflight names in configurations that a real nginx takes, and what a real reload then does.
//!
//! Which edge of which setting is named is tried beside the code, without an nginx.

use std::time::{Duration, Instant};

use crate::common::haproxy::{app, pool, routes, settle};
use crate::common::load::{App, Connection, get};
use crate::common::nginx::{self, BED, Bed};
use drivers::router::nginx::cuts;
use drivers::router::{Finding, Severity};
use model::PoolState::{Retiring, Serving};

/// Users whose connections are kept, and idle when nginx is reloaded.
const KEPT: usize = 20;

/// An edit of the configuration: what is there, and what comes instead.
type Edit<'a> = (&'a str, &'a str);
/// What is named: the line that it stands in, the setting and the edit that is offered.
type Named<'a> = (&'a str, &'a str, &'a str);

const SERVER: &str = "    server {\n";
const LOCATION: &str = "        location / {\n";
const KEEP: &str = "keepalive_min_timeout 5s;";
const REPEAT: &str = "proxy_next_upstream error timeout;";
const SHUT: &str = "worker_shutdown_timeout 1h;";
const NAMED: &str =
    "a name in the pattern, as in `location ~ ^/x/(?<rest>.*)$`, and `$rest` in place of `$1`";
const PASS: &str = "proxy_pass http://$cutover_demo;";

/// Edits of the configuration that is offered, and what is named then.
const CASES: [(&[Edit<'_>], &[Named<'_>]); 18] = [
    (&[], &[]),
    (&[("keepalive_min_timeout 1s;", "")], &[("http {", "keepalive_min_timeout", KEEP)]),
    (
        &[(SERVER, "    server {\nkeepalive_min_timeout 0;\n")],
        &[("keepalive_min_timeout 0;", "keepalive_min_timeout", KEEP)],
    ),
    (
        &[(
            LOCATION,
            "location /i/ { keepalive_min_timeout 0; return 204; }\n        location / {\n",
        )],
        &[("location /i/ { keepalive_min_timeout 0; return 204; }", "keepalive_min_timeout", KEEP)],
    ),
    // Another server's own affair, though it stands last.
    (
        &[(
            "access_log off;",
            "access_log off; server { listen ENTRANCE; server_name x.test; keepalive_min_timeout 0; \
             location / { proxy_pass http://127.0.0.1:9; proxy_next_upstream off; } }",
        )],
        &[],
    ),
    // Named once for all apps, in the file that it stands in.
    (
        &[("access_log off;", "access_log off; include more.conf;")],
        &[("proxy_next_upstream off;", "proxy_next_upstream", REPEAT)],
    ),
    (
        &[
            ("access_log off;", "access_log off; include more.conf;"),
            (SERVER, "    server {\nproxy_next_upstream error;\n"),
        ],
        &[],
    ),
    (
        &[(LOCATION, "        location / {\ninclude mor[a-f].conf;\n")],
        &[("proxy_next_upstream off;", "proxy_next_upstream", REPEAT)],
    ),
    (
        &[("client_header_timeout 10s;", "")],
        &[("http {", "client_header_timeout", "client_header_timeout 10s;")],
    ),
    (
        &[(LOCATION, "        location / {\nproxy_next_upstream error non_idempotent;\n")],
        &[("proxy_next_upstream error non_idempotent;", "proxy_next_upstream", REPEAT)],
    ),
    (
        &[(LOCATION, "        location / {\nproxy_next_upstream_tries 1;\n")],
        &[(
            "proxy_next_upstream_tries 1;",
            "proxy_next_upstream_tries",
            "proxy_next_upstream_tries 2;",
        )],
    ),
    (
        &[
            (LOCATION, "        location ~ ^/(.*)$ {\n"),
            (PASS, "proxy_pass http://$cutover_demo/$1;"),
        ],
        &[("proxy_pass http://$cutover_demo/$1;", "proxy_pass", NAMED)],
    ),
    (
        &[("worker_shutdown_timeout 1h;", "worker_shutdown_timeout 5s;")],
        &[("worker_shutdown_timeout 5s;", "worker_shutdown_timeout", SHUT)],
    ),
    (
        &[("worker_shutdown_timeout 1h;", "worker_shutdown_timeout 30s;")],
        &[("worker_shutdown_timeout 30s;", "worker_shutdown_timeout", SHUT)],
    ),
    (&[("worker_shutdown_timeout 1h;", "worker_shutdown_timeout 1m;")], &[]),
    (
        &[(
            LOCATION,
            "location ^~ /old/ {\nproxy_pass http://127.0.0.1:9;\n}\n        location / {\n",
        )],
        &[(
            "proxy_pass http://127.0.0.1:9;",
            "proxy_pass",
            "nothing, if another service answers there",
        )],
    ),
    (
        &[
            ("server_name _;", "server_name shop.test;"),
            (
                SERVER,
                "server { listen ENTRANCE; server_name a.test shop.test; location / { \nproxy_pass http://127.0.0.1:9;\n} }\n    server {\n",
            ),
        ],
        &[("proxy_pass http://127.0.0.1:9;", "proxy_pass", PASS)],
    ),
    (
        &[
            (SERVER, "proxy_set_header Upgrade $http_upgrade;\n    server {\n"),
            ("            proxy_set_header Upgrade $http_upgrade;\n", ""),
        ],
        &[(
            "proxy_pass http://$cutover_demo;",
            "proxy_set_header Upgrade",
            "proxy_set_header Upgrade $http_upgrade;",
        )],
    ),
];

/// The line of a file that a finding names.
fn line(finding: &Finding) -> String {
    let at = finding.at.as_ref().expect("it names a place");
    let text = std::fs::read_to_string(&at.file).unwrap();
    text.lines().nth(at.line as usize - 1).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_loses_requests_is_named_where_it_stands() {
    let Some(program) = BED[2].program() else { return };
    let bed = Bed::start(program, true);
    let entrance = bed.entrance().to_string();
    std::fs::write(bed.path("more.conf"), "# ours\n\nproxy_next_upstream off;\n").unwrap();
    let (offered, router) = (bed.config(), bed.driver());
    for (edits, named) in CASES {
        let edited = edits.iter().fold(offered.clone(), |text, (there, instead)| {
            assert!(text.contains(there), "{there}: {text}");
            text.replacen(there, &instead.replace("ENTRANCE", &entrance), 1)
        });
        bed.configure(&edited);
        // Nginx itself tests it: what it refuses is a fault.
        let found = router.preflight(&[app()]).await.unwrap();
        let said: Vec<_> =
            found.iter().map(|one| (line(one), &*one.setting, &*one.needed)).collect();
        let said: Vec<Named<'_>> = said.iter().map(|one| (&*one.0, one.1, one.2)).collect();
        assert_eq!(said, named, "{edits:?}: {found:?}");
    }
}

/// What a kept connection that was idle at a reload is worth when it is used after that.
fn lost_by_a_reload(bed: &Bed) -> usize {
    let mut kept: Vec<Connection> =
        (0..KEPT).map(|_| Connection::open(bed.entrance()).unwrap()).collect();
    for one in &mut kept {
        one.ask("GET", "/", "").unwrap();
    }
    bed.reload();
    let deadline = Instant::now() + nginx::PATIENCE;
    let mut lost = 0;
    while !kept.is_empty() {
        assert!(Instant::now() < deadline, "{} are as they were", kept.len());
        // Who is told to leave has lost nothing.
        kept.retain_mut(|one| {
            let answer = one.ask("GET", "/", "");
            lost += usize::from(answer.is_err());
            answer.is_ok_and(|answer| answer.header("connection") != Some("close"))
        });
        // All are idle most of the time, as those of users are.
        std::thread::sleep(Duration::from_millis(20));
    }
    lost
}

nginx::on_each_nginx!(a_reload_cuts_kept_connections_where_that_was_foretold);

async fn a_reload_cuts_kept_connections_where_that_was_foretold(bed: Bed) {
    let (v1, router, offered) = (App::start("v1"), bed.driver(), bed.config());
    settle(&router, &routes(vec![pool(1, 10_000, Serving, &[v1.address])])).await;
    let one = "proxy_http_version 1.1;";
    let known = ["", "keepalive_timeout 0;", "keepalive_min_timeout 0;"];
    // The last one is known from 1.27.4 on.
    let edits = if bed.waits { &known[..] } else { &known[..2] };
    for edit in edits {
        bed.configure(&offered.replace(one, &format!("{one}{edit}")));
        renew(&bed);
        let foretold = router.preflight(&[app()]).await.unwrap().iter().any(cuts);
        let lost = if *edit == "keepalive_timeout 0;" {
            // Each answer closes its connection: nobody has one to lose.
            let answer = Connection::open(bed.entrance()).unwrap().ask("GET", "/", "").unwrap();
            assert_eq!(answer.header("connection"), Some("close"));
            0
        } else {
            lost_by_a_reload(&bed)
        };
        println!("{edit:?}: {lost} of {KEPT} lost, foretold: {foretold}");
        assert_eq!(foretold, lost > 0, "{edit}: {lost} of {KEPT}");
        if foretold {
            assert!(lost * 2 > KEPT, "{edit}: {lost} of {KEPT}");
        }
    }
}

/// A request that lasts longer than workers may after a reload is cut; the one that was foretold to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_may_not_live_long_enough_cuts_what_is_open() {
    let Some(program) = BED[2].program() else { return };
    let bed = Bed::start(program, true);
    let (v1, router, offered) = (App::start("v1"), bed.driver(), bed.config());
    let want = routes(vec![pool(1, 10_000, Serving, &[v1.address])]);
    for (may, lives) in [("200ms", false), ("1m", true)] {
        bed.configure(&offered.replace("shutdown_timeout 1h", &format!("shutdown_timeout {may}")));
        settle(&router, &want).await;
        renew(&bed);
        let named = router.preflight(&[app()]).await.unwrap();
        assert_eq!(named.is_empty(), lives, "{named:?}");
        let taken = v1.requests();
        let mut slow = Connection::open(bed.entrance()).unwrap();
        slow.send("GET /slow?1500 HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
        nginx::wait(|| v1.requests() > taken, || "it never came to the app".into());
        bed.reload();
        let answer = slow.receive();
        assert_eq!(answer.is_ok(), lives, "{may}: {answer:?}");
    }
}

/// Reloads it and waits until no worker is left of those before: what they do is what is written.
fn renew(bed: &Bed) {
    let before = bed.workers();
    bed.reload();
    let renewed = || {
        let now = bed.workers();
        !now.is_empty() && !now.iter().any(|worker| before.contains(worker))
    };
    nginx::wait(renewed, || format!("{before:?} go on"));
}

/// What a location has found is kept by its name, where a rule matches, too, and lost by its number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_location_has_found_is_lost_by_its_number() {
    let Some(program) = BED[2].program() else { return };
    let bed = Bed::start(program, true);
    let (v1, v2, router) = (App::start("v1"), App::start("v2"), bed.driver());
    let both = "location ~ ^/n/(.*)$ { return 200 \"$cutover_demo/$1\"; }
        location ~ ^/k/(?<rest>.*)$ { return 200 \"$cutover_demo/$rest\"; }\n";
    bed.configure(&bed.config().replacen(LOCATION, &format!("{both}{LOCATION}"), 1));
    let mut want =
        routes(vec![pool(1, 10_000, Serving, &[v1.address]), pool(2, 0, Serving, &[v2.address])]);
    let mark = model::Mark::new(model::Selector::Cookie("n".into()), "1").unwrap();
    want.rules = vec![model::Rule { mark, release: model::ReleaseId(2) }];
    settle(&router, &want).await;
    let asked = |path: &str, header: &str| {
        Connection::open(bed.entrance()).unwrap().ask("GET", path, header).unwrap().body
    };
    assert_eq!(asked("/n/tail", ""), "cutover_demo_r1/tail");
    assert_eq!(asked("/n/tail", "Cookie: n=1\r\n"), "cutover_demo_r2/");
    assert_eq!(asked("/k/tail", "Cookie: n=1\r\n"), "cutover_demo_r2/tail");
}

/// Requests of a location that names an address stay where they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_location_that_names_an_address_is_left_behind() {
    let Some(program) = BED[2].program() else { return };
    let bed = Bed::start(program, true);
    let (v1, v2) = (App::start("v1"), App::start("v2"));
    let old = format!("location /old/ {{ proxy_pass http://{}; }}\n{LOCATION}", v1.address);
    bed.configure(&bed.config().replacen(LOCATION, &old, 1));
    let router = bed.driver();
    settle(&router, &routes(vec![pool(1, 10_000, Serving, &[v1.address])])).await;
    let found = router.preflight(&[app()]).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].severity, Severity::Note, "{found:?}");
    assert!(found[0].why.contains("whatever Cutover switches"), "{found:?}");
    let stays = pool(1, 0, Retiring, &[v1.address]);
    settle(&router, &routes(vec![stays, pool(2, 10_000, Serving, &[v2.address])])).await;
    let asked = |path| get(bed.entrance(), path).unwrap();
    assert_eq!((asked("/").body.as_str(), asked("/old/").body.as_str()), ("v2", "v1"));
}
