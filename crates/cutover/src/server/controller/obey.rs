//! What the controller does when it is given an order.
//!
//! An order is answered at once; what it leads to is the loop's.

use std::task::Poll;

use model::{Fault, Outcome, Successor, Version};
use tokio::sync::oneshot;

use super::Controller;
use crate::server::active::Active;
use crate::server::begin::freeze;
use crate::server::capable::check;
use crate::server::orders::{Aborted, Again, Begun, Offer, Order, Shipping};
use crate::server::planning::{able, found_now, plan};
use crate::server::run_id::new_run_id;
use crate::server::standing::{Ordered, Standing};
use crate::server::{show, upgrade};
use crate::store::Run;

impl Controller {
    pub(super) async fn obey(&mut self, order: Order) {
        // What was given before the order: whoever gave both finds the rollout under way.
        if let Poll::Ready(run) = self.standing.word_now() {
            self.join(run);
        }
        // Whoever gave the order may have gone away; that changes nothing.
        match order {
            Order::Deploy { version, run, reply } => {
                let begun = match self.can_be_found(&version).await {
                    Ok(()) => self.ship(run, |standing, run| standing.deploy(&version, run)),
                    Err(fault) => Err(fault),
                };
                let _gone = reply.send(begun);
            }
            Order::Join { what, reply, go } => self.offer(&what, reply, go).await,
            Order::Plan { version, reply } => {
                let rate = self.busy.rate();
                let planned = plan((&self.tools, &self.standing), &version, rate).await;
                let _gone = reply.send(planned);
            }
            Order::Again { which, run, reply } => {
                let _gone = reply.send(self.ship(run, |standing, run| standing.again(&which, run)));
            }
            Order::Wish { wish, reply } => {
                let told = self.standing.wish(&wish);
                self.announce();
                let _gone = reply.send(told);
            }
            Order::Abort { reason, interrupted, run, reply } => {
                let _gone = reply.send(self.undo(reason, interrupted, run.as_deref()));
            }
            Order::Configure { config, reply } => {
                let _gone = reply.send(self.standing.configure(*config));
            }
            Order::Idle { reply } => {
                let run = self.standing.active.as_ref().map(Active::run);
                let run = run.map(|run| (&*run.name, run.start.candidate.version.to_string()));
                upgrade::answer_idle(&self.standing.app, run, reply);
            }
            Order::Halt { reply } => {
                self.halt().await;
                let _gone = reply.send(());
            }
            Order::Stop { now, reply } => {
                self.halt().await;
                if let Err(fault) = self.standing.stop() {
                    self.complain(&fault);
                }
                self.hurry = now;
                self.stopping = Some(reply);
            }
        }
    }

    /// Refuses a version whose instances nobody could find now, before anything is touched.
    async fn can_be_found(&self, version: &Version) -> Result<(), Fault> {
        let config = &self.standing.config;
        if config.source.is_none() || self.standing.active.is_some() {
            return Ok(());
        }
        let release = freeze(&self.tools, (&self.standing.app, config), version)?;
        found_now(release.source.as_ref()).await.map(drop)
    }

    /// Ships a release; a run of that id that is known already is the answer to an earlier question.
    fn ship(
        &mut self,
        run: String,
        how: impl FnOnce(&mut Standing, &str) -> Result<Ordered, Fault>,
    ) -> Result<Begun, Fault> {
        let mut degrades = check(&self.standing.config, able(&self.tools))?;
        let last = self.tools.store.last_run(&self.standing.app)?;
        let next = self.successor();
        let waits = next.as_ref().is_some_and(|next| next.run == run);
        if waits || last.is_some_and(|last| last.name == run) {
            return Ok(Begun { run, degrades });
        }
        let Ordered { run, first } = how(&mut self.standing, &run)?;
        match first {
            Some(first) => {
                degrades.insert(0, first);
                self.announce();
                self.dropped(next);
            }
            None => self.began(),
        }
        Ok(Begun { run, degrades })
    }

    /// Offers to ship a release together with others. Until the word comes nothing else is begun, and nothing of
    /// what was offered changes; instances and routes are looked after as always.
    async fn offer(
        &mut self,
        what: &Shipping,
        reply: oneshot::Sender<Result<Offer, Fault>>,
        go: oneshot::Receiver<Run>,
    ) {
        let found = match what {
            Shipping::Version(version) => self.can_be_found(version).await,
            Shipping::Again(_) => Ok(()),
        };
        let offered = found
            .and_then(|()| check(&self.standing.config, able(&self.tools)))
            .and_then(|degrades| self.standing.offer(what, degrades));
        match offered {
            Ok((offer, release)) => {
                if reply.send(Ok(offer)).is_ok() {
                    self.standing.promise(release, go);
                }
            }
            Err(fault) => drop(reply.send(Err(fault))),
        }
    }

