//! Stories of canaries that are compared with stable while both serve.
//!
//! How sure a comparison is, and when, is not told here, but simulated (`judging`).

use model::{Counted, Event, Outcome, Threshold, Tick, Weight};
use rollout::analysis::Rules;
use rollout::{Analysis, Cause, Inconclusive, OnIncident, Strategy};

use crate::script::Role::{self, Part, Retiring};
use crate::script::{Script, fleet, preview, routes, units, window};

/// At 25 % of the requests, with thresholds told, under these rules.
fn compared(analysis: Analysis) -> Script {
    hit_by(OnIncident::Pause, analysis)
}

/// The same, and what becomes of it when both fail.
fn hit_by(incident: OnIncident, analysis: Analysis) -> Script {
    by_rules(rollout::MACHINE_VERSION, incident, analysis)
}

/// The same by these rules of the machine.
fn by_rules(rules: u32, incident: OnIncident, analysis: Analysis) -> Script {
    let thresholds = vec![Threshold { us: 20_000, slow: 1_000, of: 2_000 }];
    knowing(thresholds, (rules, incident), analysis)
}

/// The same, with these thresholds told.
fn knowing(
    thresholds: Vec<Threshold>,
    (rules, incident): (u32, OnIncident),
    analysis: Analysis,
) -> Script {
    let steps = vec![Weight::new(2_500).unwrap(), Weight::new(5_000).unwrap()];
    let quarter = routes(&[(1, Part(75)), (2, Part(25))]);
    Script::new(|start| {
        start.settings.strategy = Strategy::Canary { steps, step_ms: 60_000, counts: Vec::new() };
        start.settings.analysis = Some(analysis);
        start.settings.incident = incident;
        start.settings.rules = rules;
    })
    .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Thresholds { thresholds }])
    .all(&[Event::Armed, quarter, window("v1", 15, 0), window("v2", 5, 0)])
}

fn plain() -> Analysis {
    Analysis { rules: Rules { latency: false, ..Rules::default() }, ..Analysis::default() }
}

#[test]
fn worse_than_stable_is_undone() {
    compared(plain())
        .at(1_000, &units(101, (25, 0), (75, 0)))
        .at(1_000, &units(102, (25, 3), (75, 0)))
        // Told twice, as by a controller that came back: it counts once.
        .at(10, &units(102, (25, 3), (75, 0)))
        .at(1_000, &units(103, (25, 3), (75, 0)))
        .at(1_000, &units(104, (25, 3), (75, 0)))
        .is("compared-worse");
}

/// Seconds in which a fifth of all requests fail, whoever answers them.
fn hit(script: Script, at_s: std::ops::Range<u64>) -> Script {
    at_s.fold(script, |script, at_s| {
        script
            .at(500, &units(at_s, (25, 5), (75, 15)))
            .at(250, &window("v1", 10, 2))
            .at(250, &window("v2", 4, 1))
    })
}

fn calm(script: Script, at_s: std::ops::Range<u64>) -> Script {
    at_s.fold(script, |script, at_s| {
        script.at(1_000, &units(at_s, (25, 0), (75, 0))).at(1_000, &window("v2", 20, 0))
    })
}

/// Journals that know no pause for it.
#[test]
fn an_incident_that_hits_both_holds_the_step_where_nobody_is_to_be_asked() {
    let script = hit(hit_by(OnIncident::Hold, plain()), 101..170);
    let waits = "until both versions have been well for 10 s";
    assert_eq!(script.machine().held_by().as_deref(), Some(waits));
    // Only now the next share, though its time was over long ago.
    calm(script, 170..176).wake().is("compared-incident");
}

/// The prober's last words are of the incident, and it says no more.
#[test]
fn what_a_lost_prober_saw_last_does_not_go_on() {
    let script = hit(hit_by(OnIncident::Hold, plain()), 101..110).at(10, &Event::ProberLost);
    let well = |script: Script, at_s| script.at(1_000, &units(at_s, (25, 0), (75, 0)));
    let machine = (110..172).fold(script, well).into_machine();
    let last = machine.entered().last().unwrap();
    assert!(last.why.starts_with("50 % of requests, step 2 of 3"), "{:?}", machine.entered());
}

#[test]
fn an_incident_that_hits_both_pauses_and_undoes_nothing() {
    let script = calm(hit(compared(plain()), 101..165), 165..180);
    let machine = script.wake_at(60_000).at(10, &Event::ResumeAsked).tells("compared-paused");
    assert_eq!(machine.shares().last().map(|last| last.share.basis_points()), Some(5_000));
}

#[test]
fn an_incident_that_is_over_goes_on_by_itself_where_that_is_asked_for() {
    let script = calm(hit(hit_by(OnIncident::Resume, plain()), 101..170), 170..176);
    script.wake().is("compared-resumes");
}

#[test]
fn an_incident_that_nobody_looks_at_is_undone() {
    let machine = hit(compared(plain()), 101..104).wake_at(86_400_000).into_machine();
    assert!(machine.turns_back(), "{machine:?}");
    assert!(machine.entered().last().unwrap().why.starts_with("nobody went on"), "{machine:?}");
}

