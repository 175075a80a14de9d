//! Preview and prober of one rollout: what is measured, and the report in the end.
//!
//! It hands observations to the machine and obeys its `probe` and `preview` wants. What happens once is
//! kept until the journal has taken it. It steers no traffic.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use drivers::platform::FleetHave;
use drivers::router::{ChangeKind, RoutesHave};
use model::{Event, Fault, Outcome, Release, Verdict};
use probe::control::FromProbe;
use rollout::ProbeWant;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::active::Active;
use super::answered::Answered;
use super::bus::{Bus, Live, Notice};
use super::counted::Counted;
use super::ending::{self, Facts, Finished};
use super::live::Figures;
use super::measuring::Measuring;
use super::outages::Outages;
use super::preview::{Previewed, preview};
use super::prober::{Heard, asks_at};
use super::probing::Probing;
use super::receipts::{self, Taking};
use super::tools::Tools;
use super::units::Units;
use super::windows::Windows;
use crate::config::AppConfig;

/// How long users' traffic is watched after the last phase.
const TAIL: Duration = Duration::from_secs(1);
/// How long a prober that was told to stop may take before it is left to itself.
const LAST_WORDS: Duration = Duration::from_secs(15);
/// How long the proxy may take, once the prober has ended, to have ended its last request too.
const SETTLING: Duration = Duration::from_secs(2);

/// What reports back to the controller.
#[derive(Debug)]
enum Inner {
    /// The prober.
    Probe(Heard),
    /// The preview.
    Preview(Previewed),
    /// The report of a rollout that ended like this was written, or could not be.
    Reported(Outcome, Result<Verdict, Fault>),
}

/// What reports back, and for which rollout (its row): what an earlier one left behind is not heard.
#[derive(Debug)]
pub(super) struct News {
    run: i64,
    what: Inner,
}

/// How far the end has come.
#[derive(Debug, Default)]
enum Ending {
    #[default]
    NotYet,
    Tail(Instant),
    Closing(Instant),
    Settling(Instant),
    Reporting,
    Done(Finished),
}

/// Preview and prober of the rollout under way.
pub(super) struct Evidence {
    tools: Tools,
    bus: Arc<Bus>,
    news: mpsc::Sender<News>,
    probing: Probing,
    previewing: bool,
    /// What happened and the machine was not told yet; nobody says it a second time.
    untold: VecDeque<Event>,
    interrupted: bool,
    ending: Ending,
    windows: Windows,
    live: Figures,
    outages: Outages,
    counted: Counted,
    answered: Answered,
    units: Units,
    measuring: Measuring,
    receipts: Taking,
    /// The last look found the router.
    reached: bool,
}

impl Evidence {
    pub(super) fn new(tools: Tools, bus: Arc<Bus>, news: mpsc::Sender<News>) -> Self {
        Self {
            tools,
            bus,
            news,
            probing: Probing::default(),
            previewing: false,
            untold: VecDeque::new(),
            interrupted: false,
            ending: Ending::NotYet,
            windows: Windows::default(),
            live: Figures::default(),
            outages: Outages::default(),
            counted: Counted::default(),
            answered: Answered::default(),
            units: Units::default(),
            measuring: Measuring::default(),
            receipts: Taking::default(),
            reached: false,
        }
    }

