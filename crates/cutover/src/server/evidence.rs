//! Preview and prober of one rollout: what is measured, and the report in the end.
//!
//! It hands observations to the machine and obeys its `probe` and `preview` wants. It steers no
//! traffic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drivers::platform::FleetHave;
use drivers::router::RoutesHave;
use model::{Event, Fault, Outcome, Release, Verdict, Window};
use probe::control::{FromProbe, ToProbe};
use rollout::{Named, ProbeWant, Settings, Start};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::active::Active;
use super::bus::{Bus, Live, Notice};
use super::ending::{self, Facts};
use super::preview::{Previewed, preview};
use super::prober::{self, Heard, Prober};
use super::tools::Tools;
use crate::config::AppConfig;

/// How long users' traffic is watched after the last phase.
const TAIL: Duration = Duration::from_secs(1);
/// How often live figures are said.
const LIVE_EVERY: Duration = Duration::from_millis(250);
/// Windows are joined for the machine up to this length, so that the journal stays small.
const WINDOW_US: u64 = 250_000;

/// What reports back to the controller.
#[derive(Debug)]
pub(super) enum Inner {
    /// The prober.
    Probe(Heard),
    /// The preview.
    Preview(Previewed),
    /// The report was written, or could not be.
    Reported(Result<Verdict, Fault>),
}

/// All that is left to say about a rollout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    /// How it ended.
    pub(super) outcome: Outcome,
    /// What the traffic saw.
    pub(super) verdict: Option<Verdict>,
    /// True when a report was written.
    pub(super) report: bool,
}

/// How far the end has come.
#[derive(Debug, Default)]
enum Ending {
    #[default]
    NotYet,
    Tail(Instant),
    Closing(Instant),
    Reporting,
    Done(Option<Verdict>),
}

/// Preview and prober of the rollout under way.
pub(super) struct Evidence {
    tools: Tools,
    bus: Arc<Bus>,
    inner: mpsc::Sender<Inner>,
    prober: Option<Prober>,
    prober_lost: bool,
    prober_ended: bool,
    armed: bool,
    previewing: bool,
    interrupted: bool,
    ending: Ending,
    pending: Window,
    live: Rates,
}

/// Sums for the live line.
#[derive(Debug, Default)]
struct Rates {
    sent: u64,
    failed: u64,
    recent: BTreeMap<String, u64>,
    since_us: u64,
    said: Option<Instant>,
    shown: Live,
}

impl Evidence {
    pub(super) fn new(tools: Tools, bus: Arc<Bus>, inner: mpsc::Sender<Inner>) -> Self {
        Self {
            tools,
            bus,
            inner,
            prober: None,
            prober_lost: false,
            prober_ended: false,
            armed: false,
            previewing: false,
            interrupted: false,
            ending: Ending::NotYet,
            pending: Window::default(),
            live: Rates::default(),
        }
    }

