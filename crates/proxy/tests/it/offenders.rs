//! What a drain waits for is told by name.
//!
//! How long a drain waits is not the proxy's to say, and not tried here.

use model::admin::{Reply, Request};
use model::{AppName, InstanceId, Offender, Offenders};

use crate::backend::{Backend, Peer, Then};
use crate::framed::{Framed, get, run};
use crate::stage::{Admin, Stage, pool, retiring, wait_until};

/// Answers a WebSocket and an event stream and keeps them; everything else waits for its client's end.
fn keeps(peer: &mut Peer, head: &str) -> Then {
    if head.starts_with("GET /ws") {
        peer.say(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
    } else if head.starts_with("GET /events") {
        peer.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    }
    while peer.until("\n").is_some() {}
    Then::Close
}

fn asked(admin: &mut Admin, instances: &[&str]) -> Offenders {
    let app = AppName::new("demo").unwrap();
    let instances = instances.iter().map(|name| InstanceId((*name).into())).collect();
    match admin.ask(&Request::Offenders { app, instances }) {
        Reply::Offenders(offenders) => offenders,
        other => panic!("{other:?}"),
    }
}

fn words(offenders: &Offenders) -> Vec<(String, bool)> {
    let one =
        |one: &Offender| (format!("{} {} on {}", one.method, one.path, one.instance), one.tunnel);
    offenders.oldest.iter().map(one).collect()
}

/// Each of them is named, whatever it is and on whichever thread, the oldest first and never with its
/// query; those on instances that get requests only when somebody asks for them.
#[test]
fn what_is_open_on_an_instance_that_leaves_is_named() {
    let (old, new) = (Backend::scripted("old", keeps), Backend::scripted("new", keeps));
    let mut stage = Stage::before(&[&old]);
    let mut clients = Vec::new();
    for (count, head) in [
        "GET /slow?token=secret HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nhalf",
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    .iter()
    .enumerate()
    {
        let mut client = stage.client();
        client.send(head);
        wait_until("the instance has it", || old.hits() == count + 1);
        clients.push(client);
    }
    wait_until("two are tunnels", || stage.admin.instance("old").unwrap().tunnels == 2);
    assert_eq!(asked(&mut stage.admin, &[]), Offenders::default(), "nobody leaves");
    stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])]);
    let mut other = stage.client();
    other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the new instance has it", || new.hits() == 1);
    let all = [
        ("GET /slow on old".to_owned(), false),
        ("POST /upload on old".to_owned(), false),
        ("GET /ws on old".to_owned(), true),
        ("GET /events on old".to_owned(), true),
    ];
    let named = asked(&mut stage.admin, &[]);
    assert_eq!((words(&named), named.more), (all.to_vec(), 0));
    assert!(named.oldest.is_sorted_by_key(|one| std::cmp::Reverse(one.age_ms)));
    let other = asked(&mut stage.admin, &["new"]);
    assert_eq!(words(&other), [("GET /other on new".to_owned(), false)]);
    drop(clients.drain(1..3));
    let left = [all[0].clone(), all[3].clone()];
    wait_until("who has left is not named", || words(&asked(&mut stage.admin, &[])) == left);
}

/// Streams of HTTP/2 are named as well, as many as there is room for, and the others are counted.
#[test]
fn the_oldest_are_named_and_the_others_counted() {
    let old = Backend::scripted("old", keeps);
    let mut stage = Stage::before(&[&old]);
    run(async {
        let client = Framed::plain(stage.address).await;
        let mut answers = Vec::new();
        for number in 0..12 {
            let mut sender = client.sender.clone().ready().await.unwrap();
            answers.push(sender.send_request(get(&format!("/stream/{number}?q")), true).unwrap());
            wait_until("the instance has it", || old.hits() == number + 1);
        }
        let named = asked(&mut stage.admin, &["old"]);
        let paths: Vec<_> = named.oldest.iter().map(|one| one.path.clone()).collect();
        assert_eq!(paths, [0, 1, 2, 3, 4, 5, 6, 7].map(|number| format!("/stream/{number}")));
        assert_eq!(named.more, 4);
    });
}
