//! A connection that is kept: asked more than once, and watched until the other side closes it.
//!
//! Sending and receiving are two steps, so that a caller knows what the app had when something
//! happened to it. Nothing is sent twice; what an answer or an end is worth is the caller's affair.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Answer, Failure, NoAnswer, Reached, refused, request, take_answer};

/// A connection to one instance.
#[derive(Debug)]
pub struct Kept {
    stream: TcpStream,
    host: String,
}

impl Kept {
    /// Opens one; `host` is what its requests will name.
    pub async fn open(address: SocketAddr, host: &str, limit: Duration) -> Result<Self, NoAnswer> {
        let begun = Instant::now();
        let opened = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(Self { stream, host: host.to_owned() }),
            Ok(Err(error)) => refused(&error),
            Err(_late) => (Class::Timeout, Reached::Nothing.late(limit)),
        };
        Err(none(opened, begun))
    }

    /// Writes `GET path`. When this returns, the kernel of the other side has it.
    pub async fn send(&mut self, path: &str) -> Result<(), NoAnswer> {
        let begun = Instant::now();
        let request = request(&self.host, path, "").map_err(|failure| none(failure, begun))?;
        let written = self.stream.write_all(request.as_bytes()).await;
        written.map_err(|error| none(Reached::Connected.broken(&error), begun))
    }

    /// Takes the whole answer to what was sent, within `limit`; the latency counts from now. With it the
    /// connection, unless the answer ends it.
    pub async fn receive(mut self, limit: Duration) -> Result<(Answer, Option<Self>), NoAnswer> {
        let begun = Instant::now();
        let mut reached = Reached::Connected;
        let ended = match timeout(limit, take_answer(&mut self.stream, &mut reached)).await {
            Ok(ended) => ended,
            Err(_late) => Err((Class::Timeout, reached.late(limit))),
        };
        let (answer, kept) = ended.map_err(|failure| none(failure, begun))?;
        let answer = Answer { latency: begun.elapsed(), ..answer };
        Ok((answer, kept.then_some(self)))
    }

    /// Resolves when the other side closes or breaks it, or says something that nobody asked for.
    pub async fn ended(&mut self) {
        let mut byte = [0; 1];
        // Whatever came, no request can follow.
        let _over = self.stream.read(&mut byte).await;
    }
}

fn none((class, words): Failure, begun: Instant) -> NoAnswer {
    NoAnswer { class, words, latency: begun.elapsed() }
}
