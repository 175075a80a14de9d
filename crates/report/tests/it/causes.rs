//! Causes: what a failure is said to come from, by class, phase and version.
//!
//! Whether a failure fails the run is in `verdicts`, but for what the prober itself made late.

use crate::sample;
use crate::sample::SWITCH_US;
use model::attempt::{BlindWindow, Witness};
use model::{Attempt, Class, Lane, Verdict};
use report::{Cause, Input, judge};

/// Makes the first attempt of `lane` after `us` fail, and gives the cause.
fn cause(lane: Lane, us: u64, class: Class, change: impl Fn(&mut Attempt)) -> Cause {
    let mut input = sample::pass();
    let a = input.attempts.iter_mut().find(|a| a.lane == lane && a.intended_us >= us).unwrap();
    sample::fail(a, class, "odd");
    change(a);
    judge(&input).causes.remove(0)
}

fn says(cause: &Cause, why: &str, advice: &str) {
    assert!(cause.why.contains(why), "why: {}", cause.why);
    let given = cause.advice.as_deref().unwrap_or_default();
    assert!(given.contains(advice), "advice: {given}");
}

#[test]
fn a_kill_before_the_drain_is_told_by_its_sockets() {
    let report = judge(&sample::killed_before_drain());
    let sockets = report.causes.iter().find(|c| c.failures == 20).unwrap();
    says(
        sockets,
        "sockets on v1 were cut before they were handed over: its instances ended while tunnels were open",
        "until their tunnels have moved",
    );
    assert!(report.sentence.ends_with(": 20 ws dropped, 4 lost in flight, 3 truncated"));
}

#[test]
fn a_stall_of_everything_is_the_paths() {
    let report = judge(&sample::stalled());
    assert_eq!(report.causes.len(), 1, "{:?}", report.causes);
    says(&report.causes[0], "nothing answered for 1.0 s from 12:02:21.8", "a pause of the process");
    says(&report.causes[0], "103 requests waited", "");
    assert!(report.groups.len() > 1, "one sentence for all of them");
}

#[test]
fn a_stall_that_sockets_did_not_feel_is_told_so() {
    let mut input = sample::stalled();
    let calm = sample::pass();
    for (a, was) in input.attempts.iter_mut().zip(&calm.attempts) {
        if a.lane == Lane::Websocket {
            a.clone_from(was);
        }
    }
    let report = judge(&input);
    assert_eq!(report.causes.len(), 1, "{:?}", report.causes);
    says(&report.causes[0], "no request was answered for 1.0 s", "");
    says(&report.causes[0], "83 requests waited, whatever the version, while sockets went on", "");
}

#[test]
fn one_slow_request_is_no_stall() {
    let late = |a: &mut Attempt| a.done_us = a.intended_us + 900_000;
    says(&cause(Lane::Fresh, 25_000_000, Class::Late, late), "v2 answered later than 500 ms", "v1");
    says(&cause(Lane::Fresh, 12_500_000, Class::Late, late), "still cold", "warm it up");
    let hang = |a: &mut Attempt| a.done_us = a.intended_us + 5_000_000;
    says(
        &cause(Lane::Fresh, 29_990_000, Class::Timeout, hang),
        "no whole answer came within 5.0 s",
        "",
    );
}

#[test]
fn a_prober_that_stood_still_does_not_blame_the_target() {
    let mut input = sample::stalled();
    input.blind = vec![BlindWindow { from_us: SWITCH_US - 100_000, to_us: SWITCH_US + 900_000 }];
    let report = judge(&input);
    says(
        &report.causes[0],
        "the prober itself was stopped or starved for 1.0 s",
        "core of its own",
    );
    assert!(report.reasons.iter().any(|r| r.contains("during the switch")));
}