    /// Forgets an earlier rollout.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.tools.clone(), Arc::clone(&self.bus), self.news.clone());
    }

    /// An operator interrupted the command that asked for the rollout.
    pub(super) const fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// The server stops: a prober has nothing left to watch.
    pub(super) async fn stop(&mut self, active: Option<&Active>) {
        if let Some(active) = active {
            let heard = self.relay(active.run().id);
            self.probing.find(&self.tools.layout, &active.run().name, heard).await;
        }
        self.probing.stop().await;
    }

    /// Resolves when no prober of ours runs any more.
    pub(super) async fn gone(&mut self) {
        if tokio::time::timeout(LAST_WORDS, self.probing.gone()).await.is_err() {
            tracing::warn!("the prober still waits for answers; it will end by itself");
        }
    }

    /// Starts what is wanted and not there; answers when the rollout has ended and is reported.
    pub(super) async fn gather(
        &mut self,
        active: &mut Active,
        (config, candidate): (&AppConfig, Option<&Release>),
        fleet: &FleetHave,
    ) -> Result<Option<Finished>, Fault> {
        let wants = active.wants();
        if active.run().start.settings.probing {
            if self.reached && wants.probe != ProbeWant::Off {
                let directory = self.tools.layout.run_directory(&active.run().name);
                self.receipts.gather(&*self.tools.router, &directory).await;
            }
            self.keep_probing(active, config, wants.probe).await?;
        }
        self.answered.tell(active)?;
        self.units.gather(active, &*self.tools.router, &self.tools.layout).await?;
        self.measuring.gather(active, config, (candidate, &self.tools.surroundings))?;
        if let Some(requests) = wants.preview {
            self.keep_previewing(active, config, fleet, requests);
        }
        match active.outcome() {
            Some(outcome) => Ok(self.conclude(active, config, outcome).await),
            None => Ok(None),
        }
    }

    async fn keep_probing(
        &mut self,
        active: &mut Active,
        config: &AppConfig,
        want: ProbeWant,
    ) -> Result<(), Fault> {
        let (tools, run) = (&self.tools, active.run());
        let asked = (config, tools.entrance.as_str());
        let heard = self.relay(run.id);
        if let Err(fault) = self.probing.keep((tools, &run.name), asked, want, heard).await {
            self.note(active, format!("no prober: {fault}"));
            self.once(active, Event::ProberLost)?;
        }
        Ok(())
    }

    /// Tells the machine what happens once; if the journal refuses it, in one of the next turns.
    fn once(&mut self, active: &mut Active, event: Event) -> Result<(), Fault> {
        self.untold.push_back(event);
        self.tell_again(active)
    }

    /// Tells the machine what the journal has refused so far.
    pub(super) fn tell_again(&mut self, active: &mut Active) -> Result<(), Fault> {
        while let Some(event) = self.untold.front() {
            active.tell(event)?;
            self.untold.pop_front();
        }
        Ok(())
    }

    /// Where a prober's messages go.
    fn relay(&self, run: i64) -> mpsc::Sender<Heard> {
        let (sender, mut receiver) = mpsc::channel(64);
        let news = self.news.clone();
        tokio::spawn(async move {
            while let Some(heard) = receiver.recv().await {
                if news.send(News { run, what: Inner::Probe(heard) }).await.is_err() {
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
        let host = config.a_host().unwrap_or_else(|| self.tools.entrance.clone());
        let path = config.rollout.preview_path.clone();
        let timeout = config.probe.timeout;
        let (news, run) = (self.news.clone(), active.run().id);
        tokio::spawn(async move {
            let previewed = preview(instances, requests, host, path, timeout).await;
            // Nobody to tell means that the server has stopped.
            drop(news.send(News { run, what: Inner::Preview(previewed) }).await);
        });
    }

    /// Tells the machine what came in.
    pub(super) fn hear(&mut self, active: &mut Active, news: News) -> Result<(), Fault> {
        if news.run != active.run().id {
            return Ok(());
        }
        match news.what {
            Inner::Preview(previewed) => {
                let Previewed { tally, failures } = previewed;
                self.once(active, Event::Preview { tally, failures })?;
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
                if self.probing.lost() {
                    self.once(active, Event::ProberLost)?;
                }
            }
            Inner::Probe(Heard::Said(message)) => self.said(active, message)?,
        }
        Ok(())
    }

    fn said(&mut self, active: &mut Active, message: FromProbe) -> Result<(), Fault> {
        match message {
            FromProbe::Hello(_) => {}
            FromProbe::Armed => self.once(active, Event::Armed)?,
            FromProbe::Ended(_) => self.probing.ended(),
            FromProbe::Window(window) => {
                self.live.add(&window);
                if let Some(joined) = self.windows.add(&window) {
                    if active.judges_windows() {
                        active.tell(&Event::Window(joined))?;
                    }
                    self.windows.told();
                }
            }
        }
        Ok(())
    }

    /// Takes the next step toward the end, if its condition holds.
    async fn conclude(
        &mut self,
        active: &Active,
        config: &AppConfig,
        outcome: Outcome,
    ) -> Option<Finished> {
        match &self.ending {
            Ending::NotYet if self.probing.live() => {
                self.ending = Ending::Tail(Instant::now() + TAIL);
            }
            Ending::NotYet if active.run().start.settings.probing => {
                self.ending = Ending::Settling(Instant::now() + SETTLING);
            }
            Ending::NotYet => {
                let finished = Finished { outcome, verdict: None, report: false };
                self.ending = Ending::Done(finished);
            }
            Ending::Tail(until) if Instant::now() >= *until => {
                self.probing.stop().await;
                self.ending = Ending::Closing(Instant::now() + LAST_WORDS);
            }
            Ending::Closing(until) if !self.probing.live() || Instant::now() >= *until => {
                self.ending = Ending::Settling(Instant::now() + SETTLING);
            }
            Ending::Settling(until) => {
                let until = *until;
                let directory = self.tools.layout.run_directory(&active.run().name);
                let settled = self.receipts.settled(&*self.tools.router, &directory).await;
                if settled || Instant::now() >= until {
                    self.report(active, config, outcome);
                }
            }
            Ending::Done(finished) => return Some(*finished),
            Ending::Tail(_) | Ending::Closing(_) | Ending::Reporting => {}
        }
        None
    }

    fn report(&mut self, active: &Active, config: &AppConfig, outcome: Outcome) {
        self.ending = Ending::Reporting;
        let facts = Facts {
            run: active.run().clone(),
            clock: active.clock().clone(),
            entered: active.entered().to_vec(),
            shares: active.machine().shares().to_vec(),
            router: self.tools.carrier.to_owned(),
            evidence: self.tools.router.can().evidence,
            mixes: self.tools.router.can().change == ChangeKind::Mixed,
            exact: self.tools.exact,
            outages: self.outages.all(),
            counted: self.counted.clone(),
            reason: active.reason(),
            outcome,
            interrupted: self.interrupted,
            url: asks_at(config, &self.tools.entrance),
        };
        let (layout, news) = (self.tools.layout.clone(), self.news.clone());
        let run = active.run().id;
        let (router, directory) =
            (Arc::clone(&self.tools.router), layout.run_directory(&active.run().name));
        let writing = tokio::task::spawn_blocking(move || ending::write(&layout, &facts));
        tokio::spawn(async move {
            let lost = |e| Fault::internal(format!("the report could not be made: {e}"));
            let verdict = writing.await.unwrap_or_else(|e| Err(lost(e)));
            if verdict.is_ok() {
                receipts::forget(&*router, &directory).await;
            }
            // The controller waits for this; when it is gone, the next one writes it again.
            let what = Inner::Reported(outcome, verdict);
            drop(news.send(News { run, what }).await);
        });
    }

    fn note(&self, active: &Active, text: String) {
        self.bus.say(Notice::Note { at_ms: active.clock().now_ms(), text });
    }

    /// A look at the router that was begun then found it, or did not.
    pub(super) fn looked(&mut self, active: &Active, begun_ms: u64, found: Option<&RoutesHave>) {
        self.reached = found.is_some();
        match found {
            Some(routes) => {
                self.outages.found((begun_ms, active.clock().now_ms()), routes.pid);
                self.counted.add(routes, share_in_effect(active, routes));
                self.answered.looked(active, begun_ms, routes);
            }
            None => self.outages.missed(begun_ms),
        }
    }

    /// The figures of the moment.
    pub(super) fn figures(&self) -> Live {
        self.live.shown()
    }

    /// Says the figures of the moment, when it is time to.
    pub(super) fn show(&mut self, active: &Active, routes: &RoutesHave) {
        let open = active.open_old(routes).map(|open| (open.requests, open.tunnels));
        if let Some(live) = self.live.due(active.clock().now_ms(), open) {
            let waits = active.machine().held_by();
            self.bus.say(Notice::Live(Live { waits, ..live }));
        }
    }
}

/// Which of the rollout's shares is in effect: the last one, once it was seen to be. Where a rule also
/// sends requests to a release, what is counted there says nothing of a share.
fn share_in_effect(active: &Active, routes: &RoutesHave) -> Option<usize> {
    let shares = active.machine().shares();
    let ruled = routes.routes.iter().any(|routes| !routes.rules.is_empty());
    let settled = shares.last().is_some_and(|share| share.settled_ms.is_some());
    (settled && !ruled).then(|| shares.len() - 1)
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
