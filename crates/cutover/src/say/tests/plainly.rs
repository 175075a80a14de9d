//! Plain and JSON lines. What a terminal shows is in `live`.

use model::{Outcome, Phase, Verdict};

use super::super::json::Json;
use super::super::plain::Plain;
use super::super::progress::Progress;
use super::super::step::Step;
use super::{Sink, began, live, open, phase};

fn ended() -> Step {
    Step::Ended {
        at_ms: 30_000,
        outcome: Outcome::Promoted,
        verdict: Some(Verdict::Pass),
        sent: 6000,
        failed: 0,
        why: "users are on v42".into(),
    }
}

/// 22:20:00.000Z.
const NOW: fn() -> u64 = || 1_700_000_400_000;

#[test]
fn plain_lines_are_stable_and_live_ones_come_every_two_and_later_every_five_seconds() {
    let sink = Sink::default();
    let mut plain = Plain::new(sink.clone(), "shop", NOW);
    plain.step(&began());
    plain.step(&phase(Phase::Starting, 0, "asked by deploy"));
    plain.step(&live(300, &[]));
    for at_ms in (500..=4_400).step_by(100) {
        plain.step(&live(at_ms, &[("v41", 199.6)]));
    }
    plain.step(&live(4_500, &[]));
    plain.step(&phase(Phase::HandingOver, 10_400, "0 requests open on \"v41\"\nnext"));
    for at_ms in (59_000..=66_000).step_by(500) {
        let rates = [("v41", 0.0), ("v\u{1b}[2J= x", 200.0)];
        plain.step(&open(live(at_ms, &rates), 0, 3));
    }
    plain.step(&Step::Note { at_ms: 67_000, text: "a \u{7} note".into() });
    let Step::Live(held) = live(71_000, &[]) else { unreachable!() };
    plain.step(&Step::Live(super::Live { waits: Some("until \"all\" is told".into()), ..held }));
    plain.step(&ended());
    let expected = "\
22:13:20.250Z began              app=shop from=v41 to=v42 run=7f3a
22:13:20.250Z starting           app=shop at_ms=0 why=\"asked by deploy\"
22:13:20.750Z live               app=shop sent=100 failed=0 rps=v41:200 p50_us=3100 late_us=120
22:13:22.750Z live               app=shop sent=500 failed=0 rps=v41:200 p50_us=3100 late_us=120
22:13:24.750Z live               app=shop sent=900 failed=0 rps=- p50_us=3100 late_us=120
22:13:30.650Z handing-over       app=shop at_ms=10400 why=\"0 requests open on \\\"v41\\\"\"
22:14:19.250Z live               app=shop sent=11800 failed=0 rps=v41:0,v?[2J??x:200 p50_us=3100 late_us=120 open_requests=0 open_tunnels=3
22:14:24.250Z live               app=shop sent=12800 failed=0 rps=v41:0,v?[2J??x:200 p50_us=3100 late_us=120 open_requests=0 open_tunnels=3
22:14:27.250Z note               app=shop text=\"a \\\\u{7} note\"
22:14:31.250Z live               app=shop sent=14200 failed=0 rps=- p50_us=3100 late_us=120 waits=\"until \\\"all\\\" is told\"
22:13:50.250Z ended              app=shop outcome=promoted verdict=PASS sent=6000 failed=0 why=\"users are on v42\"
";
    assert_eq!(sink.text(), expected);
}

/// A deploy that waits for another one, and what is worse than it could be: nothing has begun.
#[test]
fn plain_lines_before_the_rollout_begins_name_the_app_and_the_time_of_day() {
    let sink = Sink::default();
    let mut plain = Plain::new(sink.clone(), "shop", NOW);
    plain.step(&Step::Note { at_ms: 0, text: "the rollout to v1 is undone first".into() });
    plain.step(&ended());
    plain.step(&began());
    plain.step(&Step::Note { at_ms: 10, text: "now it has".into() });
    let expected = "\
22:20:00.000Z note               app=shop text=\"the rollout to v1 is undone first\"
22:20:00.000Z ended              app=shop outcome=promoted verdict=PASS sent=6000 failed=0 why=\"users are on v42\"
22:13:20.250Z began              app=shop from=v41 to=v42 run=7f3a
22:13:20.260Z note               app=shop text=\"now it has\"
";
    assert_eq!(sink.text(), expected);
}

#[test]
fn each_step_is_one_line_of_json() {
    let sink = Sink::default();
    let mut json = Json::new(sink.clone());
    let steps =
        [began(), phase(Phase::Baking, 7, "a\nb"), open(live(9, &[("v1", 0.5)]), 1, 2), ended()];
    for step in &steps {
        json.step(step);
    }
    let text = sink.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), steps.len());
    assert_eq!(lines[0]["step"], "began");
    assert_eq!(
        lines[1],
        serde_json::json!({"step":"phase","phase":"baking","at_ms":7,"why":"a\nb"})
    );
    assert_eq!(lines[2]["open_old"]["tunnels"], 2);
    assert_eq!(lines[3]["verdict"], "PASS");
}
