//! Stories of hooks: what they hold, and what their failure does.
//!
//! Nothing is called: the end of each is told.

use model::{Call, Event, Hook, Moment, OnFailure, Outcome, Phase, Weight};
use rollout::{Rollout, Settings, Strategy, foresee, hooks_of_steps};

use crate::script::Role::{All, Part, Retiring, Spare};
use crate::script::{Script, abort, crashed, fleet, open, preview, routes, window};

fn hook(moment: Moment, on_failure: OnFailure) -> Hook {
    Hook {
        name: moment.to_string().replace(' ', "-"),
        moment,
        step: None,
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

/// Shares of 25 % and 50 %, then everything; a hook of a name alone is called at each step.
fn stepped(hooks: &[(Moment, Option<u16>)], on_failure: OnFailure) -> Script {
    let of =
        |(moment, step): &(Moment, Option<u16>)| Hook { step: *step, ..hook(*moment, on_failure) };
    let hooks: Vec<_> = hooks.iter().map(of).collect();
    Script::new(|start| {
        let steps = [2_500, 5_000].map(|points| Weight::new(points).unwrap()).to_vec();
        let step_ms = Settings::default().bake_ms;
        start.settings.strategy = Strategy::Canary { steps, step_ms, counts: Vec::new() };
        start.settings.hooks = hooks_of_steps(start, hooks);
    })
}

fn named(name: &str, passed: bool) -> Event {
    Event::HookEnded { name: name.to_owned(), passed, words: "status 0 in 2 s".to_owned() }
}

fn ready(script: Script) -> Script {
    script.all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)])
}

/// The routes carry that share, and the prober meets both.
fn carries(script: Script, percent: u16) -> Script {
    let pools = routes(&[(1, Part(100 - percent)), (2, Part(percent))]);
    script.all(&[pools, window("v1", 15, 0), window("v2", 5, 0)])
}

fn calls(machine: &Rollout) -> Option<String> {
    machine.wants().hook
}

/// The share of the candidate, basis points.
fn share(machine: &Rollout) -> u16 {
    machine.shares().last().map_or(0, |share| share.share.basis_points())
}

const EACH: [(Moment, Option<u16>); 2] = [(Moment::BeforeStep, None), (Moment::AfterStep, None)];

#[test]
fn each_step_waits_for_its_hooks() {
    let first = ready(stepped(&EACH, OnFailure::Abort)).all(&[named("before-step/1", true)]);
    let first = first.all(&[Event::Armed]);
    let second = carries(first, 25)
        .wake()
        // Of another step, and once more: not heard.
        .all(&[named("after-step/2", true), named("before-step/1", false)])
        .all(&[named("after-step/1", true), Event::Resumed, fleet(1, 2, 2), fleet(2, 2, 2)])
        .all(&[routes(&[(1, Part(75)), (2, Part(25))]), named("before-step/2", true)]);
    let last = carries(second, 50)
        .wake()
        .all(&[named("after-step/2", true), named("before-step/3", true)])
        .all(&[routes(&[(1, Spare), (2, All)]), window("v2", 20, 0), window("v2", 20, 0)]);
    last.wake().all(&[named("after-step/3", true)]).is("hooks-of-steps");
}

#[test]
fn one_of_a_step_alone_is_called_there_alone() {
    let of_two = [(Moment::BeforeStep, Some(2)), (Moment::AfterStep, Some(9))];
    let script = ready(stepped(&of_two, OnFailure::Abort)).all(&[Event::Armed]);
    let waits = carries(script, 25).wake();
    assert_eq!(calls(waits.machine()).as_deref(), Some("before-step"));
    let on = waits.all(&[named("before-step", true)]);
    let on = carries(on, 50).wake().into_machine();
    assert_eq!((on.phase(), calls(&on)), (Phase::Shifting, None));
    assert_eq!(on.start().settings.hooks.len(), 1, "there is no ninth step");
}

