//! Each request as all three sides saw it: what does not agree is named, and what is not known is no
//! agreement.
//!
//! What the router counted as a sum is in `router_counts`.

use crate::sample;
use model::attempt::{BARE_SOCKET, OrderCount};
use model::receipt::{End, Item};
use model::{Class, Lane, Verdict};
use report::{
    Account, Finding, Input, Ledger, Receipted, Report, Style, html, json, judge, markdown, parse,
    terminal,
};

/// A request in mid-run, of v1 on the keep-alive lane.
const ID: usize = 400;

/// The account that agrees with a run.
fn agreeing(input: &Input) -> Account {
    let of_attempt = |a: &model::Attempt| Receipted {
        item: Item::Attempt(a.id as u32),
        received_us: a.sent_us.cast_signed(),
        instance: a.instance.clone(),
        version: a.version.clone(),
        status: 200,
        sends: 1,
        unread: 0,
        end: End::Whole,
    };
    let requests = input.attempts.iter().filter(|a| a.lane != Lane::Websocket).map(of_attempt);
    let of_socket = |connection: u32| Receipted {
        item: Item::Socket(connection),
        received_us: 1_000,
        instance: Some(if connection < 200 { "demo-1-1" } else { "demo-2-1" }.to_owned()),
        version: Some(if connection < 200 { "v1" } else { "v2" }.to_owned()),
        status: 101,
        sends: 1,
        unread: 0,
        end: End::Tunnel,
    };
    let sockets = input.connections.iter().map(|c| of_socket(c.connection));
    Account {
        who: "the proxy".to_owned(),
        receipts: requests.chain(sockets).collect(),
        covered: vec![(-1_000_000, 40_000_000)],
        lost: 0,
        troubles: Vec::new(),
    }
}

fn with_account() -> Input {
    let mut input = sample::pass();
    input.account = Some(agreeing(&input));
    input
}

fn receipt(input: &mut Input, id: usize) -> &mut Receipted {
    let receipts = &mut input.account.as_mut().unwrap().receipts;
    receipts.iter_mut().find(|one| one.item == Item::Attempt(id as u32)).unwrap()
}

fn forget(input: &mut Input, id: usize) {
    let account = input.account.as_mut().unwrap();
    account.receipts.retain(|one| one.item != Item::Attempt(id as u32));
}

fn ledger(report: &Report) -> &Ledger {
    report.ledger.as_ref().unwrap()
}

/// Judges a run in which the sides do not agree on one request; it is told everywhere.
fn one_found(change: impl FnOnce(&mut Input)) -> Report {
    let mut input = with_account();
    change(&mut input);
    let report = judge(&input);
    let ledger = ledger(&report);
    assert_eq!(ledger.rows.len(), 1, "{:?}", ledger.rows);
    let row = &ledger.rows[0];
    assert_eq!((ledger.findings.len(), ledger.findings[0].count), (1, 1));
    assert_eq!(ledger.findings[0].first, [row.id]);
    let screen = terminal(&report, Style { colour: false, width: 200 });
    assert!(screen.contains(&format!("#{}", row.id)), "{screen}");
    let squeezed = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed(screen).contains(&row.words), "{}", row.words);
    let page = html(&report);
    assert!(page.contains(&format!("<td>#{}</td>", row.id)) && page.contains(&row.words));
    assert!(markdown(&report).contains(&format!("no. {}", row.id)));
    assert_eq!(parse(&json(&report)).unwrap(), report);
    report
}

fn found(report: &Report) -> (Finding, &str, Verdict) {
    let row = &ledger(report).rows[0];
    (row.finding, &row.words, report.verdict)
}

fn lose(input: &mut Input, class: Class) {
    sample::fail(&mut input.attempts[ID], class, "odd");
}

#[test]
fn when_all_agree_it_is_said_and_by_how_many() {
    let report = judge(&with_account());
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let ledger = ledger(&report);
    assert_eq!(
        (ledger.requests, ledger.received, ledger.answered, ledger.agreed),
        (4_800, 4_800, 4_800, 4_800)
    );
    assert!(ledger.rows.is_empty() && ledger.unknown == 0);
    let fact = "4,800 of 4,800 requests accounted for one by one: sent by the prober, received by the \
                proxy, answered by an instance · 40 of 40 WebSockets too";
    assert!(report.facts.iter().any(|told| told == fact), "{:?}", report.facts);
    assert!(html(&report).contains(fact));
}

