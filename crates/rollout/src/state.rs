//! Everything the machine remembers. No decisions here: `forward` and `back` decide, `target` says
//! what is wanted, `machine` changes the state.

use std::collections::BTreeMap;

use model::{Barrier, Counters, Entered, Phase, ReleaseId, Successor, Weight};
use serde::{Deserialize, Serialize};

use crate::analysis::Comparison;
use crate::comparing::Incident;
use crate::course;
use crate::drained::Drained;
use crate::home::Home;
use crate::hooking::Hooking;
use crate::judge::{Judged, Lately};
use crate::metric::Gauge;
use crate::pause::Pause;
use crate::roll::{Roll, Side};
use crate::seen::{Seen, Sighting};
use crate::settings::{Named, Start};
use crate::strategy::Strategy;
use crate::together::Awaiting;
use crate::wants::Wants;

/// Something worth telling that changed no phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When, ms since the rollout began.
    pub at_ms: u64,
    /// What, in words for people.
    pub words: String,
}

/// A share of the traffic that the candidate was to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// When it was first wanted, ms since the rollout began.
    pub at_ms: u64,
    /// The share.
    pub share: Weight,
    /// When the router was first seen to carry it, ms since the rollout began; `None` if it never
    /// was.
    pub settled_ms: Option<u64>,
}

/// What stays true once it happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub prober_lost: bool,
    /// Everything since the first user was on the candidate.
    pub judged: Judged,
    /// Of that, since the candidate was given its present share.
    #[serde(default)]
    pub judged_step: Judged,
    /// What the prober saw of both lately.
    #[serde(default)]
    pub lately: Lately,
    /// Candidate and stable compared, since the comparison began.
    #[serde(default)]
    pub comparison: Option<Comparison>,
    /// The last tick that was compared, s of CLOCK_MONOTONIC.
    #[serde(default)]
    pub compared_s: u64,
    /// What the router's counters said last, where single requests are not told; `None` before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// All that users' requests showed until then was told, ms since the rollout began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surveyed_ms: Option<u64>,
    /// The last incident that hit both releases.
    #[serde(default)]
    pub incident: Option<Incident>,
    /// What was measured in the present step, by metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gauges: BTreeMap<String, Gauge>,
    /// Most crashes of the candidate ever seen.
    pub crashes: u32,
    /// Those it had when it was first ready.
    pub crashes_before: u32,
    /// Rolling back: stable was seen ready and is to carry the traffic again.
    pub returned: bool,
    /// The release that leaves (only one does) has been drained. Rolling keeps its own books.
    pub drained: Option<Drained>,
    /// The books of a rolling replacement.
    #[serde(default)]
    pub roll: Option<Roll>,
    /// How far the way home is; `None` before it begins.
    #[serde(default)]
    pub home: Option<Home>,
    /// Recreate: why it turns back once stable, which was told to end, is gone.
    #[serde(default)]
    pub turning: Option<String>,
    /// A person is waited for.
    #[serde(default)]
    pub pause: Option<Pause>,
    /// The shares at which nobody is waited for any more.
    #[serde(default)]
    pub passed: Vec<Weight>,
    /// Since when an operator wants no further shares and pauses.
    #[serde(default)]
    pub full_ms: Option<u64>,
    /// The candidate's present share; before the first switch, and in older journals, the strategy's.
    #[serde(default)]
    pub share: Option<Weight>,
    /// How many instances of the candidate run where they come with the shares: as many as ever were to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crew: Option<u16>,
    /// How many shares operators asked for.
    #[serde(default)]
    pub shares_asked: usize,
    /// When an operator ended the bake of the present phase.
    #[serde(default)]
    pub hurried_ms: Option<u64>,
    /// When a pause last ended in the present phase, or a hook.
    #[serde(default)]
    pub went_on_ms: Option<u64>,
    /// When it was turned back for a wish, not for what the candidate does.
    #[serde(default)]
    pub wished_back_ms: Option<u64>,
    /// When it was turned back from a candidate of which users suffered.
    #[serde(default)]
    pub pressed_ms: Option<u64>,
    /// What is to follow when this is over.
    #[serde(default)]
    pub successor: Option<Successor>,
    /// Crashes of a candidate that ran before, when they were first seen.
    #[serde(default)]
    pub crashes_already: Option<u32>,
    /// The router has moved what it can of the tunnels, in this phase.
    #[serde(default)]
    pub moved: bool,
    /// The hook that is to be called now.
    #[serde(default)]
    pub hooking: Option<Hooking>,
    /// What a hook failed of for which a person is to be asked when the pause that there is has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_hook: Option<String>,
    /// The hooks that have ended, well or not.
    #[serde(default)]
    pub hooked: Vec<String>,
    /// The apps that it goes together with are waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<Awaiting>,
    /// The last place to which all of them have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Barrier>,
    /// When the controller last came back.
    pub resumed_ms: Option<u64>,
    /// How many controllers came back in the present phase.
    #[serde(default)]
    pub lives: u32,
    /// When the last of them did for which what is waited for has its time again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_ms: Option<u64>,
    /// What was wanted when the rollout got stuck.
    pub stuck: Option<Wants>,
    /// Every share the candidate was to have, oldest first.
    #[serde(default)]
    pub shares: Vec<Share>,
}

