//! Races of clients over TLS: streams that cross the end of their connection, and sessions that go on.
//!
//! Which row of the table they are is said in `scenarios`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use h2::client::SendRequest;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use tokio_rustls::TlsConnector;

use crate::instance::Instance;
use crate::peers::Peer;
use crate::users::{Count, answers};
use crate::world::world;

/// Connections, and streams of each at a time.
const LANES: (usize, usize) = (4, 8);

/// What streams came to.
#[derive(Default)]
struct Tally {
    over: AtomicBool,
    sent: AtomicU64,
    lost: AtomicU64,
}

/// R12: streams are opened while the connection is told to end.
pub(crate) fn r12(name: &str, testbed: &Path) -> Count {
    let instance = Instance::named("v1");
    let apps = world(&[&instance], &[&instance]);
    let mut peer = Peer::start(name, testbed, &apps);
    let (address, config) = (peer.secure, peer.identity.trusted(b"h2"));
    let tally = Arc::new(Tally::default());
    std::thread::scope(|scope| {
        let users = Arc::clone(&tally);
        scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let lane = || tokio::spawn(lane(address, Arc::clone(&config), Arc::clone(&users)));
                let lanes: Vec<_> = (0..LANES.0).map(|_| lane()).collect();
                for lane in lanes {
                    lane.await.unwrap();
                }
            });
        });
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(400));
            peer.renew(&apps);
        }
        std::thread::sleep(Duration::from_secs(1));
        tally.over.store(true, Ordering::SeqCst);
    });
    let [sent, lost] = [&tally.sent, &tally.lost].map(|count| count.load(Ordering::SeqCst));
    Count { sent, lost, doubled: 0, undone: sent == 0 }
}

/// One connection after the other.
async fn lane(address: SocketAddr, config: Arc<ClientConfig>, tally: Arc<Tally>) {
    while !tally.over.load(Ordering::SeqCst) {
        let Some(sender) = connect(address, &config).await else {
            // Whether connections are refused is another race.
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        let streams: Vec<_> = (0..LANES.1)
            .map(|_| tokio::spawn(streams(sender.clone(), Arc::clone(&tally))))
            .collect();
        drop(sender);
        for stream in streams {
            stream.await.unwrap();
        }
    }
}

async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Option<SendRequest<bytes::Bytes>> {
    let socket = tokio::net::TcpStream::connect(address).await.ok()?;
    let name = ServerName::try_from("a.test").ok()?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, socket).await.ok()?;
    let (sender, connection) = h2::client::handshake(stream).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// One stream after the other, until the connection is known to take no more: that costs nothing.
async fn streams(sender: SendRequest<bytes::Bytes>, tally: Arc<Tally>) {
    while !tally.over.load(Ordering::SeqCst) {
        let Ok(mut sender) = sender.clone().ready().await else { return };
        let request = http::Request::get("https://a.test/").body(()).unwrap();
        let Ok((answer, _)) = sender.send_request(request, true) else { return };
        tally.sent.fetch_add(1, Ordering::SeqCst);
        let whole = tokio::time::timeout(Duration::from_secs(8), whole(answer)).await;
        if !whole.is_ok_and(|whole| whole.is_some_and(|body| body == b"v1")) {
            tally.lost.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn whole(answer: h2::client::ResponseFuture) -> Option<Vec<u8>> {
    let answer = answer.await.ok().filter(|answer| answer.status().is_success())?;
    let (mut body, mut all) = (answer.into_body(), Vec::new());
    while let Some(content) = body.data().await {
        let content = content.ok()?;
        body.flow_control().release_capacity(content.len()).ok()?;
        all.extend_from_slice(&content);
    }
    Some(all)
}

/// R31: clients that come back resume their sessions.
pub(crate) fn r31(name: &str, testbed: &Path) -> Count {
    let instances = ["v1", "v2"].map(Instance::named);
    let mut peer = Peer::start(name, testbed, &world(&[&instances[0]], &[]));
    let clients: Vec<_> = (0..20).map(|_| peer.identity.trusted(b"http/1.1")).collect();
    let mut count = Count::default();
    for config in &clients {
        // Who does not resume where nothing has changed shows nothing here.
        visit(peer.secure, config);
        count.undone |= visit(peer.secure, config) != Some(HandshakeKind::Resumed);
    }
    peer.renew(&world(&[&instances[1]], &[]));
    count.undone |= !answers(peer.address, "a.test", "v2");
    for config in &clients {
        count.one(visit(peer.secure, config) == Some(HandshakeKind::Resumed));
    }
    count
}

/// One request on a connection of its own: how its handshake was.
fn visit(address: SocketAddr, config: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    let socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(8))).ok()?;
    let name = ServerName::try_from("a.test").ok()?;
    let session = ClientConnection::new(Arc::clone(config), name).ok()?;
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").ok()?;
    let mut said = Vec::new();
    // Whether the end is said in so many words is of no interest here.
    let _ = stream.read_to_end(&mut said);
    said.starts_with(b"HTTP/1.1 200").then(|| stream.conn.handshake_kind()).flatten()
}
