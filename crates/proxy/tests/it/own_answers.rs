//! What the proxy answers in its own name: pages, maintenance, and that there is no room.
//!
//! When it has to answer for an instance is in `failures`.

use std::path::{Path, PathBuf};

use model::AppName;
use model::admin::{Maintenance, Page, Request, Settings};

use crate::asking::comes;
use crate::backend::Backend;
use crate::framed::{Framed, get, run};
use crate::stage::{Stage, pool, wait_until};

fn page(folder: &Path, app: bool, status: u16, name: &str, content: &str) -> Page {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    Page { app: app.then(|| AppName::new("demo").unwrap()), status, file }
}

fn configure(stage: &mut Stage, settings: Settings) {
    stage.admin.done(&Request::Configure { settings });
}

#[test]
fn pages_stand_in_for_the_proxys_words() {
    let folder = tempfile::tempdir().unwrap();
    let dead = Backend::named("dead");
    dead.kill();
    let mut stage = Stage::before(&[&dead]);
    let pages = vec![
        page(folder.path(), false, 502, "all.html", "<h1>everybody's</h1>"),
        page(folder.path(), true, 502, "demo.json", "{\"sorry\":true}"),
        page(folder.path(), false, 503, "busy.txt", "busy"),
        page(folder.path(), false, 400, "bad.html", "<h1>bad</h1>"),
        Page { app: None, status: 504, file: PathBuf::from("/no/such/page.html") },
    ];
    configure(&mut stage, Settings { pages, ..Settings::default() });
    let mut client = stage.client();
    let answer = client.get("/").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (502, "{\"sorry\":true}"));
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert!(answer.field("x-request-id").is_some() && answer.field("retry-after").is_none());
    // No body where none is asked for, and the connection goes on.
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status, head.field("content-length")), (502, Some("14")));
    stage.publish(vec![pool(1, 10_000, &[])]);
    let answer = client.get("/").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (503, "busy"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.field("retry-after"), Some("1"));
    let mut broken = stage.client();
    broken.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_eq!(broken.answer().unwrap().body, "<h1>bad</h1>");
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let answer = framed.whole(get("/")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (503, "busy"));
    });
    // Taken back, the words are back.
    configure(&mut stage, Settings::default());
    assert_eq!(client.get("/").unwrap().body, "no instance serves this app now\n");
}

#[test]
fn during_maintenance_no_instance_hears_of_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let Page { file, .. } = page(folder.path(), false, 503, "works.html", "<h1>back soon</h1>");
    let app = Some(AppName::new("demo").unwrap());
    let other = Some(AppName::new("other").unwrap());
    let mut client = stage.client();
    assert_eq!(client.get("/").unwrap().status, 200);
    for (app, file, body) in [
        (app.clone(), Some(file.clone()), "<h1>back soon</h1>"),
        (None, Some(file), "<h1>back soon</h1>"),
        (app, None, "out of service for maintenance\n"),
    ] {
        let maintenance = vec![Maintenance { app, file }];
        configure(&mut stage, Settings { maintenance, ..Settings::default() });
        let answer = client.post("/form", "x=1").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, body));
        assert_eq!(answer.field("retry-after"), Some("30"));
    }
    assert_eq!(backend.hits(), 1);
    let refused = [("app", "demo"), ("class", "maintenance")];
    comes(&stage.socket, "cutover_refusals_total", &refused, 3);
    let maintenance = vec![Maintenance { app: other, file: None }];
    configure(&mut stage, Settings { maintenance, ..Settings::default() });
    assert_eq!(client.get("/").unwrap().status, 200, "another app's is none of its business");
}

/// One connection too many is told so at once; those that are there go on, and there is room again as
/// soon as one has gone.
#[test]
fn who_finds_no_room_is_answered_and_not_kept_waiting() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    configure(&mut stage, Settings { max_connections: 2, ..Settings::default() });
    let mut kept: Vec<_> = (0..2).map(|_| stage.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    for _ in 0..3 {
        let mut late = stage.client();
        let answer = late.get("/").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "too many connections\n"));
        assert_eq!(answer.field("retry-after"), Some("1"));
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(late.rest().unwrap(), "");
    }
    run(async {
        let mut late = Framed::plain(stage.address).await;
        assert_eq!(late.whole(get("/")).await.unwrap().status, 503);
        late.driver.await.unwrap().unwrap();
    });
    assert_eq!(kept[0].get("/").unwrap().status, 200);
    assert_eq!(backend.hits(), 3);
    comes(&stage.socket, "cutover_connections_over_limit_total", &[], 4);
    let full = [("app", "demo"), ("class", "full")];
    comes(&stage.socket, "cutover_refusals_total", &full, 4);
    kept.pop();
    wait_until("there is room again", || stage.client().get("/").unwrap().status == 200);
}
