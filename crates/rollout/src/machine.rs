//! The machine itself: takes an observation, steps while the state allows it, checks itself.
//!
//! It holds no rule of any phase: `forward` and `back` (of a rolling replacement also `rolling` and
//! `unroll`, of a recreation `recreate`, on the way home `homeward`) decide when a phase is left, `target` says
//! what each one wants, `deadline` how long it may last.

use model::{Barrier, Entered, Event, Fault, Offenders, Outcome, Phase, Successor, Weight};
use serde::{Deserialize, Serialize};

use crate::analysis::Comparison;
use crate::deadline::{self, Due, wake_ms};
use crate::gate;
use crate::hear::hear;
use crate::judge::Judged;
use crate::metric::Metric;
use crate::pause::{Cause, Pause};
use crate::roll::Roll;
use crate::settings::{MACHINE_VERSION, Start};
use crate::state::{Note, Share, State};
use crate::step::Step;
use crate::together::Stage;
use crate::trouble::presses;
use crate::wants::Wants;
use crate::{
    back, barrier, compare, course, covered, forward, homeward, hooks, invariant, measure,
    recreate, rolling, target, unroll, wish,
};

/// One rollout of one app. See the crate's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    state: State,
}

/// A rollout frozen for the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    machine_version: u32,
    state: State,
}

impl Snapshot {
    /// Version of the rules it was made under.
    pub const fn machine_version(&self) -> u32 {
        self.machine_version
    }
}

impl Rollout {
    /// Begins a rollout at 0 ms, in `Starting`.
    pub fn new(start: Start) -> Self {
        Self { state: State::new(start) }
    }

    /// Takes one event, seen at `now_ms` (ms since the rollout began; an earlier time than the last
    /// one counts as the last one). Events come in the order in which they were seen.
    pub fn advance(&mut self, now_ms: u64, event: &Event) {
        self.state.now_ms = self.state.now_ms.max(now_ms);
        if let Some(step) = hear(&mut self.state, event) {
            self.take(step);
        }
        self.settle_share();
        while let Some(step) = self.next() {
            self.take(step);
        }
        let checked = self.check_invariants();
        debug_assert_eq!(checked, Ok(()), "{event:?}");
        if let Err(broken) = checked {
            self.contradiction(broken);
        }
    }

    /// A machine that contradicts itself moves nothing any more: what serves goes on serving, and a
    /// person is told. (In tests it panics instead.)
    fn contradiction(&mut self, broken: String) {
        if !self.state.phase.is_final() {
            self.enter(Phase::Stuck, format!("the rollout machine contradicts itself: {broken}"));
        }
        self.state.note(broken);
    }

    /// What should be true now.
    pub fn wants(&self) -> Wants {
        target::wants(&self.state)
    }

    /// When to call [`Self::advance`] with [`Event::Tick`] at the latest, ms since the rollout
    /// began; `None` once it is over.
    pub fn wake(&self) -> Option<u64> {
        wake_ms(&self.state)
    }

    /// When the present phase ends by time alone, for people; `None` once it is over.
    pub fn due(&self) -> Option<Due> {
        deadline::due(&self.state)
    }

    /// What holds a bake although its time is over, for people: "until …". `None` while nothing does.
    pub fn held_by(&self) -> Option<String> {
        deadline::held_by(&self.state)
    }

    /// The shares that the candidate is to have, one after the other; the last is all traffic.
    pub fn steps(&self) -> Vec<Weight> {
        course::shares(&self.state.start)
    }

    /// The present phase.
    pub const fn phase(&self) -> Phase {
        self.state.phase
    }

    /// Every phase entered, oldest first, with its reason. A reason's first line is a sentence;
    /// further lines, if any, are its evidence.
    pub fn entered(&self) -> &[Entered] {
        &self.state.entered
    }

    /// Every share of the traffic that the candidate was to have, oldest first; none before the
    /// first switch. A rollout that is undone ends with a share of nothing.
    pub fn shares(&self) -> &[Share] {
        &self.state.facts.shares
    }

    /// Candidate and stable compared; `None` before that begins, or where it never does.
    pub const fn comparison(&self) -> Option<&Comparison> {
        self.state.facts.comparison.as_ref()
    }

    /// That hardly any request is counted of many that users may send; `None` where that is not so.
    pub fn few_counted(&self) -> Option<String> {
        compare::few(&self.state)
    }

