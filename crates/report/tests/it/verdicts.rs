//! Each verdict and each way to it, on synthetic runs. How a verdict is shown is in `renderings`.

use crate::sample;
use crate::sample::SWITCH_US;
use model::attempt::{BlindWindow, Witness};
use model::receipt::{End, Item};
use model::{Attempt, Class, Lane, Outcome, Phase, Verdict};
use report::{Account, Input, Receipted, Report, ShareCount, ShareSpan, exit_code, judge};

fn only_reason(report: &Report) -> &str {
    assert_eq!(report.reasons.len(), 1, "{:?}", report.reasons);
    &report.reasons[0]
}

#[test]
fn a_clean_deploy_passes_and_says_for_what_it_speaks() {
    let report = judge(&sample::pass());
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(report.sentence, "0 of 6,000 requests failed while demo moved from v1 to v2");
    assert_eq!(report.outcome_line.as_deref(), Some("promoted: users are on v2"));
    assert_eq!((report.sent, report.failed, exit_code(&report)), (6_000, 0, 0));
    // 5 ms, and how much later one of two neighbours was taken up.
    assert!((5_000..5_160).contains(&report.detection_floor_us), "{}", report.detection_floor_us);
    assert_eq!(report.failure_bound_ppb, Some(500_000));
    let speaks = "this speaks for keep-alive, fresh and websocket".to_owned();
    assert!(report.facts.contains(&speaks), "{:?}", report.facts);
    let lane = &report.lanes[0];
    assert_eq!((lane.lane, lane.sent, lane.failed), (Lane::KeepAlive, 3_000, 0));
    assert!(lane.detection_floor_us.is_some_and(|us| (10_000..10_160).contains(&us)));
    assert!(lane.ttlb_p99_us.is_some() && lane.ttlb_p50_us < lane.ttlb_p99_us);
}

/// The floors of the run and of its three lanes, in whole ms; none of a lane that sent nothing.
fn floors(report: &Report) -> [Option<u64>; 4] {
    let of = |lane| report.lanes.iter().find(|l| l.lane == lane).and_then(|l| l.detection_floor_us);
    let all = Some(report.detection_floor_us);
    [all, of(Lane::KeepAlive), of(Lane::Fresh), of(Lane::Websocket)]
        .map(|us| us.map(|us| (us + 500) / 1_000))
}

#[test]
fn what_was_not_watched_is_not_claimed() {
    // Turns of the last two lanes come unevenly: up to 20 and 30 ms lie between them, not 17 and 25.
    assert_eq!(floors(&judge(&sample::pass())), [5, 10, 20, 30].map(Some));
    let unsent = |sent: fn(&Attempt) -> bool| {
        let mut input = sample::pass();
        for a in input.attempts.iter_mut().filter(|a| !sent(a)) {
            a.class = Class::NotSent;
        }
        judge(&input)
    };
    // One lane for 700 ms in the midst of it, and all for 300 ms.
    let holes = unsent(|a| {
        let alone = a.lane == Lane::Fresh && (5_000_000..5_700_000).contains(&a.intended_us);
        !alone && !(20_000_000..20_300_000).contains(&a.intended_us)
    });
    assert_eq!(floors(&holes), [305, 310, 710, 330].map(Some));
    let words =
        "an outage of 305 ms or more would have met a request (5 ms where all was sent as planned)";
    assert!(holes.facts.iter().any(|fact| fact.starts_with(words)), "{:?}", holes.facts);
    // A lane that began late, one that ended early, and one that never sent.
    let edges = unsent(|a| match a.lane {
        Lane::KeepAlive => a.intended_us >= 1_000_000,
        Lane::Fresh => a.intended_us < 28_000_000,
        _ => false,
    });
    assert_eq!(floors(&edges)[1..], [Some(1_000), Some(2_005), None]);
    let mut input = sample::pass();
    input.blind = vec![BlindWindow { from_us: 9_000_000, to_us: 9_400_000 }];
    assert_eq!(floors(&judge(&input)), [Some(400); 4]);
}

#[test]
fn a_percentile_needs_its_thousand_samples() {
    let mut input = sample::pass();
    input.attempts.retain(|a| a.lane != Lane::Fresh || a.id % 4 == 1);
    let lane = judge(&input).lanes.into_iter().find(|l| l.lane == Lane::Fresh).unwrap();
    assert!(lane.sent < 1_000);
    assert_eq!(lane.ttlb_p99_us, None);
    assert!(lane.ttlb_max_us.is_some());
}

