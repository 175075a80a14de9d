//! The link to a rollout's prober, which is a process of its own.
//!
//! It is started once per rollout and found again by its socket after a restart of the controller.
//! What it measures is not looked at here.

use std::path::Path;
use std::time::Duration;

use model::Fault;
use probe::control::{FromProbe, ToProbe};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::children;
use crate::config::AppConfig;

/// How long a fresh prober may take to open its socket.
const START_DEADLINE: Duration = Duration::from_secs(5);

/// The command line of an app's prober, which asks the router at `entrance`.
pub(super) fn arguments(
    app: &AppConfig,
    entrance: &str,
    samples: &Path,
    socket: &Path,
) -> Vec<String> {
    let config = &app.probe;
    let lanes: Vec<&str> = config.lanes.iter().map(|lane| lane.name()).collect();
    let ms = |duration: Duration| format!("{}ms", duration.as_millis());
    let mut words = vec!["probe".to_owned(), format!("http://{entrance}{}", config.path)];
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    add("--rate", config.rate.to_string());
    add("--lanes", lanes.join(","));
    add("--websocket-path", config.websocket_path.clone());
    add("--sockets", config.sockets.to_string());
    add("--late-after", ms(config.late_after));
    add("--timeout", ms(config.timeout));
    add("--version-header", config.version_header.clone());
    add("--samples", samples.display().to_string());
    add("--control", socket.display().to_string());
    if let Some(host) = app.hosts.first() {
        add("--host", host.clone());
    }
    words
}

/// A prober that was reached.
#[derive(Debug)]
pub(super) struct Prober {
    orders: mpsc::Sender<ToProbe>,
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
    /// Starts a prober with `arguments` that will listen on `socket`, and connects to it.
    pub(super) async fn start(
        arguments: &[String],
        socket: &Path,
        log: &Path,
        heard: mpsc::Sender<Heard>,
    ) -> Result<Self, Fault> {
        let mut child = children::spawn_self(arguments, log)?;
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Ok(prober) = Self::attach(socket, heard.clone()).await {
                // Reaped by the runtime when it ends.
                tokio::spawn(async move { child.wait().await });
                return Ok(prober);
            }
            let ended = tokio::time::timeout(Duration::from_millis(20), child.wait()).await;
            if ended.is_ok() || Instant::now() > deadline {
                let mut fault = Fault::internal("the prober did not start");
                fault.notes = children::tail(log, 5);
                return Err(fault);
            }
        }
    }

    /// Connects to a prober that runs already.
    pub(super) async fn attach(socket: &Path, heard: mpsc::Sender<Heard>) -> Result<Self, Fault> {
        let client = probe::client::Client::connect(socket).await?;
        let (orders, inbox) = mpsc::channel(8);
        tokio::spawn(link(client, inbox, heard));
        Ok(Self { orders })
    }

    /// Sends an order; one to a prober that is gone is answered by [`Heard::Lost`].
    pub(super) async fn tell(&self, order: ToProbe) {
        let _sent = self.orders.send(order).await;
    }
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