    /// Forgets an earlier rollout.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.tools.clone(), Arc::clone(&self.bus), self.inner.clone());
    }

    /// An operator interrupted the command that asked for the rollout.
    pub(super) const fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// The server stops: a prober has nothing left to watch.
    pub(super) async fn stop(&mut self) {
        if let Some(prober) = &self.prober {
            prober.tell(ToProbe::Stop).await;
        }
    }

    /// The machine's start for shipping `candidate`. The first deploy has nobody to watch yet.
    pub(super) fn start(
        &self,
        config: &AppConfig,
        stable: Option<&Release>,
        candidate: &Release,
    ) -> Start {
        let named = |release: &Release| Named { id: release.id, version: release.version.clone() };
        let probing = config.probe.enabled && stable.is_some();
        Start {
            app: candidate.app.clone(),
            stable: stable.map(named),
            candidate: named(candidate),
            instances: config.instances,
            settings: settings(config, probing),
        }
    }

    /// Starts what is wanted and not there; answers when the rollout has ended and is reported.
    pub(super) async fn gather(
        &mut self,
        active: &mut Active,
        config: &AppConfig,
        fleet: &FleetHave,
    ) -> Result<Option<Finished>, Fault> {
        let wants = active.wants();
        if active.run().start.settings.probing {
            self.keep_probing(active, config, wants.probe).await?;
        }
        if let Some(requests) = wants.preview {
            self.keep_previewing(active, config, fleet, requests);
        }
        match active.outcome() {
            Some(outcome) => Ok(self.conclude(active, outcome).await),
            None => Ok(None),
        }
    }

    async fn keep_probing(
        &mut self,
        active: &mut Active,
        config: &AppConfig,
        want: ProbeWant,
    ) -> Result<(), Fault> {
        if self.prober.is_none() && !self.prober_lost && want != ProbeWant::Off {
            match self.reach_prober(active, config).await {
                Ok(prober) => self.prober = Some(prober),
                Err(fault) => {
                    self.prober_lost = true;
                    self.note(active, format!("no prober: {fault}"));
                    active.tell(Event::ProberLost)?;
                }
            }
        }
        if want == ProbeWant::Armed
            && !self.armed
            && let Some(prober) = &self.prober
        {
            self.armed = true;
            prober.tell(ToProbe::Arm).await;
        }
        Ok(())
    }

    /// Finds the run's prober if it lives, else starts it - but never twice: a second run would
    /// overwrite the samples of the first.
    async fn reach_prober(&self, active: &Active, config: &AppConfig) -> Result<Prober, Fault> {
        let run = &active.run().run;
        let layout = &self.tools.layout;
        let socket = layout.probe_socket(run);
        let heard = self.relay();
        if let Ok(prober) = Prober::attach(&socket, heard.clone()).await {
            return Ok(prober);
        }
        if layout.samples(run).exists() {
            return Err(Fault::environment("it ended while the controller was away"));
        }
        let directory = layout.run_directory(run);
        std::fs::create_dir_all(&directory).map_err(|e| {
            Fault::environment(format!("{} cannot be made: {e}", directory.display()))
        })?;
        let (samples, entrance) = (layout.samples(run), &self.tools.entrance);
        let arguments = prober::arguments(config, entrance, &samples, &socket);
        let log = layout.logs().join(format!("probe-{run}.log"));
        Prober::start(&arguments, &socket, &log, heard).await
    }

    fn relay(&self) -> mpsc::Sender<Heard> {
        let (sender, mut receiver) = mpsc::channel(64);
        let inner = self.inner.clone();
        tokio::spawn(async move {
            while let Some(heard) = receiver.recv().await {
                if inner.send(Inner::Probe(heard)).await.is_err() {
                    return;
                }
            }
        });
        sender
    }

    fn keep_previewing(
        &mut self,
        active: &Active,
        config: &AppConfig,
        fleet: &FleetHave,
        requests: u32,
    ) {
        let instances = fleet.serving_instances(active.run().start.candidate.id);
        if self.previewing || instances.is_empty() {
            return;
        }
        self.previewing = true;
        let host = config.hosts.first().cloned().unwrap_or_else(|| self.tools.entrance.clone());
        let path = config.rollout.preview_path.clone();
        let timeout = config.probe.timeout;
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let previewed = preview(instances, requests, host, path, timeout).await;
            drop(inner.send(Inner::Preview(previewed)).await);
        });
    }

    /// Tells the machine what came in.
    pub(super) async fn hear(&mut self, active: &mut Active, inner: Inner) -> Result<(), Fault> {
        match inner {
            Inner::Preview(previewed) => {
                let Previewed { tally, failures } = previewed;
                active.tell(Event::Preview { tally, failures })?;
            }
            Inner::Reported(verdict) => {
                if let Err(fault) = &verdict {
                    self.note(active, format!("no report: {fault}"));
                }
                self.ending = Ending::Done(verdict.ok());
            }
            Inner::Probe(Heard::Lost) => {
                if !self.prober_ended {
                    self.prober = None;
                    self.prober_lost = true;
                    active.tell(Event::ProberLost)?;
                }
            }
            Inner::Probe(Heard::Said(message)) => self.said(active, message)?,
        }
        Ok(())
    }

    fn said(&mut self, active: &mut Active, message: FromProbe) -> Result<(), Fault> {
        match message {
            FromProbe::Hello(_) => {}
            FromProbe::Armed => {
                active.tell(Event::Armed)?;
            }
            FromProbe::Ended(_) => self.prober_ended = true,
            FromProbe::Window(window) => {
                self.live.add(&window);
                join(&mut self.pending, &window);
                let long = self.pending.to_us - self.pending.from_us >= WINDOW_US;
                if long && active.judges_windows() {
                    active.tell(Event::Window(std::mem::take(&mut self.pending)))?;
                } else if long {
                    self.pending = Window::default();
                }
            }
        }
        Ok(())
    }

    /// Takes the next step toward the end, if its condition holds.
    async fn conclude(&mut self, active: &Active, outcome: Outcome) -> Option<Finished> {
        let limit = Duration::from_secs(15);
        match &self.ending {
            Ending::NotYet if self.prober.is_some() => {
                self.ending = Ending::Tail(Instant::now() + TAIL)
            }
            Ending::NotYet if active.run().start.settings.probing => self.report(active, outcome),
            Ending::NotYet => self.ending = Ending::Done(None),
            Ending::Tail(until) if Instant::now() >= *until => {
                if let Some(prober) = &self.prober {
                    prober.tell(ToProbe::Stop).await;
                }
                self.ending = Ending::Closing(Instant::now() + limit);
            }
            Ending::Closing(until)
                if self.prober_ended || self.prober_lost || Instant::now() >= *until =>
            {
                self.report(active, outcome);
            }
            Ending::Done(verdict) => {
                return Some(Finished { outcome, verdict: *verdict, report: verdict.is_some() });
            }
            Ending::Tail(_) | Ending::Closing(_) | Ending::Reporting => {}
        }
        None
    }

    fn report(&mut self, active: &Active, outcome: Outcome) {
        self.ending = Ending::Reporting;
        let facts = Facts {
            run: active.run().clone(),
            clock: active.clock().clone(),
            entered: active.entered().to_vec(),
            reason: active.reason(),
            outcome,
            interrupted: self.interrupted,
        };
        let (layout, inner) = (self.tools.layout.clone(), self.inner.clone());
        tokio::task::spawn_blocking(move || {
            let verdict = ending::write(&layout, &facts);
            // The controller waits for this; when it is gone, the next one writes it again.
            drop(inner.blocking_send(Inner::Reported(verdict)));
        });
    }

    fn note(&self, active: &Active, text: String) {
        self.bus.say(Notice::Note { at_ms: active.clock().now_ms(), text });
    }

    /// Says the figures of the moment, a few times a second.
    pub(super) fn show(&mut self, active: &Active, routes: &RoutesHave) {
        let now = Instant::now();
        if self.live.said.is_some_and(|said| now.duration_since(said) < LIVE_EVERY) {
            return;
        }
        self.live.said = Some(now);
        let leaving = active.leaving();
        self.live.shown.open_old = leaving
            .map(|release| routes.open_on(release))
            .map(|open| (open.requests, open.tunnels));
        self.live.shown.at_ms = active.clock().now_ms();
        self.bus.say(Notice::Live(self.live.shown.clone()));
    }
}

