//! What the API is asked, read strictly: a body, a path, a query; whatever cannot be read is refused with a
//! `Fault`, as everything else.
//!
//! What a well-formed request comes to is not its affair, and neither is what is no HTTP at all: that is
//! answered by its status alone, or not at all.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use model::{Fault, Kind};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};

use super::reach::Refusal;

/// Bytes of the longest body; every one that there is fits many times.
pub(super) const BODY: usize = 64 * 1024;

const DOCUMENT: &str = "`GET /openapi.json` describes what can be asked";

/// A body in JSON.
pub(super) struct Body<T>(pub(super) T);

/// What a path names.
pub(super) struct Named<T>(pub(super) T);

/// What a query asks.
pub(super) struct Queried<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            let what = "the body is not said to be JSON";
            let help = "send `Content-Type: application/json`";
            return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, what, help));
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|cut| match cut.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    let what = format!("the body has more than {BODY} bytes");
                    refusal(StatusCode::PAYLOAD_TOO_LARGE, what, DOCUMENT)
                }
                status => refusal(status, "the body did not come whole", "send it again"),
            })?;
        object(&bytes).map(Self).map_err(|wrong| {
            let what = if wrong.is_data() {
                format!("the body is not what is asked for here: {wrong}")
            } else {
                format!("the body is no JSON: {wrong}")
            };
            refusal(StatusCode::BAD_REQUEST, what, DOCUMENT)
        })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let refused = |wrong: PathRejection| {
            let what = format!("the path cannot be read: {}", innermost(&wrong));
            refusal(wrong.status(), what, DOCUMENT)
        };
        Path::from_request_parts(parts, state).await.map(|Path(found)| Self(found)).map_err(refused)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Queried<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let refused = |wrong: QueryRejection| {
            let what = format!("the query cannot be read: {}", innermost(&wrong));
            refusal(StatusCode::BAD_REQUEST, what, DOCUMENT)
        };
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(found)| Self(found)).map_err(refused)
    }
}

/// A path that nobody has.
pub(super) async fn nowhere(uri: Uri) -> Refusal {
    let what = format!("the API has no `{}`", uri.path().escape_debug());
    refusal(StatusCode::NOT_FOUND, what, DOCUMENT)
}

/// A path that is there, asked by another method than its own.
pub(super) async fn otherwise(method: Method, uri: Uri) -> Refusal {
    let what = format!("`{}` is not asked with {method}", uri.path().escape_debug());
    refusal(StatusCode::METHOD_NOT_ALLOWED, what, "the answer's `Allow` names the method")
}

fn refusal(status: StatusCode, what: impl Into<String>, help: &str) -> Refusal {
    Refusal::with(status, Fault::new(Kind::Usage, what).help(help))
}

/// An object alone: a list of its values in their order would do, too, and its mistakes be told by names of ours.
fn object<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(bytes);
    }
    serde_json::from_slice::<IgnoredAny>(bytes)?;
    Err(serde_json::Error::custom("it is no object"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// The words of who knew best what is wrong.
fn innermost(mut error: &dyn Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
