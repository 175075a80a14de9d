//! One run, from the first socket to the last record, on a thread of its own.
//!
//! The thread belongs to the prober alone, so that neither its caller nor its disk delays a send.

use std::rc::Rc;
use std::time::Duration;

use model::attempt::{Lane, RunFooter, RunHeader};
use model::{Fault, Kind};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, LocalSet};

use crate::arming::Wanted;
use crate::clock::Clock;
use crate::heartbeat;
use crate::jars::Clients;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::live::Beat;
use crate::options::{Options, Stop, Told};
use crate::pace::Early;
use crate::pacer::Pacer;
use crate::post::{Clerk, Post, WINDOW_EVERY};
use crate::samples::{Run, SCHEMA_VERSION, Writer};
use crate::schedule::{Turns, deadlines_within};
use crate::site::Site;

/// What connections are given at the end to close.
const CLOSING: Duration = Duration::from_secs(1);

/// Runs a probe to its end. `live` gets a [`Beat`] about every 100 ms; what it does not fetch in time
/// comes with the next one. Dropping the future stops the run.
pub async fn run(
    options: Options,
    told: watch::Receiver<Told>,
    live: Option<mpsc::Sender<Beat>>,
) -> Result<Run, Fault> {
    options.check()?;
    let (mut reply, answer) = oneshot::channel();
    let thread = move || {
        let result = match runtime() {
            Ok(runtime) => {
                let session = Session { options, told, live, reply: &mut reply };
                let result = LocalSet::new().block_on(&runtime, session.run());
                // A name lookup that hangs must not hold up the end.
                runtime.shutdown_background();
                result
            }
            Err(fault) => Err(fault),
        };
        // Nobody waits for it any more: then the samples have it.
        let _ = reply.send(result);
    };
    let spawned = std::thread::Builder::new().name("probe".to_owned()).spawn(thread);
    spawned.map_err(|error| Fault::environment(format!("cannot start a thread: {error}")))?;
    answer.await.unwrap_or_else(|_| Err(Fault::internal("the thread of the prober died")))
}

fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::environment(format!("cannot start the prober: {error}")))
}

struct Session<'a> {
    options: Options,
    told: watch::Receiver<Told>,
    live: Option<mpsc::Sender<Beat>>,
    reply: &'a mut oneshot::Sender<Result<Run, Fault>>,
}