impl Rates {
    fn add(&mut self, window: &Window) {
        for (version, tally) in &window.by_version {
            self.sent += tally.all();
            self.failed += tally.failures();
            *self.recent.entry(version.clone()).or_default() += tally.all();
        }
        self.shown.p50_us = window.p50_us.or(self.shown.p50_us);
        self.shown.late_us = Some(window.late_us);
        let span_us = window.to_us.saturating_sub(self.since_us);
        if span_us >= 400_000 {
            let per_second = |n: u64| n as f64 * 1e6 / span_us as f64;
            let recent = std::mem::take(&mut self.recent);
            self.shown.per_version =
                recent.into_iter().map(|(version, n)| (version, per_second(n))).collect();
            self.since_us = window.to_us;
        }
        self.shown.sent = self.sent;
        self.shown.failed = self.failed;
    }
}

/// Adds `window` to `sum`, which then spans both.
fn join(sum: &mut Window, window: &Window) {
    if sum.to_us == 0 {
        sum.from_us = window.from_us;
    }
    sum.to_us = window.to_us;
    sum.not_sent += window.not_sent;
    for (version, tally) in &window.by_version {
        sum.by_version.entry(version.clone()).or_default().add(tally);
    }
}

fn settings(config: &AppConfig, probing: bool) -> Settings {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let rollout = &config.rollout;
    Settings {
        ready_deadline_ms: ms(config.health.deadline),
        preview_requests: rollout.preview_requests,
        bake_ms: ms(rollout.bake),
        drain_deadline_ms: ms(rollout.drain_timeout),
        handover_deadline_ms: ms(rollout.handover_timeout),
        stop_deadline_ms: ms(config.stop_timeout) + 5_000,
        max_errors: u64::from(rollout.max_errors),
        max_error_share_bp: basis_points(rollout.max_error_share),
        probing,
        ..Settings::default()
    }
}

/// A share of 0 to 1 in basis points.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=10000")]
fn basis_points(share: f64) -> u16 {
    (share.clamp(0.0, 1.0) * 10_000.0).round() as u16
}
