//! The two HTTP lanes against a hostile server: exact count and class of every failure.
//!
//! Harm on purpose is in `hostile`, long bodies and streams in `lanes`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::{Act, Server, assert_classes, of, options, right, run, stopped, undisturbed};
use futures_util::future::join_all;
use model::attempt::{Class, Ending, Lane, Witness};
use probe::{Options, Run, Target, VersionFrom};

const HTTP: [Lane; 2] = [Lane::KeepAlive, Lane::Fresh];

#[tokio::test]
async fn a_good_server_gives_only_ok_on_an_exact_schedule() {
    for lane in HTTP {
        let server = Server::start(|_| right("v1")).await;
        let run = run(Options { rate: 50, ..options(server.url(), lane, 50) }).await;
        assert_classes(&run, &[(Class::Ok, 50)]);
        let mut intended: Vec<u64> = run.attempts.iter().map(|a| a.intended_us).collect();
        intended.sort_unstable();
        let steps = intended.windows(2).map(|two| two[1] - two[0]);
        assert!(steps.clone().all(|step| step.abs_diff(20_000) <= 1), "{intended:?}");
        for attempt in of(&run, Class::Ok) {
            assert_eq!(attempt.version.as_deref(), Some("v1"));
            assert_eq!(attempt.witness, Some(Witness::App));
            assert_eq!((attempt.status, attempt.bytes), (200, 2));
            assert!(attempt.sent_us >= attempt.dispatched_us);
            assert!(attempt.first_byte_us >= attempt.sent_us);
            assert!(attempt.done_us >= attempt.first_byte_us);
        }
        let connections = if lane == Lane::Fresh { 50 - stopped(&run) } else { 8 };
        assert_eq!(run.connections.len(), connections, "{lane:?}");
        assert!(run.connections.iter().all(|c| c.ending == Ending::ByUs), "{:?}", run.connections);
        let carried: u32 = run.connections.iter().map(|c| c.attempts).sum();
        assert_eq!(carried as usize, 50 - stopped(&run));
        assert_eq!(server.asked(), 50 - stopped(&run));
    }
}

/// A new path that one of four has: the others say so, and that is no failure; what else they say is one.
#[tokio::test]
async fn an_error_that_is_expected_is_a_right_answer() {
    for lane in HTTP {
        let says = |status: u16| {
            let head = format!("HTTP/1.1 {status} X\r\nX-App-Version: v1\r\n");
            Act::Say(format!("{head}Content-Length: 2\r\n\r\nno").into_bytes())
        };
        let script = move |n| match n % 4 {
            3 => right("v2"),
            2 => says(410),
            _ => says(404),
        };
        let server = Server::start(script).await;
        let expected = vec![404];
        let run = run(Options { expected, rate: 40, ..options(server.url(), lane, 40) }).await;
        let asked = server.asked() as u64;
        let others = run.attempts.iter().filter(|a| a.class == Class::BadStatus);
        assert!(others.clone().all(|a| a.status == 410), "{:?}", run.attempts);
        assert_eq!(others.count() as u64, (asked + 1) / 4, "{lane:?}");
        let right = of(&run, Class::Ok);
        let missing = right.iter().filter(|a| a.status == 404 && a.detail.is_none()).count();
        assert_eq!(missing as u64, asked.div_ceil(4) + (asked + 2) / 4, "{lane:?}");
        assert_eq!(right.len() - missing, server.asked() / 4, "{lane:?}");
    }
}

/// Every fifth request is played this trick; all others are answered.
async fn trick(act: Act, class: Class, ending: Ending) {
    join_all(HTTP.map(|lane| trick_on(lane, act.clone(), class, ending))).await;
}

async fn trick_on(lane: Lane, act: Act, class: Class, ending: Ending) {
    let script = move |n| if n % 5 == 4 { act.clone() } else { right("v1") };
    let server = Server::start(script).await;
    // More than a second: what a busy machine takes away is a part of that.
    let mut options = Options { rate: 20, ..options(server.url(), lane, 25) };
    if class == Class::Timeout {
        options.timeout = Duration::from_millis(1_500);
    }
    let run = run(options).await;
    let asked = server.asked();
    assert_eq!(asked, 25 - stopped(&run), "a retry?");
    assert_classes(&run, &[(Class::Ok, 25 - asked / 5), (class, asked / 5)]);
    for attempt in of(&run, class) {
        let connection = run.connections.iter().find(|c| c.connection == attempt.connection);
        assert_eq!(connection.unwrap().ending, ending, "{lane:?} {attempt:?}");
    }
}