/// The machine's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub start: Start,
    pub now_ms: u64,
    pub phase: Phase,
    pub since_ms: u64,
    pub entered: Vec<Entered>,
    pub notes: Vec<Note>,
    pub seen: Seen,
    pub facts: Facts,
}

impl State {
    pub(crate) fn new(start: Start) -> Self {
        let mut why = match &start.stable {
            Some(stable) => format!("{} is to follow {}", start.candidate.version, stable.version),
            None => format!("{} is the first release", start.candidate.version),
        };
        if let Some(together) = &start.settings.together {
            why = format!("{why}, together with {}", together.others());
        }
        let (usual, surge) = (start.instances.max(1), course::surge(&start));
        let roll = course::batch(&start).map(|_| Roll::new(usual, surge));
        let notes = unmet(&start).map(|words| Note { at_ms: 0, words: words.to_owned() });
        let notes = notes.collect();
        Self {
            start,
            now_ms: 0,
            phase: Phase::Starting,
            since_ms: 0,
            entered: vec![Entered { phase: Phase::Starting, at_ms: 0, why }],
            notes,
            seen: Seen::default(),
            facts: Facts { roll, ..Facts::default() },
        }
    }

    /// Instances wanted of a running release.
    pub(crate) fn instances(&self) -> u16 {
        self.start.instances.max(1)
    }

    /// The same, and how many more may run for a while.
    pub(crate) fn room(&self) -> (u16, u16) {
        (self.instances(), course::surge(&self.start))
    }

    pub(crate) fn candidate(&self) -> &Named {
        &self.start.candidate
    }

    pub(crate) fn sighting(&self, side: Side) -> &Sighting {
        match side {
            Side::Stable => &self.seen.stable,
            Side::Candidate => &self.seen.candidate,
        }
    }

    /// The release of a side, if there is one.
    pub(crate) fn named(&self, side: Side) -> Option<&Named> {
        match side {
            Side::Stable => self.start.stable.as_ref(),
            Side::Candidate => Some(&self.start.candidate),
        }
    }

    /// The sighting of a release, if it takes part.
    pub(crate) fn sighting_mut(&mut self, release: ReleaseId) -> Option<&mut Sighting> {
        if release == self.start.candidate.id {
            return Some(&mut self.seen.candidate);
        }
        let stable = self.start.stable.as_ref().is_some_and(|stable| stable.id == release);
        stable.then_some(&mut self.seen.stable)
    }

    pub(crate) fn has_entered(&self, phase: Phase) -> bool {
        self.entered.iter().any(|entered| entered.phase == phase)
    }

    /// True when the candidate is or will be stable, whatever happens. A rolling replacement can
    /// turn back until its end.
    pub(crate) fn promotion_is_final(&self) -> bool {
        let whole = self.facts.roll.is_none() && course::hold(&self.start).is_none();
        let leaving = self.has_entered(Phase::Draining) && whole;
        leaving || self.has_entered(Phase::Promoted)
    }

    /// How many times the candidate has been given a share. The way home counts once more, and finds
    /// no share left but all traffic.
    pub(crate) fn switches(&self) -> usize {
        self.entered.iter().filter(|entered| entered.phase == Phase::Shifting).count()
    }

    /// The share of the candidate as long as it is on trial; all traffic when there are no shares.
    pub(crate) fn share(&self) -> Weight {
        if let Some(roll) = &self.facts.roll {
            return roll.share();
        }
        if let Some(share) = self.facts.share {
            return share;
        }
        let shares = course::shares(&self.start);
        shares.get(self.switches().saturating_sub(1)).copied().unwrap_or(Weight::ALL)
    }

    /// The share that follows the present one.
    pub(crate) fn next_share(&self) -> Weight {
        let begun = self.has_entered(Phase::Shifting);
        let present = begun.then(|| self.share());
        let mut shares = course::shares(&self.start).into_iter();
        let next = shares
            .find(|share| present.is_none_or(|present| *share > present))
            .filter(|_| self.facts.full_ms.is_none());
        next.unwrap_or(Weight::ALL)
    }

    /// Why it turns back once those that are ending are gone.
    pub(crate) fn turning(&self) -> Option<&String> {
        let roll = self.facts.roll.as_ref().and_then(|roll| roll.turning.as_ref());
        roll.or(self.facts.turning.as_ref())
    }