/// Whoever resumed knows of it: it is not asked again, and the step is held as long as both suffer.
#[test]
fn resumed_in_the_middle_of_an_incident_it_is_held_and_not_asked_again() {
    let script = hit(compared(plain()), 101..110).at(10, &Event::ResumeAsked);
    let machine = hit(script, 110..175).into_machine();
    assert_eq!((machine.paused(), machine.turns_back()), (None, false));
    assert_eq!(machine.shares().len(), 1);
}

/// The candidate's third error is seen before stable's third.
#[test]
fn too_little_of_an_incident_was_seen_yet_to_blame_the_candidate() {
    let both = |script: Script| script.at(250, &window("v1", 20, 2)).at(250, &window("v2", 20, 3));
    // So that chance explains little.
    let hasty = || {
        let rules = Rules { alpha_bp: 5_000, ..plain().rules };
        compared(Analysis { rules, ..plain() })
    };
    let script = both(hasty());
    let machine = both(script).into_machine();
    assert_eq!(machine.paused().map(|pause| pause.cause), Some(Cause::Incident));
    // Of stable alone nothing fails: nobody waits.
    let alone = hasty().at(250, &window("v1", 20, 0)).at(250, &window("v2", 20, 3));
    assert!(alone.into_machine().turns_back());
    // It failed once, and the candidate far more often.
    let more = hasty().at(250, &window("v1", 70, 1)).at(250, &window("v2", 20, 3));
    assert!(more.into_machine().turns_back());
}

/// Units, and answers that took too long, of candidate and stable in a second.
type Second = ((u64, u64), (u64, u64));

/// A canary whose answers may take 200 ms, after seconds in which so many answers of candidate and stable took longer.
fn late(rules: u32, alpha_bp: u16, seconds: &[Second]) -> Script {
    let rules_of = Rules { p99_us: Some(200_000), alpha_bp, ..plain().rules };
    let counted = |(units, slow)| Counted { units, errors: 0, slow: vec![slow] };
    let told = |(at_s, (candidate, stable)): (u64, &Second)| Event::Units {
        at_s,
        tick: Tick { candidate: counted(*candidate), stable: counted(*stable) },
    };
    let analysis = Analysis { rules: rules_of, ..plain() };
    let script = by_rules(rules, OnIncident::Pause, analysis);
    (101..).zip(seconds).map(told).fold(script, |script, event| script.at(1_000, &event))
}

#[test]
fn slow_answers_of_both_pause_and_undo_nothing() {
    let now = rollout::MACHINE_VERSION;
    let both = [((25, 25), (75, 75)); 70];
    let script = late(now, 100, &both);
    let pause = script.machine().paused().unwrap();
    let words = "both suffer: 25 of 25 answers of v2 took over 200 ms and 75 of 75 of v1";
    assert_eq!((pause.cause, pause.why.as_str()), (Cause::Incident, words));
    // What was seen meanwhile is not held against it afterwards, either.
    let machine = calm(script, 171..190).at(10, &Event::ResumeAsked).wake_at(10).into_machine();
    assert_eq!((machine.turns_back(), machine.shares().len()), (false, 2), "{machine:?}");
    // The candidate alone is over its limit.
    let alone = late(now, 100, &[((25, 25), (75, 0)); 2]).into_machine();
    let why = "v2 is over a limit: more than 1 % of its answers take over 200 ms";
    assert!(alone.turns_back() && alone.entered().last().unwrap().why == why, "{alone:?}");
    // A journal of earlier rules tells what it told.
    assert!(late(6, 100, &both[..3]).into_machine().turns_back());
}

#[test]
fn too_little_of_slow_answers_of_both_was_seen_yet_to_blame_the_candidate() {
    let now = rollout::MACHINE_VERSION;
    let seconds = [((25, 2), (25, 2)); 2];
    let once = late(now, 5_000, &seconds[..1]).into_machine();
    assert!(!once.turns_back() && once.paused().is_none(), "{once:?}");
    let twice = late(now, 5_000, &seconds).into_machine();
    assert_eq!(twice.paused().map(|pause| pause.cause), Some(Cause::Incident));
    assert!(late(now, 5_000, &[((25, 2), (25, 0))]).into_machine().turns_back());
}

#[test]
fn inconclusive_asks_a_person_where_that_is_asked_for() {
    let analysis = Analysis { inconclusive: Inconclusive::Pause, ..plain() };
    let script = compared(analysis).at(1_000, &units(101, (10, 0), (30, 0))).wake();
    script.at(5_000, &Event::ResumeAsked).is("compared-asked");
}

#[test]
fn inconclusive_and_nobody_comes() {
    let analysis = Analysis { inconclusive: Inconclusive::Pause, ..plain() };
    let script = compared(analysis).at(1_000, &units(101, (10, 0), (30, 0))).wake().wake();
    let back =
        [routes(&[(1, Part(75)), (2, Part(25))]), routes(&[(1, Role::All), (2, Role::Spare)])];
    let script = script.all(&back).all(&[routes(&[(1, Role::All), (2, Retiring)])]);
    let machine = script.all(&[crate::open(2, 0, 0), fleet(2, 0, 0), routes(&[(1, Role::All)])]);
    assert_eq!(machine.into_machine().outcome(), Some(Outcome::Aborted));
}

