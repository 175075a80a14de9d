//! From a request to its answer: the faults first, then the route.
//!
//! It does not know connections or what is counted as open; `connection` wraps it.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::body::{Body, Dying, whole};
use super::reply::{error, json, typed};
use super::route::{Route, number, value};
use super::state::State;
use super::{events, metrics, orders, socket, transfer};

/// Longest wait that `/slow` grants, in milliseconds.
const SLOW_MAX_MS: u64 = 60_000;
const SLOW_DEFAULT_MS: u64 = 1_000;

/// Answers one request; every answer carries the version and the instance.
pub(super) async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Response<Body> {
    let route = Route::of(request.uri().path(), state.options.extra_path.as_deref());
    let mut response = if route.business() {
        business(state, route, request).await
    } else {
        routed(state, route, request).await
    };
    state.answered(route, response.status());
    sign(state, &mut response);
    response
}

/// Who answered, and whether the connection goes on.
fn sign(state: &State, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    let names =
        [("x-app-version", &state.identity.version), ("x-app-instance", &state.identity.instance)];
    for (name, text) in names {
        // Both were checked on the command line, so neither can be refused here.
        if let Ok(header) = HeaderValue::from_str(text) {
            headers.insert(HeaderName::from_static(name), header);
        }
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if state.stopping() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The routes that faults apply to.
async fn business(state: &Arc<State>, route: Route, request: Request<Incoming>) -> Response<Body> {
    let faults = &state.options.faults;
    let nth = state.business_request();
    if faults.on_sigterm.refuse_on_sigterm && state.stopping() {
        let mut refusal =
            refused(state, request, StatusCode::SERVICE_UNAVAILABLE, "told to stop").await;
        refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return refusal;
    }
    tokio::time::sleep(faults.latency).await;
    let broken = faults.health_lies || is_error(nth, faults.error_share);
    let has_body = !matches!(*request.method(), Method::HEAD) && route != Route::Socket;
    let response = if broken {
        refused(state, request, StatusCode::INTERNAL_SERVER_ERROR, "an injected fault").await
    } else {
        routed(state, route, request).await
    };
    let last = faults.die_mid_response.is_some_and(|n| nth >= n);
    if has_body && last { dying(response) } else { response }
}

/// True for the requests that a share of errors falls on: of the first n, exactly ⌊n·share⌋.
fn is_error(nth: u64, share: f64) -> bool {
    // The tiny addition keeps 100 · 0.29 = 28.999… from losing one.
    let up_to = |count: u64| (count as f64).mul_add(share, 1e-9).floor();
    up_to(nth) > up_to(nth.saturating_sub(1))
}

/// The same answer with its length announced and half of its bytes.
fn dying(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = hyper::body::Body::size_hint(response.body()).exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    response.map(|body| Dying::new(body).boxed_unsync())
}

/// Methods and routes, without faults.
async fn routed(
    state: &Arc<State>,
    route: Route,
    mut request: Request<Incoming>,
) -> Response<Body> {
    if route == Route::Unknown {
        return refused(state, request, StatusCode::NOT_FOUND, "there is no such route").await;
    }
    if !route.methods().split(", ").any(|method| method == request.method().as_str()) {
        let what = "that method is not for this route";
        let mut answer = refused(state, request, StatusCode::METHOD_NOT_ALLOWED, what).await;
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(route.methods()));
        return answer;
    }
    let query = request.uri().query();
    match route {
        Route::Page => page(state),
        Route::Datetime => datetime(state, query),
        Route::Version | Route::Extra => json(state, StatusCode::OK, &Nothing {}),
        Route::Healthz => healthz(state),
        Route::Metrics => typed("text/plain; version=0.0.4", whole(metrics::text(state))),
        Route::Socket => socket::upgrade(state, &mut request),
        Route::Events => typed("text/event-stream", events::stream(state)),
        Route::Slow => slow(state, query).await,
        Route::Upload => transfer::upload(state, request).await,
        Route::Download => transfer::download(state, query).await,
        Route::Orders => orders::answer(state, request).await,
        Route::Unknown => error(state, StatusCode::NOT_FOUND, "there is no such route"),
    }
}

/// An error, after the request's body was read: a client that still writes when the answer comes
/// would otherwise meet a reset and never see it.
async fn refused(
    state: &State,
    request: Request<Incoming>,
    status: StatusCode,
    what: &str,
) -> Response<Body> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    error(state, status, what)
}

fn page(state: &State) -> Response<Body> {
    let text = include_str!("page.html")
        .replace("{{version}}", &escaped(&state.identity.version))
        .replace("{{instance}}", &escaped(&state.identity.instance));
    typed("text/html; charset=utf-8", whole(text))
}

/// Text as it may stand in HTML, attributes included.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// The time in UTC with milliseconds, or as seconds since 1970.
fn datetime(state: &State, query: Option<&str>) -> Response<Body> {
    let now = OffsetDateTime::now_utc();
    match value(query, "format") {
        None | Some("rfc3339") => {
            let rfc3339 = format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            );
            match now.format(rfc3339) {
                Ok(datetime) => json(state, StatusCode::OK, &Datetime { datetime }),
                Err(_) => error(state, StatusCode::INTERNAL_SERVER_ERROR, "the clock is off"),
            }
        }
        Some("unix") => json(state, StatusCode::OK, &Unix { unix: now.unix_timestamp() }),
        Some(_) => error(state, StatusCode::BAD_REQUEST, "format must be rfc3339 or unix"),
    }
}

/// Ready or not; `--health-lies` says ready whatever is true.
fn healthz(state: &State) -> Response<Body> {
    let (code, status) = if state.options.faults.health_lies {
        (StatusCode::OK, "ok")
    } else if state.stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if state.options.faults.sick_file.as_ref().is_some_and(|file| file.exists()) {
        (StatusCode::SERVICE_UNAVAILABLE, "sick")
    } else if state.started() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    json(state, code, &Health { status })
}

async fn slow(state: &State, query: Option<&str>) -> Response<Body> {
    match number(query, "ms", SLOW_DEFAULT_MS, SLOW_MAX_MS) {
        Ok(slept_ms) => {
            tokio::time::sleep(std::time::Duration::from_millis(slept_ms)).await;
            json(state, StatusCode::OK, &Slow { slept_ms })
        }
        Err(what) => error(state, StatusCode::BAD_REQUEST, &what),
    }
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Datetime {
    datetime: String,
}

#[derive(Serialize)]
struct Unix {
    unix: i64,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Slow {
    slept_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::{escaped, is_error};

    #[test]
    fn a_share_of_errors_is_exact_at_every_length() {
        for (share, of, errors) in [(0.5, 100, 50), (0.29, 100, 29), (0.1, 95, 9), (1.0, 7, 7)] {
            let counted = (1..=of).filter(|nth| is_error(*nth, share)).count();
            assert_eq!(counted, errors, "{share} of {of}");
        }
        assert!(!(1..1_000).any(|nth| is_error(nth, 0.0)));
    }

    #[test]
    fn markup_in_a_name_stays_text() {
        assert_eq!(escaped("<b a=\"'&"), "&lt;b a=&quot;&#39;&amp;");
    }
}