#[test]
fn one_that_fails_before_a_step_keeps_users_from_it() {
    let early = ready(stepped(&EACH, OnFailure::Abort)).all(&[named("before-step/1", false)]);
    assert_eq!((early.machine().phase(), share(early.machine())), (Phase::StoppingCandidate, 0));
    let at_two = |on_failure| {
        let script = ready(stepped(&[(Moment::BeforeStep, Some(2))], on_failure));
        carries(script.all(&[Event::Armed]), 25).wake().all(&[named("before-step", false)])
    };
    let back = at_two(OnFailure::Abort).into_machine();
    assert_eq!(back.phase(), Phase::RollingBack);
    let why = &back.entered().last().unwrap().why;
    assert_eq!(why, "the hook before-step (before step 2) failed: status 0 in 2 s");
    let waits = at_two(OnFailure::Pause);
    assert_eq!(share(waits.machine()), 2_500);
    let why = waits.machine().paused().map(|pause| pause.why.clone()).unwrap_or_default();
    assert!(why.contains("before step 2"), "{why}");
    let on = waits.all(&[Event::ResumeAsked]).into_machine();
    assert_eq!((share(&on), calls(&on)), (5_000, None), "resumed, it is not called again");
    assert_eq!(share(&at_two(OnFailure::Continue).into_machine()), 5_000);
}

/// A crash of the controller while one is called, and what speaks against the candidate.
#[test]
fn one_of_a_step_is_wanted_again_after_a_crash_and_never_holds_the_way_back() {
    let called = || {
        let script = ready(stepped(&[(Moment::AfterStep, Some(1))], OnFailure::Abort));
        carries(script.all(&[Event::Armed]), 25).wake()
    };
    let again = called().all(&[Event::Resumed]);
    assert_eq!(calls(again.machine()).as_deref(), Some("after-step"));
    let pools = routes(&[(1, Part(75)), (2, Part(25))]);
    let seen = again.all(&[fleet(1, 2, 2), fleet(2, 2, 2), pools, named("after-step", true)]);
    assert_eq!((share(seen.machine()), calls(seen.machine())), (5_000, None));
    let later = seen.all(&[Event::Resumed]).into_machine();
    assert_eq!(calls(&later), None, "one that has ended is not called again");
    for event in [crashed(2, 1, 1), abort(), window("v2", 0, 200)] {
        let back = called().all(&[event]).into_machine();
        assert_eq!((back.phase(), calls(&back)), (Phase::RollingBack, None));
    }
}

/// Steps that an operator leaves out have no hooks, and a share that one asks for waits for none.
#[test]
fn what_an_operator_asks_for_is_no_step() {
    let first = || {
        let script = ready(stepped(&EACH, OnFailure::Abort)).all(&[named("before-step/1", true)]);
        carries(script.all(&[Event::Armed]), 25)
    };
    let full = first().all(&[Event::PromoteAsked { full: true }]);
    assert_eq!(calls(full.machine()).as_deref(), Some("after-step/1"));
    let full = full.all(&[named("after-step/1", true)]);
    assert_eq!(calls(full.machine()).as_deref(), Some("before-step/3"));
    let all = full.all(&[named("before-step/3", true)]).into_machine();
    assert_eq!(share(&all), 10_000);
    let third = Event::WeightAsked { weight: Weight::new(3_000).unwrap() };
    let asked = carries(first().all(&[third]), 30);
    assert_eq!((share(asked.machine()), calls(asked.machine())), (3_000, None));
    let on = asked.all(&[Event::ResumeAsked]).wake();
    assert_eq!(calls(on.machine()).as_deref(), Some("before-step/2"));
}

#[test]
fn whoever_has_no_steps_has_no_hooks_of_steps() {
    let strategy =
        stepped(&EACH, OnFailure::Abort).into_machine().start().settings.strategy.clone();
    let each = || EACH.map(|(moment, _)| hook(moment, OnFailure::Abort)).to_vec();
    let first = Script::new(|start| {
        (start.settings.strategy, start.stable) = (strategy.clone(), None);
        start.settings.hooks = hooks_of_steps(start, each());
    });
    assert_eq!(first.into_machine().start().settings.hooks, []);
    let plain = Script::new(|start| start.settings.hooks = hooks_of_steps(start, each()));
    assert_eq!(plain.into_machine().start().settings.hooks, []);
    let seen = foresee(stepped(&EACH, OnFailure::Abort).into_machine().start());
    assert_eq!(seen.last().unwrap().phase, Phase::Promoted);
}
