//! Clients stay with the release that they were given: as its share grows nobody goes back.
//!
//! Rules, which come before cohorts, are in `rules`.

use model::admin::{CohortKey, Reply, Request};
use model::{Cohorts, Mark, ReleaseId, Rule, Selector, Spread};

use crate::authority::{Identity, connect, listen};
use crate::backend::{Backend, Then};
use crate::client::{Answer, Client};
use crate::stage::{Stage, pool};

const CLIENTS: usize = 400;
const KEY: CohortKey = CohortKey([7; 32]);

fn spread(header: Option<&str>, cookie: bool) -> Spread {
    let cohorts = Cohorts { header: header.map(str::to_owned), cookie };
    Spread { cohorts: Some(cohorts), ..Spread::default() }
}

/// A proxy that knows the key, with that share for the newer of two releases.
fn stage(backends: [&Backend; 2], weight: u16, spread: Spread) -> Stage {
    let mut stage = Stage::bare();
    stage.admin.done(&Request::CohortKey { key: KEY });
    shift(&mut stage, backends, weight, spread);
    stage
}

fn shift(stage: &mut Stage, [old, new]: [&Backend; 2], weight: u16, spread: Spread) {
    let mut pools = vec![pool(1, 10_000 - weight, &[old]), pool(2, weight, &[new])];
    // Their order says nothing.
    if weight == 5_000 {
        pools.reverse();
    }
    stage.publish_spread(pools, Vec::new(), spread);
}

fn ask(client: &mut Client, lines: &str) -> Answer {
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 200, "{lines:?}: {}", answer.body);
    answer
}

/// What a client sends back of what it was told.
fn cookie(answer: &Answer) -> Option<String> {
    Some(answer.field("set-cookie")?.split(';').next().unwrap().to_owned())
}

/// The bounds in which `share` of all clients must be, all but once in a million times (Wilson): cookies are drawn by lot.
fn bounds(share: f64) -> (f64, f64) {
    let (n, z) = (CLIENTS as f64, 4.9_f64);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // All of them are within the bounds of all of them.
    (middle - half - 1e-9, middle + half + 1e-9)
}

/// 400 clients over growing shares: who has seen the new version never sees the old one again, each
/// share is what it should be, and a proxy that follows with the same key goes on with it.
#[test]
fn nobody_goes_back_as_the_share_grows_also_at_another_proxy_with_the_key() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let both = [&old, &new];
    for by_header in [false, true] {
        let spread = || spread(by_header.then_some("X-User"), !by_header);
        let mut first = stage(both, 0, spread());
        let mut second = stage(both, 0, spread());
        let mut jars: Vec<String> = (0..CLIENTS)
            .map(|n| if by_header { format!("x-user: user-{n}\r\n") } else { String::new() })
            .collect();
        let mut moved = vec![false; CLIENTS];
        for (step, weight) in [0, 1_000, 5_000, 9_000, 10_000].into_iter().enumerate() {
            let stage = if step % 2 == 0 { &mut first } else { &mut second };
            shift(stage, both, weight, spread());
            let mut client = stage.client();
            for (jar, moved) in jars.iter_mut().zip(&mut moved) {
                for _ in 0..3 {
                    let answer = ask(&mut client, jar);
                    let told = cookie(&answer);
                    assert_eq!(told.is_some(), jar.is_empty(), "told once: {}", answer.head);
                    if let Some(told) = told {
                        *jar = format!("Cookie: a=b; {told}\r\n");
                    }
                    let seen = answer.body == "new";
                    assert!(seen || !*moved, "back to the old one at {weight}");
                    *moved |= seen;
                }
            }
            let share = moved.iter().filter(|moved| **moved).count() as f64 / CLIENTS as f64;
            let (low, high) = bounds(f64::from(weight) / 10_000.0);
            assert!((low..=high).contains(&share), "{share} of the clients at {weight}");
        }
    }
}

