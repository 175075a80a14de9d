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
    /// The first of them, until the journal has taken it.
    untold: Option<(Step, Event)>,
    tell: mpsc::Sender<(Step, Event)>,
}

impl Default for Measuring {
    fn default() -> Self {
        let (tell, found) = mpsc::channel(WAITING);
        Self { tasks: BTreeMap::new(), found, untold: None, tell }
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
        loop {
            self.untold = self.untold.take().or_else(|| self.found.try_recv().ok());
            let Some((step, event)) = &self.untold else { break };
            if *step == active.entered().len() {
                active.tell(event)?;
            }
            self.untold = None;
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

#[cfg(test)]
mod tests {
    use model::{Event, Measured};
    use rollout::Settings;

    use super::Measuring;
    use crate::config::example_app;
    use crate::server::sample_tools;
    use crate::store::refusing::Refusing;

    #[test]
    fn a_measurement_that_the_journal_refused_is_told_in_the_next_turn_and_none_twice() {
        let directory = tempfile::tempdir().unwrap();
        let tools = sample_tools::tools(directory.path());
        let mut active = sample_tools::shipping(&tools, Settings::default());
        let (config, step) = (example_app(), active.entered().len());
        let mut measuring = Measuring::default();
        for metric in ["first", "second"] {
            let (metric, found, words) = (metric.to_owned(), Measured::Within, String::new());
            measuring.tell.try_send((step, Event::Measured { metric, found, words })).unwrap();
        }
        let mut turn = || measuring.gather(&mut active, &config, (None, &tools.surroundings));
        let refusing = Refusing::journal(directory.path());
        assert!(turn().is_err() && turn().is_err());
        drop(refusing);
        assert!(turn().is_ok() && turn().is_ok());
        let mut told = Vec::new();
        for (_, event) in tools.store.events(active.run().id, 0).unwrap() {
            if let Event::Measured { metric, .. } = event {
                told.push(metric);
            }
        }
        assert_eq!(told, ["first", "second"]);
    }
}
