//! Measures what the rollout under way wants measured beside requests, and tells the machine.
//!
//! One task for each metric, as long as the present step lasts. What a value means is the machine's; who
//! is asked, and how, is `gauge`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use drivers::platform::process::Surroundings;
use model::{Event, Fault, Release};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::active::Active;
use super::gauge::{Subject, measure};
use crate::config::{AppConfig, MetricConfig};

/// Measurements that wait to be told; more of them wait in their tasks.
const WAITING: usize = 64;

/// A step of the rollout: the number of phases that were entered.
type Step = usize;

/// What is measured now.
#[derive(Debug)]
pub(super) struct Measuring {
    /// Ended when they are dropped.
    tasks: BTreeMap<String, (Step, JoinSet<()>)>,
    found: mpsc::Receiver<(Step, Event)>,
    tell: mpsc::Sender<(Step, Event)>,
}

impl Default for Measuring {
    fn default() -> Self {
        let (tell, found) = mpsc::channel(WAITING);
        Self { tasks: BTreeMap::new(), found, tell }
    }
}

impl Measuring {
    /// Tells what was found, then begins and ends what is wanted otherwise than before.
    pub(super) fn gather(
        &mut self,
        active: &mut Active,
        config: &AppConfig,
        (candidate, surroundings): (Option<&Release>, &Arc<Surroundings>),
    ) -> Result<(), Fault> {
        while let Ok((step, event)) = self.found.try_recv() {
            if step == active.entered().len() {
                active.tell(&event)?;
            }
        }
        let step = active.entered().len();
        let names: Vec<String> = active.machine().measures().map(|it| it.name.clone()).collect();
        self.tasks.retain(|name, (of, _)| *of == step && names.contains(name));
        let Some(candidate) = candidate.filter(|_| !names.is_empty()) else { return Ok(()) };
        let stable = active.run().start.stable.as_ref().map(|named| named.version.to_string());
        let subject = Arc::new(Subject {
            candidate: candidate.clone(),
            stable: stable.unwrap_or_default(),
            surroundings: Arc::clone(surroundings),
        });
        for name in names {
            if self.tasks.contains_key(&name) {
                continue;
            }
            // One that left the file since is not measured; the machine says what that means.
            let known = config.rollout.metrics.iter().find(|metric| metric.name == name);
            let Some(metric) = known.cloned() else { continue };
            let mut task = JoinSet::new();
            task.spawn(repeat(metric, Arc::clone(&subject), (step, self.tell.clone())));
            self.tasks.insert(name, (step, task));
        }
        Ok(())
    }
}

/// Measures again and again, for the first time when an interval of the step has passed.
async fn repeat(
    metric: MetricConfig,
    subject: Arc<Subject>,
    (step, tell): (Step, mpsc::Sender<(Step, Event)>),
) {
    let first = tokio::time::Instant::now() + metric.interval;
    let mut beat = tokio::time::interval_at(first, metric.interval);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let (found, words) = measure(&metric, &subject).await;
        let event = Event::Measured { metric: metric.name.clone(), found, words };
        if tell.send((step, event)).await.is_err() {
            return;
        }
    }
}