#[test]
fn a_prober_that_was_blind_for_a_moment_of_a_stall_is_not_to_blame() {
    let blind = |windows: &[(u64, u64)]| {
        let window =
            |(from_us, to_us): &(u64, u64)| BlindWindow { from_us: *from_us, to_us: *to_us };
        let blind = windows.iter().map(window).collect();
        judge(&Input { blind, ..sample::stalled() }).causes
    };
    // The stall lasts from 100 ms before the switch to 900 ms after it.
    let moment = (SWITCH_US + 200_000, SWITCH_US + 250_000);
    let last = (SWITCH_US + 870_000, SWITCH_US + 905_000);
    let elsewhere = (20_000_000, 20_600_000);
    let path = "nothing answered for 1.0 s from 12:02:21.8";
    for windows in [&[moment][..], &[moment, last, elsewhere]] {
        let found = blind(windows);
        assert_eq!(found.len(), 1, "{found:?}");
        says(&found[0], path, "a pause of the process");
    }
    // Blind for nearly all of it, and at another time: only what explains it is told.
    let found = blind(&[(SWITCH_US - 100_000, SWITCH_US + 800_000), elsewhere]);
    assert_eq!(found.len(), 1, "{found:?}");
    says(&found[0], "the prober itself was stopped or starved for 900 ms:", "core of its own");
    // One slow answer, of which the prober missed too little to excuse it, or enough.
    let one = |to_us: u64| {
        let mut input = sample::pass();
        let slow = |a: &&mut Attempt| a.lane == Lane::Fresh && a.intended_us >= 25_000_000;
        let a = input.attempts.iter_mut().find(slow).unwrap();
        sample::fail(a, Class::Late, "odd");
        a.done_us = a.intended_us + 600_000;
        input.blind = vec![BlindWindow { from_us: a.intended_us, to_us: a.intended_us + to_us }];
        judge(&input).causes.remove(0)
    };
    says(&one(99_999), "v2 answered later than 500 ms", "");
    says(&one(100_000), "the prober itself was stopped or starved for 100 ms", "");
    // An upload waits for its answer from its last byte on: what was missed before excuses nothing.
    let upload = |blind_us: u64| {
        let mut input = sample::pass();
        let slow = |a: &&mut Attempt| a.lane == Lane::Fresh && a.intended_us >= 25_000_000;
        let a = input.attempts.iter_mut().find(slow).unwrap();
        sample::fail(a, Class::Late, "odd");
        (a.lane, a.sent_us) = (Lane::Upload, a.intended_us + 2_000_000);
        a.done_us = a.sent_us + 600_000;
        let from_us = a.intended_us + blind_us;
        input.blind = vec![BlindWindow { from_us, to_us: from_us + 200_000 }];
        judge(&input).causes.remove(0)
    };
    says(&upload(1_000_000), "v2 answered later than 500 ms", "");
    says(&upload(2_100_000), "the prober itself was stopped or starved for 200 ms", "");
}

#[test]
fn connections_that_had_to_be_asked_for_twice_are_told_by_the_kernels_clock() {
    let late = |waits_ms: &[u64], blind_ms: u64| {
        let mut input = sample::pass();
        let slow = |a: &&mut Attempt| a.lane == Lane::Fresh && a.intended_us >= 25_000_000;
        // Far from each other: nothing stood still.
        let some = input.attempts.iter_mut().filter(slow).step_by(20);
        for (a, wait_ms) in some.zip(waits_ms) {
            sample::fail(a, Class::Late, "odd");
            a.done_us = a.intended_us + wait_ms * 1_000;
            let (from_us, to_us) = (a.intended_us, a.intended_us + blind_ms * 1_000);
            input.blind.extend((blind_ms > 0).then_some(BlindWindow { from_us, to_us }));
        }
        judge(&input).causes.remove(0)
    };
    let asked = "as long as a kernel waits before it asks for a connection once more";
    says(&late(&[1_012, 1_043, 3_016, 1_016], 0), asked, "longer queue (backlog)");
    says(&late(&[1_012, 1_043], 50), asked, "TcpExtListenOverflows");
    // One alone, times that are none of the kernel's, and a prober that was blind itself tell nothing.
    for (waits_ms, blind_ms) in [(&[1_012][..], 0), (&[1_012, 1_300], 0), (&[990, 1_012], 0)] {
        says(&late(waits_ms, blind_ms), "v2 answered later than 500 ms", "");
    }
    says(&late(&[1_012, 1_043], 600), "the prober itself was stopped or starved", "");
}