    /// The word has come: the run that was begun together with others, or none was.
    pub(super) fn join(&mut self, run: Option<Run>) {
        let begun = run.is_some();
        self.standing.join(run);
        if begun {
            self.began();
        }
    }

    /// A rollout has just been journaled as begun.
    fn began(&mut self) {
        self.evidence.reset();
        if let Some(active) = &self.standing.active {
            self.status.send_modify(|status| show::rollout(status, active));
            self.voice.began(active);
        }
    }

    /// What is to follow the rollout under way.
    fn successor(&self) -> Option<Successor> {
        self.standing.active.as_ref().and_then(|active| active.machine().successor().cloned())
    }

    /// Says so to whoever waits for a rollout that was to follow and does not any more.
    fn dropped(&self, was: Option<Successor>) {
        let is = self.successor();
        let Some(was) = was.filter(|was| is.as_ref().is_none_or(|is| is.run != was.run)) else {
            return;
        };
        let why = is.map_or_else(
            || format!("{} was given up before it began", was.version),
            |is| format!("{} follows instead of {} (run {})", is.version, was.version, is.run),
        );
        let stable = self.standing.stable.as_ref();
        self.voice.never_began((&was.run, self.now_ms()), Outcome::Aborted, why, stable);
    }

    /// Begins what was to follow the rollout that ended like this, or says why not; `None` of one that a
    /// stop of the server ended.
    pub(super) fn follow(&mut self, by: &Successor, outcome: Option<Outcome>) {
        let followed = outcome.map_or(Ok(false), |outcome| self.standing.follow(by, outcome));
        let why = match followed {
            Ok(true) => return self.began(),
            Ok(false) => format!("the rollout before it did not end: {} is not begun", by.version),
            Err(fault) => format!("{} could not be begun: {fault}", by.version),
        };
        tracing::warn!(app = %self.standing.app, "{why}");
        let outcome = outcome.filter(|how| *how == Outcome::Stuck).unwrap_or(Outcome::Aborted);
        let stable = self.standing.stable.as_ref();
        self.voice.never_began((&by.run, 0), outcome, why, stable);
    }

    /// Why nothing is undone for whoever means that run alone; `None` where it is to be undone. What is to
    /// follow a run was asked for by somebody else, and the run itself is ending for it already.
    fn spared(&self, run: &str) -> Option<String> {
        let shown = run.escape_debug();
        let Some(active) = self.standing.active.as_ref().map(Active::run) else {
            return Some(format!("nothing to abort: run {shown} is not under way"));
        };
        let version = &active.start.candidate.version;
        match self.successor() {
            Some(next) if next.run == run => None,
            Some(next) if active.name == run => Some(format!(
                "the rollout to {version} is ending already, and {} follows",
                next.version
            )),
            None if active.name == run => None,
            _ => Some(format!("run {shown} is not under way; the one to {version} goes on")),
        }
    }

    fn undo(
        &mut self,
        reason: String,
        interrupted: bool,
        run: Option<&str>,
    ) -> Result<Aborted, Fault> {
        let active = self.standing.active.as_ref().map(Active::run);
        let its = active.is_some_and(|active| run.is_none_or(|run| active.name == run));
        if interrupted && its {
            self.evidence.interrupt();
        }
        if let Some(text) = run.and_then(|run| self.spared(run)) {
            return Ok(Aborted { text, heard: false });
        }
        self.abort(reason, interrupted).map(|text| Aborted { text, heard: true })
    }

    /// Where the old version still runs, users are back on it; a command that was interrupted wants no
    /// more than to end what it began.
    fn abort(&mut self, reason: String, interrupted: bool) -> Result<String, Fault> {
        if let Some(warm) = self.standing.warm().filter(|_| !interrupted).cloned() {
            let again = Again::Rollback(Some(warm.clone()));
            let begun = self.ship(new_run_id(), |standing, run| standing.again(&again, run))?;
            let text = format!("aborting: users return to {warm}, which still runs");
            return Ok(format!("{text} (run {})", begun.run));
        }
        if !interrupted {
            self.standing.may_abort()?;
        }
        let next = self.successor();
        let told = self.standing.abort(reason);
        self.announce();
        self.dropped(next);
        told
    }

    /// Ends an open rollout where it stands.
    async fn halt(&mut self) {
        self.hooks.stop();
        self.evidence.stop(self.standing.active.as_ref()).await;
        match self.standing.halt() {
            Ok(Some((active, finished))) => {
                if let Some(by) = active.machine().successor() {
                    let why = "the server was stopped before it began".to_owned();
                    let stable = self.standing.stable.as_ref();
                    self.voice.never_began((&by.run, 0), Outcome::Aborted, why, stable);
                }
                self.voice.ended(&active, finished, "the server was stopped".to_owned());
            }
            Ok(None) => {}
            Err(fault) => self.complain(&fault),
        }
    }
}
