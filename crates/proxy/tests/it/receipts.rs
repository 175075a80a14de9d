//! Each request of a prober has a receipt that says what became of it; a user's has none, whatever it says.
//!
//! Answers that break off are in `receipts_midway`.

use std::collections::BTreeMap;

use model::admin::{Reply, Request};
use model::receipt::{Book, End, Item, Question, Receipt, Receipts, Told};

use crate::backend::{Backend, Peer, Then};
use crate::stage::{Admin, Stage, pool, wait_until};

pub(crate) const KEY: &str = "5ec2e7";

pub(crate) fn ask(admin: &mut Admin, book: Option<Book>, taken: &[u64]) -> Receipts {
    let question = Question { key: KEY.to_owned(), book, taken: taken.to_vec() };
    match admin.ask(&Request::Receipts(question)) {
        Reply::Receipts(receipts) => receipts,
        other => panic!("{other:?}"),
    }
}

/// All that there are as soon as there are so many, by item: with the instance's name.
pub(crate) fn all(admin: &mut Admin, count: usize) -> BTreeMap<Item, (Receipt, String)> {
    let mut found = Vec::new();
    wait_until("the receipts are there", || {
        let of_thread = |told: Told| {
            let names = told.names;
            told.receipts.into_iter().map(move |one| {
                let name = one.instance.map(|at| names[usize::from(at)].0.0.clone());
                (one.item, (one, name.unwrap_or_default()))
            })
        };
        found = ask(admin, None, &[]).threads.into_iter().flat_map(of_thread).collect();
        found.len() >= count
    });
    let by_item: BTreeMap<_, _> = found.iter().cloned().collect();
    assert_eq!((by_item.len(), found.len()), (count, count), "{found:?}");
    by_item
}

fn get(path: &str, field: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n")
}

pub(crate) fn of_probe(id: u32) -> String {
    format!("X-Cutover-Probe: {KEY}-a{id}")
}