#[test]
fn a_request_is_lost_on_the_way_there_in_the_instance_or_on_the_way_back() {
    let there = one_found(|input| {
        lose(input, Class::LostInFlight);
        forget(input, ID);
    });
    let words = "it was sent, and the proxy has no record of it: it was lost on the way there";
    assert_eq!(found(&there), (Finding::NeverReceived, words, Verdict::Fail));
    assert!(
        there.reasons.contains(&"1 request never reached the proxy (#400)".to_owned()),
        "{:?}",
        there.reasons
    );
    let unanswered = one_found(|input| {
        lose(input, Class::BadStatus);
        input.attempts[ID].status = 502;
        let one = receipt(input, ID);
        (one.status, one.end) = (502, End::Own);
    });
    let words = "demo-1-1 (v1) gave no answer, and the proxy said 502 in its own name";
    assert_eq!(found(&unanswered), (Finding::NeverAnswered, words, Verdict::Fail));
    let reason = "1 request reached the proxy and was answered by no instance (#400)".to_owned();
    assert!(unanswered.reasons.contains(&reason), "{:?}", unanswered.reasons);
    let cut = one_found(|input| {
        lose(input, Class::Truncated);
        receipt(input, ID).end = End::Cut;
    });
    let words = "demo-1-1 (v1) began to answer and did not finish";
    assert_eq!(found(&cut), (Finding::CutShort, words, Verdict::Fail));
    let back = one_found(|input| lose(input, Class::ResetBeforeBytes));
    let words =
        "the proxy passed on the whole answer (200) of demo-1-1 (v1), and it did not arrive";
    assert_eq!(found(&back), (Finding::LostOnTheWayBack, words, Verdict::Fail));
    let waits = one_found(|input| {
        lose(input, Class::Timeout);
        let one = receipt(input, ID);
        (one.status, one.end) = (0, End::ClientGone);
    });
    let words = "demo-1-1 (v1) had not begun to answer when the client was gone";
    assert_eq!(found(&waits), (Finding::NeverAnswered, words, Verdict::Fail));
}

#[test]
fn an_answer_of_somebody_else_fails_a_run_in_which_nothing_else_did() {
    let version = one_found(|input| receipt(input, ID).version = Some("v2".to_owned()));
    let words = "the answer names version v1, and the proxy had it from demo-1-1 (v2)";
    assert_eq!(found(&version), (Finding::OtherAnswer, words, Verdict::Fail));
    assert_eq!(version.failed, 0);
    assert!(
        version.sentence.starts_with(
            "1 answer was not what the proxy had from the instance that it asked (#400)"
        )
    );
    let instance = one_found(|input| receipt(input, ID).instance = Some("demo-1-2".to_owned()));
    let words = "the answer names instance demo-1-1, and the proxy had it from demo-1-2 (v1)";
    assert_eq!(found(&instance), (Finding::OtherAnswer, words, Verdict::Fail));
    let status = one_found(|input| receipt(input, ID).status = 503);
    assert_eq!(found(&status).0, Finding::OtherAnswer);
    let cut = one_found(|input| receipt(input, ID).end = End::Cut);
    let words = "the client took it for whole, and the proxy passed on a part of demo-1-1 (v1)";
    assert_eq!(found(&cut), (Finding::OtherAnswer, words, Verdict::Fail));
}

#[test]
fn what_may_have_been_carried_out_twice_is_named() {
    let twice = one_found(|input| {
        let again = receipt(input, ID).clone();
        input.account.as_mut().unwrap().receipts.push(again);
    });
    let words = "the prober sent it once, and the proxy received it twice";
    assert_eq!(found(&twice), (Finding::Doubled, words, Verdict::Fail));
    // A page may be asked for again, an order not, unless its first instance is known not to have read it.
    let sent = |lane: Lane, unread: u8| {
        let mut input = with_account();
        input.attempts[ID].lane = lane;
        let one = receipt(&mut input, ID);
        (one.sends, one.unread) = (2, unread);
        let told = OrderCount { acknowledged: 1, executed: 1, doubled: 0, examples: Vec::new() };
        input.footer.as_mut().unwrap().orders = Some(told);
        input
    };
    for (lane, unread) in [(Lane::KeepAlive, 0), (Lane::Orders, 1)] {
        let report = judge(&sent(lane, unread));
        assert_eq!(
            (report.verdict, ledger(&report).resent, ledger(&report).rows.len()),
            (Verdict::Pass, 1, 0)
        );
    }
    let report = judge(&sent(Lane::Orders, 0));
    let words = "an order that was put to instances twice: each may have carried it out";
    assert_eq!(found(&report), (Finding::Doubled, words, Verdict::Fail));
    // The app's own word: the proxy is not to blame.
    let own = one_found(|input| {
        input.attempts[ID].lane = Lane::Orders;
        let told = OrderCount {
            acknowledged: 1,
            executed: 1,
            doubled: 1,
            examples: vec![format!("1f-{ID}")],
        };
        input.footer.as_mut().unwrap().orders = Some(told);
    });
    let words =
        "the app says that it carried it out more than once; the proxy put it to an instance once";
    assert_eq!(found(&own), (Finding::Doubled, words, Verdict::Fail));
}

#[test]
fn requests_of_nobody_and_answers_of_nobody_make_the_evidence_doubtful() {
    let stranger = one_found(|input| {
        let receipt = Receipted { item: Item::Attempt(9_999), ..receipt(input, ID).clone() };
        input.account.as_mut().unwrap().receipts.push(receipt);
    });
    let words = "the proxy received it, and the prober never sent it";
    assert_eq!(found(&stranger), (Finding::NeverSent, words, Verdict::Inconclusive));
    let past = one_found(|input| forget(input, ID));
    let words = "it was answered, and the proxy has no record of it: somebody else answered";
    assert_eq!(found(&past), (Finding::NotThroughUs, words, Verdict::Inconclusive));
    // A prober that died did not write down all that it had sent.
    let mut died = with_account();
    died.account
        .as_mut()
        .unwrap()
        .receipts
        .push(Receipted { item: Item::Attempt(9_999), ..receipt(&mut with_account(), ID).clone() });
    died.footer = None;
    assert!(ledger(&judge(&died)).rows.is_empty());
}