    /// What else is worth telling, oldest first: wishes that came too late, a prober lost.
    pub fn notes(&self) -> &[Note] {
        &self.state.notes
    }

    /// The wait for a person, while there is one: users are taken no further until it ends.
    pub const fn paused(&self) -> Option<&Pause> {
        self.state.facts.pause.as_ref()
    }

    /// What is to be rolled out when this is over.
    pub const fn successor(&self) -> Option<&Successor> {
        self.state.facts.successor.as_ref()
    }

    /// Why an operator's wish would change nothing now, in words that follow "nothing to do:"; `None`
    /// when it would be heard.
    pub fn refuses(&self, wish: &Event) -> Option<String> {
        wish::refused(&self.state, wish)
    }

    /// Where the apps that it goes together with are waited for, while they are.
    pub fn awaits(&self) -> Option<Barrier> {
        self.state.facts.awaiting.as_ref().map(|awaiting| awaiting.barrier)
    }

    /// How far it is, for those that it goes together with.
    pub fn stage(&self) -> Stage {
        barrier::stage(&self.state)
    }

    /// What it is to be told now, given how far the others of [`Settings::together`] are, each at its place; of
    /// one that nobody knows anything of, a stage that says nothing.
    ///
    /// [`Settings::together`]: crate::Settings::together
    pub fn ruling(&self, others: &[Stage]) -> Option<Event> {
        barrier::ruling(&self.state, others)
    }

    /// What is being rolled out.
    pub const fn start(&self) -> &Start {
        &self.state.start
    }

    /// How it ended; `None` while it has not.
    pub const fn outcome(&self) -> Option<Outcome> {
        match self.state.phase {
            Phase::Promoted => Some(Outcome::Promoted),
            Phase::Aborted => Some(Outcome::Aborted),
            Phase::Stuck => Some(Outcome::Stuck),
            Phase::Starting
            | Phase::Previewing
            | Phase::Arming
            | Phase::Shifting
            | Phase::Baking
            | Phase::Draining
            | Phase::HandingOver
            | Phase::Stopping
            | Phase::RollingBack
            | Phase::DrainingCandidate
            | Phase::StoppingCandidate => None,
        }
    }

    /// The metrics that are to be measured now: what [`Event::Measured`] says of another one, or at
    /// another time, is not heard.
    pub fn measures(&self) -> impl Iterator<Item = &Metric> {
        measure::wanted(&self.state)
    }

    /// True while [`Event::Window`] may still decide something, and must be told.
    pub fn judges_windows(&self) -> bool {
        self.state.judging()
    }

    /// True once users stay on the candidate whatever happens.
    pub fn promotion_is_final(&self) -> bool {
        self.state.promotion_is_final()
    }

    /// True when the release that users leave is to run on after this, for [`Settings::keep_old_ms`].
    ///
    /// [`Settings::keep_old_ms`]: crate::Settings::keep_old_ms
    pub fn keeps_stable(&self) -> bool {
        course::keeps(&self.state.start)
    }

    /// True when users are being taken back, or will be.
    pub fn turns_back(&self) -> bool {
        let back = [Phase::RollingBack, Phase::DrainingCandidate, Phase::StoppingCandidate];
        back.contains(&self.state.phase) || self.state.turning().is_some()
    }

