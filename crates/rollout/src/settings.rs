//! What a rollout is given when it begins, and its limits. Nothing here changes while it runs.

use model::{AppName, Hook, Pace, ReleaseId, Version, Weight};
use serde::{Deserialize, Serialize};

use crate::comparing::{Analysis, OnIncident};
use crate::metric::Metric;
use crate::strategy::Strategy;
use crate::together::Together;

/// Version of the machine's rules. A journal written under an earlier one is replayed by the rules it
/// was begun under ([`Settings::rules`]); a snapshot of a later one is refused.
///
/// 2: operators may pause, resume, promote, set shares and supersede; an abort that is not pressing waits
/// for stable to be as many as usual.
/// 3: while stable lately fails much as the candidate does, no limit of the candidate alone undoes it.
/// 4: what a prober saw before it was lost prolongs no incident; a candidate that has fallen since the
/// drain of stable ended, while a hook was called, is waited for before stable is told to end; what was
/// not measured while the controller was dead has its time again; a hook is not called for ever where
/// one controller after the other dies meanwhile; what is told right after the last batch of a rolling
/// replacement began to leave is compared like what was told before; the prober's limit is held against the
/// candidate before a step's time is over only where chance does not explain what was seen; what is not measured,
/// and the apps that it goes together with, have their time again for the first five controllers that come back
/// in a phase, and no longer; nor is the time of a drain over that began anew with such a controller, since what
/// leaves may have been in the routes while it was dead; where somebody else changed the routes since the drain of
/// stable ended, nothing of it is told to end before they were seen right again.
/// 5: nor when its tunnels are handed over, nor anything of a candidate that users have left.
/// 6: the last step before the promotion is final lasts until what users' requests showed in it was told.
/// 7: a step that ends before its time, since enough is shown, waits for what is to be measured in it; answers of both
/// that are beyond the limit of the 99th percentile are an incident, too, of which no limit undoes the candidate; where
/// too little is known of stable's latencies to compare by them, nothing is shown of them; ticks in which one release had
/// no unit are compared together with others; a hook that fails while there is a pause already, and is to pause it, does
/// so when that has ended; whoever goes back for another reason than that users suffer from the candidate waits for
/// stable to be whole, as for an operator.
pub const MACHINE_VERSION: u32 = 7;

const fn first_rules() -> u32 {
    1
}

const fn held() -> OnIncident {
    OnIncident::Hold
}

/// A release by number and by the name people use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its number within the app.
    pub id: ReleaseId,
    /// Its version, as it appears in answers.
    pub version: Version,
}

/// What is to be rolled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The app.
    pub app: AppName,
    /// The release users are on; `None` on the first deploy.
    pub stable: Option<Named>,
    /// The release being shipped. Its number differs from that of `stable`.
    pub candidate: Named,
    /// Instances wanted of each release; 0 counts as 1.
    pub instances: u16,
    /// Strategy, deadlines and limits.
    pub settings: Settings,
}

/// What a candidate is to its app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// A release that never ran.
    #[default]
    Deploy,
    /// Its rollout did not come to its end, and is tried again. Crashes count from what is seen first.
    Retry,
    /// It ran before, and users are to return to it. Once they are on it, what speaks against it pauses
    /// the rollout: a rollback is never rolled back by itself.
    Rollback,
}

