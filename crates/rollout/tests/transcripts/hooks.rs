//! Stories of hooks: what they hold, and what their failure does.
//!
//! Nothing is called: the end of each is told.

use model::{Call, Event, Hook, Moment, OnFailure, Outcome, Phase, Weight};
use rollout::{Settings, Strategy, foresee};

use crate::script::Role::{All, Retiring, Spare};
use crate::script::{Script, abort, crashed, fleet, open, preview, routes, window};

fn hook(moment: Moment, on_failure: OnFailure) -> Hook {
    Hook {
        name: moment.to_string().replace(' ', "-"),
        moment,
        call: Call::Program(vec!["call".to_owned()]),
        timeout_ms: 20_000,
        retries: 1,
        on_failure,
        once: false,
        rollback: false,
    }
}

fn with(hooks: &[(Moment, OnFailure)]) -> Script {
    let hooks = hooks.iter().map(|(moment, on_failure)| hook(*moment, *on_failure)).collect();
    Script::new(|start| start.settings.hooks = hooks)
}

fn ended(moment: Moment, passed: bool) -> Event {
    let name = moment.to_string().replace(' ', "-");
    Event::HookEnded { name, passed, words: "status 0 in 2 s".to_owned() }
}

fn passed(moment: Moment) -> Event {
    ended(moment, true)
}

fn failed(moment: Moment) -> Event {
    ended(moment, false)
}

const EVERY: [(Moment, OnFailure); 8] = [
    (Moment::BeforeStart, OnFailure::Abort),
    (Moment::AfterStart, OnFailure::Abort),
    (Moment::BeforeSwitch, OnFailure::Abort),
    (Moment::AfterSwitch, OnFailure::Abort),
    (Moment::BeforeDrain, OnFailure::Abort),
    (Moment::AfterDrain, OnFailure::Continue),
    (Moment::AfterFinish, OnFailure::Continue),
    (Moment::AfterAbort, OnFailure::Continue),
];

#[test]
fn each_moment_holds_what_follows() {
    with(&EVERY)
        .all(&[fleet(1, 2, 2), passed(Moment::AfterStart), passed(Moment::BeforeStart)])
        .all(&[fleet(2, 2, 2), preview(40, 0), passed(Moment::AfterStart), preview(40, 0)])
        .all(&[passed(Moment::BeforeSwitch), Event::Armed, routes(&[(1, Spare), (2, All)])])
        .all(&[window("v2", 20, 0), window("v2", 20, 0)])
        .wake()
        .all(&[Event::Resumed, fleet(1, 2, 2), fleet(2, 2, 2), routes(&[(1, Spare), (2, All)])])
        .all(&[passed(Moment::AfterSwitch), passed(Moment::BeforeDrain)])
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 1), failed(Moment::AfterDrain)])
        .all(&[fleet(1, 0, 0), routes(&[(2, All)]), fleet(1, 0, 0), passed(Moment::AfterFinish)])
        .is("hooks");
}

#[test]
fn one_that_fails_before_the_switch_ends_it() {
    with(&[(Moment::BeforeSwitch, OnFailure::Abort), (Moment::AfterAbort, OnFailure::Continue)])
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), failed(Moment::BeforeSwitch)])
        .all(&[fleet(2, 0, 0), routes(&[(1, All)]), passed(Moment::AfterAbort)])
        .is("hook-fails");
}

#[test]
fn one_that_fails_before_the_start_starts_nothing() {
    let machine = with(&[(Moment::BeforeStart, OnFailure::Abort)])
        .all(&[fleet(1, 2, 2), failed(Moment::BeforeStart), fleet(2, 0, 0), routes(&[(1, All)])])
        .into_machine();
    assert_eq!(machine.outcome(), Some(Outcome::Aborted));
    let script = with(&[(Moment::BeforeStart, OnFailure::Abort)]);
    let wanted: Vec<_> = script.into_machine().wants().fleet.iter().map(|w| w.instances).collect();
    assert_eq!(wanted, [2, 0], "nothing of the candidate is started before it");
}