fn say(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn closed_before_the_answer_is_lost_in_flight() {
    trick(Act::SayAndClose(vec![]), Class::LostInFlight, Ending::MidAttempt).await;
}

#[tokio::test]
async fn reset_before_the_answer_is_reset_before_bytes() {
    trick(Act::Reset, Class::ResetBeforeBytes, Ending::Reset).await;
}

#[tokio::test]
async fn a_body_cut_short_is_truncated_whatever_its_framing() {
    let length = say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    let chunks = say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let head = say("HTTP/1.1 200 OK\r\nContent-Len");
    let until_close = say("HTTP/1.1 200 OK\r\n\r\nhello");
    trick(Act::SayAndClose(length.clone()), Class::Truncated, Ending::MidAttempt).await;
    trick(Act::SayAndClose(chunks), Class::Truncated, Ending::MidAttempt).await;
    trick(Act::SayAndClose(head), Class::Truncated, Ending::MidAttempt).await;
    trick(Act::SayAndReset(length), Class::Truncated, Ending::Reset).await;
    trick(Act::SayAndReset(until_close), Class::Truncated, Ending::Reset).await;
}

#[tokio::test]
async fn an_error_status_is_bad_status_with_its_words() {
    let text = "HTTP/1.1 503 Nobody Home\r\nConnection: close\r\nContent-Length: 4\r\n\r\n\x1bgo!";
    let server = Server::start(move |_| Act::SayAndClose(say(text))).await;
    let run = run(Options { rate: 10, ..options(server.url(), Lane::KeepAlive, 10) }).await;
    assert_classes(&run, &[(Class::BadStatus, 10)]);
    for attempt in of(&run, Class::BadStatus) {
        assert_eq!(attempt.status, 503);
        assert_eq!(attempt.detail.as_deref(), Some("503 Nobody Home: \\u{1b}go!"));
    }
    assert!(run.connections.iter().all(|c| c.ending == Ending::AnnouncedByPeer));
}

#[tokio::test]
async fn what_is_not_http_is_wrong_content_in_bounded_memory() {
    trick(Act::SayAndClose(say("SSH-2.0-nobody\r\n")), Class::WrongContent, Ending::ByUs).await;
    let chunk = say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    trick(Act::Say(chunk), Class::WrongContent, Ending::ByUs).await;
    let header = say("HTTP/1.1 200 OK\r\nx: y\r\n").repeat(500);
    trick(Act::Endless(header), Class::WrongContent, Ending::ByUs).await;
}

#[tokio::test]
async fn no_whole_answer_in_time_is_a_timeout_of_exactly_that_length() {
    trick(Act::Hang, Class::Timeout, Ending::ByUs).await;
    let dribble = Act::SayAndCloseIdle(
        say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
        Duration::from_secs(9),
    );
    let server = Server::start(move |_| dribble.clone()).await;
    let mut options = options(server.url(), Lane::Fresh, 10);
    (options.rate, options.timeout) = (20, Duration::from_millis(400));
    let most = Duration::from_millis(300);
    let run = undisturbed(most, async || run(options.clone()).await).await;
    assert_classes(&run, &[(Class::Timeout, 10)]);
    for attempt in of(&run, Class::Timeout) {
        assert!((400_000..800_000).contains(&attempt.ttlb_us()), "{attempt:?}");
        assert_eq!((attempt.status, attempt.bytes), (200, 1));
    }
}

#[tokio::test]
async fn a_right_answer_after_the_limit_is_late() {
    let slow = || Act::Wait(Instant::now() + Duration::from_millis(1_500), Box::new(right("v1")));
    let script = move |n| if n % 5 == 4 { slow() } else { right("v1") };
    for lane in HTTP {
        let server = Server::start(script).await;
        let mut options = options(server.url(), lane, 25);
        (options.late_after, options.rate) = (Duration::from_millis(1_400), 20);
        let run = run(options).await;
        let late = server.asked() / 5;
        assert_classes(&run, &[(Class::Ok, 25 - late), (Class::Late, late)]);
    }
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    // Bound and never listened on: nobody else can take the port while the prober asks it.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed: SocketAddr = taken.local_addr().unwrap();
    let url = Target::parse(&format!("http://{closed}/")).unwrap();
    let of_all = Lane::ALL.map(|lane| Options { rate: 20, ..options(url.clone(), lane, 20) });
    for run in join_all(of_all.map(run)).await {
        assert_classes(&run, &[(Class::Refused, 20)]);
        assert!(run.connections.iter().all(|c| c.ending == Ending::Failed));
        assert!(run.attempts.iter().all(|a| a.connection == 0 && a.sent_us == 0));
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_nothing() {
    let Act::Say(bytes) = right("v1") else { unreachable!() };
    let act = Act::SayAndCloseIdle(bytes, Duration::from_millis(20));
    let server = Server::start(move |_| act.clone()).await;
    let options = Options { rate: 50, ..options(server.url(), Lane::KeepAlive, 30) };
    // After a stall the next request is due as well as the end that was to come long before it.
    let most = Duration::from_millis(100);
    let run = undisturbed(most, async || run(options.clone()).await).await;
    assert_classes(&run, &[(Class::Ok, 30)]);
    let idle = run.connections.iter().filter(|c| c.ending == Ending::IdleByPeer).count();
    // Each attempt but those that a busy machine kept back ends a connection, or comes before its end was noticed.
    assert!(idle + stopped(&run) >= 22, "{:?}", run.connections);
}

#[tokio::test]
async fn an_answer_that_says_close_is_followed_by_a_new_connection() {
    let text = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let server = Server::start(move |_| Act::SayAndClose(say(text))).await;
    let run = run(Options { rate: 20, ..options(server.url(), Lane::KeepAlive, 20) }).await;
    assert_classes(&run, &[(Class::Ok, 20)]);
    assert_eq!(run.connections.len(), server.asked());
    assert!(run.connections.iter().all(|c| c.ending == Ending::AnnouncedByPeer));
}

#[tokio::test]
async fn over_the_cap_attempts_are_recorded_as_not_sent() {
    let server = Server::start(|_| Act::Hang).await;
    let mut options = options(server.url(), Lane::Fresh, 30);
    options.max_in_flight = Some(5);
    // None of them has been given up before the last one is due.
    (options.rate, options.timeout) = (20, Duration::from_millis(2_900));
    let run = run(options).await;
    assert_eq!((of(&run, Class::Timeout).len(), of(&run, Class::NotSent).len()), (5, 25));
    assert_eq!(server.asked(), 5);
}

/// Coordinated omission: a server that freezes for F shows in every attempt that was due meanwhile,
/// so that (F - x)·rate of them take longer than x.
#[tokio::test]
async fn a_freeze_shows_its_whole_shape() {
    let run = undisturbed(Duration::from_millis(100), frozen).await;
    assert_classes(&run, &[(Class::Ok, 320)]);
    let longer = |ms: u64| run.attempts.iter().filter(|a| a.ttlb_us() > ms * 1_000).count();
    for (ms, expected) in [(150, 90), (300, 60), (450, 30)] {
        let seen = longer(ms);
        let off = 8 + stopped(&run);
        assert!(seen.abs_diff(expected) <= off, "{seen} took more than {ms} ms, not {expected}");
    }
    assert_eq!(longer(750), 0);
}

/// A run against a server that is frozen for 600 ms.
async fn frozen() -> Run {
    let begun = Instant::now();
    let freeze = begun + Duration::from_millis(500)..begun + Duration::from_millis(1_100);
    let server = Server::start(move |_| {
        let frozen = freeze.contains(&Instant::now());
        if frozen { Act::Wait(freeze.end, Box::new(right("v1"))) } else { right("v1") }
    })
    .await;
    let mut options = options(server.url(), Lane::KeepAlive, 320);
    options.late_after = Duration::from_secs(9);
    options.timeout = Duration::from_secs(9);
    run(options).await
}

#[tokio::test]
async fn the_version_is_found_where_it_is_said() {
    let body = r#"{"build":{"version":"v9"}}"#;
    let stamp = "X-Cutover-Version: v3\r\nX-Cutover-Instance: i3\r\n";
    let length = body.len();
    let text =
        format!("HTTP/1.1 200 OK\r\n{stamp}Rev: v7\r\nContent-Length: {length}\r\n\r\n{body}");
    for (from, version, witness) in [
        (VersionFrom::Header("rev".to_owned()), "v7", Witness::App),
        (VersionFrom::JsonPath("build.version".to_owned()), "v9", Witness::App),
        (VersionFrom::Body, body, Witness::App),
        (VersionFrom::Header("x-app-version".to_owned()), "v3", Witness::Stamp),
    ] {
        let bytes = say(&text);
        let server = Server::start(move |_| Act::Say(bytes.clone())).await;
        let mut options = options(server.url(), Lane::KeepAlive, 3);
        options.version_from = from;
        let run = run(options).await;
        assert!(!of(&run, Class::Ok).is_empty());
        for attempt in of(&run, Class::Ok) {
            assert_eq!(attempt.version.as_deref(), Some(version));
            assert_eq!(attempt.witness, Some(witness));
            assert_eq!(attempt.instance.as_deref(), Some("i3"));
        }
    }
}

#[tokio::test]
async fn a_name_is_resolved_and_a_wrong_one_is_refused() {
    let server = Server::start(|_| right("v1")).await;
    let port = server.address.port();
    let url = Target::parse(&format!("http://localhost:{port}/")).unwrap();
    assert_classes(&run(options(url, Lane::Fresh, 5)).await, &[(Class::Ok, 5)]);
    let url = Target::parse(&format!("http://no-such-host.invalid:{port}/")).unwrap();
    let mut options = options(url, Lane::Fresh, 2);
    options.timeout = Duration::from_secs(2);
    let run = run(options).await;
    let failed = of(&run, Class::Refused).len() + of(&run, Class::Timeout).len();
    assert_eq!(failed, 2, "{:?}", run.attempts);
}
