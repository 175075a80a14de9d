//! Requests that were made, second by second, from a JSON access log of Cutover's proxy.
//!
//! Lines that are none, tunnels, Cutover's own prober and requests that no instance was asked for are left
//! out. What the rest says of the judge is worked out in `calibrate`.

#[cfg(test)]
mod fuzz;

use std::collections::BTreeMap;
use std::io::{BufRead, Result};

use serde::Deserialize;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Its client, by number.
    pub(crate) client: u32,
    /// Answered 500 or more, or not to the end.
    pub(crate) failed: bool,
    /// How long it took, us.
    pub(crate) us: u64,
}

/// What was asked of an app.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    seconds: BTreeMap<String, Vec<Request>>,
    /// How many clients there are.
    pub(crate) clients: usize,
}

/// What matters of a line. Text that there is none of is null there.
#[derive(Deserialize)]
struct Line {
    time: String,
    client: String,
    app: Option<String>,
    status: u16,
    last_byte_ms: Option<f64>,
    user_agent: Option<String>,
    error: Option<String>,
    open_ms: Option<f64>,
}

impl Traffic {
    /// Reads a log; of one app, if it is named. Lines that are none, requests that no instance was asked
    /// for, tunnels and Cutover's own prober are left out.
    pub(crate) fn read(log: impl BufRead, app: Option<&str>) -> Result<Self> {
        let mut traffic = Self::default();
        let mut known: BTreeMap<String, u32> = BTreeMap::new();
        for line in log.lines() {
            let line = line?;
            let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
            let [of, agent, error] = [&line.app, &line.user_agent, &line.error];
            let [of, agent, error] = [of, agent, error].map(|text| text.as_deref().unwrap_or(""));
            let probe = agent.starts_with("cutover-probe/");
            let gone = matches!(error, "client-gone" | "stopped") || line.status == 0;
            if probe || gone || line.open_ms.is_some() || app.is_some_and(|app| app != of) {
                continue;
            }
            let Some(second) = line.time.get(..19) else { continue };
            let number = u32::try_from(known.len()).unwrap_or(u32::MAX);
            let client = *known.entry(line.client).or_insert(number);
            let failed = line.status >= 500 || error == "cut";
            let us = std::time::Duration::try_from_secs_f64(line.last_byte_ms.unwrap_or(0.0) / 1e3);
            let us = us.map_or(0, |took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            let second = traffic.seconds.entry(second.to_owned()).or_default();
            second.push(Request { client, failed, us });
        }
        traffic.clients = known.len();
        Ok(traffic)
    }

    /// The requests of each second that had some, in order.
    pub(super) fn seconds(&self) -> impl Iterator<Item = &[Request]> {
        self.seconds.values().map(Vec::as_slice)
    }

    /// How many there are, and how many failed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let all = || self.seconds().flatten();
        (all().count(), all().filter(|request| request.failed).count())
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, Traffic};

    #[test]
    fn users_requests_of_one_app_are_read() {
        let log = r#"{"time":"2026-01-01T00:00:01.200Z","client":"10.0.0.1","app":"shop","status":200,"last_byte_ms":2.25,"open_ms":null,"user_agent":null,"error":null}
not a line
{"time":"2026-01-01T00:00:01.900Z","client":"10.0.0.2","app":"shop","status":502,"last_byte_ms":9.0,"open_ms":null,"user_agent":"curl","error":"closed"}
{"time":"2026-01-01T00:00:01.900Z","client":"10.0.0.2","app":"blog","status":200,"last_byte_ms":9.0,"open_ms":null,"user_agent":"curl","error":""}
{"time":"2026-01-01T00:00:02.000Z","client":"10.0.0.1","app":"shop","status":200,"last_byte_ms":1.0,"open_ms":null,"user_agent":"cutover-probe/0.1.0","error":""}
{"time":"2026-01-01T00:00:02.000Z","client":"10.0.0.1","app":"shop","status":200,"last_byte_ms":9000.0,"open_ms":null,"user_agent":"curl","error":"stopped"}
{"time":"2026-01-01T00:00:02.000Z","client":"10.0.0.1","app":"shop","status":101,"last_byte_ms":1.0,"open_ms":400.0,"user_agent":"curl","error":""}
"#;
        let traffic = Traffic::read(log.as_bytes(), Some("shop")).unwrap();
        let seconds: Vec<&[Request]> = traffic.seconds().collect();
        let one = |client, failed, us| Request { client, failed, us };
        assert_eq!(seconds, [&[one(0, false, 2_250), one(1, true, 9_000)][..]]);
        assert_eq!((traffic.clients, traffic.counts()), (2, (2, 1)));
    }
}
