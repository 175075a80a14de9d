//! The shapes of small answers: JSON with who answered, errors, a body with its type.
//!
//! It knows no routes and no requests.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::{Body, whole};
use super::state::State;

/// A JSON answer: the fields of `what`, then version and instance.
pub(super) fn json(state: &State, status: StatusCode, what: &impl Serialize) -> Response<Body> {
    let identity = &state.identity;
    let stamped = Stamped { what, version: &identity.version, instance: &identity.instance };
    let mut text = serde_json::to_vec(&stamped).unwrap_or_default();
    text.push(b'\n');
    let mut response = typed("application/json", whole(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// An error as JSON.
pub(super) fn error(state: &State, status: StatusCode, what: &str) -> Response<Body> {
    json(state, status, &Problem { error: what })
}

/// A body with its content type.
pub(super) fn typed(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[derive(Serialize)]
struct Stamped<'a, T> {
    #[serde(flatten)]
    what: &'a T,
    version: &'a str,
    instance: &'a str,
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
}