#[test]
fn answers_that_only_a_blind_prober_made_late_are_no_failures_of_the_service() {
    // So many requests wait 600 ms, a second apart; the prober is blind as each of them begins.
    let late = |many: usize, blind_us: u64| {
        let mut input = sample::pass();
        for second in 0..many {
            let from_us = 24_000_000 + 1_000_000 * second as u64;
            let a = input.attempts.iter_mut().find(|a| a.intended_us >= from_us).unwrap();
            sample::fail(a, Class::Late, "odd");
            a.done_us = a.intended_us + 600_000;
            let (from_us, to_us) = (a.intended_us, a.intended_us + blind_us);
            input.blind.push(BlindWindow { from_us, to_us });
        }
        input
    };
    for (many, words) in [(1, "but that one is the"), (3, "but all of these are the")] {
        let report = judge(&late(many, 100_000));
        assert_eq!((report.verdict, report.exit_code), (Verdict::Inconclusive, 3));
        assert_eq!(report.failed, many as u64);
        assert_eq!(report.reasons.len(), 1, "{:?}", report.reasons);
        assert!(report.reasons[0].contains("had it not been stopped or starved"));
        assert!(report.sentence.contains(words), "{}", report.sentence);
    }
    // Too little to explain it, or another failure beside them: then users met one.
    assert_eq!(judge(&late(3, 99_999)).verdict, Verdict::Fail);
    let mut another = late(3, 100_000);
    sample::fail(&mut another.attempts[400], Class::Refused, "odd");
    assert_eq!(judge(&another).verdict, Verdict::Fail);
    // A path that stood still before the prober's eyes did so, also where what it missed of it would do.
    let mut stalled = sample::stalled();
    stalled.header.late_after_us = 520_000;
    let missed = BlindWindow { from_us: SWITCH_US + 400_000, to_us: SWITCH_US + 900_000 };
    stalled.blind = vec![missed];
    let report = judge(&stalled);
    assert_eq!((report.verdict, report.causes.len()), (Verdict::Fail, 1));
    says(&report.causes[0], "the path itself (proxy or host) stood still", "");
}

#[test]
fn losses_in_the_drain_name_its_setting() {
    for class in [Class::LostInFlight, Class::ResetBeforeBytes] {
        let found = cause(Lane::KeepAlive, 17_100_000, class, |_| ());
        says(
            &found,
            "while v1 was drained",
            "raise drain_timeout (now 10 s) above the longest answer (244 ms seen)",
        );
    }
    let cut =
        cause(Lane::KeepAlive, 17_100_000, Class::Truncated, |a| a.version = Some("v1".into()));
    says(&cut, "v1 was ended while it was still sending", "drain_timeout");
}

type Change = fn(&mut Attempt);

/// On a connection that stood, ended sooner than answers come, while fresh ones were answered.
#[test]
fn a_reuse_race_is_named_as_long_as_all_of_its_evidence_is_there() {
    let raced = |a: &mut Attempt| (a.connected_us, a.done_us) = (0, a.sent_us + 40);
    for class in [Class::LostInFlight, Class::ResetBeforeBytes] {
        for us in [SWITCH_US + 20_000, 17_100_000, 25_000_000] {
            let found = cause(Lane::KeepAlive, us, class, raced);
            says(&found, "reuse race", "keepalive_min_timeout");
        }
    }
    let others: [(Lane, Class, Change); 4] = [
        (Lane::KeepAlive, Class::LostInFlight, |a| a.done_us = a.sent_us + 9_000),
        (Lane::KeepAlive, Class::LostInFlight, |a| {
            (a.connected_us, a.done_us) = (a.sent_us - 1, a.sent_us + 40);
        }),
        (Lane::KeepAlive, Class::Truncated, |a| a.done_us = a.sent_us + 40),
        (Lane::Fresh, Class::LostInFlight, |a| a.done_us = a.sent_us + 40),
    ];
    for (lane, class, change) in others {
        let found = cause(lane, 25_000_000, class, change);
        assert!(!found.why.contains("reuse race"), "{lane:?} {class:?}: {found:?}");
    }
    // Who came with a fresh connection just after failed, too: then it was not the connection.
    let mut input = sample::pass();
    let kept = |a: &Attempt| a.lane == Lane::KeepAlive && a.intended_us >= 25_000_000;
    let one = input.attempts.iter_mut().find(|a| kept(a)).unwrap();
    sample::fail(one, Class::LostInFlight, "odd");
    raced(one);
    let us = one.intended_us;
    let fresh = |a: &Attempt| a.lane == Lane::Fresh && a.intended_us > us;
    let next = input.attempts.iter_mut().find(|a| fresh(a)).unwrap();
    sample::fail(next, Class::Refused, "odd");
    let report = judge(&input);
    assert!(report.causes.iter().all(|one| !one.why.contains("reuse race")), "{report:?}");
}

#[test]
fn a_request_is_explained_by_when_it_was_cut_not_when_it_was_sent() {
    let found = cause(Lane::KeepAlive, 16_999_000, Class::LostInFlight, |a| a.done_us = 17_050_000);
    says(&found, "while v1 was drained", "drain_timeout");
}

#[test]
fn a_cut_answer_outside_the_drain_blames_nobody() {
    let cut = cause(Lane::Fresh, SWITCH_US + 500_000, Class::Truncated, |_| ());
    says(&cut, "cut short after its head had arrived: who sent the body", "of the proxy");
}