#[test]
fn early_goes_on_before_its_time() {
    let early = Rules { early: true, ..plain().rules };
    let analysis = Analysis { rules: early, ..plain() };
    let script = (1..7).fold(compared(analysis), |script, second| {
        script.at(1_000, &units(100 + second, (100, 0), (300, 0)))
    });
    script.is("compared-early");
}

/// All users come from one address: one unit in a second, of one release or the other.
fn from_one_address(rules: u32, failing: u64) -> Script {
    let alone = Rules { max_error_share_bp: 0, ..plain().rules };
    let script = by_rules(rules, OnIncident::Pause, Analysis { rules: alone, ..plain() });
    (101..160).fold(script, |script, at_s| {
        let (candidate, stable) =
            if at_s % 3 == 0 { ((1, failing), (0, 0)) } else { ((0, 0), (1, 0)) };
        script.at(1_000, &units(at_s, candidate, stable))
    })
}

#[test]
fn users_of_one_address_are_compared_too_and_it_is_said() {
    let now = rollout::MACHINE_VERSION;
    let well = from_one_address(now, 0);
    let (candidate, stable) = well.machine().comparison().unwrap().compared();
    assert!(candidate.units >= 19 && stable.units >= 38, "{candidate:?} {stable:?}");
    let few = well.machine().few_counted().unwrap();
    assert!(few.contains("set `trusted`, or `count_by`"), "{few}");
    let last = well.wake().into_machine().entered().last().unwrap().why.clone();
    assert!(last.contains("only 5") && last.contains("of each address one a second"), "{last}");
    // Where nothing is compared any more, nothing is said of it.
    let full = compared(plain()).at(10, &Event::PromoteAsked { full: true });
    assert_eq!(full.at(12_000, &Event::Tick).machine().few_counted(), None);
    // Without a limit of its own it is found by the comparison alone.
    let worse = from_one_address(now, 1).into_machine();
    assert!(worse.turns_back(), "{worse:?}");
    // A journal of earlier rules tells what it told: no second of both.
    let before = from_one_address(6, 0);
    assert_eq!(before.machine().comparison().unwrap().compared().0.units, 0);
    assert_eq!(before.machine().few_counted(), None);
}

/// Were it shown, a candidate that is slow all the time would go on early.
#[test]
fn of_latencies_of_which_too_little_was_known_nothing_is_shown() {
    let seconds = |rules, inconclusive| {
        let early = Rules { early: true, ..Rules::default() };
        let analysis = Analysis { rules: early, inconclusive, ..Analysis::default() };
        let script = knowing(Vec::new(), (rules, OnIncident::Pause), analysis);
        (101..107).fold(script, |script, at_s| script.at(1_000, &units(at_s, (100, 0), (300, 0))))
    };
    let now = rollout::MACHINE_VERSION;
    let open = seconds(now, Inconclusive::Promote);
    assert_eq!(open.machine().shares().len(), 1, "{:?}", open.machine().entered());
    let unknown = |of| {
        format!("answer times are not compared: fewer than 2000 requests of {of} were known before")
    };
    let stands = open.machine().comparison().unwrap().stands("v1").unwrap();
    assert!(stands.contains("nothing else is shown yet"), "{stands}");
    assert!(stands.ends_with(&unknown("v1")), "{stands}");
    let over = open.wake().into_machine();
    let last = over.entered().last().unwrap();
    assert!(over.shares().len() == 2 && last.why.ends_with(&unknown("stable")), "{last:?}");
    let asked = seconds(now, Inconclusive::Pause).wake().into_machine();
    assert_eq!(asked.paused().map(|pause| pause.cause), Some(Cause::Inconclusive));
    assert!(seconds(now, Inconclusive::Abort).wake().into_machine().turns_back());
    // A journal of earlier rules tells what it told.
    assert_eq!(seconds(6, Inconclusive::Promote).into_machine().shares().len(), 2);
}

#[test]
fn inconclusive_is_undone_where_that_is_asked_for() {
    let analysis = Analysis { inconclusive: Inconclusive::Abort, ..plain() };
    compared(analysis).at(1_000, &units(101, (10, 0), (30, 0))).wake().is("compared-unshown");
}

#[test]
fn inconclusive_goes_on_where_nothing_else_is_said() {
    compared(plain()).at(1_000, &units(101, (10, 0), (30, 1))).wake().is("compared-open");
}

#[test]
fn what_is_routed_back_is_compared_no_more() {
    let quarter = [routes(&[(1, Part(75)), (2, Part(25))]), routes(&[(2, Retiring)])];
    let machine = compared(plain())
        .at(1_000, &units(101, (25, 25), (75, 0)))
        .at(1_000, &units(102, (25, 0), (75, 75)))
        .all(&quarter)
        .into_machine();
    assert!(machine.entered().iter().any(|entered| entered.why.contains("worse")));
}