#[test]
fn one_failure_of_any_class_fails_the_run() {
    for class in Class::ALL.into_iter().filter(|c| c.failed()) {
        let mut input = sample::pass();
        sample::fail(&mut input.attempts[400], class, "odd");
        let report = judge(&input);
        assert_eq!(report.verdict, Verdict::Fail, "{class:?}");
        assert_eq!((report.failed, report.failures.len(), exit_code(&report)), (1, 1, 1));
        assert_eq!(report.failure_bound_ppb, None);
        assert!(report.sentence.contains(class.name()), "{}", report.sentence);
        assert_eq!(report.causes.len(), 1, "{class:?} has no cause");
        assert_ne!(report.causes[0].why, class.name(), "{class:?} has no sentence");
        assert!(!report.causes[0].why.contains('{'), "{}", report.causes[0].why);
    }
}

#[test]
fn what_was_not_sent_counts_against_the_evidence_alone() {
    let mut input = sample::pass();
    for a in input.attempts.iter_mut().skip(1_000).take(400) {
        sample::fail(a, Class::NotSent, "over the cap");
    }
    let footer = input.footer.as_mut().unwrap();
    (footer.sent, footer.not_sent) = (5_600, 400);
    let report = judge(&input);
    assert_eq!((report.verdict, report.failed, report.not_sent), (Verdict::Inconclusive, 0, 400));
    assert_eq!(only_reason(&report), "only 5,600 of 6,000 planned requests were sent");
    assert_eq!(exit_code(&report), 3);
}

/// Few as they are, they lie where it matters.
#[test]
fn what_was_not_sent_while_traffic_moved_leaves_that_open() {
    let mut input = sample::pass();
    let at = |a: &Attempt| a.intended_us.wrapping_sub(SWITCH_US);
    let at_switch = input.attempts.iter_mut().filter(|a| (0..20_000).contains(&at(a)));
    let unsent = at_switch.map(|a| sample::fail(a, Class::NotSent, "over the cap")).count();
    let footer = input.footer.as_mut().unwrap();
    footer.not_sent = unsent as u64;
    footer.sent -= unsent as u64;
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Inconclusive, "{unsent}");
    assert!(only_reason(&report).ends_with("could not be sent during the switch"));
}

#[test]
fn a_rate_just_kept_is_enough() {
    let mut input = sample::pass();
    input.footer.as_mut().unwrap().planned = 6_315;
    assert_eq!(judge(&input).verdict, Verdict::Pass);
    input.footer.as_mut().unwrap().planned = 6_316;
    assert_eq!(judge(&input).verdict, Verdict::Inconclusive);
}

#[test]
fn a_prober_that_was_late_cannot_say() {
    let mut input = sample::pass();
    input.footer.as_mut().unwrap().lateness_us = [100, 250_000, 300_000];
    assert_eq!(judge(&input).verdict, Verdict::Pass);
    input.footer.as_mut().unwrap().lateness_us = [100, 250_001, 300_000];
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(only_reason(&report).starts_with("the prober itself was late: 250 ms"));
}

#[test]
fn a_blind_prober_cannot_say_when_it_matters() {
    let blind = |from_us, to_us| {
        let mut input = sample::pass();
        input.blind = vec![BlindWindow { from_us, to_us }];
        judge(&input)
    };
    assert_eq!(blind(20_000_000, 20_200_000).verdict, Verdict::Pass);
    let at_switch = blind(SWITCH_US - 100_000, SWITCH_US + 1_000);
    assert_eq!(at_switch.verdict, Verdict::Inconclusive);
    assert!(only_reason(&at_switch).contains("during the switch"));
    let long = blind(20_000_000, 21_000_001);
    assert_eq!(long.verdict, Verdict::Inconclusive);
    assert!(only_reason(&long).contains("for 1.0 s in total"));
}

#[test]
fn a_promoted_version_that_nobody_saw_is_no_proof() {
    let mut input = sample::pass();
    for a in &mut input.attempts {
        a.version = Some("v1".to_owned());
    }
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(only_reason(&report), "v2 was promoted, and no answer ever named it");
    input.outcome = Outcome::Aborted;
    assert_eq!(judge(&input).verdict, Verdict::Pass);
}

