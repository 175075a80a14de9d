//! Stories of canaries that are compared with stable while both serve.

use model::{Event, Threshold, Weight};
use rollout::analysis::Rules;
use rollout::{Analysis, Inconclusive, Strategy};

use crate::script::Role::{Part, Retiring};
use crate::script::{Script, fleet, preview, routes, units, window};

/// At 25 % of the requests, with thresholds told, under these rules.
fn compared(analysis: Analysis) -> Script {
    let steps = vec![Weight::new(2_500).unwrap(), Weight::new(5_000).unwrap()];
    let quarter = routes(&[(1, Part(75)), (2, Part(25))]);
    let thresholds = vec![Threshold { us: 20_000, slow: 1_000, of: 2_000 }];
    Script::new(|start| {
        start.settings.strategy = Strategy::Canary { steps, step_ms: 60_000 };
        start.settings.analysis = Some(analysis);
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

#[test]
fn an_incident_that_hits_both_holds_the_step_and_undoes_nothing() {
    let hit = |script: Script, at_s: u64| {
        script
            .at(500, &units(at_s, (25, 5), (75, 15)))
            .at(250, &window("v1", 10, 2))
            .at(250, &window("v2", 4, 1))
    };
    let calm = |script: Script, at_s: u64| {
        script.at(1_000, &units(at_s, (25, 0), (75, 0))).at(1_000, &window("v2", 20, 0))
    };
    let hit = (101..170).fold(compared(plain()), hit);
    let calm = (170..176).fold(hit, calm);
    // Only now the next share, though its time was over long ago.
    calm.wake().is("compared-incident");
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