    /// Forgets what speaks against the candidate until now.
    pub(crate) fn overlook(&mut self) {
        self.facts.judged = Judged::default();
        self.facts.judged_step = Judged::default();
        self.facts.crashes_before = self.facts.crashes;
    }

    /// True while what the prober sees may still decide about the candidate.
    pub(crate) fn judging(&self) -> bool {
        match self.phase {
            Phase::Shifting | Phase::Baking => self.facts.home.is_none(),
            Phase::Starting if self.grows() => true,
            Phase::Starting | Phase::Draining | Phase::HandingOver | Phase::Stopping => {
                self.facts.roll.is_some() && self.has_entered(Phase::Shifting)
            }
            _ => false,
        }
    }

    /// How the drain of what leaves now ended.
    pub(crate) fn drained(&self) -> Option<Drained> {
        match &self.facts.roll {
            Some(roll) => roll.leave.as_ref()?.drained,
            None => self.facts.drained,
        }
    }

    /// True when a prober watches and can be reached.
    pub(crate) fn watched(&self) -> bool {
        self.start.settings.probing && !self.facts.prober_lost
    }

    /// Instances of the candidate that should be ready, and stay.
    pub(crate) fn candidate_wanted(&self) -> u16 {
        let usual = self.instances();
        let whole = self.facts.home.map_or_else(|| self.crew(), |home| home.wanted(usual));
        self.facts.roll.as_ref().map_or(whole, |roll| roll.running.candidate)
    }

    /// As many as the shares until now needed, and while more are started, as the next one does.
    pub(crate) fn crew(&self) -> u16 {
        if !course::counted(&self.start) {
            return self.instances();
        }
        let present = self.facts.crew.unwrap_or(1);
        if self.phase == Phase::Starting { present.max(self.crew_of_next()) } else { present }
    }

    /// Instances of the candidate that its next share needs.
    pub(crate) fn crew_of_next(&self) -> u16 {
        course::instances(&self.start, self.next_share())
    }

    /// True while more of the candidate are started beside those that users are on.
    pub(crate) fn grows(&self) -> bool {
        let on_trial = self.has_entered(Phase::Shifting) && self.facts.home.is_none();
        self.phase == Phase::Starting && on_trial && course::counted(&self.start)
    }

    pub(crate) fn candidate_is_ready(&self) -> bool {
        self.seen.candidate.ready().is_some_and(|ready| ready >= self.candidate_wanted())
    }

    pub(crate) fn candidate_serves(&self) -> bool {
        self.seen.candidate.ready().is_some_and(|ready| ready > 0)
    }

    /// Stable is ready to carry what it usually carries.
    pub(crate) fn stable_is_whole(&self) -> bool {
        self.seen.stable.ready().is_some_and(|ready| ready >= self.instances())
    }

    pub(crate) fn stable_serves(&self) -> bool {
        self.seen.stable.ready().is_some_and(|ready| ready > 0)
    }

    /// Notes something, once if it is said many times in a row.
    pub(crate) fn note(&mut self, words: String) {
        if self.notes.last().is_none_or(|note| note.words != words) {
            self.notes.push(Note { at_ms: self.now_ms, words });
        }
    }

    /// "1 of 2 instances of v2 ready", as last seen.
    pub(crate) fn readiness(&self) -> String {
        match self.seen.candidate.ready() {
            Some(ready) => {
                let (wanted, version) = (self.candidate_wanted(), &self.candidate().version);
                format!("{ready} of {wanted} instances of {version} ready")
            }
            None => format!("nothing is known of the instances of {}", self.candidate().version),
        }
    }

    /// What the platform says is wrong with the candidate.
    pub(crate) fn trouble_lines(&self) -> &[String] {
        self.seen.candidate.fleet.as_ref().map_or(&[], |seen| &seen.trouble)
    }

    /// How long the present phase has lasted, ms.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.now_ms.saturating_sub(self.since_ms)
    }
}

/// What is set and cannot be had in this rollout, in words.
fn unmet(start: &Start) -> impl Iterator<Item = &'static str> {
    let rolling = matches!(start.settings.strategy, Strategy::Rolling { .. });
    let alone = rolling && start.stable.is_some() && course::batch(start).is_none();
    let alone = alone.then_some("blue-green instead of rolling: there is only one instance");
    let homeless = start.settings.return_home && !course::returns_home(start);
    let home = homeless.then_some(match start.stable {
        Some(_) if course::hold(start).is_some() => {
            "no way home: there is only one place when only one copy can run"
        }
        Some(_) => "no way home: a rolling replacement takes the place of stable at once",
        None => "no way home: the first release has no place to return to",
    });
    alone.into_iter().chain(home)
}
