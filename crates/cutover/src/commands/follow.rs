//! Follows a rollout from the command line until it has ended.
//!
//! It only watches: the rollout is the server's and goes on without it. A server that goes away is
//! waited for; Ctrl-C asks the server to abort, a second one leaves it alone.

use model::{AppName, Entered, Fault, Phase, Version};
use tokio::time::Instant;

use crate::client::{AGAIN, AWAY, Client, Notices};
use crate::interrupt::Interrupt;
use crate::say::progress::Progress;
use crate::say::step::{Live, Open, Rate, Step};
use crate::server::bus::{self, Notice};

/// How following ended.
#[derive(Debug)]
pub(super) struct Followed {
    /// What the server said; `None` when the watcher left before the end.
    pub(super) ended: Option<bus::Ended>,
    /// Ctrl-C was pressed.
    pub(super) interrupted: bool,
}

/// A watcher of one run.
pub(super) struct Follower<'a> {
    client: &'a Client,
    app: &'a AppName,
    run: &'a str,
    progress: &'a mut dyn Progress,
    interrupt: &'a mut Interrupt,
    /// Told every phase once; may do something about it (the demo's faults).
    at_phase: &'a mut (dyn FnMut(&Entered) + Send),
    /// Ctrl-C leaves the rollout alone.
    only_watches: bool,
    seen: Vec<Entered>,
    began: bool,
    last: (u64, u64),
    interrupted: bool,
}

impl<'a> Follower<'a> {
    /// A watcher of `run` that tells `progress` what it sees.
    pub(super) fn new(
        client: &'a Client,
        (app, run): (&'a AppName, &'a str),
        progress: &'a mut dyn Progress,
        interrupt: &'a mut Interrupt,
        at_phase: &'a mut (dyn FnMut(&Entered) + Send),
    ) -> Self {
        Self {
            client,
            app,
            run,
            progress,
            interrupt,
            at_phase,
            only_watches: false,
            seen: Vec::new(),
            began: false,
            last: (0, 0),
            interrupted: false,
        }
    }

    /// Ctrl-C leaves the rollout alone: somebody else asked for it.
    pub(super) const fn only_watching(mut self) -> Self {
        self.only_watches = true;
        self
    }

    /// Watches until the end.
    pub(super) async fn follow(mut self) -> Result<Followed, Fault> {
        let mut reached = Instant::now();
        loop {
            match self.client.events(self.app).await {
                Ok(notices) => {
                    if let Some(followed) = self.listen(notices).await? {
                        return Ok(followed);
                    }
                    reached = Instant::now();
                    self.note("the server went away; waiting for it to come back");
                }
                Err(fault) if reached.elapsed() > AWAY => {
                    return Err(fault.help(format!(
                        "start it again with `cutover up`: it takes up run {} where it was",
                        self.run
                    )));
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = self.interrupt.wait() => return Ok(self.leave()),
            }
        }
    }

    /// Listens to one stream; `None` when it broke off.
    async fn listen(&mut self, mut notices: Notices) -> Result<Option<Followed>, Fault> {
        loop {
            tokio::select! {
                notice = notices.next() => match notice {
                    None => return Ok(None),
                    Some(Notice::Ended(ended)) if ended.run == self.run => {
                        let interrupted = self.interrupted;
                        return Ok(Some(Followed { ended: Some(ended), interrupted }));
                    }
                    Some(notice) => self.tell(notice),
                },
                () = self.interrupt.wait() => {
                    if self.interrupted || self.only_watches {
                        return Ok(Some(self.leave()));
                    }
                    self.interrupted = true;
                    match self.client.take_back(self.app, self.run).await {
                        Ok(text) => {
                            self.note(&format!("{text} (Ctrl-C again leaves it to the server)"));
                        }
                        // Listening breaks off next, and then the server is waited for.
                        Err(fault) => self.note(&format!("the abort did not get through: {fault}")),
                    }
                }
            }
        }
    }

    fn leave(&mut self) -> Followed {
        self.note("left; the rollout goes on in the server, see `cutover status`");
        Followed { ended: None, interrupted: true }
    }

    fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Began { run, from, to, began_unix_ms } => {
                if self.began || run != self.run {
                    return;
                }
                self.began = true;
                // Both came from a checked version.
                let Ok(to) = Version::new(to) else { return };
                self.progress.step(&Step::Began {
                    app: self.app.clone(),
                    from: from.and_then(|from| Version::new(from).ok()),
                    to,
                    run,
                    began_unix_ms,
                });
            }
            Notice::Phase(entered) => {
                if self.seen.contains(&entered) {
                    return;
                }
                if !self.began {
                    return self.before(entered);
                }
                self.last.0 = entered.at_ms;
                let Entered { phase, at_ms, why } = entered.clone();
                self.progress.step(&Step::Phase { phase, at_ms, why });
                (self.at_phase)(&entered);
                self.seen.push(entered);
            }
            Notice::Live(_) | Notice::Note { .. } if !self.began => {}
            Notice::Live(live) => self.live(&live),
            Notice::Note { at_ms, text } => self.progress.step(&Step::Note { at_ms, text }),
            // The phase says what comes of them.
            Notice::Change(_) | Notice::Hook(_) | Notice::Ended(_) => {}
        }
    }

    /// A phase of the rollout that ours is to follow: how it ends is worth a line.
    fn before(&mut self, entered: Entered) {
        let begins = [Phase::Starting, Phase::Previewing, Phase::Arming, Phase::Shifting];
        if entered.phase != Phase::Baking && !begins.contains(&entered.phase) {
            self.note(&format!("the rollout before it: {}", entered.phase));
        }
        self.seen.push(entered);
    }

    fn live(&mut self, live: &bus::Live) {
        self.last.0 = live.at_ms;
        let rate = |(version, rps): &(String, f64)| Rate { version: version.clone(), rps: *rps };
        self.progress.step(&Step::Live(Live {
            at_ms: live.at_ms,
            per_version: live.per_version.iter().map(rate).collect(),
            sent: live.sent,
            failed: live.failed,
            open_old: live.open_old.map(|(requests, tunnels)| Open { requests, tunnels }),
            p50_us: live.p50_us,
            late_us: live.late_us,
            waits: live.waits.clone(),
        }));
    }

    fn note(&mut self, text: &str) {
        self.progress.step(&Step::Note { at_ms: self.last.0, text: text.to_owned() });
    }
}
