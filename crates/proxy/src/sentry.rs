//! Checks of instances while nobody else makes them: whoever told the proxy its routes is gone.
//!
//! Only who is in the routes is checked, in the way that the routes say, and is passed over in giving out
//! requests while it fails (as an outlier is, so that there is always somebody). It starts nothing, takes
//! nothing out of the routes and ends with the first word of a controller, who checks then.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use check::Row;
use model::fleet::HealthCheck;
use model::{AppName, Watch};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use crate::gate::Gate;
use crate::limits;

/// Checks under way, by the number of the gate.
#[derive(Debug, Default)]
pub(crate) struct Sentry(BTreeMap<u64, Guard>);

/// One instance that is checked for as long as this lives.
#[derive(Debug)]
struct Guard {
    how: HealthCheck,
    failing: Rc<Cell<bool>>,
    task: AbortHandle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sentry {
    /// Begins to check who is not checked yet, leaves alone who is not in the routes any more, and passes
    /// over who fails, unless too few others pass.
    pub(crate) fn look(&mut self, watched: Vec<(AppName, Watch, Vec<Arc<Gate>>)>) {
        let mut kept = BTreeMap::new();
        for (app, watch, gates) in watched {
            for gate in &gates {
                let same = |guard: &Guard| guard.how == watch.how;
                let known = self.0.remove(&gate.serial).filter(same);
                let guard = known.unwrap_or_else(|| Guard::begin(gate, &watch.how));
                kept.insert(gate.serial, guard);
            }
            let fails =
                |gate: &&Arc<Gate>| kept.get(&gate.serial).is_some_and(|guard| guard.failing.get());
            let failing: Vec<_> = gates.iter().filter(fails).collect();
            if enough(gates.len(), failing.len(), watch.fail_open) {
                for gate in failing {
                    gate.ejection.hold(gate.age_ms().saturating_add(limits::WATCH_HOLDS_MS));
                }
            } else {
                tracing::warn!(%app, "too few instances pass their checks, so all get requests");
            }
        }
        self.0 = kept;
    }
}

/// True when so many pass that the others can be passed over.
fn enough(all: usize, failing: usize, fail_open: u32) -> bool {
    let least = usize::try_from(fail_open).unwrap_or(100) * all;
    failing < all && (all - failing) * 100 >= least
}

impl Guard {
    fn begin(gate: &Arc<Gate>, how: &HealthCheck) -> Self {
        let failing = Rc::new(Cell::new(false));
        let task = spawn_local(attend(Arc::clone(gate), how.clone(), Rc::clone(&failing)));
        Self { how: how.clone(), failing, task: task.abort_handle() }
    }
}

/// Checks one instance again and again. It was in the routes, so it counts as well until it has failed
/// often enough.
async fn attend(gate: Arc<Gate>, how: HealthCheck, failing: Rc<Cell<bool>>) {
    let mut row = Row::default();
    loop {
        row = row.add(check::passes(gate.address, &how).await);
        if row.fallen(&how) && !failing.replace(true) {
            tracing::warn!("{} failed {} checks in a row", gate.id, how.fall);
        } else if row.risen(&how) && failing.replace(false) {
            tracing::info!("{} passed {} checks in a row", gate.id, how.rise);
        }
        sleep(Duration::from_millis(how.interval_ms.max(1))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::enough;

    #[test]
    fn who_fails_is_passed_over_while_enough_others_pass() {
        let passed_over = |all, fail_open| {
            (0..=all).filter(|failing| enough(all, *failing, fail_open)).collect::<Vec<_>>()
        };
        assert_eq!(passed_over(4, 50), [0, 1, 2]);
        assert_eq!(passed_over(3, 50), [0, 1]);
        assert_eq!(passed_over(4, 0), [0, 1, 2, 3], "never the last one");
        assert_eq!(passed_over(1, 50), [0]);
        assert_eq!(passed_over(2, 100), [0]);
    }
}
