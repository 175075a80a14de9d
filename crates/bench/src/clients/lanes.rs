//! The prober's own lanes as clients, beside the others.
//!
//! What their answers amount to is counted in `tally`, as for every other client.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{Class, Lane};
use probe::{Options, Run, Stop, Target, Tls, Told, Way};
use tokio::sync::watch;

use super::tally::Line;
use crate::Outcome;
use crate::prober::monotonic_ns;

/// The lanes that every router here serves, without TLS and with it.
const LANES: [&[Lane]; 2] = [&[Lane::KeepAlive, Lane::Idle, Lane::Fresh], &[Lane::Http2]];

/// A run that goes on until it is told to end.
#[derive(Debug)]
pub(crate) struct Lanes {
    kinds: &'static [Lane],
    told: watch::Sender<Told>,
    thread: JoinHandle<Result<Run, String>>,
}

impl Lanes {
    /// Ten attempts a second on each lane.
    pub(crate) fn start(url: &str) -> Outcome<Self> {
        let url = Target::parse(url).map_err(|fault| fault.what)?;
        let lanes = LANES[usize::from(url.secure())];
        let share = 1.0 / lanes.len() as f64;
        let tls = Tls { insecure: true, ..Tls::default() };
        let options = Options {
            lanes: lanes.iter().map(|lane| (*lane, share)).collect(),
            way: Way { tls, ..Way::default() },
            idle_most: Duration::from_secs(1),
            stop: Stop::WhenTold,
            ..Options::new(url, 10 * u32::try_from(lanes.len())?)
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
        let of = |&lane: &Lane| {
            let attempts = run.attempts.iter().filter(|attempt| attempt.lane == lane);
            let lines = attempts.filter(|attempt| attempt.class != Class::NotSent).map(|attempt| {
                let detail = attempt.detail.as_deref().unwrap_or_default();
                let words = match &attempt.version {
                    Some(version) if attempt.class == Class::Ok => version.clone(),
                    _ => format!("error {}: {detail}", attempt.class.name()),
                };
                (at(attempt.done_us), words)
            });
            (lane, lines.collect())
        };
        Ok(self.kinds.iter().map(of).collect())
    }
}
