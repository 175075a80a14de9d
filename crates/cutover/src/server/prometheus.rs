//! Asks a Prometheus, or what speaks like one, for the present value of a query.
//!
//! The documented HTTP API alone (`GET /api/v1/query`), one connection each time. How it is reached is
//! `dial`'s, and what a value means is decided elsewhere.

#[cfg(test)]
mod fuzz;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Uri, header};
use serde::Deserialize;

use super::dial::{self, AGENT};
use super::proof::Proof;
use crate::config::{Login, Prometheus};

/// Longest answer that is read, bytes.
const LONGEST: usize = 1 << 20;
/// Characters of a message that are shown.
const SHOWN: usize = 200;

/// An answer; of one that failed only the message is of use.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar((f64, String)),
    String((f64, String)),
    Matrix(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    /// A moment and a value. Native histograms have none.
    value: Option<(f64, String)>,
}

/// The values of a query now, none where nothing matches it; else why there are none, in words.
pub(super) async fn ask(
    whom: &Prometheus,
    query: &str,
    limit: Duration,
) -> Result<Vec<f64>, String> {
    let late = || format!("did not answer within {}", crate::duration::show(limit));
    let asked = tokio::time::timeout(limit, values(whom, query)).await;
    asked.unwrap_or_else(|_late| Err(late())).map_err(|why| format!("{} {why}", whom.url))
}

async fn values(whom: &Prometheus, query: &str) -> Result<Vec<f64>, String> {
    let proof = match whom.login.clone() {
        Some(login) => Some(looked_up(login).await?),
        None => None,
    };
    let (status, body) = exchange(whom, query, proof.as_ref()).await?;
    read(status, &body, proof.as_ref()).map_err(|why| {
        if matches!(status, 401 | 403) { refused(status, whom.login.as_ref()) } else { why }
    })
}

/// A file that is slow to be read holds up nobody else.
async fn looked_up(login: Login) -> Result<Proof, String> {
    let found = tokio::task::spawn_blocking(move || Proof::of(&login)).await;
    found.unwrap_or_else(|ended| Err(format!("is sent nothing: {ended}")))
}

async fn exchange(
    whom: &Prometheus,
    query: &str,
    proof: Option<&Proof>,
) -> Result<(u16, Bytes), String> {
    let uri: Uri = whom.url.parse().map_err(|error| format!("is no address: {error}"))?;
    let prefix = uri.path().trim_end_matches('/');
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::get(format!("{prefix}/api/v1/query?query={}", encoded(query)))
        .header(header::HOST, host)
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, "application/json");
    if let Some(proof) = proof {
        request = request.header(header::AUTHORIZATION, proof.header());
    }
    let request = request.body(Full::default());
    let request = request.map_err(|error| format!("cannot be asked: {error}"))?;
    let response = dial::exchange(&uri, whom.ca.clone(), request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| format!("gives an answer that is not whole: {error}"))?;
    Ok((status, body.to_bytes()))
}

/// Why it does not answer whom it does not know.
fn refused(status: u16, login: Option<&Login>) -> String {
    match login {
        Some(login) => format!("answered {status}: it does not take {login}"),
        None => format!("answered {status}: it wants a `token`, or a `user` and a `password`"),
    }
}

fn read(status: u16, body: &[u8], proof: Option<&Proof>) -> Result<Vec<f64>, String> {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Err(format!("answered {status}, and that is no answer of a Prometheus"));
    };
    if let Some(error) = answer.error {
        let error = Proof::hidden(proof, error);
        let shown: String = error.chars().filter(|it| !it.is_control()).take(SHOWN).collect();
        return Err(format!("says: {shown}"));
    }
    let number = |(_, text): &(f64, String)| {
        let text = Proof::hidden(proof, text.clone());
        text.parse::<f64>()
            .map_err(|_| format!("gives `{}`, and that is no number", text.escape_debug()))
    };
    match answer.data {
        Some(Data::Vector(samples)) => {
            samples.iter().filter_map(|sample| sample.value.as_ref()).map(number).collect()
        }
        Some(Data::Scalar(value) | Data::String(value)) => Ok(vec![number(&value)?]),
        Some(Data::Matrix(_)) => Err("gives ranges for the query, and not one value".to_owned()),
        None => Err(format!("answered {status}, and no value")),
    }
}

/// A query as part of an address.
fn encoded(query: &str) -> String {
    let mut text = String::with_capacity(query.len() * 2);
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _written = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
