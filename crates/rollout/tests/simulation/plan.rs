//! What will go wrong in one world, drawn from its seed before it begins.
//!
//! It happens in `world`; nothing is drawn into a plan once its world has begun.

use model::{
    AppName, Call, Event, Farewell, Hold, Hook, Moment, OnFailure, Pace, Phase, ReleaseId,
    Successor, Version, Weight,
};
use rollout::{Aim, Named, Settings, Start, Strategy, hooks_of_steps};

use crate::meddling::Meddling;
use crate::rng::Rng;
use crate::suffering::Suffering;

pub(crate) const STABLE: ReleaseId = ReleaseId(1);
pub(crate) const CANDIDATE: ReleaseId = ReleaseId(2);

/// Phases whose entry may bring a fault on.
const PHASES: [Phase; 11] = [
    Phase::Starting,
    Phase::Stopping,
    Phase::Previewing,
    Phase::Arming,
    Phase::Shifting,
    Phase::Baking,
    Phase::Draining,
    Phase::HandingOver,
    Phase::RollingBack,
    Phase::DrainingCandidate,
    Phase::StoppingCandidate,
];

/// What becomes of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It ends well after so many ms.
    Passes(u64),
    /// It fails after so many ms.
    Fails(u64),
    /// Nothing is ever heard of it.
    Lost,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent faults")]
