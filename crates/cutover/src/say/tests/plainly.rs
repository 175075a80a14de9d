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

#[test]
fn plain_lines_are_stable_and_live_ones_come_every_five_seconds() {
    let sink = Sink::default();
    let mut plain = Plain::new(sink.clone());
    plain.step(&began());
    plain.step(&phase(Phase::Starting, 0, "asked by deploy"));
    for at_ms in (500..=10_400).step_by(100) {
        plain.step(&live(at_ms, &[("v41", 199.6)]));
    }
    plain.step(&phase(Phase::HandingOver, 10_400, "0 requests open on \"v41\"\nnext"));
    plain.step(&open(live(15_600, &[("v41", 0.0), ("v\u{1b}[2J= x", 200.0)]), 0, 3));
    plain.step(&Step::Note { at_ms: 16_000, text: "a \u{7} note".into() });
    let Step::Live(held) = live(21_000, &[]) else { unreachable!() };
    plain.step(&Step::Live(super::Live { waits: Some("until \"all\" is told".into()), ..held }));
    plain.step(&ended());
    let expected = "\
22:13:20.250Z began              app=shop from=v41 to=v42 run=7f3a
22:13:20.250Z starting           app=shop at_ms=0 why=\"asked by deploy\"
22:13:20.750Z live               app=shop sent=100 failed=0 rps=v41:200 p50_us=3100 late_us=120
22:13:25.750Z live               app=shop sent=1100 failed=0 rps=v41:200 p50_us=3100 late_us=120
22:13:30.650Z handing-over       app=shop at_ms=10400 why=\"0 requests open on \\\"v41\\\"\"
22:13:35.850Z live               app=shop sent=3120 failed=0 rps=v41:0,v?[2J??x:200 p50_us=3100 late_us=120 open_requests=0 open_tunnels=3
22:13:36.250Z note               app=shop text=\"a \\\\u{7} note\"
22:13:41.250Z live               app=shop sent=4200 failed=0 rps=- p50_us=3100 late_us=120 waits=\"until \\\"all\\\" is told\"
22:13:50.250Z ended              app=shop outcome=promoted verdict=PASS sent=6000 failed=0 why=\"users are on v42\"
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