    /// The rollout as a value for the journal.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { machine_version: MACHINE_VERSION, state: self.state.clone() }
    }

    /// Goes on from a snapshot; the next event should be [`Event::Resumed`]. A snapshot of a newer
    /// machine, or one that breaks an invariant, is refused.
    pub fn from_snapshot(snapshot: Snapshot) -> Result<Self, Fault> {
        let version = snapshot.machine_version;
        if version > MACHINE_VERSION {
            let what = format!("this rollout was written by a newer Cutover (machine {version})");
            return Err(Fault::internal(what).help("run that version of cutover, or a newer one"));
        }
        let rollout = Self { state: snapshot.state };
        match rollout.check_invariants() {
            Ok(()) => Ok(rollout),
            Err(broken) => Err(Fault::internal("a rollout's snapshot is damaged").note(broken)),
        }
    }

    /// The first of the machine's invariants that does not hold, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        invariant::check(&self.state)
    }

    /// The step that the state allows, if any.
    fn next(&self) -> Option<Step> {
        if let (true, decided) = barrier::late(&self.state) {
            return decided;
        }
        let hooked = || hooks::pass(&self.state, self.decided());
        let asked = hooks::lost(&self.state).or_else(|| hooks::owed(&self.state));
        asked.or_else(|| barrier::pass(&self.state, hooked()))
    }

    /// The step that the state allows but for hooks and barriers.
    fn decided(&self) -> Option<Step> {
        let state = &self.state;
        if let (true, decided) = gate::next(state) {
            return decided;
        }
        if covered::is_over(state) {
            return Some(Step::Moved);
        }
        if state.facts.home.is_some() {
            return homeward::next(state);
        }
        if let Some(roll) = &state.facts.roll {
            return next_rolling(state, roll);
        }
        if course::hold(&state.start).is_some() {
            return next_recreating(state);
        }
        match state.phase {
            Phase::Starting => forward::starting(state),
            Phase::Previewing => forward::previewing(state),
            Phase::Arming => forward::arming(state),
            Phase::Shifting => forward::shifting(state),
            Phase::Baking => forward::baking(state),
            Phase::Draining => forward::draining(state),
            Phase::HandingOver => forward::handing_over(state),
            Phase::Stopping => forward::stopping(state),
            Phase::RollingBack => back::rolling_back(state),
            Phase::DrainingCandidate => back::draining_candidate(state),
            Phase::StoppingCandidate => back::stopping_candidate(state),
            Phase::Promoted | Phase::Aborted | Phase::Stuck => None,
        }
    }

    /// Makes a step, then forgets every observation of something that is now wanted otherwise.
    fn take(&mut self, step: Step) {
        let before = self.wants();
        match step {
            Step::Enter(phase, why) => {
                if self.state.phase == Phase::Starting {
                    // Before its share is the present one: who is started for that stays.
                    self.state.facts.crew = Some(self.state.crew());
                }
                if phase == Phase::Shifting {
                    self.state.facts.share = Some(self.state.next_share());
                }
                self.enter(phase, why);
            }
            Step::Pause(cause, why) => self.pause(cause, why),
            Step::GoOn(why) => {
                wish::go_on(&mut self.state);
                self.state.note(format!("resumed: {why}"));
            }
            Step::Share(share, why) => {
                self.state.facts.shares_asked += 1;
                self.pause(Cause::Asked, why.clone());
                self.state.facts.share = Some(share);
                self.enter(Phase::Shifting, why);
            }
            Step::Return(why) => {
                self.state.facts.returned = true;
                if self.state.elapsed_ms() > 0 {
                    self.state.note(why);
                }
            }
            Step::Drained(drained) => self.state.facts.drained = Some(drained),
            Step::Moved => self.state.facts.moved = true,
            Step::TurnBack(why) => self.state.facts.turning = Some(why),
            Step::Books(roll) => self.state.facts.roll = Some(roll),
            Step::Turn(roll, phase, why) => {
                self.state.facts.roll = Some(roll);
                self.enter(phase, why);
            }
            Step::Hook(hooking) => self.state.facts.hooking = Some(hooking),
            Step::Await(awaiting) => self.state.facts.awaiting = Some(awaiting),
            Step::HookLost(name, words) => {
                if let Some(step) = hooks::ended(&mut self.state, &name, false, &words) {
                    self.take(step);
                }
            }
            Step::Home(home, phase, why) => {
                self.state.facts.home = Some(home);
                self.enter(phase, why);
            }
        }
        let after = self.wants();
        self.book_share(&after);
        let room =
            |wants: &Wants| wants.leave.as_ref().map(|leave| (leave.release, leave.instances));
        let routes = |wants: &Wants| (wants.pools.clone(), wants.hold, wants.unseen);
        if routes(&before) != routes(&after) || room(&before) != room(&after) {
            self.state.seen.routes = None;
            self.state.seen.forget_traffic();
        }
        for (was, is) in before.fleet.iter().zip(&after.fleet) {
            if let Some(sighting) = self.state.sighting_mut(is.release).filter(|_| was != is) {
                sighting.fleet = None;
            }
        }
    }

    /// What the prober holds across a switch is placed anew when there is one again.
    fn pause(&mut self, cause: Cause, why: String) {
        self.state.seen.armed = false;
        self.state.facts.failed_hook.take_if(|failed| *failed == why);
        self.state.note(format!("paused: {why}"));
        self.state.facts.pause = Some(Pause { at_ms: self.state.now_ms, cause, why });
    }

    /// Enters the candidate's share in the books when it is another one than before.
    fn book_share(&mut self, wants: &Wants) {
        let candidate = self.state.candidate().id;
        let pool = wants.pools.iter().find(|pool| pool.release == candidate);
        let share = pool.map_or(Weight::NONE, |pool| pool.weight);
        let shares = &mut self.state.facts.shares;
        if shares.last().map_or(Weight::NONE, |last| last.share) != share {
            shares.push(Share { at_ms: self.state.now_ms, share, settled_ms: None });
        }
    }

    /// Notes when the present share was first seen.
    fn settle_share(&mut self) {
        if !target::settled(&self.state) {
            return;
        }
        if let Some(last) = self.state.facts.shares.last_mut() {
            last.settled_ms.get_or_insert(self.state.now_ms);
        }
    }

    fn enter(&mut self, phase: Phase, why: String) {
        if self.state.phase == Phase::Starting {
            self.state.facts.crashes_before = self.state.facts.crashes;
        }
        if phase == Phase::Shifting {
            self.state.facts.judged_step = Judged::default();
            self.state.facts.gauges.clear();
        }
        if phase == Phase::RollingBack {
            // Before it is another phase: what a step's end says, only that says.
            self.state.facts.pressed_ms = presses(&self.state).then_some(self.state.now_ms);
        }
        if phase == Phase::Stuck {
            let serves = |side| self.state.sighting(side).ready().is_some_and(|ready| ready > 0);
            self.state.facts.roll = self.state.facts.roll.as_ref().map(|roll| roll.stay(serves));
            self.state.facts.stuck = Some(target::stuck(&self.state));
        }
        let back = [Phase::RollingBack, Phase::DrainingCandidate, Phase::StoppingCandidate];
        if phase.is_final() || back.contains(&phase) {
            self.state.facts.pause = None;
            self.state.facts.failed_hook = None;
        }
        (self.state.facts.hurried_ms, self.state.facts.went_on_ms) = (None, None);
        (self.state.facts.hooking, self.state.facts.awaiting) = (None, None);
        (self.state.facts.lives, self.state.facts.again_ms) = (0, None);
        (self.state.seen.movable, self.state.facts.moved) = (None, false);
        self.state.seen.lingering = Offenders::default();
        self.state.phase = phase;
        self.state.since_ms = self.state.now_ms;
        self.state.entered.push(Entered { phase, at_ms: self.state.now_ms, why });
    }
}