#[test]
fn sockets_cut_in_the_hand_over_want_an_announcement() {
    let old = cause(Lane::Websocket, 19_000_000, Class::WsDropped, |a| a.connection = 115);
    says(&old, "sockets on v1 ended in the hand-over", "handover_timeout (now 20 s)");
    let new = cause(Lane::Websocket, 25_000_000, Class::WsDropped, |_| ());
    says(&new, "sockets on v2 were cut", "log of v2");
}

#[test]
fn a_bad_status_is_told_apart_by_who_sent_it() {
    let status = |status: u16, version: Option<&str>, us: u64| {
        let version = version.map(str::to_owned);
        cause(Lane::Fresh, us, Class::BadStatus, move |a| {
            a.status = status;
            a.version.clone_from(&version);
            a.witness = version.as_ref().map(|_| Witness::App);
        })
    };
    says(&status(500, Some("v2"), 25_000_000), "v2 itself answered 500", "health check");
    says(&status(503, Some("v2"), 25_000_000), "v2 itself answered 503", "");
    says(&status(500, Some("v1"), 5_000_000), "v1 itself answered 500", "without a rollout");
    says(&status(503, Some("v1"), 17_100_000), "on its way out", "after SIGTERM");
    says(
        &status(502, None, 12_500_000),
        "the instance that had the request was gone",
        "early end of v1",
    );
    says(&status(502, None, 25_000_000), "it had no instance", "drain_timeout");
    says(&status(404, None, 25_000_000), "answers came with status 404", "");
}

#[test]
fn a_refusal_before_the_switch_is_not_the_rollouts() {
    says(&cause(Lane::Fresh, 1_000, Class::Refused, |_| ()), "before the switch", "its port");
    says(
        &cause(Lane::Fresh, 25_000_000, Class::Refused, |_| ()),
        "nothing was listening",
        "hand its socket over",
    );
}

#[test]
fn who_was_never_asked_is_told_apart_from_who_refused() {
    let refused = |detail: &'static str| {
        cause(Lane::Fresh, 25_000_000, Class::Refused, |a| a.detail = Some(detail.to_owned()))
    };
    let name = refused("no address for shop.test: Name or service not known");
    says(&name, "led to no address", "the name server");
    let tls = refused("no TLS: invalid peer certificate: UnknownIssuer");
    says(&tls, "did not come to terms over TLS", "--ca");
    says(&refused("cannot connect to shop.test: no address"), "nothing was listening", "");
    // Each is a group of its own, at the same time and on the same lane.
    let mut input = sample::pass();
    let details = ["no address for shop.test: odd", "no TLS: odd", "cannot connect: odd"];
    let fresh = |a: &&mut Attempt| a.lane == Lane::Fresh && a.intended_us > 25_000_000;
    for (a, detail) in input.attempts.iter_mut().filter(fresh).zip(details) {
        sample::fail(a, Class::Refused, detail);
    }
    assert_eq!((judge(&input).causes.len(), judge(&input).groups.len()), (3, 3));
}

#[test]
fn the_settings_of_cutover_are_named_only_where_cutover_deployed() {
    let mut input = sample::pass();
    let open = |a: &Attempt| a.lane == Lane::KeepAlive && a.intended_us >= 17_100_000;
    let one = input.attempts.iter_mut().find(|a| open(a)).unwrap();
    sample::fail(one, Class::BadStatus, "odd");
    (one.status, one.version, one.witness) = (502, None, None);
    says(&judge(&input).causes[0], "before the app answered 502", "drain_timeout (now 10 s)");
    input.settings = report::Settings::default();
    let found = judge(&input).causes.remove(0);
    says(&found, "before the app answered 502", "whoever deploys wait for open requests");
    says(&found, "", "above the longest answer (244 ms seen)");
    assert!(!found.advice.unwrap().contains("drain_timeout"));
}

#[test]
fn what_a_client_mended_by_itself_is_told_and_is_no_failure() {
    let mut input = sample::pass();
    let footer = input.footer.as_mut().unwrap();
    (footer.other_address, footer.streams_ended) = (3, 1);
    let report = judge(&input);
    assert_eq!(
        (report.failed, report.mended.other_address, report.mended.streams_ended),
        (0, 3, 1)
    );
    let told = |words: &str| report.facts.iter().any(|fact| fact == words);
    assert!(told("3 connections stood at a later address of the name: an earlier one took none"));
    assert!(told("the app ended 1 stream of events in order: a browser opens it again"));
    let none = judge(&sample::pass());
    assert!(
        !none.facts.iter().any(|fact| fact.contains("later address") || fact.contains("stream"))
    );
}