fn switched(hooks: &[(Moment, OnFailure)]) -> Script {
    with(hooks).all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed]).all(&[
        routes(&[(1, Spare), (2, All)]),
        window("v2", 20, 0),
        window("v2", 20, 0),
    ])
}

#[test]
fn after_the_switch_it_goes_back_or_waits_or_goes_on() {
    let moment = Moment::AfterSwitch;
    let back = switched(&[(moment, OnFailure::Abort)]).all(&[failed(moment)]).into_machine();
    assert_eq!(back.phase(), Phase::RollingBack);
    let waits = switched(&[(moment, OnFailure::Pause)]).all(&[failed(moment)]);
    let waits = waits.all(&[Event::ResumeAsked]);
    let on = waits.wake().into_machine();
    assert_eq!(on.phase(), Phase::Draining, "resumed, the hook is not called again");
    let waits = switched(&[(moment, OnFailure::Pause)]).all(&[failed(moment)]).into_machine();
    assert!(waits.paused().is_some_and(|pause| pause.why.contains("after-switch")));
    let on = switched(&[(moment, OnFailure::Continue)]).all(&[failed(moment)]).wake();
    assert_eq!(on.into_machine().phase(), Phase::Draining);
}

/// Whoever ends the pause that there was may not have known of it.
#[test]
fn one_that_fails_while_it_is_paused_pauses_once_more() {
    let moment = Moment::AfterSwitch;
    let resumed = |rules, ends: &Event| {
        let script = Script::new(|start| {
            start.settings.hooks = vec![hook(moment, OnFailure::Pause)];
            start.settings.rules = rules;
        });
        let script = script.all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed]);
        let routes = routes(&[(1, Spare), (2, All)]);
        let script = script.all(&[routes, window("v2", 20, 0), window("v2", 20, 0)]);
        let asked = Event::PauseAsked { reason: "a look".to_owned() };
        let script = script.all(&[asked, failed(moment)]);
        let why = &script.machine().paused().unwrap().why;
        assert_eq!(why, "asked to pause: a look");
        script.all(std::slice::from_ref(ends))
    };
    let now = rollout::MACHINE_VERSION;
    for ends in [Event::ResumeAsked, Event::PromoteAsked { full: false }] {
        let script = resumed(now, &ends);
        let why = script.machine().paused().map(|pause| pause.why.clone()).unwrap_or_default();
        assert!(why.starts_with("the hook after-switch (after switch) failed"), "{why}");
        // It is asked once.
        let on = script.all(&[Event::ResumeAsked]);
        assert_eq!(on.machine().paused(), None);
        let on = if on.machine().phase() == Phase::Baking { on.wake() } else { on };
        assert_eq!(on.machine().phase(), Phase::Draining);
    }
    let back = resumed(now, &abort()).into_machine();
    assert!(back.turns_back() && back.paused().is_none());
    // A journal of earlier rules tells what it told.
    assert_eq!(resumed(6, &Event::ResumeAsked).into_machine().paused(), None);
}

/// Stable waits for a hook, the last of the candidate has fallen meanwhile, and the hook has ended.
fn fallen_while_a_hook_was_called(rules: u32) -> Script {
    drained_and_called(rules, crashed(2, 0, 2))
}

/// Stable is drained, that was seen while a hook was called, and the hook has ended.
fn drained_and_called(rules: u32, seen: Event) -> Script {
    let script = Script::new(|start| {
        start.settings.hooks = vec![hook(Moment::AfterDrain, OnFailure::Continue)];
        start.settings.rules = rules;
    });
    script
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed])
        .all(&[routes(&[(1, Spare), (2, All)]), window("v2", 20, 0), window("v2", 20, 0)])
        .wake()
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 0), seen])
        .at(15_000, &passed(Moment::AfterDrain))
}

