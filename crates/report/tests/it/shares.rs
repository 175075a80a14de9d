//! Shares of a canary and of a rolling rollout: counted, judged by chance, and what they excuse.
//!
//! Clients that must stay where they are do not belong to a share: they are in `clients`.

use crate::sample;
use crate::sample::SWITCH_US;
use crate::sample::canary::{STEPS, canary, gave_up, given, rolling};
use model::attempt::BlindWindow;
use model::{Attempt, Lane, Outcome, Phase, Verdict, Weight};
use report::{
    Input, Report, RouterCount, ShareCount, ShareFinding, SideCount, Style, exit_code, html, judge,
    terminal,
};

/// When all traffic is asked for in the canary, us.
const ALL_US: u64 = STEPS[3].0.cast_unsigned();
/// When the router carries it.
const SETTLED_US: u64 = ALL_US + 60_000;

fn says(report: &Report, words: &str) -> bool {
    report.facts.iter().any(|f| f.contains(words))
}

fn findings(report: &Report) -> Vec<ShareFinding> {
    report.shares.iter().map(|s| s.finding).collect()
}

/// The first keep-alive request sent after `us`: its connection has met the new version before.
fn request(input: &mut Input, us: u64) -> &mut Attempt {
    let hit = |a: &&mut Attempt| a.lane == Lane::KeepAlive && a.sent_us > us;
    input.attempts.iter_mut().find(hit).unwrap()
}

fn answered_by_old(input: &mut Input, us: u64) -> u64 {
    let a = request(input, us);
    a.version = Some("v1".to_owned());
    a.id
}

#[test]
fn shares_are_counted_once_in_effect_on_requests_and_not_on_sockets() {
    let input = canary();
    let report = judge(&input);
    assert_eq!(findings(&report), [ShareFinding::AsWanted; 4]);
    let wanted: Vec<u16> = report.shares.iter().map(|s| s.wanted_bp).collect();
    assert_eq!(wanted, [500, 2_500, 5_000, 10_000]);
    let share = &report.shares[1];
    let span = &input.shares[1];
    let of = |a: &&Attempt| {
        let sent = a.sent_us.cast_signed();
        a.lane != Lane::Websocket && span.settled_us.unwrap() <= sent && sent < span.to_us
    };
    let counted: Vec<&Attempt> = input.attempts.iter().filter(of).collect();
    let new = counted.iter().filter(|a| a.version.as_deref() == Some("v2")).count() as u64;
    assert_eq!((share.answers, share.new), (counted.len() as u64, new));
    assert_eq!(u64::from(share.seen_bp.unwrap()), (new * 10_000 + 315) / share.answers);
    assert!(share.low_bp < share.seen_bp && share.seen_bp < share.high_bp);
    assert!(says(&report, "shares: 5.00% wanted, 6.51% seen of 630 · 25.00% wanted, 24.29% seen"));
    assert!(says(&report, "counted on keep-alive and fresh requests"));
}

#[test]
fn an_answer_without_a_version_is_in_no_share() {
    let mut input = canary();
    let before = judge(&input).shares[1].answers;
    let a = request(&mut input, 10_000_000);
    sample::fail(a, model::Class::Timeout, "nothing came");
    assert_eq!(judge(&input).shares[1].answers, before - 1);
}

#[test]
fn a_share_that_is_off_is_said_clearly_and_leaves_the_verdict_alone() {
    let report = judge(&given([500, 3_300, 5_000, 10_000]));
    assert_eq!(report.shares[1].finding, ShareFinding::Off);
    let off = findings(&report).into_iter().filter(|f| *f == ShareFinding::Off).count();
    assert_eq!((off, report.verdict, exit_code(&report)), (1, Verdict::Pass, 0));
    assert!(report.reasons.is_empty());
    let words = "✕ shares not as wanted: 25.00% wanted, 31.27% seen of 630: off";
    assert!(report.facts.iter().any(|f| f == words), "{:?}", report.facts);
    let text = terminal(&report, Style { colour: false, width: 100 });
    assert!(text.contains(words), "{text}");
    let page = html(&report);
    assert!(page.contains("<td>✕ off</td>") && page.contains("<td>31.27% (25.55% to "), "{page}");
}

