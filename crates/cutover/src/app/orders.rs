//! `/orders`: takes orders by id and tells what became of those of a run.
//!
//! What was carried out stands in `book`.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::reply::{error, json};
use super::route::value;
use super::state::State;

/// Largest order, bytes.
const ORDER_MAX: usize = 4 * 1024;

#[derive(Deserialize)]
struct Order {
    id: String,
}

#[derive(Serialize)]
struct Placed {
    order: String,
}

/// Places an order (POST), or tells what became of those of a run (GET).
pub(super) async fn answer(state: &State, request: Request<Incoming>) -> Response<Body> {
    let book = &state.orders;
    if request.method() != Method::POST {
        let Some(run) = value(request.uri().query(), "run").filter(|run| !run.is_empty()) else {
            return error(state, StatusCode::BAD_REQUEST, "of which run? Ask with ?run=NAME");
        };
        return match book.account(run) {
            Ok(account) => json(state, StatusCode::OK, &account),
            Err(_) => error(state, StatusCode::INTERNAL_SERVER_ERROR, "the book cannot be read"),
        };
    }
    let body = Limited::new(request.into_body(), ORDER_MAX).collect().await;
    let order = body.ok().and_then(|body| serde_json::from_slice::<Order>(&body.to_bytes()).ok());
    let plain =
        |id: &str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let Some(Order { id }) = order.filter(|order| plain(&order.id)) else {
        return error(
            state,
            StatusCode::BAD_REQUEST,
            "an order is {\"id\": \"1 to 128 characters\"}",
        );
    };
    match book.place(&id) {
        Ok(()) => json(state, StatusCode::OK, &Placed { order: id }),
        Err(_) => error(state, StatusCode::INTERNAL_SERVER_ERROR, "the book cannot be written"),
    }
}
