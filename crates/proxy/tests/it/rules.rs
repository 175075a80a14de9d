//! Rules on headers and cookies: whoever carries the mark goes to its release, whatever the weights.
//!
//! How a cookie or a query is taken apart is fuzzed beside the code, not here.

use model::admin::{Request, Settings};
use model::{Mark, ReleaseId, Rule, Selector, Wanted};

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Stage, pool, retiring};

fn header(value: &str, release: u32) -> Rule {
    let mark = Mark::new(Selector::Header("X-Canary".into()), value).unwrap();
    Rule { mark, release: ReleaseId(release) }
}

fn cookie(value: &str, release: u32) -> Rule {
    let mark = Mark::new(Selector::Cookie("canary".into()), value).unwrap();
    Rule { mark, release: ReleaseId(release) }
}

/// The body of the answer to a GET with these header lines.
fn ask(client: &mut Client, lines: &str) -> String {
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 200, "{lines:?}: {}", answer.body);
    answer.body
}

#[test]
fn marked_requests_go_to_their_release_at_any_weight_and_others_never_do() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::bare();
    let pools = vec![pool(1, 10_000, &[&old]), pool(2, 0, &[&new])];
    stage.publish_with(pools, vec![header("old", 1), cookie("1", 2), header("new", 2)]);
    let mut client = stage.client();
    for (lines, body) in [
        ("", "old"),
        ("x-CANARY: new\r\n", "new"),
        ("X-Canary: other\r\nX-Canary: new\r\n", "new"),
        ("X-Canary: newer\r\n", "old"),
        ("Cookie: a=b; canary=1\r\n", "new"),
        ("Cookie: a=b\r\nCookie: c=d;canary=1\r\n", "new"),
        ("Cookie: canary=\"1\"\r\n", "old"),
        // The first rule wins, not the first line.
        ("X-Canary: new\r\nX-Canary: old\r\n", "old"),
        ("Connection: x-canary\r\nX-Canary: new\r\n", "new"),
    ] {
        for _ in 0..20 {
            assert_eq!(ask(&mut client, lines), body, "{lines:?}");
        }
    }
}

#[test]
fn a_query_a_source_and_a_part_of_a_value_reach_a_release_at_weight_0() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::bare();
    let trusted = vec!["127.0.0.1".parse().unwrap()];
    stage.admin.done(&Request::Configure { settings: Settings { trusted, ..Settings::default() } });
    let to_new = |on, wanted| Rule { mark: Mark::of(on, wanted).unwrap(), release: ReleaseId(2) };
    let source = |range: &str| Selector::Source(range.parse().unwrap());
    let rules = vec![
        to_new(Selector::Query("v".into()), Wanted::Exactly("new one".into())),
        to_new(source("10.1.0.0/16"), Wanted::Present),
        to_new(source("2001:db8::/32"), Wanted::Present),
        to_new(Selector::Header("x-team".into()), Wanted::Prefix("a-".into())),
        to_new(Selector::Cookie("beta".into()), Wanted::Present),
    ];
    stage.publish_with(vec![pool(1, 10_000, &[&old]), pool(2, 0, &[&new])], rules);
    let mut client = stage.client();
    for (target, lines, body) in [
        ("/", "", "old"),
        ("/?a=1&v=new%20one", "", "new"),
        ("/?v=new+one", "", "new"),
        ("/?v=new", "", "old"),
        ("/v=new+one", "", "old"),
        ("/", "X-Forwarded-For: 10.1.2.3\r\n", "new"),
        ("/", "X-Forwarded-For: 10.1.2.3, 10.2.0.1\r\n", "old"),
        ("/", "X-Forwarded-For: 2001:db8::7\r\n", "new"),
        ("/", "X-Team: a-1\r\n", "new"),
        ("/", "X-Team: b-1\r\nX-Team: a-\r\n", "new"),
        ("/", "X-Team: ba-1\r\n", "old"),
        ("/", "Cookie: a=b; beta=\r\n", "new"),
        ("/", "Cookie: a=b; betas=1\r\n", "old"),
    ] {
        for _ in 0..5 {
            client.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
            assert_eq!(client.answer().unwrap().body, body, "{target} {lines:?}");
        }
    }
    // From a sender that is not trusted such claims are nobody's.
    stage.admin.done(&Request::Configure { settings: Settings::default() });
    assert_eq!(ask(&mut client, "X-Forwarded-For: 10.1.2.3\r\n"), "old");
}

#[test]
fn a_rule_is_void_from_the_instant_in_which_its_release_serves_no_more() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::bare();
    let rules = || vec![header("new", 2)];
    let mut client = stage.client();
    let both = |state: model::Pool| vec![pool(1, 10_000, &[&old]), state];
    for (pools, body) in [
        (both(pool(2, 0, &[&new])), "new"),
        (both(retiring(pool(2, 0, &[&new]))), "old"),
        (both(pool(2, 0, &[&new])), "new"),
        (both(pool(2, 0, &[])), "old"),
        (vec![pool(1, 10_000, &[&old])], "old"),
    ] {
        stage.publish_with(pools, rules());
        for _ in 0..20 {
            assert_eq!(ask(&mut client, "X-Canary: new\r\n"), body);
        }
    }
    stage.publish(both(pool(2, 0, &[&new])));
    assert_eq!(ask(&mut client, "X-Canary: new\r\n"), "old", "the rule is gone");
}

#[test]
fn a_marked_request_that_its_release_fails_goes_to_the_other() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::bare();
    stage.publish_with(vec![pool(1, 10_000, &[&old]), pool(2, 0, &[&new])], vec![header("new", 2)]);
    let mut client = stage.client();
    assert_eq!(ask(&mut client, "X-Canary: new\r\n"), "new");
    new.kill();
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "X-Canary: new\r\n"), "old");
    }
    assert_eq!(stage.admin.release(2).failed, 0);
}

#[test]
fn upgrades_obey_rules() {
    let switch = |name: &'static str| {
        Backend::scripted(name, move |peer, _| {
            peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
            peer.say(&format!("Upgrade: websocket\r\n\r\n{name}\n"));
            Then::Close
        })
    };
    let (old, new) = (switch("old"), switch("new"));
    let mut stage = Stage::bare();
    stage.publish_with(vec![pool(1, 10_000, &[&old]), pool(2, 0, &[&new])], vec![cookie("1", 2)]);
    for (lines, name) in [("", "old\n"), ("Cookie: canary=1\r\n", "new\n")] {
        let mut client = stage.client();
        client.send(&format!(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{lines}\r\n"
        ));
        assert_eq!(client.head().unwrap().status, 101);
        assert_eq!(client.until("\n").unwrap(), name);
    }
}
