//! The control socket: hello, windows, arming, stopping, controllers that vanish, orphans.
//!
//! What a controller concludes from it is not tried here.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::routes;
use crate::common::{Act, Server, books_balance, options, right};
use model::attempt::{Class, Lane};
use model::window::Tally;
use probe::client::Client;
use probe::control::{FromProbe, ToProbe};
use probe::{Options, Run, Stop, Target, Told};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

struct Running {
    run: JoinHandle<Run>,
    socket: PathBuf,
    _going: watch::Sender<Told>,
    _folder: tempfile::TempDir,
}

fn start(change: impl FnOnce(&mut Options), server: &Server) -> Running {
    start_at(server.url(), change)
}

fn start_at(url: Target, change: impl FnOnce(&mut Options)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("probe.sock");
    let mut options = options(url, Lane::KeepAlive, 0);
    options.stop = Stop::WhenTold;
    options.control = Some(socket.clone());
    change(&mut options);
    let (going, told) = watch::channel(Told::Go);
    let run = tokio::spawn(async move { probe::run(options, told, None).await.unwrap() });
    Running { run, socket, _going: going, _folder: folder }
}

async fn connect(socket: &Path) -> Client {
    let connecting = async {
        loop {
            if let Ok(client) = Client::connect(socket).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), connecting).await.expect("nobody listens")
}

async fn next(client: &mut Client) -> Option<FromProbe> {
    tokio::time::timeout(Duration::from_secs(5), client.next()).await.expect("silence").unwrap()
}

/// Reads until `wanted`; what the windows counted on the way.
async fn until(client: &mut Client, wanted: impl Fn(&FromProbe) -> bool) -> (FromProbe, Tally) {
    let mut tally = Tally::default();
    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        assert!(Instant::now() < limit, "it never came");
        let message = next(client).await.expect("the prober has gone");
        if let FromProbe::Window(window) = &message {
            window.by_version.values().for_each(|counted| tally.add(counted));
        }
        if wanted(&message) {
            return (message, tally);
        }
    }
}

