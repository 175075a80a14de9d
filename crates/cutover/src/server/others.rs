//! Proxies that carry users beside the one that is kept: those before an upgrade, until they are empty.
//!
//! They are known by their sockets in the state directory, so that every `up` finds them, whoever left
//! them. What is open on them counts at the driver. When they may be told to end is decided elsewhere.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::Fault;
use model::admin::Observation;
use rustix::process::Signal;
use tokio::time::Instant;

use super::layout::Layout;
use super::living::{Living, Server, server};
use crate::config::ProxyConfig;

/// An idle client of a proxy that ends stays for so long: its next request is answered, and told to
/// come again on another connection.
const LINGER: Duration = Duration::from_secs(10);
/// How often a proxy that is mute is asked again.
const PACE: Duration = Duration::from_millis(100);
/// What a proxy may need beyond its time.
const SLACK: Duration = Duration::from_secs(5);

/// One of them.
#[derive(Debug)]
pub(super) struct Other {
    socket: PathBuf,
    /// Its process.
    pub(super) process: Living,
    /// Its driver.
    pub(super) proxy: Arc<Proxy>,
}

/// Those that live. What others left behind is removed.
pub(super) async fn find(layout: &Layout) -> Vec<Other> {
    let mut found = Vec::new();
    for socket in layout.other_proxy_sockets() {
        match server(&socket).await {
            Ok(Server::Found(process)) => {
                let proxy = Arc::new(Proxy::new(&socket));
                found.push(Other { socket, process, proxy });
            }
            // One that stays is removed the next time.
            Ok(Server::Nobody) => drop(std::fs::remove_file(socket)),
            Ok(Server::Unknown) => tracing::warn!("{} is served by nobody known", socket.display()),
            Err(error) => tracing::warn!("{}: {error}", socket.display()),
        }
    }
    found
}

impl Other {
    /// What it listens on, and whether with TLS.
    pub(super) async fn listeners(&self) -> Result<Vec<(SocketAddr, OwnedFd)>, Fault> {
        self.proxy.take_listeners().await
    }

    /// Its place among the sockets.
    pub(super) fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Has it leave the address of metrics to the one that is kept; its log is the same one's.
    pub(super) async fn leave_metrics(&self, observation: &Observation) {
        let without = Observation { metrics: None, ..observation.clone() };
        if let Err(fault) = self.proxy.observe(&without).await {
            let pid = self.process.pid();
            tracing::warn!(
                "the proxy beside ours (pid {pid}) may keep the place of metrics: {fault}"
            );
        }
    }

    /// Has it take up what was edited: it still has clients, for whom that holds as well. What it refuses is
    /// said and keeps nobody; an older version may not know all of it.
    pub(super) async fn take_up(&self, config: &ProxyConfig) {
        let done = async {
            if !config.certificates.is_empty() {
                self.proxy.certify(&config.certificates).await?;
            }
            self.proxy.configure(&config.settings).await
        };
        if let Err(fault) = done.await {
            let pid = self.process.pid();
            tracing::warn!(
                "the proxy that is being replaced (pid {pid}) goes on as before the reload: {fault}"
            );
        }
        self.leave_metrics(&config.observation).await;
    }

    /// Lets it finish what is open, `within` at most, and sees it gone.
    pub(super) async fn see_off(self, within: Duration) {
        let deadline = Instant::now() + within;
        let linger = LINGER.min(within);
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        while self.process.lives() {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.proxy.retire(ms(left), ms(linger)).await.is_ok() {
                break;
            }
            if Instant::now() >= deadline {
                self.process.signal(Signal::TERM);
                break;
            }
            // A moment's silence is no reason to cut what is open.
            drop(tokio::time::timeout(PACE, self.process.ended()).await);
        }
        let limit = deadline.max(Instant::now()) + SLACK;
        if tokio::time::timeout_at(limit, self.process.ended()).await.is_err() {
            let pid = self.process.pid();
            tracing::warn!("the proxy before the upgrade (pid {pid}) overran its time; killing it");
            self.process.signal(Signal::KILL);
            self.process.ended().await;
        }
        let _how = self.process.reap();
        drop(std::fs::remove_file(&self.socket));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::channel;

    use model::admin::{AccessLog, KeyPair, LogFormat, Reply, Request, Settings};

    use super::*;

    /// A request's limits and its certificate do not depend on whether its proxy is being replaced.
    #[tokio::test]
    async fn what_a_reload_changes_holds_on_a_replaced_proxy_too_but_for_the_place_of_metrics() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("proxy-1.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            let stream = listener.accept().unwrap().0;
            let mut answers = stream.try_clone().unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                sender.send(serde_json::from_str::<Request>(&line).unwrap()).unwrap();
                let mut reply = serde_json::to_vec(&Reply::Done).unwrap();
                reply.push(b'\n');
                answers.write_all(&reply).unwrap();
            }
        });
        let process = Living::find(std::process::id()).unwrap().unwrap();
        let other = Other { proxy: Arc::new(Proxy::new(&socket)), socket, process };
        let pair = KeyPair { chain: "/c.pem".into(), key: "/k.pem".into() };
        let settings =
            Settings { trusted: vec!["10.0.0.0/8".parse().unwrap()], ..Settings::default() };
        let path = "/a.log".into();
        let access_log = Some(AccessLog { path, format: LogFormat::Json, query: false });
        let metrics = Some("127.0.0.1:9180".parse().unwrap());
        let config = ProxyConfig {
            listen: Vec::new(),
            tls_listen: Vec::new(),
            certificates: vec![pair.clone()],
            settings: settings.clone(),
            observation: Observation { access_log: access_log.clone(), metrics },
            threads: 1,
            drain_timeout: Duration::ZERO,
            upgrade_timeout: Duration::ZERO,
        };
        other.take_up(&config).await;
        let told: Vec<Request> = asked.try_iter().collect();
        let observation = Observation { access_log, metrics: None };
        let wanted = [
            Request::Certify { pairs: vec![pair], forgiving: false },
            Request::Configure { settings },
            Request::Observe { observation },
        ];
        assert_eq!(told, wanted);
    }
}
