//! One run: every peer, round by round, in turn, so that what disturbs the machine for a while disturbs
//! all of them.
//!
//! Memory is measured once, in fresh processes: what one has given back inside itself stays resident. How
//! load is made is in `load`, how a peer is started in `peers`; what was measured is laid out in `table`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::cases::{Case, IDLE, TUNNELS};
use crate::cores::{Cores, Machine, described};
use crate::load::held::hold;
use crate::load::paced::{Latency, latency};
use crate::load::{Window, burst};
use crate::options::Options;
use crate::peers::{Peer, Place};
use crate::process::own_cpu;
use crate::{Outcome, instance};

/// Connections before anything counts: what a proxy keeps for good is there then.
const WARM: usize = 64;

/// What one window has shown of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// CPU time per request, µs, or memory per connection, bytes.
    pub(crate) figure: f64,
    /// Requests per second.
    pub(crate) beside: f64,
    /// Share of its core that the proxy used.
    pub(crate) busy: f64,
    /// Latency at the fixed rate of the case; not of memory.
    pub(crate) paced: Option<Latency>,
    /// Requests that failed, at the fixed rate too.
    pub(crate) failed: u64,
}

/// All that a run has shown.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Names and versions, in their order.
    pub(crate) peers: Vec<(String, String)>,
    /// Names of those who could not be measured, and why.
    pub(crate) skipped: Vec<(String, String)>,
    /// By case and name.
    pub(crate) samples: BTreeMap<(Case, String), Vec<Sample>>,
    /// Shares of the machine that others used, and that its host took, at most in a window.
    pub(crate) noise: (f64, f64),
    /// As asked for.
    pub(crate) options: Options,
    /// Where it ran.
    pub(crate) machine: String,
}

/// Runs everything that was asked for.
pub(crate) fn run(options: &Options) -> Outcome<Figures> {
    let cores = Cores::choose()?;
    Cores::go_to(cores.load)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let place = Place::new(options, cores, instance::start().await?)?;
        let mut run = Run { place, figures: empty(options, cores) };
        run.choose().await;
        for case in options.cases.iter().copied() {
            match case {
                Case::Idle | Case::Tunnels => run.memory(case).await,
                _ => run.rounds(case).await,
            }
        }
        if run.figures.samples.is_empty() {
            return Err("nobody could be measured".into());
        }
        Ok(run.figures)
    })
}

fn empty(options: &Options, cores: Cores) -> Figures {
    let machine = format!(
        "{}; proxies on core {}, client and instance on core {}",
        described(),
        cores.proxy,
        cores.load,
    );
    Figures {
        peers: Vec::new(),
        skipped: Vec::new(),
        samples: BTreeMap::new(),
        noise: (0.0, 0.0),
        options: options.clone(),
        machine,
    }
}

struct Run {
    place: Place,
    figures: Figures,
}

impl Run {
    /// Finds out who is there.
    async fn choose(&mut self) {
        for name in self.figures.options.peers.clone() {
            match self.place.start(&name).await {
                Ok(peer) => self.figures.peers.push((name, peer.version.clone())),
                Err(error) => {
                    eprintln!("skipped: {name}: {error}");
                    self.figures.skipped.push((name, error.to_string()));
                }
            }
        }
    }

    fn names(&self, case: Case) -> Vec<String> {
        let names = self.figures.peers.iter().map(|(name, _)| name.clone());
        // A pump has no TLS, and holds two open files for each idle connection.
        let pumps = !case.secure() && case != Case::Idle;
        names.filter(|name| pumps || name != "pump").collect()
    }

    /// One that cannot be measured must not cost the figures of the others.
    fn skip(&mut self, (case, name): (Case, &str), error: &dyn std::fmt::Display) {
        eprintln!("skipped: {name}: {}: {error}", case.name());
        self.figures.skipped.push((name.to_owned(), format!("{}: {error}", case.name())));
    }

    /// All of them at once, each measured while the others have nothing to do.
    async fn rounds(&mut self, case: Case) {
        let mut running = Vec::new();
        for name in self.names(case) {
            match self.place.start(&name).await {
                Ok(peer) => running.push((name, Some(peer))),
                Err(error) => self.skip((case, &name), &error),
            }
        }
        for round in 0..self.figures.options.rounds {
            eprintln!("{}: round {}", case.name(), round + 1);
            for (name, place) in &mut running {
                let Some(peer) = place else { continue };
                match self.one(case, peer).await {
                    Ok(sample) => self.note(case, name, sample),
                    Err(error) => {
                        self.skip((case, name), &error);
                        *place = None;
                    }
                }
            }
        }
    }

    fn note(&mut self, case: Case, name: &str, sample: Sample) {
        self.figures.samples.entry((case, name.to_owned())).or_default().push(sample);
    }

    async fn one(&mut self, case: Case, peer: &Peer) -> Outcome<Sample> {
        let window = self.figures.options.window;
        let (machine, own, theirs) = (Machine::now()?, own_cpu(), peer.process.cpu());
        let cpu = || peer.process.cpu();
        let Window { done, failed, cpu, took } = burst(&peer.target, case, window, cpu).await?;
        let paced = latency(&peer.target, case, window / 2).await?;
        let done = done.max(1) as f64;
        let sample = Sample {
            figure: cpu / done * 1e6,
            beside: done / took,
            busy: cpu / took,
            paced: Some(paced),
            failed: failed + paced.failed,
        };
        let used = own_cpu() - own + peer.process.cpu() - theirs;
        let (others, stolen) = Machine::now()?.since(machine, used);
        let noise = &mut self.figures.noise;
        *noise = (noise.0.max(others), noise.1.max(stolen));
        Ok(sample)
    }

    async fn memory(&mut self, case: Case) {
        for name in self.names(case) {
            eprintln!("{}: {name}", case.name());
            match self.held(case, &name).await {
                Ok(sample) => self.note(case, &name, sample),
                Err(error) => self.skip((case, &name), &error),
            }
        }
    }

    async fn held(&self, case: Case, name: &str) -> Outcome<Sample> {
        let count = if case == Case::Idle { IDLE } else { TUNNELS };
        let peer = self.place.start(name).await?;
        // Under way at a time, as in the cases that are measured by time.
        burst(&peer.target, Case::Small, Duration::from_millis(300), || 0.0).await?;
        drop(hold(&peer.target, case, WARM).await?);
        let before = peer.process.memory();
        let held = hold(&peer.target, case, count).await?;
        let grown = peer.process.memory().saturating_sub(before);
        drop(held);
        Ok(Sample {
            figure: grown as f64 / count as f64,
            beside: 0.0,
            busy: 0.0,
            paced: None,
            failed: 0,
        })
    }
}