impl Session<'_> {
    async fn run(mut self) -> Result<Run, Fault> {
        let options = &self.options;
        let post = options.control.as_deref().map(Post::bind).transpose()?;
        let writer = options.samples.as_deref().map(Writer::create).transpose()?;
        let clock = Clock::start();
        let clients = Clients::new(options.clients, options.client_field.as_deref());
        let late_after_us = micros(options.late_after);
        let ledger = Ledger::new(clock, late_after_us, writer, clients);
        let ledger = Rc::new(ledger.expecting(&options.expected));
        let site = Rc::new(Site::new(options, Rc::clone(&ledger), clock)?);
        if self.live.is_some() {
            ledger.live.listen();
        }
        let (lanes, header) = open_lanes(&site, options).await?;
        let lanes = Rc::new(lanes);
        let sockets = if lanes.has(Lane::Websocket) { options.sockets } else { 0 };
        ledger.open(header.clone(), Wanted::new(options, sockets));

        let (stop, stopped) = watch::channel(false);
        let (ended, seen_end) = watch::channel(None);
        let clerk = post.map(|post| {
            let ledger = Rc::clone(&ledger);
            let (stop, ended) = (stop.clone(), seen_end.clone());
            let orphaned_after = options.orphaned_after;
            let header = header.clone();
            Clerk { post, ledger, clock, header, stop, ended, orphaned_after }
        });
        let clerk = clerk.map(|clerk| tokio::task::spawn_local(clerk.serve()));
        let beating = tokio::task::spawn_local(heartbeat::watch(Rc::clone(&ledger), clock));
        let chores = self.chores(&lanes, &ledger);

        let sent = self.send(&lanes, &site, &header, (&stop, stopped)).await;
        self.close(&lanes, &ledger).await;
        beating.abort();
        chores.abort();
        // A controller reads the samples.
        let keep = self.options.control.is_none() || self.options.samples.is_none();
        let run = ledger.close(keep);
        self.tell_end(&ledger, (&ended, run.footer.clone()), clerk).await;
        sent.map(|()| run)
    }

    /// What is done about every 100 ms: windows for the caller, and a look at idle connections.
    fn chores(&self, lanes: &Rc<Lanes>, ledger: &Rc<Ledger>) -> JoinHandle<()> {
        let (ledger, live) = (Rc::clone(ledger), self.live.clone());
        let lanes = Rc::clone(lanes);
        tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(WINDOW_EVERY);
            loop {
                tick.tick().await;
                lanes.sweep();
                let Some(live) = &live else { continue };
                if let Ok(room) = live.try_reserve() {
                    room.send(ledger.beat());
                }
            }
        })
    }

    /// Sends to the end, or until somebody says stop.
    async fn send(
        &mut self,
        lanes: &Lanes,
        site: &Rc<Site>,
        header: &RunHeader,
        (stop, stopped): (&watch::Sender<bool>, watch::Receiver<bool>),
    ) -> Result<(), Fault> {
        let options = &self.options;
        let count = match options.stop {
            Stop::After { duration } => deadlines_within(duration, options.rate),
            Stop::Count(count) => count,
            Stop::AfterSwitch { at_most, .. } => deadlines_within(at_most, options.rate),
            Stop::WhenTold => u64::MAX,
        };
        let pacer = Pacer {
            site: Rc::clone(site),
            turns: Turns::new(&header.lanes),
            rate: options.rate,
            early: Early::new(options.pace, options.rate),
            count,
            cap: options.cap(),
        };
        let mut sending = std::pin::pin!(pacer.run(lanes, stopped));
        let nobody_can_stop_it = options.stop == Stop::WhenTold && options.control.is_none();
        let told = async {
            let told = self.told.wait_for(|told| *told != Told::Go).await;
            if told.is_err() && !nobody_can_stop_it {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            sent = &mut sending => return sent,
            () = told => {}
            () = switched(&site.ledger, options.stop) => {}
            () = self.reply.closed() => {}
        }
        stop.send_replace(true);
        sending.await
    }

    /// Waits for what is in flight, then closes every connection; for neither when that is not wanted any more.
    async fn close(&self, lanes: &Lanes, ledger: &Ledger) {
        let mut told = self.told.clone();
        let hurried = async {
            if told.wait_for(|told| *told == Told::Now).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let closed = async {
            ledger.drained().await;
            lanes.close().await;
        };
        let waited = tokio::select! {
            () = closed => true,
            () = hurried => false,
        };
        if waited && tokio::time::timeout(CLOSING, ledger.disconnected()).await.is_err() {
            tracing::warn!("some connections of the probe did not close in time");
        }
    }

    async fn tell_end(
        &self,
        ledger: &Ledger,
        (ended, footer): (&watch::Sender<Option<RunFooter>>, Option<RunFooter>),
        clerk: Option<JoinHandle<()>>,
    ) {
        if let Some(live) = &self.live {
            let last = live.send(ledger.beat());
            // A listener that does not fetch it has the run itself.
            let _ = tokio::time::timeout(CLOSING, last).await;
        }
        ended.send_replace(footer);
        if let Some(clerk) = clerk
            && clerk.await.is_err()
        {
            tracing::warn!("the control socket of the probe broke down");
        }
    }
}

/// Resolves when a run that waits for a switch has seen it; never for another.
async fn switched(ledger: &Ledger, stop: Stop) {
    let Stop::AfterSwitch { settle, .. } = stop else { return std::future::pending().await };
    let mut tick = tokio::time::interval(WINDOW_EVERY);
    while !ledger.switched(micros(settle)) {
        tick.tick().await;
    }
}

/// Opens what the lanes need, and shares the rate among those that can be run.
async fn open_lanes(site: &Rc<Site>, options: &Options) -> Result<(Lanes, RunHeader), Fault> {
    let (opened, lanes_not_run) = Lanes::open(site, options).await;
    let shares = options.lanes.iter().filter(|(lane, _)| opened.has(*lane));
    let shares: Vec<_> = shares.copied().collect();
    if let ([], [(lane, reason), ..]) = (shares.as_slice(), lanes_not_run.as_slice()) {
        let what = format!("{} serves no {}, and no other lane can run", options.url, lane.name());
        return Err(Fault::new(Kind::Usage, what)
            .help("check the paths of the lanes, or add a lane")
            .note(reason.clone()));
    }
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    let rate = |share: f64| f64::from(options.rate) * share / sum;
    let lanes: Vec<_> = shares.iter().map(|&(lane, share)| (lane, rate(share))).collect();
    let header = RunHeader {
        schema_version: SCHEMA_VERSION,
        url: options.url.to_string(),
        t0_mono_ns: site.clock.t0_ns,
        t0_unix_ms: site.clock.t0_unix_ms,
        rate: options.rate,
        lanes,
        lanes_not_run,
        clients: options.clients,
        late_after_us: micros(options.late_after),
        timeout_us: micros(options.timeout),
    };
    Ok((opened, header))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
