//! Users who are far away: whatever they send, and whatever is sent to them, is under way for a while.
//!
//! It knows no HTTP, and it loses, holds back or changes nothing: an end of a stream arrives as late as the
//! bytes before it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

/// A long line between users and an entrance; it ends with this.
pub(crate) struct Far {
    /// Dropping it ends all that it carries.
    _runtime: tokio::runtime::Runtime,
}

/// Bytes, and when they arrive; none are an end.
type Parcel = (Instant, Vec<u8>);

impl Far {
    /// Takes connections on `port` and carries them to `entrance`, `way` in each direction.
    pub(crate) fn between(port: u16, entrance: u16, way: Duration) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let listener = Listener::from_std(listener).unwrap();
            while let Ok((user, _)) = listener.accept().await {
                tokio::spawn(carry(user, entrance, way));
            }
        });
        Self { _runtime: runtime }
    }
}

async fn carry(user: TcpStream, entrance: u16, way: Duration) {
    // Who finds nobody there is closed, as a router in between would.
    let Ok(there) = TcpStream::connect((Ipv4Addr::LOCALHOST, entrance)).await else { return };
    for stream in [&user, &there] {
        stream.set_nodelay(true).unwrap();
    }
    let (user, there) = (user.into_split(), there.into_split());
    for (from, to) in [(user.0, there.1), (there.0, user.1)] {
        let (sender, parcels) = unbounded_channel();
        tokio::spawn(take(from, sender, way));
        tokio::spawn(deliver(parcels, to));
    }
}

async fn take(mut from: OwnedReadHalf, to: UnboundedSender<Parcel>, way: Duration) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        // A reset is an end, too.
        let read = from.read(&mut bytes).await.unwrap_or(0);
        let gone = to.send((Instant::now() + way, bytes[..read].to_vec())).is_err();
        if read == 0 || gone {
            return;
        }
    }
}

async fn deliver(mut parcels: UnboundedReceiver<Parcel>, mut to: OwnedWriteHalf) {
    while let Some((due, bytes)) = parcels.recv().await {
        sleep_until(due).await;
        if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    let _closed_already = to.shutdown().await;
}