#[test]
fn all_traffic_takes_no_exception() {
    let mut input = sample::pass();
    assert_eq!(findings(&judge(&input)), [ShareFinding::AsWanted]);
    let fresh = input.attempts.iter_mut().find(|a| a.lane == Lane::Fresh && a.id > 4_000);
    fresh.unwrap().version = Some("v1".to_owned());
    let report = judge(&input);
    assert_eq!((findings(&report), report.verdict), (vec![ShareFinding::Off], Verdict::Pass));
    assert!(says(&report, "not as wanted: 100.00% wanted, 99.97% seen of 2,867: off"));
    assert!(html(&report).contains("<h2>Shares of the new version</h2>"));
}

#[test]
fn a_candidate_that_died_after_an_all_at_once_switch_is_no_matter_of_shares() {
    let report = judge(&sample::candidate_died());
    assert_eq!(findings(&report), [ShareFinding::Off]);
    assert!(!says(&report, "share"), "{:?}", report.facts);
    assert!(!html(&report).contains("Shares of the new version"));
}

#[test]
fn too_few_answers_tell_nothing() {
    let mut input = given([500, 10_000, 5_000, 10_000]);
    let (from, to) = (9_060_000, 13_000_000);
    let mut left = 30;
    input.attempts.retain(|a| {
        let within = a.lane != Lane::Websocket && (from..to).contains(&a.sent_us);
        left -= i32::from(within);
        !within || left >= 0
    });
    let report = judge(&input);
    assert_eq!((report.shares[1].answers, report.shares[1].finding), (30, ShareFinding::Off));
    let last = input
        .attempts
        .iter()
        .rposition(|a| (from..to).contains(&a.sent_us) && a.lane != Lane::Websocket);
    input.attempts.remove(last.unwrap());
    let report = judge(&input);
    assert_eq!(report.shares[1].finding, ShareFinding::TooFew);
    assert!(says(&report, "25.00% wanted: too few to tell (29 answers)"), "{:?}", report.facts);
}

#[test]
fn what_cannot_be_told_is_not_judged() {
    let mut input = canary();
    input.shares[2].settled_us = None;
    let report = judge(&input);
    assert_eq!((report.shares[2].finding, report.shares[2].answers), (ShareFinding::NotSettled, 0));
    assert!(says(&report, "50.00% wanted: the router was never seen to carry it"));
    input.to = Some("v1".to_owned());
    let report = judge(&input);
    assert_eq!(findings(&report), [ShareFinding::NotToldApart; 4]);
    assert!(report.shares.iter().all(|s| s.answers == 0 && s.seen_bp.is_none()));
}

#[test]
fn random_shares_alternate_and_that_is_no_regression() {
    let report = judge(&canary());
    let proof = report.proof.as_ref().unwrap();
    assert_eq!(
        (report.verdict, proof.regressions, proof.regressions_excused),
        (Verdict::Pass, 0, 0)
    );
    assert!(proof.regressions_by_share > 100, "{proof:?}");
    let words = "answers alternated while both versions had a share, as a random share does";
    assert!(says(&report, words) && says(&report, "went back to v1 after all traffic had moved"));
}

#[test]
fn once_all_traffic_is_seen_to_move_a_connection_that_goes_back_fails_the_run() {
    let by_share = judge(&canary()).proof.unwrap().regressions_by_share;
    let mut input = canary();
    answered_by_old(&mut input, ALL_US + 20_000);
    let proof = judge(&input).proof.unwrap();
    assert_eq!((proof.regressions, proof.regressions_by_share), (0, by_share + 1));
    let id = answered_by_old(&mut input, SETTLED_US);
    let report = judge(&input);
    let proof = report.proof.as_ref().unwrap();
    assert_eq!((report.verdict, proof.regressions), (Verdict::Fail, 1));
    assert_eq!(proof.first_regressions[0].id, id);
    assert!(!says(&report, "no connection went back"));
}