/// Breaks its answer off, or gives none, as it is asked to.
fn moody(peer: &mut Peer, head: &str) -> Then {
    match head.split(' ').nth(1) {
        Some("/half") => {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            Then::Close
        }
        Some("/none") => Then::Close,
        Some("/ws") => {
            peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            while peer.until("\n").is_some() {}
            Then::Close
        }
        Some("/wait") => {
            while peer.until("\n").is_some() {}
            Then::Close
        }
        Some("/500") => {
            peer.say("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
            Then::Keep
        }
        _ => peer.ok("ok"),
    }
}

#[test]
fn a_receipt_says_what_became_of_a_probers_request() {
    let backend = Backend::scripted("demo-1-1", moody);
    let mut stage = Stage::before(&[&backend]);
    assert!(ask(&mut stage.admin, None, &[]).threads.iter().all(|told| told.open == 0));
    for (id, path) in [(1, "/"), (2, "/500"), (3, "/half"), (4, "/none")] {
        let mut client = stage.client();
        client.send(&get(path, &of_probe(id)));
        assert_eq!(client.answer().is_ok(), id != 3, "{path}");
    }
    // It is open for as long as it lasts, and then its client is gone.
    let mut client = stage.client();
    client.send(&get("/wait", &of_probe(5)));
    let open =
        |admin: &mut Admin| ask(admin, None, &[]).threads.iter().map(|told| told.open).sum::<u64>();
    wait_until("it is open", || open(&mut stage.admin) == 1);
    drop(client);
    let mut client = stage.client();
    let socket = format!("X-Cutover-Probe: {KEY}-s9\r\nConnection: Upgrade\r\nUpgrade: websocket");
    client.send(&get("/ws", &socket));
    assert_eq!(client.answer().unwrap().status, 101);
    wait_until("the socket is open, and no more", || open(&mut stage.admin) == 1);
    drop(client);
    let found = all(&mut stage.admin, 6);
    let told = |item: Item| {
        let (one, instance) = &found[&item];
        assert_eq!(instance, "demo-1-1", "{one:?}");
        (one.end, one.status, one.sends)
    };
    assert_eq!(told(Item::Attempt(1)), (End::Whole, 200, 1));
    assert_eq!(told(Item::Attempt(2)), (End::Whole, 500, 1));
    assert_eq!(told(Item::Attempt(3)), (End::Cut, 200, 1));
    // A kept connection that ends so is tried once more.
    let (end, status, sends) = told(Item::Attempt(4));
    assert!(
        end == End::Own && status == 502 && (1..=2).contains(&sends),
        "{end:?} {status} {sends}"
    );
    assert_eq!(told(Item::Attempt(5)), (End::ClientGone, 0, 1));
    assert_eq!(told(Item::Socket(9)), (End::Tunnel, 101, 1));
    assert!(found.values().all(|(one, _)| one.received_us > 0 && one.unread == 0));
    let heads = backend.heads.lock().unwrap();
    assert!(!heads.iter().any(|head| head.contains(KEY)), "an app is not told the key: {heads:?}");
}

#[test]
fn who_does_not_know_the_key_leaves_no_receipt() {
    let backend = Backend::scripted("demo-1-1", moody);
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    let asks = |client: &mut crate::client::Client, field: &str| {
        client.send(&get("/", field));
        client.answer().unwrap();
    };
    asks(&mut client, &of_probe(1));
    let book = ask(&mut stage.admin, None, &[]).book;
    for field in [
        "Accept: */*".to_owned(),
        "X-Cutover-Probe: 5ec2e8-a2".to_owned(),
        "X-Cutover-Probe: a3".to_owned(),
        format!("X-Cutover-Attempt: {KEY}-a4"),
        // A trial of the prober.
        format!("X-Cutover-Probe: {KEY}"),
    ] {
        asks(&mut client, &field);
    }
    asks(&mut client, &of_probe(6));
    let found = all(&mut stage.admin, 1);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        [&Item::Attempt(6)],
        "before the book there is none"
    );
    // What is said to be taken is not told again, but to somebody who means another book.
    let told = |receipts: &Receipts| {
        receipts.threads.iter().map(|told| told.receipts.len()).sum::<usize>()
    };
    let (this, other) = (Some(book), Some(Book { serial: book.serial + 1, ..book }));
    assert_eq!(told(&ask(&mut stage.admin, other, &[9, 9])), 1);
    let taken: Vec<u64> =
        ask(&mut stage.admin, this, &[]).threads.iter().map(Told::taken).collect();
    assert_eq!(told(&ask(&mut stage.admin, this, &taken)), 0);
    stage.admin.done(&Request::ForgetReceipts { key: KEY.to_owned() });
    asks(&mut client, &of_probe(7));
    let anew = ask(&mut stage.admin, this, &taken);
    assert_ne!(anew.book, book);
    assert_eq!(told(&anew), 0, "nobody wanted it");
}

#[test]
fn a_request_that_is_sent_again_says_how_often() {
    let (dead, alive) = (Backend::named("dead"), Backend::named("alive"));
    let mut stage = Stage::bare();
    let lost = Backend::scripted("lost", |_, _| Then::Close);
    stage.publish(vec![pool(1, 10_000, &[&dead, &lost, &alive])]);
    drop(dead);
    ask(&mut stage.admin, None, &[]);
    let mut client = stage.client();
    for id in 0..30 {
        client.send(&get("/", &of_probe(id)));
        assert_eq!(client.answer().unwrap().body, "alive");
    }
    let found = all(&mut stage.admin, 30);
    assert!(found.values().all(|(one, name)| name == "alive" && one.end == End::Whole));
    // One that took no connection was sent nothing.
    let sends: Vec<u8> = found.values().map(|(one, _)| one.sends).collect();
    assert!(sends.iter().all(|sends| (1..=2).contains(sends)), "{sends:?}");
    assert!(sends.contains(&2), "{sends:?}");
}
