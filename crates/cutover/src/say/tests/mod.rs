//! Tests of how things are said: what they write is compared byte by byte, in memory and never on a real
//! terminal. This file is the sink that they share.

mod faults;
mod live;
mod plainly;
mod wholly;

use std::io::Write;
use std::sync::{Arc, Mutex};

use model::{AppName, Version};

use super::step::{Live, Open, Rate, Step};

/// A place to write to that can be read meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

fn began() -> Step {
    Step::Began {
        app: AppName::new("shop").unwrap(),
        from: Some(version("v41")),
        to: version("v42"),
        run: "7f3a".into(),
        // 2023-11-14T22:13:20.250Z
        began_unix_ms: 1_700_000_000_250,
    }
}

fn phase(phase: model::Phase, at_ms: u64, why: &str) -> Step {
    Step::Phase { phase, at_ms, why: why.into() }
}

fn live(at_ms: u64, rates: &[(&str, f64)]) -> Step {
    let rate = |(version, rps): &(&str, f64)| Rate { version: (*version).into(), rps: *rps };
    Step::Live(Live {
        at_ms,
        per_version: rates.iter().map(rate).collect(),
        sent: at_ms / 5,
        failed: 0,
        open_old: None,
        p50_us: Some(3100),
        late_us: Some(120),
        waits: None,
    })
}

fn open(step: Step, requests: u64, tunnels: u64) -> Step {
    match step {
        Step::Live(live) => Step::Live(Live { open_old: Some(Open { requests, tunnels }), ..live }),
        other => other,
    }
}
