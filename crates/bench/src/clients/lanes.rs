//! The prober's own lanes as clients, beside the others.
//!
//! What their answers amount to is counted in `tally`, as for every other client.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{Class, Lane};
use probe::{Options, Run, Stop, Target, Tls, Told, Way};
use tokio::sync::watch;

use super::long::TAKES;
use super::routers::Traffic;
use super::tally::Line;
use crate::Outcome;
use crate::prober::monotonic_ns;

/// The lanes of some traffic, and the attempts a second on each.
const fn lanes(traffic: Traffic) -> &'static [(Lane, u32)] {
    match traffic {
        Traffic::Http1 => &[(Lane::KeepAlive, 10), (Lane::Idle, 10), (Lane::Fresh, 10)],
        Traffic::Http2 => &[(Lane::Http2, 10)],
        Traffic::Slow => &[(Lane::Upload, 2), (Lane::Download, 2)],
        Traffic::Open => &[(Lane::Websocket, 10), (Lane::Events, 2)],
    }
}

/// A run that goes on until it is told to end.
#[derive(Debug)]
pub(crate) struct Lanes {
    kinds: &'static [(Lane, u32)],
    told: watch::Sender<Told>,
    thread: JoinHandle<Result<Run, String>>,
}

impl Lanes {
    /// Those of this traffic, with one socket where there are any.
    pub(crate) fn start(url: &str, traffic: Traffic) -> Outcome<Self> {
        let url = Target::parse(url).map_err(|fault| fault.what)?;
        let lanes = lanes(traffic);
        let rate = lanes.iter().map(|(_, rate)| rate).sum();
        let share = |own: u32| f64::from(own) / f64::from(rate);
        let tls = Tls { insecure: true, ..Tls::default() };
        let options = Options {
            lanes: lanes.iter().map(|(lane, own)| (*lane, share(*own))).collect(),
            way: Way { tls, ..Way::default() },
            idle_most: Duration::from_secs(1),
            sockets: 1,
            upload_path: "/slow".to_owned(),
            download_path: "/slow".to_owned(),
            // Where the app is slow on purpose, the prober need not be.
            slowness: if traffic == Traffic::Slow { TAKES / 5 } else { TAKES },
            late_after: TAKES * 5,
            stop: Stop::WhenTold,
            ..Options::new(url, rate)
        };
        let (told, telling) = watch::channel(Told::Go);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let run = probe::run(options, telling, None);
            runtime.map_err(|error| error.to_string())?.block_on(run).map_err(|fault| fault.what)
        });
        Ok(Self { kinds: lanes, told, thread })
    }

    /// Ends it; what each lane has seen, as the other clients would say it.
    pub(crate) fn end(self) -> Outcome<Vec<(Lane, Vec<Line>)>> {
        self.told.send_replace(Told::Stop);
        let run = self.thread.join().map_err(|_| "the prober broke down")??;
        let (now, now_ns) = (Instant::now(), monotonic_ns());
        let at = |us: u64| {
            let ago = now_ns.saturating_sub(run.header.t0_mono_ns + us * 1_000);
            now.checked_sub(Duration::from_nanos(ago)).unwrap_or(now)
        };
        let of = |&(lane, _): &(Lane, u32)| {
            let attempts = run.attempts.iter().filter(|attempt| attempt.lane == lane);
            let lines = attempts.filter(|attempt| attempt.class != Class::NotSent).map(|attempt| {
                let detail = attempt.detail.as_deref().unwrap_or_default();
                let words = match &attempt.version {
                    Some(version) if attempt.class == Class::Ok => version.clone(),
                    _ => format!("error {}: {detail}", attempt.class.name()),
                };
                // A body may be taken so slowly that it ends long after the switch: it went where it began.
                let begun = lane.slow() && attempt.class == Class::Ok;
                (at(if begun { attempt.dispatched_us } else { attempt.done_us }), words)
            });
            (lane, lines.collect())
        };
        Ok(self.kinds.iter().map(of).collect())
    }
}
