//! One TCP connection: hyper on it, its requests counted, and the two reasons to end it early.
//!
//! What is answered is none of its business.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::answer::answer;
use super::body::Tracked;
use super::state::{Open, Phase, State, Thing};

/// Serves requests until the client leaves, the connection was idle too long, or the app closes.
///
/// There is no timer but `--idle-close`: a client may keep an idle connection for as long as it
/// likes, so that lanes which use it again after a while see only what they asked for.
pub(super) async fn serve(state: Arc<State>, stream: TcpStream, open: Open) {
    // Without it the second small write on a connection waits for the client's delayed ACK.
    let _ = stream.set_nodelay(true);
    let use_now = watch::Sender::new(Use { requests: 0, since: Instant::now() });
    let idle_limit = state.options.faults.idle_close;
    let service = service_fn(|request| {
        let guards = (Open::new(&state, Thing::Request), Busy::new(&use_now));
        let state = &state;
        async move {
            let response = answer(state, request).await;
            Ok::<_, Infallible>(response.map(|body| Tracked::new(body, guards)))
        }
    });
    let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut http = pin!(http.with_upgrades());
    let over = async {
        tokio::select! {
            () = state.reached(Phase::Closing) => {}
            () = idle_for(use_now.subscribe(), idle_limit) => {}
        }
    };
    // An error here is a client that went away or spoke something else; nobody is left to tell.
    tokio::select! {
        _ = http.as_mut() => {}
        () = over => {
            http.as_mut().graceful_shutdown();
            let _ = http.await;
        }
    }
    drop(open);
}

/// How much one connection is used.
#[derive(Clone, Copy)]
struct Use {
    requests: u32,
    /// When `requests` last changed.
    since: Instant,
}

/// Marks a connection as used for as long as it lives.
struct Busy(watch::Sender<Use>);

impl Busy {
    fn new(connection: &watch::Sender<Use>) -> Self {
        connection.send_modify(|now| *now = Use { requests: now.requests + 1, since: now.since });
        Self(connection.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|now| {
            *now = Use { requests: now.requests - 1, since: Instant::now() };
        });
    }
}

/// Resolves when the connection carried nothing for `limit`; never without a limit.
async fn idle_for(mut connection: watch::Receiver<Use>, limit: Option<Duration>) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let now = *connection.borrow_and_update();
        let changed = connection.changed();
        let gone = if now.requests > 0 {
            changed.await.is_err()
        } else {
            timeout_at(now.since + limit, changed).await.is_err()
        };
        if gone {
            return;
        }
    }
}
