//! The controller's end of a prober's control socket.
//!
//! It does not reconnect by itself: who runs the rollout decides when a prober counts as lost.

use std::io;
use std::path::{Path, PathBuf};

use model::Fault;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::control::{FromProbe, ToProbe};

/// A conversation with a prober.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Client {
    /// Connects to the prober that listens on `path`.
    pub async fn connect(path: &Path) -> Result<Self, Fault> {
        let stream = UnixStream::connect(path).await.map_err(|error| lost(path, &error))?;
        let (reader, writer) = stream.into_split();
        Ok(Self { path: path.to_owned(), lines: BufReader::new(reader).lines(), writer })
    }

    /// The next message, or `None` when the prober has closed the connection. Nothing is lost when
    /// the future is dropped.
    pub async fn next(&mut self) -> Result<Option<FromProbe>, Fault> {
        let line = self.lines.next_line().await.map_err(|error| lost(&self.path, &error))?;
        let Some(line) = line else { return Ok(None) };
        serde_json::from_str(&line).map(Some).map_err(|error| {
            Fault::internal(format!("the prober at {} said nonsense: {error}", self.path.display()))
        })
    }

    /// Says something.
    pub async fn send(&mut self, order: ToProbe) -> Result<(), Fault> {
        let mut line = serde_json::to_vec(&order)
            .map_err(|error| Fault::internal(format!("cannot write an order: {error}")))?;
        line.push(b'\n');
        self.writer.write_all(&line).await.map_err(|error| lost(&self.path, &error))
    }
}

fn lost(path: &Path, error: &io::Error) -> Fault {
    Fault::environment(format!("cannot reach the prober at {}: {error}", path.display()))
}
