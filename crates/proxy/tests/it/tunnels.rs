//! Upgraded connections: bytes both ways, counted apart, untouched by switches.
//!
//! Tunnels that the proxy moves are in `handover`.

use std::net::Shutdown;

use crate::backend::{Backend, Peer, Then};
use crate::client::Client;
use crate::stage::{Stage, pool, retiring, wait_until};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";

/// Answers 101 and echoes lines; at the end of its input it says goodbye.
fn echo(peer: &mut Peer, head: &str) -> Then {
    if !head.starts_with("GET /ws") {
        return peer.ok("plain");
    }
    assert!(head.contains("Upgrade: websocket") && head.contains("Sec-WebSocket-Key: k"), "{head}");
    peer.say(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    peer.say("hello\n");
    while let Some(line) = peer.until("\n") {
        peer.say(&line);
    }
    peer.say("bye\n");
    Then::Close
}

fn opened(stage: &Stage) -> Client {
    let mut client = stage.client();
    client.send(ASK);
    let head = client.head().unwrap();
    assert_eq!((head.status, head.field("upgrade")), (101, Some("websocket")), "{}", head.head);
    assert_eq!(head.field("connection"), Some("upgrade"));
    assert_eq!(client.until("\n").unwrap(), "hello\n");
    client
}

/// R10: tunnels stay where they are through switches, are counted apart, and the count of those
/// still to be handed over falls to zero as they leave.
#[test]
fn r10_tunnels_survive_a_switch_and_are_counted_apart() {
    let (old, new) = (Backend::scripted("old", echo), Backend::scripted("new", echo));
    let mut stage = Stage::before(&[&old]);
    let mut tunnels: Vec<_> = (0..20).map(|_| opened(&stage)).collect();
    let seen = stage.admin.instance("old").unwrap();
    assert_eq!((seen.requests, seen.tunnels), (0, 20));
    assert_eq!(stage.admin.look().tunnelling, 20);
    stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])]);
    for round in 0..20 {
        for (number, tunnel) in tunnels.iter_mut().enumerate() {
            let line = format!("{round} {number}\n");
            tunnel.send(&line);
            assert_eq!(tunnel.until("\n").unwrap(), line);
        }
    }
    stage.publish(vec![pool(2, 10_000, &[&new])]);
    assert!(opened(&stage).stream.shutdown(Shutdown::Both).is_ok());
    for left in (0..20_u64).rev() {
        drop(tunnels.pop());
        wait_until("the tunnel has left", || {
            stage.admin.instance("old").map_or(0, |seen| seen.tunnels) == left
        });
    }
    assert_eq!(stage.admin.release(1).tunnels, 20);
    assert_eq!(stage.admin.release(1).answers[0], 20);
    wait_until("no connection is a tunnel", || stage.admin.look().tunnelling == 0);
}

/// The end of one direction is passed on; the other goes on until it ends too.
#[test]
fn a_half_closed_tunnel_still_carries_the_other_way() {
    let backend = Backend::scripted("app", echo);
    let stage = Stage::before(&[&backend]);
    let mut tunnel = opened(&stage);
    tunnel.send("last\n");
    tunnel.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(tunnel.rest().unwrap(), "last\nbye\n");
}

/// What the client sends right behind its request is the tunnel's.
#[test]
fn bytes_sent_ahead_reach_the_tunnel() {
    let backend = Backend::scripted("app", echo);
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send(&format!("{ASK}ahead\n"));
    assert_eq!(client.head().unwrap().status, 101);
    assert_eq!(client.until("\n").unwrap(), "hello\n");
    assert_eq!(client.until("\n").unwrap(), "ahead\n");
}

/// An instance may decline; the connection then carries requests as before.
#[test]
fn a_declined_upgrade_is_an_answer_like_any_other() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send(ASK);
    assert_eq!(client.answer().unwrap().body, "app");
    assert_eq!(client.get("/").unwrap().body, "app");
    assert_eq!(stage.admin.release(1).tunnels, 0);
}
