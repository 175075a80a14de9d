//! Which requests and tunnels have been open for longest, over all threads.
//!
//! Each thread is asked and says what is its own; one that says nothing in time is left out. What is open
//! is counted elsewhere (`gate`).

use std::time::Instant;

use model::{AppName, Fault, InstanceId, Offender, Offenders};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::Desk;
use crate::limits;
use crate::visitors::{Named, Question, Visitor};
use crate::worker::Control;

impl Desk {
    /// Names them: on these instances of an app, or with none named on all that get nothing new.
    pub(super) async fn offenders(
        &self,
        app: &AppName,
        instances: &[InstanceId],
    ) -> Result<Offenders, Fault> {
        let gates = self.ledger.borrow().gates(app, instances)?;
        let question = Question {
            gates: gates.iter().map(|gate| gate.serial).collect(),
            most: Offenders::MOST,
        };
        let (answer, mut answers) = unbounded_channel();
        self.tell(|| Control::Name(question.clone(), answer.clone()));
        // The end of all answers is heard when the threads have let go of theirs.
        drop(answer);
        let now = Instant::now();
        let offender = |visitor: Visitor| {
            let gate = gates.iter().find(|gate| gate.serial == visitor.gate)?;
            let (method, path) = visitor.words.split_once(' ').unwrap_or(("", &visitor.words));
            let age = now.saturating_duration_since(visitor.began);
            Some(Offender {
                instance: gate.id.clone(),
                tunnel: visitor.tunnel,
                method: method.to_owned(),
                path: path.to_owned(),
                age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            })
        };
        let mut all = Offenders::default();
        let collect = async {
            while let Some(Named { oldest, more }) = answers.recv().await {
                let oldest = oldest.into_iter().filter_map(offender).collect();
                all.add(Offenders { oldest, more });
            }
        };
        // What is known by then is told.
        let _ = timeout(limits::NAMING, collect).await;
        Ok(all)
    }
}
