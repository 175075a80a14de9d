//! One connection of a client that speaks HTTP/2 over TLS, with several requests at a time.
//!
//! The connection itself is opened in `connection`; nothing is timed here, answers are only counted.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use h2::client::SendRequest;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

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
    let mut stream = secure(target, b"h2").await?;
    stream.flush().await?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
    let driver = tokio::task::spawn_local(connection);
    let mut lanes = JoinSet::new();
    for _ in 0..streams {
        let (sender, tally) = (sender.clone(), Rc::clone(tally));
        let cookie = Arc::clone(&target.cookie);
        lanes.spawn_local(async move {
            loop {
                let asked = ask(&sender, &cookie).await.map_err(io::Error::other);
                if !tally.note(&asked) || asked.is_err() {
                    return asked;
                }
            }
        });
    }
    drop(sender);
    let mut ended = Ok(());
    while let Some(lane) = lanes.join_next().await {
        ended = ended.and(lane.unwrap_or(Ok(())));
    }
    driver.abort();
    ended
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