pub(crate) struct Plan {
    pub start: Start,
    /// Longest time an instance takes to become ready, ms.
    pub start_delay: u64,
    pub never_ready: bool,
    /// Those that are started on the way home are never ready.
    pub never_home: bool,
    pub candidate_crash: Option<u64>,
    pub candidate_crash_loop: bool,
    /// Instances are not ready from time to time.
    pub flaps: bool,
    pub stable_crash: Option<u64>,
    pub stable_stays_dead: bool,
    /// Longest time the router takes to apply routes, ms.
    pub router_delay: u64,
    /// Looks at the router that bring nothing, percent.
    pub replies_lost: u64,
    pub router_dead: Option<u64>,
    /// So many requests take some seconds, percent.
    pub long: u64,
    /// Some requests never end.
    pub endless_requests: bool,
    /// Some tunnels never end, even when told.
    pub endless_tunnels: bool,
    /// These are such as no router can move.
    pub event_streams: bool,
    /// Instances exit at SIGTERM whatever is open.
    pub exits_at_once: bool,
    /// Share of the candidate's answers that are errors, percent; direct ones and users'.
    pub preview_errors: u64,
    pub candidate_errors: u64,
    pub never_arms: bool,
    pub prober_lost: Option<u64>,
    pub abort: Option<u64>,
    /// What operators press, and when.
    pub presses: Vec<(u64, Event)>,
    /// What becomes of each hook.
    pub fates: Vec<Fate>,
    /// What hits both releases.
    pub suffering: Suffering,
    /// What somebody else does to the routes, and when.
    pub meddling: Vec<(u64, Meddling)>,
    /// From when until when platform and router may lie, ms.
    pub lies: Option<(u64, u64)>,
    /// Those that it goes together with are wherever it waits for them.
    pub others_come: bool,
    /// The phase whose entry brings these faults on, if it is not their time.
    pub trigger: Option<Phase>,
    /// The controller dies after an event, in so many of 10 000 cases.
    pub deaths: u64,
    /// Longest time it stays dead, ms.
    pub down: u64,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let first = rng.chance(15);
        let probing = rng.chance(80);
        let named =
            |id: ReleaseId, version: &str| Named { id, version: Version::new(version).unwrap() };
        let strategy = strategy(rng);
        let settings = Settings {
            strategy,
            ready_deadline_ms: 8_000,
            preview_requests: if rng.chance(70) { 20 } else { 0 },
            preview_deadline_ms: 6_000,
            arm_deadline_ms: 1_500,
            shift_deadline_ms: 6_000,
            bake_ms: 4_000,
            return_home: rng.chance(40),
            drain_deadline_ms: 5_000,
            handover_deadline_ms: 5_000,
            stop_deadline_ms: 5_000,
            rollback_deadline_ms: 8_000,
            probing,
            ..Settings::default()
        };
        // A rolling replacement sees more events, and dies as often for that.
        let most_deaths =
            if matches!(settings.strategy, Strategy::Rolling { .. }) { 50 } else { 200 };
        let mut start = Start {
            app: AppName::new("shop").unwrap(),
            stable: (!first).then(|| named(STABLE, "v1")),
            candidate: named(CANDIDATE, "v2"),
            instances: u16::try_from(rng.between(1, 4)).unwrap(),
            settings,
        };
        let trigger = rng.chance(60).then(|| {
            let pick = rng.between(0, PHASES.len() as u64 - 1);
            PHASES[usize::try_from(pick).unwrap()]
        });
        let pace = Pace { farewell: Farewell::Close, per_second: 10, at_once: 10 };
        start.settings.handover = rng.chance(40).then_some(pace);
        Self {
            trigger,
            start,
            event_streams: rng.chance(50),
            start_delay: rng.between(100, 3_000),
            never_ready: rng.chance(8),
            never_home: rng.chance(10),
            candidate_crash: rng.maybe(15, 500, 20_000),
            candidate_crash_loop: rng.chance(5),
            flaps: rng.chance(10),
            stable_crash: rng.maybe(15, 500, 20_000),
            stable_stays_dead: rng.chance(50),
            router_delay: rng.between(0, 1_500),
            replies_lost: if rng.chance(50) { rng.between(0, 50) } else { 0 },
            router_dead: rng.maybe(7, 0, 20_000),
            long: 2,
            endless_requests: rng.chance(10),
            endless_tunnels: rng.chance(15),
            exits_at_once: rng.chance(30),
            preview_errors: if rng.chance(7) { rng.between(1, 100) } else { 0 },
            candidate_errors: if rng.chance(12) { rng.between(1, 100) } else { 0 },
            never_arms: rng.chance(15),
            prober_lost: if probing { rng.maybe(15, 0, 20_000) } else { None },
            abort: rng.maybe(20, 0, 20_000),
            presses: Vec::new(),
            fates: Vec::new(),
            suffering: Suffering::default(),
            meddling: Vec::new(),
            lies: None,
            others_come: false,
            deaths: if rng.chance(50) { rng.between(1, most_deaths) } else { 0 },
            down: if rng.chance(10) { 60_000 } else { 1_500 },
        }
    }

    /// Operators who press everything at any moment, in four of ten worlds; and rollouts that were begun
    /// with pauses, or to return to a release that ran before.
    pub(crate) fn operate(&mut self, rng: &mut Rng) {
        let settings = &mut self.start.settings;
        settings.pause_deadline_ms = rng.between(2_000, 12_000);
        settings.aim = match rng.between(0, 99) {
            0..=5 => Aim::Retry,
            6..=19 => Aim::Rollback,
            _ => Aim::Deploy,
        };
        if rng.chance(20) {
            let mut shares = vec![Weight::NONE, Weight::ALL];
            if let Strategy::Canary { steps, .. } = &settings.strategy {
                shares.extend(steps);
            }
            settings.pause_after = shares.into_iter().filter(|_| rng.chance(60)).collect();
        }
        if !rng.chance(40) {
            return;
        }
        let last = rng.between(1_000, 60_000);
        for _ in 0..rng.between(1, 14) {
            self.presses.push((rng.between(0, last), press(rng)));
        }
        self.presses.sort_by_key(|(at, _)| *at);
    }

    /// Rollouts that keep what they replace, and rollbacks to a release that was kept like this.
    pub(crate) fn keep(&mut self, rng: &mut Rng) {
        let settings = &mut self.start.settings;
        settings.keep_old_ms = if rng.chance(25) { 60_000 } else { 0 };
        if settings.aim == Aim::Rollback && rng.chance(60) && self.start.stable.is_some() {
            settings.strategy = Strategy::BlueGreen;
            settings.pause_after = Vec::new();
            (settings.return_home, settings.warm) = (false, true);
            self.never_ready = false;
        }
    }

    /// Hooks at some moments, which pass, fail or are lost.
    pub(crate) fn hook(&mut self, rng: &mut Rng) {
        if !rng.chance(20) {
            return;
        }
        for moment in Moment::ALL {
            if moment.is_of_steps() || !rng.chance(45) {
                continue;
            }
            let (hook, fate) = hook_at(moment, rng);
            self.fates.push(fate);
            self.start.settings.hooks.push(hook);
        }
    }

    /// Hooks before or after the steps of a canary, at each of them or at one.
    pub(crate) fn hook_steps(&mut self, rng: &mut Rng) {
        if self.kind() != "canary" || !rng.chance(30) {
            return;
        }
        for moment in [Moment::BeforeStep, Moment::AfterStep] {
            let (mut hook, fate) = hook_at(moment, rng);
            let step = u16::try_from(rng.between(1, 3)).unwrap();
            hook.step = rng.chance(40).then_some(step);
            let hooks = hooks_of_steps(&self.start, vec![hook]);
            // One of them ends as it may; the others pass.
            let ends = rng.between(0, 3);
            let fates = (0..hooks.len() as u64)
                .map(move |at| if at == ends { fate } else { Fate::Passes(200) });
            self.fates.extend(fates);
            self.start.settings.hooks.extend(hooks);
        }
    }

    /// What becomes of that hook.
    pub(crate) fn fate(&self, name: &str) -> Fate {
        let mut hooks = self.start.settings.hooks.iter().zip(&self.fates);
        hooks.find(|(hook, _)| hook.name == name).map(|(_, fate)| *fate).unwrap()
    }

    /// True when no hook may stand in the way.
    fn hooks_pass(&self) -> bool {
        let sure = self.deaths == 0 || self.start.settings.hooks.iter().all(|hook| !hook.once);
        sure && self.fates.iter().all(|fate| matches!(fate, Fate::Passes(_)))
    }

    /// How long hooks may hold a rollout, and those who look at what failed.
    fn hooking_ms(&self) -> u64 {
        let each = 15_000 + self.start.settings.pause_deadline_ms;
        self.fates.len() as u64 * each
    }

    /// True when stable is to stay.
    pub(crate) fn keeps(&self) -> bool {
        let beside = self.batch().is_none() && !self.recreates() && !self.returns_home();
        self.start.settings.keep_old_ms > 0 && self.start.stable.is_some() && beside
    }

    /// When nobody presses any more, and how much longer it may take for what was pressed.
    fn pressing_ms(&self) -> u64 {
        let last = self.presses.last().map_or(0, |(at, _)| *at);
        let settings = &self.start.settings;
        // Each may begin anew in a phase that it does not hold.
        let pauses = 3 + settings.pause_after.len() as u64;
        let shares = self.presses.iter().filter(|(_, e)| matches!(e, Event::WeightAsked { .. }));
        // After a smaller share all may follow again.
        let each = 22_000 * self.steps();
        last + pauses * settings.pause_deadline_ms + each * shares.count() as u64
    }

    fn steps(&self) -> u64 {
        match &self.start.settings.strategy {
            Strategy::Canary { steps, .. } => 1 + steps.len() as u64,
            _ => 1,
        }
    }

    /// True when it is not rolled back by itself.
    pub(crate) fn rolls_back(&self) -> bool {
        self.start.settings.aim == Aim::Rollback
    }

    /// True when nobody holds up or hurries what the machine does.
    pub(crate) fn left_alone(&self) -> bool {
        let settings = &self.start.settings;
        let spared = self.suffering.spares(settings) && self.hooks_pass();
        let pressed = self.presses.is_empty() && settings.pause_after.is_empty();
        pressed && spared && self.is_honest()
    }

    /// True when nobody meddles with the routes, nor lies.
    pub(crate) fn is_honest(&self) -> bool {
        self.meddling.is_empty() && self.lies.is_none()
    }

    /// True when nothing that may justify turning back can happen.
    pub(crate) fn candidate_is_good(&self) -> bool {
        !self.never_ready
            && self.candidate_crash.is_none()
            && !self.candidate_crash_loop
            && !self.flaps
            && self.preview_errors == 0
            && self.candidate_errors == 0
    }

    /// Half of what is rolling has a surge, whose batch may be all instances.
    pub(crate) fn surges(&mut self, rng: &mut Rng) {
        let drawn = rng.between(1, 4);
        let first = rng.between(1, drawn);
        if let Strategy::Rolling { batch, surge } = &mut self.start.settings.strategy
            && rng.chance(50)
        {
            (*batch, *surge) = (u16::try_from(drawn).unwrap(), u16::try_from(first).unwrap());
        }
    }

    /// In some canaries the candidate's instances come with its shares.
    pub(crate) fn count(&mut self, rng: &mut Rng) {
        let (usual, some) = (u64::from(self.start.instances), rng.chance(40));
        if let Strategy::Canary { steps, counts, .. } = &mut self.start.settings.strategy
            && some
        {
            let drawn = steps.iter().map(|_| u16::try_from(rng.between(1, usual)).unwrap());
            *counts = drawn.collect();
            counts.sort_unstable();
        }
    }

    /// True when the candidate's instances come with its shares.
    pub(crate) fn is_counted(&self) -> bool {
        let Strategy::Canary { counts, .. } = &self.start.settings.strategy else { return false };
        !counts.is_empty() && self.start.stable.is_some()
    }

    /// Instances replaced at once, if this world is rolling, and how many of them come first.
    fn pace(&self) -> Option<(u16, u16)> {
        let Strategy::Rolling { batch, surge } = self.start.settings.strategy else { return None };
        let usual = self.start.instances;
        let most = usual.min(usual - 1 + surge);
        let rolls = self.start.stable.is_some() && most > 0;
        rolls.then(|| (batch.min(most), surge.min(batch.min(most))))
    }

    /// Instances replaced at once, if this world is rolling.
    pub(crate) fn batch(&self) -> Option<u16> {
        self.pace().map(|(batch, _)| batch)
    }

    /// How many of them are started before others leave.
    pub(crate) fn surge(&self) -> u16 {
        self.pace().map_or(0, |(_, surge)| surge)
    }

    /// True when stable ends before the candidate starts.
    pub(crate) fn recreates(&self) -> bool {
        let recreates = matches!(self.start.settings.strategy, Strategy::Recreate { .. });
        recreates && self.start.stable.is_some()
    }

    /// True when the candidate is to take the place of stable at the end.
    pub(crate) fn returns_home(&self) -> bool {
        let settings = &self.start.settings;
        let beside = self.batch().is_none() && !self.recreates();
        settings.return_home && self.start.stable.is_some() && beside
    }

    /// The strategy that this world comes to.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.start.settings.strategy, &self.start.stable, self.batch()) {
            (_, _, Some(_)) => "rolling",
            (Strategy::Canary { .. }, Some(_), None) => "canary",
            (Strategy::Recreate { .. }, Some(_), None) => "recreate",
            _ => "blue-green",
        }
    }

    /// Longest this rollout may take: all deadlines one after the other.
    pub(crate) fn bound_ms(&self) -> u64 {
        let home = if self.returns_home() { 20_000 } else { 0 };
        let pressing = self.pressing_ms() + self.hooking_ms();
        let rollout = match (&self.start.settings.strategy, self.batch()) {
            (_, Some(_)) => 70_000 * u64::from(self.start.instances + self.surge().min(1)),
            (Strategy::Canary { steps, .. }, None) => {
                // More are started before each share, or once more from the beginning.
                let starting = if self.is_counted() { 10_000 * self.steps() + 16_000 } else { 0 };
                70_000 + 16_000 * steps.len() as u64 + starting + home
            }
            (Strategy::Recreate { .. }, None) => 100_000,
            _ => 70_000 + home,
        };
        let times = self.batch().map_or(self.steps(), |_| self.start.instances.into());
        let suffering = self.suffering.bound_ms(&self.start.settings, times);
        rollout + pressing + suffering + self.left_ms()
    }

    /// True when instances may die, or be not ready, by themselves.
    pub(crate) fn crashes(&self) -> bool {
        self.flaps
            || self.candidate_crash.is_some()
            || self.candidate_crash_loop
            || self.stable_crash.is_some()
    }
}

