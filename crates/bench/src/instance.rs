//! The instance that all proxies carry to: small JSON, large bodies, and an echo behind an upgrade.
//!
//! It runs on the thread of the client, so that one core does for both, and is no server that anybody
//! should use: heads are not parsed, only searched.

use std::net::SocketAddr;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use crate::Outcome;
use crate::cases::BODY;

/// What a small answer says.
pub(crate) const SMALL: &[u8] = b"{\"id\":1,\"name\":\"something\"}";
const SMALL_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n";
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Serves on this thread for as long as its tasks run; gives the address.
pub(crate) async fn start() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let large: &'static [u8] = Box::leak(large().into_boxed_slice());
    let small: &'static [u8] = Box::leak([SMALL_HEAD, SMALL].concat().into_boxed_slice());
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(serve(stream, small, large));
        }
    });
    Ok(address)
}

fn large() -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {BODY}\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + BODY, b'x');
    answer
}

async fn serve(mut stream: TcpStream, small: &[u8], large: &[u8]) {
    // A proxy that goes takes its connections with it.
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 4096];
    let mut length = 0;
    while let Ok(bytes @ 1..) = stream.read(&mut buffer[length..]).await {
        length += bytes;
        let head = &buffer[..length];
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        if memmem::find(head, b"websocket").is_some() {
            return echo(stream, buffer).await;
        }
        let answer = if head.starts_with(b"GET /large") { large } else { small };
        let closes = memmem::find(head, b": close").is_some();
        if stream.write_all(answer).await.is_err() || closes {
            return;
        }
        length = 0;
    }
}

async fn echo(mut stream: TcpStream, mut buffer: Vec<u8>) {
    if stream.write_all(SWITCHED).await.is_err() {
        return;
    }
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