#[test]
fn a_first_release_that_nobody_saw_is_no_proof_either() {
    let mut input = sample::pass();
    input.from = None;
    assert_eq!(judge(&input).verdict, Verdict::Pass);
    for a in &mut input.attempts {
        a.version = None;
    }
    assert_eq!(judge(&input).verdict, Verdict::Inconclusive);
}

#[test]
fn a_prober_that_died_or_sent_nothing_cannot_say() {
    let mut input = sample::pass();
    input.footer = None;
    assert!(only_reason(&judge(&input)).contains("before it could sum up"));
    input.attempts.clear();
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.reasons[0], "no request was sent");
    assert!(report::html(&report).contains("no request was sent"));
}

#[test]
fn samples_that_went_missing_are_missed() {
    let mut input = sample::pass();
    input.attempts.truncate(5_999);
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(only_reason(&report), "the samples lack 1 request that the prober sent");
}

#[test]
fn a_connection_that_goes_back_to_the_old_version_fails_the_run() {
    let mut input = sample::pass();
    let a =
        input.attempts.iter_mut().find(|a| a.lane == Lane::KeepAlive && a.intended_us > 15_000_000);
    let a = a.unwrap();
    a.version = Some("v1".to_owned());
    let id = a.id;
    let report = judge(&input);
    assert_eq!((report.verdict, report.failed), (Verdict::Fail, 0));
    let proof = report.proof.as_ref().unwrap();
    assert_eq!((proof.regressions, proof.first_regressions[0].id), (1, id));
    assert!(report.sentence.starts_with("1 request was answered by v1 although v2 had answered"));

    // That it was aborted in the end excuses nothing by itself: there was no way back.
    input.outcome = Outcome::Aborted;
    let proof = judge(&input).proof.unwrap();
    assert_eq!((proof.regressions, proof.regressions_excused), (1, 0));
}

/// Verdict, regressions that count, and whether there are those that do not.
fn regressions(input: &Input) -> (Verdict, u64, bool) {
    let report = judge(input);
    let proof = report.proof.unwrap();
    (report.verdict, proof.regressions, proof.regressions_excused > 100)
}

#[test]
fn an_abort_excuses_what_goes_back_with_it_and_not_what_went_back_before() {
    assert_eq!(regressions(&sample::candidate_died()), (Verdict::Pass, 0, true));
    // A kept connection goes back in the bake while the candidate answers; later that dies.
    let mut input = sample::candidate_died();
    let early = SWITCH_US + 200_000;
    let kept = |a: &Attempt| a.lane == Lane::KeepAlive && a.intended_us >= early;
    let place = input.attempts.iter().position(kept).unwrap();
    assert_eq!(input.attempts[place].version.as_deref(), Some("v2"));
    input.attempts[place].version = Some("v1".to_owned());
    input.attempts[place].instance = Some("demo-1-1".to_owned());
    assert_eq!(regressions(&input), (Verdict::Fail, 1, true));
    // Unless its proxy says that it put the request to an instance again.
    let told = |sends: u8| {
        let receipt = Receipted {
            item: Item::Attempt(place as u32),
            received_us: input.attempts[place].sent_us.cast_signed(),
            instance: Some("demo-1-1".to_owned()),
            version: Some("v1".to_owned()),
            status: 200,
            sends,
            unread: 0,
            end: End::Whole,
        };
        let account = Account { receipts: vec![receipt], ..Account::default() };
        regressions(&Input { account: Some(account), ..input.clone() })
    };
    assert_eq!(told(1), (Verdict::Fail, 1, true));
    assert_eq!(told(2), (Verdict::Pass, 0, true));
    // Or the candidate had broken an answer off before, which fails the run by itself.
    let fresh = |a: &Attempt| a.lane == Lane::Fresh;
    let before = input.attempts[..place].iter().rposition(fresh).unwrap();
    let mut broken = input.clone();
    assert_eq!(broken.attempts[before].version.as_deref(), Some("v2"));
    sample::fail(&mut broken.attempts[before], Class::Truncated, "closed after 31 of 96 bytes");
    assert_eq!(regressions(&broken), (Verdict::Fail, 0, true));
    // An error is an answer: who gives it is there.
    sample::fail(&mut input.attempts[before], Class::BadStatus, "503");
    assert_eq!(regressions(&input), (Verdict::Fail, 1, true));
}