#[test]
fn blue_green_is_held_to_its_first_new_answer() {
    let mut input = sample::pass();
    let settled = input.shares[0].settled_us.unwrap().cast_unsigned();
    // Each connection has met the new version by now, and the router is not settled yet.
    let late = settled + 200_000;
    input.shares[0].settled_us = Some((late + 100_000).cast_signed());
    let id = answered_by_old(&mut input, late);
    let report = judge(&input);
    let proof = report.proof.as_ref().unwrap();
    assert_eq!(
        (report.verdict, proof.regressions, proof.regressions_by_share),
        (Verdict::Fail, 1, 0)
    );
    assert_eq!(proof.first_regressions[0].id, id);
    // Unless whoever carries it sends each request to one or the other until it has taken the change up.
    input.settings.mixes = true;
    let report = judge(&input);
    let proof = report.proof.as_ref().unwrap();
    assert_eq!((proof.regressions, proof.regressions_by_share), (0, 1));
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(says(&report, "1 answer alternated while the router took the change up"));
    assert!(says(&report, "went back to v1 after all traffic had moved"));
    answered_by_old(&mut input, late + 200_000);
    assert_eq!(judge(&input).verdict, Verdict::Fail);
}

#[test]
fn shares_that_never_become_all_excuse_to_the_end_and_going_back_excuses_as_before() {
    let mut input = canary();
    input.outcome = Outcome::Stuck;
    input.shares[3].settled_us = None;
    answered_by_old(&mut input, SETTLED_US + 1_000_000);
    let report = judge(&input);
    assert_eq!(report.proof.as_ref().unwrap().regressions, 0);
    assert!(!says(&report, "no connection went back"));

    let report = judge(&gave_up());
    let proof = report.proof.as_ref().unwrap();
    assert_eq!((report.verdict, proof.regressions), (Verdict::Pass, 0));
    assert!(proof.regressions_by_share > 100 && proof.regressions_excused > 100, "{proof:?}");
    let back =
        judge(&gave_up()).phases.iter().find(|p| p.phase == Phase::RollingBack).unwrap().from_us;
    assert_eq!(report.shares.last().unwrap().to_us, back);
}

#[test]
fn a_blind_prober_cannot_say_at_any_of_the_switches() {
    let blind = |input: Input, from_us: u64| {
        let blind = vec![BlindWindow { from_us, to_us: from_us + 10_000 }];
        judge(&Input { blind, ..input })
    };
    for (at, _) in STEPS {
        let report = blind(canary(), at.cast_unsigned() + 20_000);
        assert_eq!(report.verdict, Verdict::Inconclusive, "at {at}");
        assert!(report.reasons[0].contains("during the switch"));
    }
    // While each has its share, both answer: that is not the switch.
    assert_eq!(blind(canary(), 11_000_000).verdict, Verdict::Pass);
    // Both answer although one is to have all.
    let mut input = canary();
    let fresh = |a: &&mut Attempt| a.lane == Lane::Fresh && a.sent_us > ALL_US + 300_000;
    input.attempts.iter_mut().find(fresh).unwrap().version = Some("v1".to_owned());
    assert_eq!(blind(input, ALL_US + 200_000).verdict, Verdict::Inconclusive);
    assert_eq!(blind(canary(), ALL_US + 200_000).verdict, Verdict::Pass);
}

#[test]
fn the_first_of_several_switches_is_the_one_looked_at() {
    let report = judge(&canary());
    assert_eq!(report.switch_us, Some(STEPS[0].0));
    let zoom = report.zoom.as_ref().unwrap();
    assert_eq!(i64::midpoint(zoom.from_us, zoom.to_us), STEPS[0].0);
    assert_eq!(zoom.to_us - zoom.from_us, 500_000, "it is about one switch");
    let page = html(&report);
    assert!(page.contains("<h2>The first of 4 switches from close by</h2>"));
    assert!(!page.contains("<title>both versions answered</title>"));
    assert!(html(&judge(&sample::pass())).contains("<title>both versions answered</title>"));
}