#[test]
fn nothing_of_stable_ends_after_one_until_the_candidate_serves() {
    let script = fallen_while_a_hook_was_called(rollout::MACHINE_VERSION);
    assert_eq!(script.machine().phase(), Phase::Draining);
    let again = script.all(&[fleet(2, 1, 2)]).into_machine();
    assert_eq!(again.phase(), Phase::Stopping);
    // The hook has not used up the time of the drain.
    let from = fallen_while_a_hook_was_called(rollout::MACHINE_VERSION);
    let ended_ms = from.now_ms();
    let stuck = from.wake().into_machine();
    assert_eq!(stuck.phase(), Phase::Stuck);
    let last = stuck.entered().last().unwrap();
    assert_eq!(last.at_ms - ended_ms, Settings::default().drain_deadline_ms);
    assert_eq!(last.why, "no instance of v2 is ready within 30 s; v1 is left running");
    // A journal of earlier rules tells what it told.
    assert_eq!(fallen_while_a_hook_was_called(3).into_machine().phase(), Phase::Stopping);
}

/// Somebody else has put stable back into the routes meanwhile: it is drained once more.
#[test]
fn nothing_of_stable_ends_after_one_while_somebody_else_routes_it() {
    let theirs = || routes(&[(1, All)]);
    let script = drained_and_called(rollout::MACHINE_VERSION, theirs());
    assert_eq!(script.machine().phase(), Phase::Draining);
    let again = script.all(&[routes(&[(1, Retiring), (2, All)]), open(1, 3, 0)]);
    assert_eq!(again.machine().phase(), Phase::Draining);
    let drained = again.all(&[open(1, 0, 0)]).into_machine();
    assert_eq!(drained.phase(), Phase::Stopping);
    // A journal of earlier rules tells what it told.
    assert_eq!(drained_and_called(3, theirs()).into_machine().phase(), Phase::Stopping);
}

/// What speaks against the candidate, and an operator, do not wait for a hook.
#[test]
fn whoever_goes_back_does_not_wait() {
    for event in [crashed(2, 1, 1), abort()] {
        let machine = switched(&[(Moment::AfterSwitch, OnFailure::Abort)]);
        let machine = machine.all(&[event]).into_machine();
        assert_eq!((machine.phase(), machine.wants().hook), (Phase::RollingBack, None));
    }
}

#[test]
fn one_that_is_never_heard_of_has_failed() {
    // Its two attempts and the pause between them, and ten seconds.
    let script = switched(&[(Moment::AfterSwitch, OnFailure::Abort)]);
    let machine = script.wake().wake().into_machine();
    assert_eq!(machine.phase(), Phase::RollingBack);
    let last = machine.entered().last().unwrap();
    assert!(last.why.contains("nothing was heard of it"), "{}", last.why);
    assert_eq!(last.at_ms - machine.entered()[4].at_ms, 51_000, "{:?}", machine.entered());
}

/// It may be the hook that ends the controller.
#[test]
fn one_that_five_controllers_did_not_outlive_has_failed() {
    let deaths = |rules: u32, times: usize| {
        let script = Script::new(|start| {
            start.settings.hooks = vec![hook(Moment::BeforeStart, OnFailure::Abort)];
            start.settings.rules = rules;
        });
        script.all(&[Event::Tick]).all(&vec![Event::Resumed; times]).into_machine()
    };
    assert!(deaths(rollout::MACHINE_VERSION, 4).wants().hook.is_some());
    let given_up = deaths(rollout::MACHINE_VERSION, 5);
    assert!(given_up.turns_back() && given_up.wants().hook.is_none());
    let why = &given_up.entered().last().unwrap().why;
    assert!(why.contains("5 times in a row the controller ended while it was called"), "{why}");
    assert!(deaths(3, 5).wants().hook.is_some(), "a journal of earlier rules tells what it told");
}

#[test]
fn a_moment_comes_once_also_in_shares_and_batches() {
    let half = Weight::new(5_000).unwrap();
    for strategy in [
        Strategy::Canary { steps: vec![half], step_ms: 1_000, counts: Vec::new() },
        Strategy::Rolling { batch: 1, surge: 0 },
        Strategy::Rolling { batch: 1, surge: 1 },
        Strategy::BlueGreen,
    ] {
        let script = Script::new(|start| {
            start.settings.hooks = EVERY.iter().map(|(m, f)| hook(*m, *f)).collect();
            start.settings.strategy = strategy.clone();
        });
        let seen = foresee(script.into_machine().start());
        assert_eq!(seen.last().unwrap().phase, Phase::Promoted, "{strategy:?}");
    }
}