#[test]
fn an_old_answer_to_a_request_sent_before_the_new_one_came_is_no_regression() {
    let mut input = sample::pass();
    let seen = input
        .attempts
        .iter()
        .position(|a| a.lane == Lane::KeepAlive && a.version.as_deref() == Some("v2"));
    let new = input.attempts[seen.unwrap()].clone();
    let mut old = new.clone();
    old.id = 6_000;
    old.version = Some("v1".to_owned());
    old.sent_us = new.done_us - 1;
    old.done_us = new.done_us + 5_000;
    input.attempts.push(old.clone());
    assert_eq!(judge(&input).proof.unwrap().regressions, 0);
    old.sent_us = new.done_us + 1;
    input.attempts.push(old);
    assert_eq!(judge(&input).proof.unwrap().regressions, 1);
}

#[test]
fn the_time_in_which_both_answered_leaves_sockets_apart() {
    let proof = judge(&sample::pass()).proof.unwrap();
    assert!(proof.mixed_us.unwrap() > 0 && proof.mixed_us.unwrap() < 80_000, "{proof:?}");
    assert!(proof.last_old_message_us.unwrap() > 20_000_000);
    assert_eq!(proof.weakest_witness, Some(Witness::App));
    let mut input = sample::pass();
    input.from = None;
    assert!(judge(&input).proof.is_none());
}

#[test]
fn lost_and_doubled_messages_fail_the_run() {
    let mut input = sample::pass();
    input.footer.as_mut().unwrap().ws_lost = 1;
    assert_eq!(only_reason(&judge(&input)), "1 WebSocket message lost");
    let footer = input.footer.as_mut().unwrap();
    (footer.ws_lost, footer.ws_doubled) = (0, 2);
    assert_eq!(only_reason(&judge(&input)), "2 WebSocket messages echoed twice");
    let footer = input.footer.as_mut().unwrap();
    (footer.ws_doubled, footer.ws_reordered) = (0, 1);
    assert_eq!(only_reason(&judge(&input)), "1 WebSocket message echoed out of order");
    assert_eq!(judge(&input).verdict, Verdict::Fail);
}

#[test]
fn an_abort_is_an_outcome_and_not_a_verdict() {
    let report = judge(&sample::never_ready());
    assert_eq!((report.verdict, exit_code(&report)), (Verdict::Pass, 4));
    assert_eq!(report.sentence, "0 of 6,000 requests failed while demo tried v2 and stayed on v1");
    assert!(
        report.outcome_line.unwrap().starts_with("aborted: users are on v1: v2 did not become")
    );
    assert_eq!(report.outcome_notes.len(), 4);

    let report = judge(&sample::candidate_died());
    assert_eq!((report.verdict, exit_code(&report)), (Verdict::Pass, 4));
    assert!(report.sentence.ends_with("while demo tried v2 and went back to v1"));
    assert!(report.proof.unwrap().regressions_excused > 0);

    let mut input = sample::never_ready();
    input.interrupted = true;
    assert_eq!(exit_code(&judge(&input)), 130);
}

#[test]
fn lanes_that_did_not_run_are_said() {
    let mut input = sample::pass();
    input.header.lanes_not_run.push((Lane::Websocket, "426 at /ws".to_owned()));
    input.attempts.retain(|a| a.lane == Lane::KeepAlive);
    input.footer = None;
    let report = judge(&input);
    let words: Vec<&str> = report.lanes_not_run.iter().map(|l| l.reason.as_str()).collect();
    assert_eq!(words, ["426 at /ws", "it sent nothing"]);
    assert!(report.facts.contains(&"this speaks for keep-alive".to_owned()));
}

#[test]
fn an_outage_shows_as_a_gap_even_at_the_end() {
    let mut input = sample::pass();
    for a in input.attempts.iter_mut().filter(|a| a.intended_us >= 28_000_000) {
        sample::fail(a, Class::Refused, "connection refused");
    }
    let gap = judge(&input).longest_gap_us;
    assert!((1_900_000..2_000_000).contains(&gap), "{gap}");
}