#[test]
fn a_switch_lasts_from_the_command_to_the_last_old_answer() {
    let mut input = sample::pass();
    let old = input.attempts.iter().filter(|a| {
        a.lane != Lane::Websocket && a.version.as_deref() == Some("v1") && a.sent_us > SWITCH_US
    });
    let last = old.map(|a| a.done_us - SWITCH_US).max().unwrap();
    let report = judge(&input);
    assert_eq!(report.proof.as_ref().unwrap().switch_time_us, Some(last));
    assert!(says(&report, "switch: last old answer 52 ms after the command"), "{:?}", report.facts);
    // What was open at the command may take its time.
    let open = input.attempts.iter_mut().find(|a| a.sent_us < SWITCH_US && a.done_us > SWITCH_US);
    open.unwrap().done_us = SWITCH_US + 2_000_000;
    assert_eq!(judge(&input).proof.unwrap().switch_time_us, Some(last));

    let report = judge(&rolling());
    assert_eq!(report.proof.as_ref().unwrap().switch_time_us, Some(0));
    assert!(says(&report, "switch: v1 answered nothing sent after the command"));

    input.outcome = Outcome::Stuck;
    assert_eq!(judge(&input).proof.unwrap().switch_time_us, None);
    assert_eq!(judge(&gave_up()).proof.unwrap().switch_time_us, None);
    input.outcome = Outcome::Promoted;
    input.shares[0].share = Weight::new(9_900).unwrap();
    assert_eq!(judge(&input).proof.unwrap().switch_time_us, None);
}

/// Where the names of phases stand in every chart: `(chart, x, y, text)`.
fn phase_names(page: &str) -> Vec<(usize, f64, f64, String)> {
    let mut out = Vec::new();
    for (chart, svg) in page.split("<svg viewBox=\"0 0 1040").enumerate() {
        for piece in svg.split("<text class=\"phase-name\" x=\"").skip(1) {
            let (x, rest) = piece.split_once("\" y=\"").unwrap();
            let (y, rest) = rest.split_once("\">").unwrap();
            let (text, _) = rest.split_once('<').unwrap();
            out.push((chart, x.parse().unwrap(), y.parse().unwrap(), text.to_owned()));
        }
    }
    out
}

#[test]
fn every_share_is_in_the_picture_and_no_name_covers_another() {
    for (input, switches) in [(canary(), 4), (rolling(), 5), (gave_up(), 2), (sample::pass(), 1)] {
        let page = html(&judge(&input));
        let names = phase_names(&page);
        let turns = names.iter().filter(|(.., text)| text == "shifting").count();
        assert_eq!(turns, 2 * switches, "each switch is named in both charts over the run");
        for (i, a) in names.iter().enumerate() {
            let end = a.1 + a.3.len() as f64 * 6.6;
            let over = |b: &&(usize, f64, f64, String)| {
                b.0 == a.0 && (b.2 - a.2).abs() < 11.0 && b.1 >= a.1 && b.1 < end
            };
            assert_eq!(names.iter().skip(i + 1).find(over), None, "{a:?}");
        }
    }
    let page = html(&judge(&canary()));
    for step in ["5 %", "25 %", "50 %", "100 %"] {
        assert!(page.contains(&format!(">{step}</text>")), "{step} is not named");
    }
    assert_eq!(page.matches("class=\"wanted\"").count(), 1);
    assert_eq!(html(&judge(&sample::pass())).matches("class=\"wanted\"").count(), 0);
}

#[test]
fn what_the_router_counted_is_told_beside_what_the_prober_saw() {
    use ShareFinding::{AsWanted, Off, TooFew};
    let mut input = canary();
    let what = "HAProxy".to_owned();
    let side = SideCount::default();
    input.router = Some(RouterCount { what, exact: false, old: side, new: side, held: None });
    for (span, new) in input.shares.iter_mut().zip([511, 3_200, 12, 0]) {
        let requests = if new == 12 { 29 } else { 10_000 };
        span.counted = Some(ShareCount { requests, new });
    }
    let report = judge(&input);
    let found: Vec<_> =
        report.shares.iter().map(|s| s.router.as_ref().map(|router| router.finding)).collect();
    assert_eq!(found, [Some(AsWanted), Some(Off), Some(TooFew), None]);
    assert!(says(&report, "shares by what HAProxy counted: 5.00% wanted, 5.11% of 10,000"));
    let off = "✕ shares not as wanted by what HAProxy counted: 25.00% wanted, 32.00% of 10,000";
    assert!(says(&report, off));
    // It is about steering: the prober's findings and the verdict are what they were.
    input.shares.iter_mut().for_each(|span| span.counted = None);
    let without = judge(&input);
    assert_eq!((findings(&report), report.verdict), (findings(&without), without.verdict));
    let page = html(&report);
    for cell in ["HAProxy counted", "✓ 5.11% of 10,000", "✕ 32.00% of 10,000"] {
        assert!(page.contains(cell), "{cell}");
    }
    assert!(!html(&without).contains("HAProxy counted"));
}
