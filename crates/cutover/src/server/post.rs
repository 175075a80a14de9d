//! Sends a JSON document with POST, once.
//!
//! How it gets there is `dial`'s. It knows neither who wants that nor whether it is tried again. Of an address only scheme and host are ever
//! shown, and of a token nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, Uri};
use model::{Post, TokenPlace};
use tokio::time::timeout;

use super::dial::{self, AGENT};
use super::proof::Proof;
use crate::config::Login;
use crate::duration;

/// Bytes of an answer that are looked at, for its first line.
const ANSWER: usize = 16 * 1024;
/// Characters of that line that are told.
const LINE: usize = 200;

/// A document on its way.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) to: Post,
    pub(super) body: serde_json::Value,
    /// The same for each attempt at the same thing.
    pub(super) key: String,
}

/// Sends it; in words, how it was answered, or why it is not known to have arrived.
pub(super) async fn send(letter: &Letter, limit: Duration) -> Result<String, String> {
    let begun = Instant::now();
    let shown = shown(&letter.to);
    match timeout(limit, attempt(letter)).await {
        Ok(Ok(status)) => {
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(format!("{shown} answered {status} in {took} ms"))
        }
        Ok(Err(why)) => Err(format!("{shown} {why}")),
        Err(_late) => Err(format!("{shown} did not answer within {}", duration::show(limit))),
    }
}

/// Scheme and host: what follows them may be a secret.
pub(super) fn shown(to: &Post) -> String {
    let uri = to.url.parse::<Uri>().unwrap_or_default();
    let authority = uri.authority().map_or("nobody", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or("http"))
}

/// Answers the status, if it is a good one.
async fn attempt(letter: &Letter) -> Result<u16, String> {
    let uri: Uri = letter.to.url.parse().map_err(|e| format!("is no address: {e}"))?;
    let token = letter.to.token_from.clone().map(TokenPlace::Variable);
    let proof = token.map(|place| Proof::of(&Login::Token(place))).transpose()?;
    let request = request(letter, &uri, proof.as_ref())?;
    let response = dial::exchange(&uri, letter.to.ca.clone().map(PathBuf::from), request).await?;
    status(response, proof.as_ref()).await
}

fn request(
    letter: &Letter,
    uri: &Uri,
    proof: Option<&Proof>,
) -> Result<Request<Full<Bytes>>, String> {
    let body = serde_json::to_vec(&letter.body).map_err(|e| format!("cannot be told: {e}"))?;
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .header("idempotency-key", &letter.key);
    if let Some(proof) = proof {
        request = request.header(AUTHORIZATION, proof.header());
    }
    request.body(Full::new(Bytes::from(body))).map_err(|e| format!("cannot be told: {e}"))
}

/// The status, if it is a good one; else that, and the first line of the answer.
async fn status(response: Response<Incoming>, proof: Option<&Proof>) -> Result<u16, String> {
    let status = response.status();
    if status.is_success() {
        return Ok(status.as_u16());
    }
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    let bytes = body.map(Collected::to_bytes).unwrap_or_default();
    let text = Proof::hidden(proof, String::from_utf8_lossy(&bytes).into_owned());
    let line = text.lines().next().unwrap_or_default().chars();
    let line: String = line.filter(|c| !c.is_control()).take(LINE).collect();
    let said = if line.is_empty() { String::new() } else { format!(": {line}") };
    Err(format!("answered {}{said}", status.as_u16()))
}

#[cfg(test)]
#[path = "post_tests.rs"]
pub(super) mod tests;