/// Strategy, deadlines and limits. A deadline counts from the entry into its phase; 0 counts as 1 ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How traffic moves. The first deploy has nothing to move it from and goes blue-green.
    pub strategy: Strategy,
    /// Starting: until all candidate instances are ready, ms.
    pub ready_deadline_ms: u64,
    /// Previewing: direct requests the candidate must answer without an error; 0 skips the phase.
    pub preview_requests: u32,
    /// Previewing: until they are all answered, ms.
    pub preview_deadline_ms: u64,
    /// Arming: longest wait for the prober; the switch then goes on without it, ms.
    pub arm_deadline_ms: u64,
    /// Shifting: until the switch is seen in effect, ms. Also how long after the end of the bake the
    /// last look at fleet and routes may take.
    pub shift_deadline_ms: u64,
    /// Baking: how long the candidate serves on trial, ms; rolling: after each batch. At most 2 s of it on the first deploy,
    /// where there is nothing to go back to.
    pub bake_ms: u64,
    /// Draining: until no request is open on the release that leaves, ms.
    pub drain_deadline_ms: u64,
    /// Handing over: until no tunnel is open on it, ms.
    pub handover_deadline_ms: u64,
    /// Handing over: the router moves the tunnels like this, and instances are told to end only when
    /// that is over. `None`: they are told at once, and tell their clients. Older journals know nothing
    /// else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<Pace>,
    /// Stopping: until its instances are gone, ms.
    pub stop_deadline_ms: u64,
    /// Rolling back: until stable is ready and seen to carry all traffic again, ms.
    pub rollback_deadline_ms: u64,
    /// Fewer errors than this since the switch never undo it.
    pub max_errors: u64,
    /// Nor do errors up to this share of the attempts, in basis points.
    pub max_error_share_bp: u16,
    /// Starting: crashes allowed, for each wanted instance.
    pub max_crashes_starting: u32,
    /// The shares after whose bake a person is waited for: none (before any user is on the candidate),
    /// those of a canary, and all traffic (before the promotion is final). Without effect on the first
    /// deploy.
    pub pause_after: Vec<Weight>,
    /// How long a pause may last; then the rollout is undone, ms.
    pub pause_deadline_ms: u64,
    /// What the candidate is to the app.
    pub aim: Aim,
    /// The version of the machine's rules that the rollout was begun under; 1 where it does not say.
    #[serde(default = "first_rules")]
    pub rules: u32,
    /// How candidate and stable are compared while both have a share; `None` where they are not.
    pub analysis: Option<Analysis>,
    /// What becomes of it while both releases fail more than the candidate may.
    #[serde(default = "held")]
    pub incident: OnIncident,
    /// What else is measured while the candidate serves on trial, each with a limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Whether a prober watches this rollout.
    pub probing: bool,
    /// How many requests that prober sends in a minute; 0 where that is not known, as in older journals.
    pub probe_per_minute: u32,
    /// Whether the candidate is started once more in the place of stable when that is gone, takes the
    /// traffic there, and keeps its first instances as a spare. Otherwise it stays where it is, and
    /// the places swap their roles with each rollout. Without effect on the first deploy and in a
    /// rolling replacement, where it has the place of stable already.
    pub return_home: bool,
    /// Stable is kept running, out of the routes, when the candidate has taken its place: nothing of it
    /// is told to end here, whoever reads this ends it after so long, ms. 0: it is ended. Without effect
    /// where stable does not stay whole beside the candidate, and with `return_home`.
    pub keep_old_ms: u64,
    /// The candidate is a release that was kept like this and still runs: users get it as soon as all of
    /// it is seen ready, unless an instance ended meanwhile. It is not asked directly first, and nothing
    /// waits for the prober.
    pub warm: bool,
    /// What is called at its moments, one after the other. Those of a moment that does not come in this
    /// rollout are not called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// The apps that this rollout goes together with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// Releases whose instances somebody else starts and ends: nothing of them is told to end, and what is
    /// open on them is not cut. Only words depend on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub theirs: Vec<ReleaseId>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::BlueGreen,
            ready_deadline_ms: 60_000,
            preview_requests: 40,
            preview_deadline_ms: 15_000,
            arm_deadline_ms: 3_000,
            shift_deadline_ms: 15_000,
            bake_ms: 10_000,
            drain_deadline_ms: 30_000,
            handover_deadline_ms: 30_000,
            handover: None,
            stop_deadline_ms: 30_000,
            rollback_deadline_ms: 60_000,
            max_errors: 3,
            max_error_share_bp: 100,
            max_crashes_starting: 3,
            pause_after: Vec::new(),
            pause_deadline_ms: 86_400_000,
            aim: Aim::Deploy,
            rules: MACHINE_VERSION,
            analysis: None,
            incident: OnIncident::Pause,
            metrics: Vec::new(),
            probing: true,
            probe_per_minute: 0,
            return_home: false,
            keep_old_ms: 0,
            warm: false,
            hooks: Vec::new(),
            together: None,
            theirs: Vec::new(),
        }
    }
}