#[tokio::test]
async fn a_controller_hears_all_and_its_orders_are_followed() {
    let server = Server::start(|_| right("v1")).await;
    let running = start(|_| {}, &server);
    let mut client = connect(&running.socket).await;
    let mode = std::fs::metadata(&running.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let Some(FromProbe::Hello(header)) = next(&mut client).await else { panic!("no hello") };
    assert_eq!(header.rate, 200);
    client.send(ToProbe::Arm).await.unwrap();
    let (_, before) = until(&mut client, |m| *m == FromProbe::Armed).await;
    client.send(ToProbe::Stop).await.unwrap();
    let (ended, after) = until(&mut client, |m| matches!(m, FromProbe::Ended(_))).await;
    assert_eq!(next(&mut client).await, None);
    let run = running.run.await.unwrap();
    books_balance(&run);
    assert_eq!(ended, FromProbe::Ended(run.footer.unwrap()));
    assert_eq!(before.ok + after.ok, server.asked() as u64);
    assert!(!running.socket.exists());
}

#[tokio::test]
async fn a_controller_that_vanished_is_told_everything_again() {
    // Slow answers: the run is still draining when the controller that stopped it has gone.
    let slow = || Act::Wait(Instant::now() + Duration::from_millis(300), Box::new(right("v1")));
    let server = Server::start(move |_| slow()).await;
    let running = start(|_| {}, &server);
    let mut client = connect(&running.socket).await;
    client.send(ToProbe::Arm).await.unwrap();
    let (_, before) = until(&mut client, |m| *m == FromProbe::Armed).await;
    drop(client);
    let mut client = connect(&running.socket).await;
    assert!(matches!(next(&mut client).await, Some(FromProbe::Hello(_))));
    let (_, between) = until(&mut client, |m| *m == FromProbe::Armed).await;
    // A newcomer takes over from one that is still there.
    let mut newcomer = connect(&running.socket).await;
    assert!(matches!(next(&mut newcomer).await, Some(FromProbe::Hello(_))));
    let mut rest = Tally::default();
    while let Some(message) = next(&mut client).await {
        if let FromProbe::Window(window) = message {
            window.by_version.values().for_each(|counted| rest.add(counted));
        }
    }
    newcomer.send(ToProbe::Stop).await.unwrap();
    drop(newcomer);
    let mut last = connect(&running.socket).await;
    assert!(matches!(next(&mut last).await, Some(FromProbe::Hello(_))));
    let (_, after) = until(&mut last, |m| matches!(m, FromProbe::Ended(_))).await;
    let run = running.run.await.unwrap();
    assert!(before.ok + between.ok + rest.ok + after.ok <= run.footer.unwrap().sent);
}

/// A write to a controller that has gone fails; what it had said before must still be read.
#[tokio::test]
async fn the_last_words_of_a_controller_are_heard() {
    let server = Server::start(|_| right("v1")).await;
    let orphaned = |options: &mut Options| options.orphaned_after = Duration::from_secs(3);
    let all: Vec<Running> = (0..16).map(|_| start(orphaned, &server)).collect();
    for running in &all {
        let mut client = connect(&running.socket).await;
        client.send(ToProbe::Stop).await.unwrap();
    }
    for running in all {
        let run = tokio::time::timeout(Duration::from_secs(12), running.run).await;
        let until_us = run.expect("runs forever").unwrap().footer.unwrap().until_us;
        assert!(until_us < 2_500_000, "it ended as an orphan, after {until_us} us");
    }
}

#[tokio::test]
async fn not_armed_before_every_lane_has_answered() {
    let server = Server::start(|n| if n < 40 { Act::Reset } else { right("v1") }).await;
    let running = start(|_| {}, &server);
    let mut client = connect(&running.socket).await;
    client.send(ToProbe::Arm).await.unwrap();
    let (_, tally) = until(&mut client, |m| *m == FromProbe::Armed).await;
    assert!(server.asked() > 40 && tally.failures() == 40, "{tally:?}");
    client.send(ToProbe::Stop).await.unwrap();
    running.run.await.unwrap();
}

/// Each slow lane would have its first turn after a minute; one that is armed for begins at once.
#[tokio::test]
async fn what_is_slow_is_begun_when_the_run_is_armed_and_is_under_way_then() {
    let (address, _) = routes::start(routes::Wrong::Nothing).await;
    let slow = [Lane::Upload, Lane::Download, Lane::Events];
    let running = start_at(Target::parse(&format!("http://{address}/")).unwrap(), |options| {
        options.lanes = [(Lane::Fresh, 0.79), (Lane::Idle, 0.2997)]
            .into_iter()
            .chain(slow.map(|lane| (lane, 0.0001)))
            .map(|(lane, share)| (lane, share / 1.09))
            .collect();
        (options.rate, options.slowness) = (40, Duration::from_secs(1));
        options.idle_most = Duration::from_secs(1);
        options.download_path = "/download".to_owned();
        options.timeout = Duration::from_secs(4);
    });
    let mut client = connect(&running.socket).await;
    client.send(ToProbe::Arm).await.unwrap();
    let mut last_us = 0;
    loop {
        match next(&mut client).await.expect("the prober has gone") {
            FromProbe::Window(window) => last_us = window.to_us,
            FromProbe::Armed => break,
            _ => {}
        }
        assert!(last_us < 5_000_000, "not armed in five seconds");
    }
    client.send(ToProbe::Stop).await.unwrap();
    until(&mut client, |m| matches!(m, FromProbe::Ended(_))).await;
    let run = running.run.await.unwrap();
    books_balance(&run);
    for lane in slow {
        let of_lane = run.attempts.iter().filter(|a| a.lane == lane);
        let open = of_lane.clone().filter(|a| a.dispatched_us <= last_us + 100_000);
        let open: Vec<_> = open.filter(|a| a.done_us > last_us + 300_000).collect();
        assert!(!open.is_empty(), "{lane:?} at {last_us}: {:?}", of_lane.collect::<Vec<_>>());
    }
    let rested = |c: &&model::attempt::Connection| c.lane == Lane::Idle && c.closed_us > last_us;
    assert!(run.connections.iter().any(|c| rested(&c)), "{:?}", run.connections);
}

#[tokio::test]
async fn without_a_controller_the_run_ends_by_itself() {
    let server = Server::start(|_| right("v1")).await;
    let never = start(|o| o.orphaned_after = Duration::from_millis(300), &server);
    let left = start(|o| o.orphaned_after = Duration::from_millis(300), &server);
    let mut client = connect(&left.socket).await;
    for _ in 0..10 {
        next(&mut client).await.expect("a controller that listens is no orphan's");
    }
    drop(client);
    let bound = Duration::from_secs(5);
    let never = tokio::time::timeout(bound, never.run).await.expect("runs forever").unwrap();
    let left = tokio::time::timeout(bound, left.run).await.expect("runs forever").unwrap();
    assert!(never.footer.as_ref().unwrap().until_us >= 250_000, "{:?}", never.footer);
    assert!(left.footer.as_ref().unwrap().until_us >= 1_000_000, "{:?}", left.footer);
    books_balance(&never);
}

#[tokio::test]
async fn a_socket_in_use_is_not_taken_and_a_stale_one_is() {
    let server = Server::start(|_| right("v1")).await;
    let running = start(|_| {}, &server);
    let mut client = connect(&running.socket).await;
    let mut other = options(server.url(), Lane::Fresh, 1);
    other.control = Some(running.socket.clone());
    let (_going, told) = watch::channel(Told::Go);
    let fault = probe::run(other.clone(), told.clone(), None).await.unwrap_err();
    assert!(fault.what.contains("another prober"), "{fault}");
    client.send(ToProbe::Stop).await.unwrap();
    until(&mut client, |m| matches!(m, FromProbe::Ended(_))).await;
    running.run.await.unwrap();

    drop(std::os::unix::net::UnixListener::bind(&running.socket).unwrap());
    assert!(running.socket.exists(), "a stale socket");
    other.orphaned_after = Duration::from_millis(50);
    probe::run(other, told, None).await.unwrap();
}

#[tokio::test]
async fn the_caller_gets_windows_and_can_stop() {
    let server = Server::start(|_| right("v1")).await;
    let mut options = options(server.url(), Lane::Fresh, 0);
    options.stop = Stop::WhenTold;
    let (tell, told) = watch::channel(Told::Go);
    let (live, mut windows) = mpsc::channel(1);
    let run = tokio::spawn(probe::run(options, told, Some(live)));
    let mut tally = Tally::default();
    let mut end = 0;
    let (mut counted, mut first) = (0, true);
    while let Some(beat) = windows.recv().await {
        assert_eq!(beat.header.is_some(), std::mem::take(&mut first), "what it does is told once");
        counted += beat.counts.get("v1").map_or(0, |counts| counts[&(Lane::Fresh, Class::Ok)]);
        let window = beat.window;
        assert_eq!(window.from_us, end, "windows leave no gap");
        end = window.to_us;
        window.by_version.values().for_each(|counted| tally.add(counted));
        if tally.ok >= 40 {
            tell.send_replace(Told::Stop);
        }
    }
    let run = run.await.unwrap().unwrap();
    books_balance(&run);
    assert_eq!((tally.ok, counted), (server.asked() as u64, tally.ok));
}
