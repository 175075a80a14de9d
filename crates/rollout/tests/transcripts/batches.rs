//! Stories of rolling replacements whose versions are compared: while batches are replaced both have users.
//!
//! Limits of the candidate alone are in `limits`, and how sure a comparison is in `judging` and `hour`.

use model::{Event, Outcome, Phase};
use rollout::analysis::Rules;
use rollout::{Analysis, Cause, Inconclusive, Strategy};

use crate::rolling::{one_comes, one_leaves};
use crate::script::{Script, fleet, leaving, parts, preview, units, window};

/// Four by one, compared in errors; no limit of users' requests is in the way.
fn compared(analysis: Analysis) -> Script {
    Script::new(|start| {
        start.instances = 4;
        start.settings.strategy = Strategy::Rolling { batch: 1, surge: 0 };
        start.settings.analysis = Some(analysis);
    })
    .all(&[fleet(2, 0, 0), fleet(1, 3, 4), fleet(1, 4, 4)])
}

fn errors() -> Analysis {
    let rules = Rules { latency: false, max_error_share_bp: 0, ..Rules::default() };
    Analysis { rules, ..Analysis::default() }
}

/// The first batch serves on trial.
fn first(analysis: Analysis) -> Script {
    let left = one_leaves(compared(analysis), 1);
    left.all(&[fleet(1, 3, 3), fleet(2, 1, 1), preview(40, 0), Event::Armed]).all(&[
        parts(3, 1),
        window("v1", 9, 0),
        window("v2", 9, 0),
    ])
}

/// The next one leaves, and its requests have not ended yet.
fn second_leaves(script: Script) -> Script {
    script.wake().all(&[parts(2, 1), fleet(1, 3, 3), fleet(2, 1, 1), leaving(1, &[2], 1, 0)])
}

#[test]
fn a_batch_that_is_worse_than_those_beside_it_is_the_last() {
    first(errors())
        .at(1_000, &units(101, (25, 2), (75, 0)))
        .at(1_000, &units(102, (25, 0), (75, 1)))
        .at(1_000, &units(103, (25, 3), (75, 0)))
        .at(1_000, &units(104, (25, 3), (75, 0)))
        .is("compared-rolling");
}

/// What one batch showed is not forgotten at the next one, and what is seen between them counts.
#[test]
fn evidence_goes_on_from_batch_to_batch() {
    let one = |script: Script, at_s| script.at(1_000, &units(at_s, (25, 1), (75, 0)));
    let p = |script: &Script| script.machine().comparison().unwrap().p();
    let bakes = one(first(errors()), 101);
    let early = p(&bakes);
    let leaves = one(second_leaves(bakes), 102);
    assert_eq!(leaves.machine().phase(), Phase::Draining);
    let between = p(&leaves);
    assert!(0.01 < between && between < early, "{between} after {early}");
    // Four seconds of the same would not be enough without what was seen before.
    let alone = (101..105).fold(first(errors()), one);
    assert!(p(&alone) > 0.01, "{}", p(&alone));
    let found = (103..107).fold(leaves, one).into_machine();
    assert!(found.turns_back(), "{:?}", found.comparison());
    let words = "v2 is worse: more errors than stable at the same time";
    let said = found.entered().iter().any(|entered| entered.why.starts_with(words));
    assert!(said, "{:?}", found.entered());
}

/// What was told to end cannot come back: it turns once that is gone.
#[test]
fn found_worse_while_a_batch_ends_it_turns_when_that_is_gone() {
    let bakes = first(errors()).at(1_000, &units(101, (25, 2), (75, 0)));
    let ends = second_leaves(bakes).all(&[leaving(1, &[2], 0, 1)]);
    assert_eq!(ends.machine().phase(), Phase::HandingOver);
    let found = ends.at(1_000, &units(102, (25, 5), (75, 0)));
    assert_eq!(found.machine().phase(), Phase::HandingOver);
    let gone = found.all(&[leaving(1, &[2], 0, 0), leaving(1, &[], 0, 0)]).into_machine();
    let back = [Phase::RollingBack, Phase::DrainingCandidate];
    assert!(back.contains(&gone.phase()), "{:?}", gone.entered());
}

#[test]
fn an_incident_that_hits_both_pauses_and_undoes_nothing() {
    let hit = |script: Script, at_s| script.at(1_000, &units(at_s, (25, 10), (75, 30)));
    let rules = Rules { latency: false, ..Rules::default() };
    let bakes = first(Analysis { rules, ..Analysis::default() });
    let machine = (101..130).fold(bakes, hit).into_machine();
    assert_eq!(machine.paused().map(|pause| pause.cause), Some(Cause::Incident));
    assert!(!machine.turns_back());
}

/// Nothing is shown in the time of a batch: by default it goes on; a person is asked, or it is undone, where
/// the file says so. Of the last batch, beside which nobody is, that is asked no more.
#[test]
fn a_batch_in_which_nothing_was_shown_does_what_was_said() {
    let over = |inconclusive| {
        let analysis = Analysis { inconclusive, ..errors() };
        first(analysis).at(1_000, &units(101, (25, 0), (75, 0))).wake()
    };
    let goes_on = over(Inconclusive::Promote);
    assert_eq!(goes_on.machine().phase(), Phase::Draining);
    let why = &goes_on.machine().entered().last().unwrap().why;
    assert!(why.contains("; compared: 0 of 25 failed, 0 of 75 of stable (p = 1.0000)"), "{why}");
    assert!(over(Inconclusive::Abort).machine().turns_back());
    let paused = over(Inconclusive::Pause);
    let pause = paused.machine().paused().unwrap();
    assert_eq!(pause.cause, Cause::Inconclusive, "{}", pause.why);
    let resumed = paused.at(10, &Event::ResumeAsked);
    assert_eq!(resumed.machine().phase(), Phase::Draining);
}

#[test]
fn beside_the_last_batch_is_nobody_to_compare_with() {
    let analysis = Analysis { inconclusive: Inconclusive::Pause, ..errors() };
    let script = (1..=4_u16).fold(compared(analysis), |script, n| {
        let served = one_comes(one_leaves(script, n.into()), n);
        // Whoever is asked after a batch goes on.
        if n < 4 { served.at(10, &Event::ResumeAsked) } else { served }
    });
    let machine = script.into_machine();
    assert_eq!(machine.outcome(), Some(Outcome::Promoted), "{:?}", machine.paused());
}

/// Enough is shown: the rest of the bake is not waited for.
#[test]
fn early_ends_the_bake_of_a_batch() {
    let rules = Rules { early: true, max_error_share_bp: 100, ..errors().rules };
    let bakes = first(Analysis { rules, ..Analysis::default() });
    let script = bakes.at(1_000, &units(101, (600, 0), (1_800, 0)));
    assert_eq!(script.machine().phase(), Phase::Draining);
    let why = &script.machine().entered().last().unwrap().why;
    assert!(why.contains("it is shown that"), "{why}");
}