/// A hook at that moment, and what becomes of it.
fn hook_at(moment: Moment, rng: &mut Rng) -> (Hook, Fate) {
    let after = rng.between(0, 3_000);
    let fate = match rng.between(0, 99) {
        0..=79 => Fate::Passes(after),
        80..=94 => Fate::Fails(after),
        _ => Fate::Lost,
    };
    let on_failure = match rng.between(0, 2) {
        0 => OnFailure::Abort,
        1 => OnFailure::Pause,
        _ => OnFailure::Continue,
    };
    let hook = Hook {
        name: moment.to_string(),
        moment,
        step: None,
        call: Call::Program(vec!["call".to_owned()]),
        timeout_ms: 3_000,
        retries: 0,
        on_failure,
        once: rng.chance(30),
        rollback: true,
    };
    (hook, fate)
}

fn press(rng: &mut Rng) -> Event {
    match rng.between(0, 15) {
        0 => Event::AbortAsked { reason: "pressed".to_owned() },
        1 => Event::SupersedeAsked {
            by: Successor {
                release: ReleaseId(3),
                version: Version::new("v3").unwrap(),
                run: "later".to_owned(),
                rollback: rng.chance(50),
            },
        },
        2..=5 => Event::PauseAsked { reason: "pressed".to_owned() },
        6..=8 => Event::ResumeAsked,
        9..=11 => Event::PromoteAsked { full: rng.chance(25) },
        _ => {
            let points = u16::try_from(rng.between(0, 10_000)).unwrap();
            Event::WeightAsked { weight: Weight::new(points).unwrap() }
        }
    }
}

fn strategy(rng: &mut Rng) -> Strategy {
    match rng.between(0, 11) {
        0..=2 => Strategy::BlueGreen,
        3..=5 => {
            let mut points: Vec<_> =
                (0..rng.between(1, 3)).map(|_| rng.between(1_500, 9_500)).collect();
            points.sort_unstable();
            // Now and then the first step is for those alone whom a rule names.
            if points[0] < 3_000 {
                points[0] = 0;
            }
            let weight = |points: u64| Weight::new(u16::try_from(points).unwrap()).unwrap();
            let steps = points.into_iter().map(weight).collect();
            Strategy::Canary { steps, step_ms: rng.between(0, 3_000), counts: Vec::new() }
        }
        10..=11 => {
            let hold = Hold { wait_ms: rng.between(20_000, 60_000), requests: 100, bytes: 1 << 20 };
            Strategy::Recreate { hold }
        }
        _ => Strategy::Rolling { batch: u16::try_from(rng.between(1, 3)).unwrap(), surge: 0 },
    }
}
