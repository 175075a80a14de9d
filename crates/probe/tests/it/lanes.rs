//! The lanes beyond plain requests: what each finds, exactly, and that none runs where it is not served.
//!
//! Plain requests are in `http`, WebSockets in `websocket`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::routes;
use crate::common::{assert_classes, of, options, run, stopped};
use model::attempt::{Class, Ending, Lane};
use probe::{Options, Run, Target};
use routes::{Seen, Wrong, start};

/// Twelve attempts on one lane, slow for 100 ms each.
fn probing(address: SocketAddr, lane: Lane) -> Options {
    Options {
        slowness: Duration::from_millis(100),
        upload_bytes: 40_000,
        download_path: "/download".to_owned(),
        rate: 20,
        ..options(Target::parse(&format!("http://{address}/")).unwrap(), lane, 12)
    }
}

async fn against(wrong: Wrong, lane: Lane) -> (Run, Arc<Mutex<Seen>>) {
    let (address, seen) = start(wrong).await;
    (run(probing(address, lane)).await, seen)
}

/// One in three attempts, by what the server counted; the first it counted was the trial.
fn thirds(asked: usize) -> usize {
    asked / 3
}

#[tokio::test]
async fn every_lane_is_right_where_the_server_is() {
    for lane in [Lane::Upload, Lane::Download, Lane::Events, Lane::Orders, Lane::Idle] {
        let (run, _) = against(Wrong::Nothing, lane).await;
        assert_classes(&run, &[(Class::Ok, 12)]);
        for attempt in of(&run, Class::Ok) {
            assert_eq!(attempt.version.as_deref(), Some("v1"), "{lane:?}");
            let took = attempt.done_us - attempt.dispatched_us;
            let slow = (90_000..1_500_000).contains(&took);
            assert!(!lane.slow() || slow, "{lane:?} took {took} us and was to take 100 ms");
        }
    }
}

/// A proxy of ours is told which attempt a request is, once for each; a trial is none.
#[tokio::test]
async fn with_a_key_each_request_says_which_attempt_it_is() {
    for lane in
        [Lane::KeepAlive, Lane::Fresh, Lane::Upload, Lane::Download, Lane::Events, Lane::Orders]
    {
        let (address, seen) = start(Wrong::Nothing).await;
        let mut options = probing(address, lane);
        options.url = options.url.with_key("5ec2e7").unwrap();
        let run = run(options).await;
        assert_classes(&run, &[(Class::Ok, 12)]);
        let mut says = seen.lock().unwrap().says.clone();
        says.retain(|said| said != "5ec2e7");
        let mut wanted: Vec<String> =
            of(&run, Class::Ok).iter().map(|a| format!("5ec2e7-a{}", a.id)).collect();
        says.sort();
        wanted.sort();
        assert_eq!(says, wanted, "{lane:?}");
    }
    let (_, seen) = against(Wrong::Nothing, Lane::KeepAlive).await;
    assert!(seen.lock().unwrap().says.is_empty(), "there is no key to tell");
}

#[tokio::test]
async fn a_transfer_that_arrives_changed_or_cut_is_told_from_a_right_one() {
    for (wrong, lane, class) in [
        (Wrong::UploadShort, Lane::Upload, Class::WrongContent),
        (Wrong::DownloadChanged, Lane::Download, Class::WrongContent),
        (Wrong::DownloadCut, Lane::Download, Class::Truncated),
    ] {
        let (run, seen) = against(wrong, lane).await;
        let seen = seen.lock().unwrap();
        let odd = thirds(if lane == Lane::Upload { seen.uploads } else { seen.downloads });
        assert!(odd >= 2, "{wrong:?}");
        assert_classes(&run, &[(Class::Ok, 12 - odd), (class, odd)]);
    }
}

#[tokio::test]
async fn a_stream_of_events_that_breaks_or_goes_back_fails_and_one_that_ends_does_not() {
    for (wrong, class) in
        [(Wrong::EventsCut, Class::Truncated), (Wrong::EventsBack, Class::WrongContent)]
    {
        let (run, seen) = against(wrong, Lane::Events).await;
        let odd = thirds(seen.lock().unwrap().streams);
        assert!(odd >= 2, "{wrong:?}");
        assert_classes(&run, &[(Class::Ok, 12 - odd), (class, odd)]);
    }
    let (run, _) = against(Wrong::EventsEnd, Lane::Events).await;
    assert_classes(&run, &[(Class::Ok, 12)]);
    let footer = run.footer.as_ref().unwrap();
    assert_eq!(footer.streams_ended as usize, 12 - stopped(&run));
    assert!(run.connections.iter().all(|c| c.ending == Ending::AnnouncedByPeer));
}

#[tokio::test]
async fn orders_that_are_carried_out_twice_or_never_are_found_by_asking() {
    for (wrong, doubled, lost) in
        [(Wrong::Nothing, 0, 0), (Wrong::OrdersTwice, 4, 0), (Wrong::OrdersLost, 0, 4)]
    {
        let (run, seen) = against(wrong, Lane::Orders).await;
        assert_classes(&run, &[(Class::Ok, 12)]);
        let account = run.footer.as_ref().unwrap().orders.clone().expect("no account");
        if stopped(&run) == 0 {
            assert_eq!((account.acknowledged, account.executed), (12, 12 - lost), "{wrong:?}");
            assert_eq!((account.doubled, account.examples.len() as u64), (doubled, doubled));
            assert_eq!(seen.lock().unwrap().orders.len() as u64, 12 - lost + doubled);
        }
    }
}

#[tokio::test]
async fn what_is_not_served_is_not_run_and_the_others_get_its_share() {
    let (address, _) = start(Wrong::Unknown).await;
    let lanes = [
        Lane::Fresh,
        Lane::Http2,
        Lane::Websocket,
        Lane::Upload,
        Lane::Download,
        Lane::Events,
        Lane::Orders,
    ];
    let share = 1.0 / lanes.len() as f64;
    let wanted = lanes.iter().map(|lane| (*lane, share)).collect();
    let run = run(Options { lanes: wanted, ..probing(address, Lane::Fresh) }).await;
    let not_run: Vec<Lane> = run.header.lanes_not_run.iter().map(|(lane, _)| *lane).collect();
    assert_eq!(not_run, lanes[1..]);
    for (lane, reason) in &run.header.lanes_not_run {
        let http2 = *lane == Lane::Http2;
        let words = if http2 { "no HTTP/2 without TLS is spoken there" } else { "404" };
        assert!(reason.contains(words), "{lane:?}: {reason}");
    }
    assert_eq!(run.header.lanes, [(Lane::Fresh, 20.0)]);
    assert_classes(&run, &[(Class::Ok, 12)]);
}

#[tokio::test]
async fn idle_connections_rest_for_random_times_and_one_that_is_closed_meanwhile_costs_nothing() {
    let (address, seen) = start(Wrong::Nothing).await;
    let mut options = probing(address, Lane::Idle);
    (options.idle_most, options.stop) = (Duration::from_millis(400), probe::Stop::Count(60));
    let run = run(options).await;
    assert_classes(&run, &[(Class::Ok, 60)]);
    let rests = seen.lock().unwrap().rests_us.clone();
    assert!(rests.len() >= 10, "only {} connections were used again", rests.len());
    let (short, long) = (rests.iter().min().unwrap(), rests.iter().max().unwrap());
    assert!(*long > 150_000 && long - short > 100_000, "no random rests: {rests:?}");
    assert!(run.connections.len() < 45, "connections were not used again");
}
