//! The link to a rollout's prober, which is a process of its own.
//!
//! It is started once per rollout and found again by its socket after a restart of the controller.
//! What it measures is not looked at here.

use std::path::Path;
use std::time::Duration;

use drivers::router::{Evidence, reachable};
use model::Fault;
use probe::control::{FromProbe, ToProbe};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::children;
use super::probe_key;
use super::tools::Tools;
use crate::config::AppConfig;

/// How long a fresh prober may take to open its socket.
const START_DEADLINE: Duration = Duration::from_secs(5);
/// Clients that come back, where the router is to keep them with a version.
const CLIENTS: u16 = 32;
/// How often a prober that is not our child is asked whether it is gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A prober that was reached.
#[derive(Debug)]
pub(super) struct Prober {
    orders: mpsc::Sender<ToProbe>,
    gone: watch::Receiver<bool>,
}

/// What reaches the controller from its prober.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message.
    Said(FromProbe),
    /// It cannot be reached any more.
    Lost,
}

impl Prober {
    /// Finds the prober of `run` if it lives, else starts it to ask the router (in plain text at
    /// `entrance`) - but never a second one: it would overwrite the samples of the first.
    pub(super) async fn reach(
        tools: &Tools,
        run: &str,
        (app, entrance): (&AppConfig, &str),
        heard: mpsc::Sender<Heard>,
    ) -> Result<Self, Fault> {
        let layout = &tools.layout;
        let (socket, samples) = (layout.probe_socket(run), layout.samples(run));
        if let Ok(prober) = Self::attach(&socket, heard.clone()).await {
            return Ok(prober);
        }
        // It opens its socket before its samples, so one that has samples and no socket is over.
        if samples.exists() {
            return Err(Fault::environment("it ended while the controller was away"));
        }
        let directory = layout.run_directory(run);
        std::fs::create_dir_all(&directory).map_err(|e| {
            Fault::environment(format!("{} cannot be made: {e}", directory.display()))
        })?;
        let log = layout.logs().join(format!("probe-{run}.log"));
        let mut words = arguments(app, entrance, &samples, &socket);
        // Another router would pass the key on.
        if tools.router.can().evidence == Evidence::PerRequest {
            probe_key::read_or_make(&directory)?;
            let file = probe_key::file(&directory).display().to_string();
            words.extend(["--key-file".to_owned(), file]);
        }
        let child = tools.children.spawn(&words, &log)?;
        Self::start(child, &socket, &log, heard).await
    }

    /// Connects to a prober that was just started and will listen on `socket`.
    async fn start(
        mut child: Child,
        socket: &Path,
        log: &Path,
        heard: mpsc::Sender<Heard>,
    ) -> Result<Self, Fault> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let ended = tokio::time::timeout(LOOK_EVERY, child.wait()).await.is_ok();
            // Also when ours has ended: it leaves the socket to one that an earlier controller
            // started just before it died.
            if let Ok(client) = probe::client::Client::connect(socket).await {
                return Ok(Self::linked(client, socket, Some(child), heard));
            }
            if ended || Instant::now() > deadline {
                let mut fault = Fault::internal("the prober did not start");
                fault.notes = children::tail(log, 5);
                // Nobody will ever ask it anything.
                drop(child.kill().await);
                return Err(fault);
            }
        }
    }

    /// Connects to a prober that runs already.
    pub(super) async fn attach(socket: &Path, heard: mpsc::Sender<Heard>) -> Result<Self, Fault> {
        let client = probe::client::Client::connect(socket).await?;
        Ok(Self::linked(client, socket, None, heard))
    }

    fn linked(
        client: probe::client::Client,
        socket: &Path,
        child: Option<Child>,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(8);
        let (over, gone) = watch::channel(false);
        let socket = socket.to_owned();
        tokio::spawn(async move {
            link(client, inbox, heard).await;
            if let Some(mut child) = child {
                // An error means that it was reaped already.
                drop(child.wait().await);
            }
            while !over.is_closed() && UnixStream::connect(&socket).await.is_ok() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            over.send_replace(true);
        });
        Self { orders, gone }
    }

    /// Sends an order; one to a prober that is gone is answered by [`Heard::Lost`].
    pub(super) async fn tell(&self, order: ToProbe) {
        let _sent = self.orders.send(order).await;
    }

    /// Resolves when its process has ended.
    pub(super) async fn gone(&mut self) {
        // An error means that the link's task is gone, with this whole process.
        let _gone = self.gone.wait_for(|gone| *gone).await;
    }
}

/// Where an app's prober asks; in plain text at `entrance`.
pub(super) fn asks_at(app: &AppConfig, entrance: &str) -> String {
    match &app.probe.tls {
        Some(tls) => format!("https://{}", reachable(tls.at)),
        None => format!("http://{entrance}"),
    }
}

/// The command line of an app's prober.
fn arguments(app: &AppConfig, entrance: &str, samples: &Path, socket: &Path) -> Vec<String> {
    let config = &app.probe;
    let lanes: Vec<&str> = config.lanes.iter().map(|lane| lane.name()).collect();
    let ms = |duration: Duration| format!("{}ms", duration.as_millis());
    let mut words = vec!["probe".to_owned(), asks_at(app, entrance) + &config.path];
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    add("--rate", config.rate.to_string());
    add("--pace", config.pace.to_string());
    add("--lanes", lanes.join(","));
    add("--websocket-path", config.websocket_path.clone());
    add("--sockets", config.sockets.to_string());
    add("--upload-path", config.upload_path.clone());
    add("--download-path", config.download_path.clone());
    add("--events-path", config.events_path.clone());
    add("--orders-path", config.orders_path.clone());
    add("--slowness", ms(config.slowness));
    add("--idle-most", ms(config.idle_most));
    add("--late-after", ms(config.late_after));
    add("--timeout", ms(config.timeout));
    add("--version-header", config.version_header.clone());
    add("--samples", samples.display().to_string());
    add("--control", socket.display().to_string());
    if let Some(cohorts) = &app.rollout.cohorts {
        add("--clients", CLIENTS.to_string());
        if let Some(field) = &cohorts.header {
            add("--client-field", field.clone());
        }
    }
    if let Some(host) = app.a_host() {
        add("--host", host);
    }
    if let Some(ca) = config.tls.as_ref().and_then(|tls| tls.ca.as_ref()) {
        add("--ca", ca.display().to_string());
    }
    words
}

/// Carries messages both ways until either side is gone.
async fn link(
    mut client: probe::client::Client,
    mut inbox: mpsc::Receiver<ToProbe>,
    heard: mpsc::Sender<Heard>,
) {
    loop {
        let message = tokio::select! {
            order = inbox.recv() => {
                let Some(order) = order else { return };
                if client.send(order).await.is_err() {
                    drop(heard.send(Heard::Lost).await);
                    return;
                }
                continue;
            }
            message = client.next() => message,
        };
        let ended = matches!(message, Ok(Some(FromProbe::Ended(_))));
        let told = match message {
            Ok(Some(message)) => Heard::Said(message),
            Ok(None) | Err(_) => Heard::Lost,
        };
        let last = ended || matches!(told, Heard::Lost);
        if heard.send(told).await.is_err() || last {
            return;
        }
    }
}
