//! `/events`: one tick a second as server-sent events.
//!
//! When the app is told to stop, the stream says `reconnect` and ends: an `EventSource` comes back
//! by itself, and an open stream would hold up the drain for nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::body::Body;
use super::state::{Phase, State};

const TICK: Duration = Duration::from_secs(1);

/// Where one client's stream stands.
struct Ticker {
    state: Arc<State>,
    interval: Interval,
    tick: u64,
    over: bool,
}

/// An endless body: the first tick at once, then one a second.
pub(super) fn stream(state: &Arc<State>) -> Body {
    let mut interval = interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ticker = Ticker { state: Arc::clone(state), interval, tick: 0, over: false };
    let frames = stream::unfold(ticker, |mut ticker| async move {
        let text = ticker.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), ticker))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Ticker {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        let stopping = tokio::select! {
            biased;
            () = self.state.reached(Phase::Stopping) => true,
            _ = self.interval.tick() => false,
        };
        let identity = &self.state.identity;
        let who = format!(
            r#""version":{},"instance":{}"#,
            serde_json::Value::from(identity.version.as_str()),
            serde_json::Value::from(identity.instance.as_str()),
        );
        if stopping {
            self.over = true;
            return Some(format!(
                "event: reconnect\nretry: 100\ndata: {{\"message\":\"reconnect\",{who}}}\n\n"
            ));
        }
        self.tick += 1;
        let tick = self.tick;
        Some(format!("id: {tick}\nevent: tick\ndata: {{\"tick\":{tick},{who}}}\n\n"))
    }
}
