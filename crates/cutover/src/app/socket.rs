//! `/ws`: a WebSocket that sends each message back unchanged.
//!
//! It says nothing by itself until the app is told to stop; then `{"message":"reconnect"}`, once, and it
//! goes on echoing until the client leaves or the app closes with 1001. It numbers and checks nothing: that
//! is for its clients to do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::body::{Body, whole};
use super::reply::error;
use super::state::{Open, Phase, State, Thing};

/// What every socket is told once when the app is told to stop.
const RECONNECT: &str = r#"{"message":"reconnect"}"#;

/// How long a client may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Grants the upgrade (RFC 6455, section 4.2.2) and leaves a task behind that talks.
pub(super) fn upgrade(state: &Arc<State>, request: &mut Request<Incoming>) -> Response<Body> {
    let Some(accept) = accept_key(request.headers()) else {
        let what = "this route speaks WebSocket version 13 only";
        let mut response = error(state, StatusCode::UPGRADE_REQUIRED, what);
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    let granted = hyper::upgrade::on(request);
    let open = Open::new(state, Thing::Socket);
    tokio::spawn(live(Arc::clone(state), granted, open));
    let mut response = Response::new(whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// The answer to the client's key, if this is a WebSocket handshake at all.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let says = |name, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
    };
    let shaken = says(UPGRADE, "websocket")
        && says(CONNECTION, "upgrade")
        && says(SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| shaken)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

async fn live(state: Arc<State>, granted: OnUpgrade, open: Open) {
    if let Ok(upgraded) = granted.await {
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        // A client that resets its socket is no news to anybody.
        let _ = talk(&state, socket).await;
    }
    drop(open);
}

/// Echoes until the client leaves or the app closes.
async fn talk(state: &State, mut socket: Socket) -> Result<(), Error> {
    let mut told = false;
    loop {
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                Some(message @ (Message::Text(_) | Message::Binary(_))) => {
                    socket.send(message).await?;
                }
                // Pings and closes are answered by the next read.
                Some(_) => {}
                None => return Ok(()),
            },
            () = state.reached(Phase::Stopping), if !told => {
                told = true;
                socket.send(Message::text(RECONNECT)).await?;
            }
            () = state.reached(Phase::Closing) => return say_goodbye(socket).await,
        }
    }
}

/// Closes with 1001 ("going away") and reads until the client has said so too.
async fn say_goodbye(mut socket: Socket) -> Result<(), Error> {
    let reason = "the server is stopping".into();
    socket.close(Some(CloseFrame { code: CloseCode::Away, reason })).await?;
    let farewell = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = tokio::time::timeout(CLOSE_WAIT, farewell).await;
    Ok(())
}
