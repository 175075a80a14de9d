//! What stands between the releases that are followed and those that should be. Pure.
//!
//! Nothing here starts or ends an instance: a release is followed, let go when users have left it, and
//! forgotten when nobody of it is found any more.

use model::{AppName, Change, Fault, Instance, Plan, Release, ReleaseId, RunState, Source};
use serde::{Deserialize, Serialize};

use crate::platform::fleet::{Condition, Discovered, FleetHave, FleetWant, ReleaseWant};

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "discovered", rename_all = "snake_case")]
pub(super) enum Step {
    /// Looks for its instances from now on.
    Follow {
        /// The release.
        release: Box<Release>,
    },
    /// Leaves its instances to whoever started them.
    LetGo {
        /// The app.
        app: AppName,
        /// The release.
        release: ReleaseId,
    },
    /// Nobody of it is there any more.
    Forget {
        /// The app.
        app: AppName,
        /// The release.
        release: ReleaseId,
    },
}

impl Step {
    fn change(self, words: String) -> Change {
        let expected_before = self.expects().to_owned();
        let payload = serde_json::to_value(&self).unwrap_or_default();
        Change { words, expected_before, payload }
    }

    /// What it relies on.
    const fn expects(&self) -> &'static str {
        match self {
            Self::Follow { .. } => "it is not followed",
            Self::LetGo { .. } => "it is followed",
            Self::Forget { .. } => "it was let go, and nobody of it is found",
        }
    }

    /// Reads it back.
    pub(super) fn read(change: &Change) -> Result<Self, Fault> {
        serde_json::from_value(change.payload.clone()).map_err(|error| {
            let what = format!("the change `{}` is none of discovered instances", change.words);
            Fault::internal(format!("{what}: {error}"))
        })
    }

    /// True for a change that `read` takes.
    pub(super) fn is_one(change: &Change) -> bool {
        change.payload.get("discovered").is_some()
    }
}

/// Plans for one app.
pub(super) fn plan(want: &FleetWant, have: &FleetHave) -> Plan {
    let mut plan = Plan::default();
    for release in &want.releases {
        match release.state {
            RunState::Running => run(release, have, &mut plan),
            // Whoever runs them ends them.
            RunState::Terminating => {}
            RunState::Gone => leave(have, release.release.id, &mut plan),
        }
    }
    for known in &have.releases {
        if !want.releases.iter().any(|wanted| wanted.release.id == known.release.id) {
            leave(have, known.release.id, &mut plan);
        }
    }
    plan
}

fn run(want: &ReleaseWant, have: &FleetHave, plan: &mut Plan) {
    let release = &want.release;
    let version = &release.version;
    let Some(known) = discovered(have, release.id).filter(|known| !known.let_go) else {
        let source = release.source.as_ref().map_or_else(String::new, Source::to_string);
        let words = format!("follow the instances of {version}: {source}");
        plan.changes.push(Step::Follow { release: Box::new(release.clone()) }.change(words));
        return;
    };
    let ready = have.of(release.id).filter(|one| one.condition == Condition::Ready).count();
    let wanted = usize::from(want.instances);
    if ready < wanted {
        let words = &known.words;
        plan.waiting.push(format!("{ready} of {wanted} instances of {version} are ready: {words}"));
    }
}

fn leave(have: &FleetHave, release: ReleaseId, plan: &mut Plan) {
    let Some(known) = discovered(have, release) else { return };
    let app = have.app.clone();
    let version = have.release(release).map(|known| known.release.version.to_string());
    let version = version.unwrap_or_default();
    if !known.let_go {
        let words = format!(
            "let {version} go: its instances are left to whoever started them, nobody ends them here"
        );
        plan.changes.push(Step::LetGo { app, release }.change(words));
    } else if known.left.is_empty() && known.heard {
        let words = format!("forget {version}: nobody of it is found any more");
        plan.changes.push(Step::Forget { app, release }.change(words));
    }
}

/// What is there after a step; `None` after one that finds whoever somebody else starts.
pub(super) fn after(step: &Step, mut have: FleetHave) -> Option<FleetHave> {
    match step {
        Step::Follow { .. } => None,
        Step::LetGo { release, .. } => {
            let left =
                have.of(*release).map(|one| Instance { id: one.id.clone(), address: one.address });
            let left: Vec<Instance> = left.collect();
            have.instances.retain(|one| one.release != *release);
            let mut known = have.releases.iter_mut().filter(|of| of.release.id == *release);
            if let Some(known) = known.next().and_then(|of| of.discovered.as_mut()) {
                (known.let_go, known.left) = (true, left);
            }
            Some(have)
        }
        Step::Forget { release, .. } => {
            have.releases.retain(|of| of.release.id != *release);
            Some(have)
        }
    }
}

fn discovered(have: &FleetHave, release: ReleaseId) -> Option<&Discovered> {
    have.release(release)?.discovered.as_ref()
}