#[test]
fn a_cookie_that_is_not_ours_is_no_cookie_and_a_proxy_without_the_key_gives_none() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = stage([&old, &new], 5_000, spread(None, true));
    let mut client = stage.client();
    let good = cookie(&ask(&mut client, "")).unwrap();
    let name = good.split('=').next().unwrap();
    assert_eq!(name, "cutover-cohort-demo");
    let mut forged = good.clone();
    let last = if forged.ends_with('0') { "1" } else { "0" };
    forged.replace_range(good.len() - 1.., last);
    for odd in [format!("{name}=1"), format!("{name}="), forged] {
        assert!(cookie(&ask(&mut client, &format!("Cookie: {odd}\r\n"))).is_some(), "{odd}");
    }
    assert_eq!(cookie(&ask(&mut client, &format!("Cookie: {good}\r\n"))), None);
    // Another key, as of another state directory: a new client.
    stage.admin.done(&Request::CohortKey { key: CohortKey([8; 32]) });
    assert!(cookie(&ask(&mut client, &format!("Cookie: {good}\r\n"))).is_some());
    let mut bare = Stage::bare();
    shift(&mut bare, [&old, &new], 5_000, spread(None, true));
    assert_eq!(cookie(&ask(&mut bare.client(), "")), None);
}

#[test]
fn a_cookie_says_where_it_belongs_and_both_releases_give_it() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = stage([&old, &new], 5_000, spread(None, true));
    let attributes = |answer: &Answer| {
        let line = answer.field("set-cookie").unwrap();
        line.split_once(';').unwrap().1.to_owned()
    };
    let mut client = stage.client();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = ask(&mut client, "");
        assert_eq!(attributes(&answer), " path=/; max-age=2592000; httponly; samesite=lax");
        seen.insert(answer.body);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    let identity = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    let pairs = vec![identity.pair.clone()];
    assert_eq!(stage.admin.ask(&Request::Certify { pairs, forgiving: false }), Reply::Done);
    let address = listen(&mut stage);
    let mut client = connect(address, &identity.trusted(&[]), "shop.test").unwrap();
    assert!(attributes(&client.get("/").unwrap()).ends_with("; samesite=lax; secure"));
}

/// What is said before the final answer, and what the proxy says itself, gives no cookie; a switch of
/// protocols does.
#[test]
fn interim_answers_give_no_cookie_and_upgrades_do() {
    let hints = Backend::scripted("hints", |peer, head| {
        if head.contains("Upgrade") {
            peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
            peer.say("Upgrade: websocket\r\n\r\n");
            return Then::Close;
        }
        peer.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
        peer.ok("hinted")
    });
    let mut stage = Stage::bare();
    stage.admin.done(&Request::CohortKey { key: KEY });
    stage.publish_spread(vec![pool(1, 10_000, &[&hints])], Vec::new(), spread(None, true));
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let interim = client.head().unwrap();
    assert_eq!((interim.status, interim.field("set-cookie")), (103, None));
    assert!(client.answer().unwrap().field("set-cookie").is_some());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let switch = client.head().unwrap();
    assert_eq!(switch.status, 101);
    assert!(switch.field("set-cookie").is_some());
}

/// A rule comes before the cohort, and a cohort whose release has nobody goes to the other.
#[test]
fn rules_come_first_and_a_release_without_instances_keeps_nobody_waiting() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = stage([&old, &new], 10_000, spread(None, true));
    let mark = Mark::new(Selector::Header("x-stay".into()), "1").unwrap();
    let rule = Rule { mark, release: ReleaseId(1) };
    let pools = vec![pool(1, 1, &[&old]), pool(2, 9_999, &[&new])];
    stage.publish_spread(pools, vec![rule], spread(None, true));
    let mut client = stage.client();
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "X-Stay: 1\r\n").body, "old");
    }
    let pools = vec![pool(1, 5_000, &[&old]), pool(2, 5_000, &[])];
    stage.publish_spread(pools, Vec::new(), spread(None, true));
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "").body, "old");
    }
}
