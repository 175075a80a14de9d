//! One connection of a client that speaks HTTP/2 over TLS, with several requests at a time.
//!
//! The connection itself is opened in `connection`; nothing is timed here, answers are only counted.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use h2::client::SendRequest;
use tokio::io::AsyncWriteExt;
use tokio::task::{AbortHandle, JoinSet};

use super::connection::secure;
use super::{Tally, Target};
use crate::instance;

/// Asks until it is told to stop.
pub(super) async fn lane(target: &Target, streams: usize, tally: &Rc<Tally>) {
    loop {
        let ended = connection(target, streams, tally).await;
        if ended.is_ok() || !tally.note(&ended) {
            return;
        }
    }
}

async fn connection(target: &Target, streams: usize, tally: &Rc<Tally>) -> io::Result<()> {
    let open = Open::new(target).await?;
    let mut lanes = JoinSet::new();
    for _ in 0..streams {
        let (client, tally) = (open.client.clone(), Rc::clone(tally));
        lanes.spawn_local(async move {
            loop {
                let asked = client.ask().await;
                if !tally.note(&asked) || asked.is_err() {
                    return asked;
                }
            }
        });
    }
    let mut ended = Ok(());
    while let Some(lane) = lanes.join_next().await {
        ended = ended.and(lane.unwrap_or(Ok(())));
    }
    ended
}

/// A connection that stands until this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) client: Client,
    driver: AbortHandle,
}

impl Open {
    /// A new one.
    pub(super) async fn new(target: &Target) -> io::Result<Self> {
        let mut stream = secure(target, b"h2").await?;
        stream.flush().await?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        let driver = tokio::task::spawn_local(connection).abort_handle();
        Ok(Self { client: Client { sender, cookie: Arc::clone(&target.cookie) }, driver })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One who asks over it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    sender: SendRequest<bytes::Bytes>,
    cookie: Arc<str>,
}

impl Client {
    /// One request and its whole answer.
    pub(super) async fn ask(&self) -> io::Result<()> {
        ask(&self.sender, &self.cookie).await.map_err(io::Error::other)
    }
}

async fn ask(sender: &SendRequest<bytes::Bytes>, cookie: &str) -> Result<(), h2::Error> {
    let request = http::Request::get("https://shop.test/api/items/1")
        .header("user-agent", "bench/1")
        .header("accept", "application/json")
        .header("cookie", cookie)
        .body(())
        .unwrap_or_default();
    let (answer, _) = sender.clone().ready().await?.send_request(request, true)?;
    let answer = answer.await?;
    let good = answer.status() == http::StatusCode::OK;
    let mut body = answer.into_body();
    let mut length = 0;
    while let Some(content) = body.data().await {
        let content = content?;
        length += content.len();
        body.flow_control().release_capacity(content.len())?;
    }
    if good && length == instance::SMALL.len() {
        return Ok(());
    }
    Err(h2::Reason::INTERNAL_ERROR.into())
}
