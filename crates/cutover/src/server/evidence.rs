//! Preview and prober of one rollout: what is measured, and the report in the end.
//!
//! It hands observations to the machine and obeys its `probe` and `preview` wants. It steers no
//! traffic.

use std::sync::Arc;
use std::time::Duration;

use drivers::platform::FleetHave;
use drivers::router::RoutesHave;
use model::{Event, Fault, Outcome, Verdict, Window};
use probe::control::{FromProbe, ToProbe};
use rollout::ProbeWant;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::active::Active;
use super::bus::{Bus, Notice};
use super::ending::{self, Facts, Finished};
use super::live::Figures;
use super::preview::{Previewed, preview};
use super::prober::{Heard, Prober};
use super::tools::Tools;
use crate::config::AppConfig;

/// How long users' traffic is watched after the last phase.
const TAIL: Duration = Duration::from_secs(1);
/// How long a prober that was told to stop may take before it is left to itself.
const LAST_WORDS: Duration = Duration::from_secs(15);
/// Windows are joined for the machine up to this length, so that the journal stays small.
const WINDOW_US: u64 = 250_000;

/// What reports back to the controller.
#[derive(Debug)]
pub(super) enum Inner {
    /// The prober.
    Probe(Heard),
    /// The preview.
    Preview(Previewed),
    /// The report of a rollout that ended like this was written, or could not be.
    Reported(Outcome, Result<Verdict, Fault>),
}

/// How far the end has come.
#[derive(Debug, Default)]
enum Ending {
    #[default]
    NotYet,
    Tail(Instant),
    Closing(Instant),
    Reporting,
    Done(Finished),
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
    live: Figures,
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
            live: Figures::default(),
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
    pub(super) async fn stop(&mut self, active: Option<&Active>) {
        if let (None, Some(active)) = (&self.prober, active) {
            // One that an earlier controller started, and that this one has not met yet.
            let socket = self.tools.layout.probe_socket(&active.run().run);
            self.prober = Prober::attach(&socket, self.relay()).await.ok();
        }
        if let Some(prober) = &self.prober {
            prober.tell(ToProbe::Stop).await;
        }
    }

    /// Resolves when no prober of ours runs any more.
    pub(super) async fn gone(&mut self) {
        if let Some(prober) = &mut self.prober
            && tokio::time::timeout(LAST_WORDS, prober.gone()).await.is_err()
        {
            tracing::warn!("the prober still waits for answers; it will end by itself");
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
            let asked = (config, self.tools.entrance.as_str());
            let run = &active.run().run;
            match Prober::reach(&self.tools.layout, run, asked, self.relay()).await {
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
            Inner::Reported(outcome, written) => {
                let report = written.is_ok();
                let verdict = written.unwrap_or_else(|fault| {
                    self.note(active, format!("no report: {fault}"));
                    Verdict::Inconclusive
                });
                let verdict = Some(verdict);
                self.ending = Ending::Done(Finished { outcome, verdict, report });
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
        match &self.ending {
            Ending::NotYet if self.prober.is_some() => {
                self.ending = Ending::Tail(Instant::now() + TAIL)
            }
            Ending::NotYet if active.run().start.settings.probing => self.report(active, outcome),
            Ending::NotYet => {
                let finished = Finished { outcome, verdict: None, report: false };
                self.ending = Ending::Done(finished);
            }
            Ending::Tail(until) if Instant::now() >= *until => {
                if let Some(prober) = &self.prober {
                    prober.tell(ToProbe::Stop).await;
                }
                self.ending = Ending::Closing(Instant::now() + LAST_WORDS);
            }
            Ending::Closing(until)
                if self.prober_ended || self.prober_lost || Instant::now() >= *until =>
            {
                self.report(active, outcome);
            }
            Ending::Done(finished) => return Some(*finished),
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
            url: format!("http://{}", self.tools.entrance),
        };
        let (layout, inner) = (self.tools.layout.clone(), self.inner.clone());
        tokio::task::spawn_blocking(move || {
            let verdict = ending::write(&layout, &facts);
            // The controller waits for this; when it is gone, the next one writes it again.
            drop(inner.blocking_send(Inner::Reported(outcome, verdict)));
        });
    }

    fn note(&self, active: &Active, text: String) {
        self.bus.say(Notice::Note { at_ms: active.clock().now_ms(), text });
    }

    /// Says the figures of the moment, when it is time to.
    pub(super) fn show(&mut self, active: &Active, routes: &RoutesHave) {
        let open = active.leaving().map(|release| routes.open_on(release));
        let open = open.map(|open| (open.requests, open.tunnels));
        if let Some(live) = self.live.due(active.clock().now_ms(), open) {
            self.bus.say(Notice::Live(live));
        }
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
