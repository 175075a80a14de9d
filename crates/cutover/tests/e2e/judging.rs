//! A canary, or a batch of a rolling update, is compared with stable by what the proxy counts of users alone, and given up for it.
//!
//! No prober runs here, and instances stay healthy: nothing else could turn the rollout back.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::world::{World, beside, patient_config, said};

/// Clients, each with an address of its own: one unit a second each.
const CLIENTS: u8 = 40;

/// v2 fails three of ten requests, and so much of the traffic is its.
fn config(instances: u16, rollout: &str) -> String {
    let app = "command = [\"sh\", \"-c\", \"fault=; test $1 != v2 || fault='--error-share 0.3'; exec \
               CUTOVER app --port $0 --version $1 $fault\", \"{port}\", \"{version}\"]";
    patient_config(instances)
        .replace(
            "command = [\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]",
            app,
        )
        .replace("bake = \"1500ms\"\npreview_requests = 10", &format!("{rollout}\npreview_requests = 0"))
        .replace("rate = 100", "enabled = false")
}

/// One request from this client; the version that answered, and the status.
pub(crate) async fn ask(port: u16, client: u8, path: &str) -> Option<(String, u16)> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((Ipv4Addr::new(127, 0, 9, client), 0).into()).ok()?;
    let mut stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let (_, rest) = text.split_once("x-app-version: ")?;
    Some((rest.lines().next()?.trim().to_owned(), status))
}

/// What users ask for, while they do.
pub(crate) struct Users {
    over: Arc<AtomicBool>,
    bad: Arc<AtomicBool>,
    asking: Option<std::thread::JoinHandle<()>>,
}

impl Users {
    /// So many clients ask every `beat`, in turn: for `/`, or for `bad` as long as that is wanted.
    pub(crate) fn of(port: u16, clients: u8, beat: Duration, bad: &'static str) -> Self {
        let flags = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false))];
        let [stop, fail] = flags.clone();
        let asking = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut beat = tokio::time::interval(beat / u32::from(clients));
                let mut asked = tokio::task::JoinSet::new();
                for client in (1..=clients).cycle() {
                    beat.tick().await;
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let path = if fail.load(Ordering::Relaxed) { bad } else { "/" };
                    asked.spawn(ask(port, client, path));
                    while asked.try_join_next().is_some() {}
                }
            });
        });
        let [over, bad] = flags;
        Self { over, bad, asking: Some(asking) }
    }

    /// From now on they ask for what fails, or for what does not.
    pub(crate) fn suffer(&self, suffer: bool) {
        self.bad.store(suffer, Ordering::Relaxed);
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(asking) = self.asking.take() {
            let _ended = asking.join();
        }
    }
}

#[test]
fn a_canary_whose_users_meet_more_errors_is_given_up() {
    let _turn = beside();
    let rollout = "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"60s\"";
    is_given_up(World::new(&config(1, rollout)), "v2 is ");
}

/// No limit could be broken: only beside the old version does it look bad.
#[test]
fn a_batch_whose_users_meet_more_errors_is_the_last() {
    let _turn = beside();
    let rollout = "strategy = \"rolling\"\nbatch = 1\nbake = \"60s\"\nmax_error_share = 1.0";
    is_given_up(
        World::new(&config(4, rollout)),
        "v2 is worse: more errors than stable at the same time",
    );
}

/// A deploy of v2 under load ends on v1, for this reason.
fn is_given_up(mut world: World, why: &str) {
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(world.port, CLIENTS, Duration::from_millis(300), "/");
    let output = world.run(&["deploy", "demo", "v2"]);
    drop(users);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains(why), "{}", said(&output));
    let status = world.status().unwrap();
    assert_eq!(status["apps"][0]["stable"], "v1", "{status}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for client in 1..=10 {
        let answer = runtime.block_on(ask(world.port, client, "/"));
        assert_eq!(answer, Some(("v1".to_owned(), 200)));
    }
}