#[test]
fn a_failure_belongs_to_the_phase_it_was_sent_in() {
    let mut input = sample::pass();
    for (id, phase) in [(100, Phase::Starting), (2_401, Phase::Shifting), (5_900, Phase::Promoted)]
    {
        sample::fail(&mut input.attempts[id], Class::Refused, "refused");
        let report = judge(&input);
        assert_eq!(report.failures.last().unwrap().phase, Some(phase));
    }
    let a = input.attempts.iter_mut().find(|a| a.intended_us > 11_990_000).unwrap();
    sample::fail(a, Class::LostInFlight, "closed");
    a.done_us = SWITCH_US + 100_000;
    let id = a.id;
    let row = judge(&input).failures.into_iter().find(|f| f.id == id).unwrap();
    assert_eq!((row.phase, row.ended_phase), (Some(Phase::Arming), Some(Phase::Baking)));
}

#[test]
fn a_flood_of_versions_and_failures_stays_bounded() {
    let mut input = sample::pass();
    input.attempts = (0..3).flat_map(|_| sample::pass().attempts).collect();
    for (i, a) in input.attempts.iter_mut().enumerate() {
        sample::fail(a, Class::BadStatus, "x");
        a.version = Some(format!("{}{i}", "v".repeat(10_000)));
    }
    let report = judge(&input);
    assert_eq!(report.versions.len(), 8);
    assert_eq!((report.failed, report.failures.len()), (18_000, 10_000));
    assert_eq!(report.failures_left_out, 8_000);
    assert!(report.groups.len() < 100);
    let page = report::html(&report);
    assert!(page.len() < 2_000_000);
    let rows = page.split("<h2>Every failure</h2>").nth(1).unwrap();
    let rows = rows.split("</section>").next().unwrap();
    assert_eq!(rows.matches("<td>#").count(), 500);
    assert!(rows.contains("17,500 more are not on this page; the JSON has up to 10,000."));
}

#[test]
fn absurd_stamps_do_no_harm() {
    let mut input = sample::pass();
    for (i, a) in input.attempts.iter_mut().enumerate().take(40) {
        let odd = [0, 1, u64::MAX, u64::MAX / 2, 1 << 62][i % 5];
        match i % 4 {
            0 => a.intended_us = odd,
            1 => a.done_us = odd,
            2 => a.sent_us = odd,
            _ => a.dispatched_us = odd,
        }
    }
    input.blind = vec![
        BlindWindow { from_us: u64::MAX, to_us: 0 },
        BlindWindow { from_us: 0, to_us: u64::MAX },
    ];
    input.header.rate = 0;
    input.header.t0_unix_ms = u64::MAX;
    input.header.lanes = vec![(Lane::KeepAlive, f64::NAN), (Lane::Fresh, -1.0)];
    for span in &mut input.phases {
        (span.from_us, span.to_us) = (i64::MAX, i64::MIN);
    }
    let absurd = |bp, from_us, settled_us, to_us| ShareSpan {
        share: model::Weight::new(bp).unwrap(),
        from_us,
        settled_us,
        to_us,
        counted: Some(ShareCount { requests: 0, new: u64::MAX }),
    };
    input.shares = vec![
        absurd(0, i64::MIN, Some(i64::MAX), i64::MIN),
        absurd(1, i64::MAX, Some(i64::MIN), i64::MAX),
        absurd(10_000, i64::MIN, Some(i64::MIN), i64::MAX),
    ];
    for c in &mut input.connections {
        c.successor = Some(c.connection);
    }
    let report = judge(&input);
    assert!(report::html(&report).len() < 2_000_000);
    assert!(!report::terminal(&report, report::Style { colour: false, width: 0 }).is_empty());
}

#[test]
fn a_probe_alone_needs_no_rollout_and_no_versions() {
    let mut input = sample::pass();
    (input.app, input.from, input.to) = (None, None, None);
    input.outcome = Outcome::None;
    input.phases.clear();
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(report.sentence, "0 of 6,000 requests failed at http://127.0.0.1:8080/datetime");
    assert!(report.outcome_line.is_none() && report.proof.is_none() && report.zoom.is_none());
    let page = report::html(&report);
    assert!(page.contains("class=\"bar old\"") && page.contains("class=\"bar new\""));
}
