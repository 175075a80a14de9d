//! `cutover down`: tells the server to stop, shows what it still waits for, and sees it gone.
//!
//! It ends nothing itself. A server that does not stop in time is named, with what can be done.

use std::time::Duration;

use model::{Fault, Kind};
use serde_json::json;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::ordered;
use crate::cli;
use crate::client::Client;
use crate::config::Config;
use crate::duration;
use crate::server::api::ServerStatus;
use crate::server::layout::Layout;
use crate::server::living::Living;
use crate::server::orders::Told;

/// How often the server is asked.
const PACE: Duration = Duration::from_millis(50);
/// How often at most it is said what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// What a server may need beyond its own timeouts: the prober's last words, the proxy's end.
const SLACK: Duration = Duration::from_secs(30);

/// Runs the command.
pub(super) async fn down(arguments: cli::Down) -> Result<u8, Fault> {
    let (client, config) = super::reach(&arguments.at)?;
    let pid = client.status().await?.pid;
    let server = Living::find(pid).map_err(|e| {
        Fault::environment(format!("the server (pid {pid}) cannot be watched: {e}"))
    })?;
    let text = client.stop(arguments.now).await?;
    step(&text, "", arguments.json);
    let limit = limit(&config, arguments.now);
    let (said, again, json) = (String::new(), Instant::now() + SAY_EVERY, arguments.json);
    let mut watch = Watch { client, pid, server, said, again, json };
    let proxy = Layout::at(&config.state_dir)?.proxy_socket();
    match tokio::time::timeout(limit, watch.gone()).await {
        // It ends last of all, unless somebody else ended it.
        Ok(()) if UnixStream::connect(&proxy).await.is_ok() => Err(died(pid)),
        Ok(()) if json => ordered::tell(&Told { text: "stopped".to_owned(), run: None }, json),
        Ok(()) => {
            crate::say::errln!("stopped");
            Ok(0)
        }
        Err(_) => Err(watch.late(limit, arguments.now)),
    }
}

fn died(pid: u32) -> Fault {
    let what =
        format!("the server (pid {pid}) died before it had stopped all: its proxy serves on");
    Fault::environment(what).help("`cutover up` takes over what runs; then `cutover down` again")
}

/// What is done or waited for, on stderr.
fn step(words: &str, indent: &str, json: bool) {
    if json {
        crate::say::errln!("{}", json!({ "step": "down", "text": words }));
    } else {
        crate::say::errln!("{indent}{words}");
    }
}

/// How long a stop may take by the configuration; more than that is trouble.
fn limit(config: &Config, now: bool) -> Duration {
    let stop = config.apps.values().map(|app| app.stop_timeout).max().unwrap_or_default();
    if now { SLACK } else { config.proxy.drain_timeout + stop + SLACK }
}

/// A server on its way out.
struct Watch {
    client: Client,
    pid: u32,
    /// Its process; none if it has ended before it was told.
    server: Option<Living>,
    /// What was last said to be waited for.
    said: String,
    /// When the next thing may be said.
    again: Instant,
    /// To a program.
    json: bool,
}

impl Watch {
    /// Resolves when the server does not run any more. Only a socket that nobody serves and a
    /// process that is gone say so; a failed question does not.
    async fn gone(&mut self) {
        while !self.client.unserved().await {
            if let Ok(status) = self.client.status().await {
                self.say(words(&status));
            }
            tokio::time::sleep(PACE).await;
        }
        // It holds the lock of its state directory to its end.
        if let Some(server) = &self.server {
            server.ended().await;
        }
    }

    fn say(&mut self, words: String) {
        if Instant::now() >= self.again && words != self.said {
            step(&words, "  ", self.json);
            self.said = words;
            self.again = Instant::now() + SAY_EVERY;
        }
    }

    fn late(&self, limit: Duration, now: bool) -> Fault {
        let (pid, limit) = (self.pid, duration::show(limit));
        let what = format!("the server (pid {pid}) has not stopped within {limit}");
        let fault = Fault::new(Kind::Environment, what);
        let fault = if self.said.is_empty() { fault } else { fault.note(self.said.clone()) };
        if now {
            let help = format!(
                "read what it says; `kill -9 {pid}` ends it and leaves its instances running for \
                 the next `cutover up`"
            );
            return fault.help(help);
        }
        fault.help("`cutover down --now` cuts what is still open")
    }
}

/// What a stopping server still waits for.
fn words(status: &ServerStatus) -> String {
    let pools = || status.apps.iter().flat_map(|app| &app.pools);
    let (requests, tunnels) = (
        pools().map(|pool| pool.requests).sum::<u64>(),
        pools().map(|pool| pool.tunnels).sum::<u64>(),
    );
    let instances: Vec<&str> = status
        .apps
        .iter()
        .flat_map(|app| &app.instances)
        .map(|instance| instance.id.as_str())
        .collect();
    let several = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "waiting for {}, {} and {} ({})",
        several(requests, "request"),
        several(tunnels, "tunnel"),
        several(instances.len() as u64, "instance"),
        instances.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::words;
    use crate::duration;
    use crate::server::api::ServerStatus;

    #[test]
    fn says_what_is_waited_for() {
        let json = r#"{"pid": 7, "epoch": 1, "listen": [], "apps": [{"app": "web",
            "coarse": "Healthy", "stable": "v1", "rollout": null, "last": null, "trouble": null,
            "instances": [{"id": "web-1-1", "version": "v1", "address": "127.0.0.1:1", "pid": 8,
            "condition": "ready"}], "pools": [{"version": "v1", "weight": 10000,
            "state": "serving", "requests": 2, "tunnels": 3}]}]}"#;
        let status: ServerStatus = serde_json::from_str(json).unwrap();
        assert_eq!(words(&status), "waiting for 2 requests, 3 tunnels and 1 instance (web-1-1)");
        assert_eq!(duration::show(Duration::from_secs(70)), "1m10s");
    }
}