/// The step that the state of a recreation allows, if any.
fn next_recreating(state: &State) -> Option<Step> {
    let begun = state.has_entered(Phase::Draining);
    match state.phase {
        Phase::Starting if !begun => recreate::looking(state),
        Phase::Starting => forward::starting(state),
        Phase::Previewing => forward::previewing(state),
        Phase::Arming => recreate::arming(state),
        Phase::Draining => recreate::draining(state),
        Phase::HandingOver => recreate::handing_over(state),
        Phase::Stopping => recreate::stopping(state),
        Phase::Shifting => forward::shifting(state),
        Phase::Baking => forward::baking(state),
        Phase::DrainingCandidate => back::draining_candidate(state),
        Phase::StoppingCandidate if begun => recreate::stopping_candidate(state),
        Phase::StoppingCandidate => back::stopping_candidate(state),
        Phase::RollingBack => recreate::rolling_back(state),
        Phase::Promoted | Phase::Aborted | Phase::Stuck => None,
    }
}

/// The step that the state of a rolling replacement allows, if any.
fn next_rolling(state: &State, roll: &Roll) -> Option<Step> {
    match state.phase {
        Phase::Starting if roll.running.candidate == 0 => rolling::gathering(state, roll),
        Phase::Starting => forward::starting(state),
        Phase::Previewing => forward::previewing(state),
        Phase::Arming => forward::arming(state),
        Phase::Shifting => forward::shifting(state),
        Phase::Baking => forward::baking(state),
        Phase::Draining => rolling::draining(state, roll),
        Phase::HandingOver => rolling::handing_over(state, roll),
        Phase::Stopping => rolling::stopping(state, roll),
        Phase::RollingBack => unroll::rolling_back(state, roll),
        Phase::DrainingCandidate => unroll::draining_candidate(state, roll),
        Phase::StoppingCandidate if roll.leave.is_none() => back::stopping_candidate(state),
        Phase::StoppingCandidate => unroll::stopping_candidate(state, roll),
        Phase::Promoted | Phase::Aborted | Phase::Stuck => None,
    }
}