#[test]
fn what_is_not_known_is_neither_agreement_nor_loss() {
    let mut input = with_account();
    let replaced = "it was replaced in the run, and what it had not told is unknown";
    for id in ID..ID + 10 {
        forget(&mut input, id);
    }
    let account = input.account.as_mut().unwrap();
    // Attempt 400 was meant for 2 s.
    account.covered = vec![(-1_000_000, 1_900_000), (2_100_000, 40_000_000)];
    account.troubles = vec![replaced.to_owned()];
    let report = judge(&input);
    let (told, fact) =
        (ledger(&report), report.facts.iter().find(|fact| fact.contains("one by one")).unwrap());
    assert_eq!(
        (report.verdict, told.agreed, told.unknown, told.rows.len()),
        (Verdict::Pass, 4_792, 8, 0)
    );
    assert!(fact.starts_with("4,792 of 4,800 requests accounted for"), "{fact}");
    assert!(
        fact.ends_with(&format!("· of 8 nothing is known · not complete: {replaced}")),
        "{fact}"
    );
    // Where records were lost for want of room nobody can say which.
    let account = input.account.as_mut().unwrap();
    (account.covered, account.lost) = (vec![(-1_000_000, 40_000_000)], 10);
    assert_eq!((ledger(&judge(&input)).unknown, ledger(&judge(&input)).rows.len()), (8, 0));
    let account = input.account.as_mut().unwrap();
    account.lost = 0;
    assert_eq!(ledger(&judge(&input)).rows.len(), 8);
}

#[test]
fn without_an_account_there_is_no_ledger_and_the_page_says_so() {
    let report = judge(&sample::pass());
    assert_eq!(report.ledger, None);
    assert!(!report.facts.iter().any(|fact| fact.contains("one by one")));
    assert!(html(&report).contains("One by one it is not known"));
}

#[test]
fn a_message_that_was_lost_with_its_socket_names_where_it_was_carried() {
    let mut input = sample::killed_before_drain();
    input.account = Some(agreeing(&sample::pass()));
    let report = judge(&input);
    let rows: Vec<_> =
        ledger(&report).rows.iter().filter(|row| row.finding == Finding::SocketLost).collect();
    assert!(!rows.is_empty());
    let dropped = report.failures.iter().filter(|row| row.class == Class::WsDropped);
    assert_eq!(
        rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        dropped.map(|row| row.id).collect::<Vec<_>>()
    );
    assert!(
        rows.iter().all(|row| row.words.contains("which the proxy carried to demo-1-1 (v1)")),
        "{rows:?}"
    );
}

#[test]
fn a_late_echo_is_no_lost_message_and_a_socket_without_one_is_told_apart() {
    let mut late = sample::stalled();
    late.account = Some(agreeing(&sample::pass()));
    let report = judge(&late);
    let waited = report.failures.iter().any(|row| row.lane == Lane::Websocket);
    assert!(waited && ledger(&report).rows.is_empty(), "{:?}", ledger(&report).rows);
    // One socket of those that were cut had nothing under way.
    let mut cut = sample::killed_before_drain();
    cut.account = Some(agreeing(&sample::pass()));
    let bare = cut.attempts.iter_mut().find(|a| a.class == Class::WsDropped).unwrap();
    let detail = format!("ended without a close frame{BARE_SOCKET}");
    (bare.sent_us, bare.detail) = (0, Some(detail));
    let (id, connection) = (bare.id, bare.connection);
    let report = judge(&cut);
    let of = |finding: Finding| {
        let rows = ledger(&report).rows.iter().filter(move |row| row.finding == finding);
        rows.map(|row| (row.id, row.words.clone())).collect::<Vec<_>>()
    };
    let words = format!(
        "nothing was under way on socket {connection}, which the proxy carried to demo-1-1 (v1)"
    );
    assert_eq!(of(Finding::SocketCut), [(id, words)]);
    assert_eq!(of(Finding::SocketLost).len(), 19);
    assert!(html(&report).contains("WebSocket cut, no message under way"));
}

#[test]
fn rows_are_bounded_and_the_rest_is_counted() {
    let mut input = with_account();
    let account = input.account.as_mut().unwrap();
    account.receipts.retain(|one| matches!(one.item, Item::Socket(_)));
    let report = judge(&input);
    let told = ledger(&report);
    assert_eq!((told.rows.len(), told.left_out, told.agreed), (1_000, 3_800, 0));
    assert!(told.rows.is_sorted_by_key(|row| row.at_us));
    assert!(terminal(&report, Style { colour: false, width: 100 }).contains("and 4,790 more"));
}
