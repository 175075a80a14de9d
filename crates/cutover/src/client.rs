//! The command line's side of the controller's API: HTTP over the unix socket.
//!
//! One connection per call. A call is repeated only where the server may be asked twice without harm.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use model::{AppName, Fault, Weight};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::server::api::{
    AbortBody, Accepted, DeployBody, PauseBody, PlanBody, PromoteBody, RetryBody, RollbackBody,
    Said, ServerStatus, StopBody, UpgradeBody, WeightBody,
};
use crate::server::bus::Notice;
use crate::server::history::PastRun;
use crate::server::orders::{Begun, Told};
use crate::server::planned::Planned;
use crate::server::reload::{ReloadBody, Reloaded};
use crate::server::together::{BegunTogether, TogetherAgainBody, TogetherBody};

/// How long a server may be away before it is given up.
pub(crate) const AWAY: Duration = Duration::from_mins(1);
/// Pause before a server that is away is asked again.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// A server reached through its socket.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    /// The server of a state directory; nothing is sent yet.
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// What is there.
    pub(crate) async fn status(&self) -> Result<ServerStatus, Fault> {
        self.ask(Method::GET, "/v1/status", &()).await
    }

    /// What shipping a version would do. Nothing is done.
    pub(crate) async fn plan(&self, app: &AppName, version: &str) -> Result<Planned, Fault> {
        let body = PlanBody { version: version.to_owned() };
        self.ask(Method::POST, &format!("/v1/apps/{app}/plan"), &body).await
    }

    /// Begins a rollout under the id `run`. Safe to be asked twice, and it is when
    /// the server goes away before it has answered.
    pub(crate) async fn deploy(
        &self,
        app: &AppName,
        version: &str,
        run: &str,
    ) -> Result<Begun, Fault> {
        let body = DeployBody { version: version.to_owned(), run: Some(run.to_owned()) };
        self.begin(&format!("/v1/apps/{app}/deploy"), &body).await
    }

    /// Ships the release again whose rollout did not come to its end, under the id `run`.
    pub(crate) async fn retry(&self, app: &AppName, run: &str) -> Result<Begun, Fault> {
        let body = RetryBody { run: Some(run.to_owned()) };
        self.begin(&format!("/v1/apps/{app}/retry"), &body).await
    }

    /// Takes users back to a release that ran before, under the id `run`.
    pub(crate) async fn rollback(
        &self,
        app: &AppName,
        to: Option<String>,
        run: &str,
    ) -> Result<Begun, Fault> {
        let body = RollbackBody { to, run: Some(run.to_owned()) };
        self.begin(&format!("/v1/apps/{app}/rollback"), &body).await
    }

    /// Begins a rollout of several apps, under ids that begin with that of the body.
    pub(crate) async fn deploy_together(
        &self,
        name: &AppName,
        body: &TogetherBody,
    ) -> Result<BegunTogether, Fault> {
        self.begin(&format!("/v1/together/{name}/deploy"), body).await
    }

    /// Ships releases of several apps again: `what` is `retry` or `rollback`.
    pub(crate) async fn again_together(
        &self,
        name: &AppName,
        what: &str,
        run: &str,
    ) -> Result<BegunTogether, Fault> {
        let body = TogetherAgainBody { run: Some(run.to_owned()) };
        self.begin(&format!("/v1/together/{name}/{what}"), &body).await
    }

    /// Asks for a rollout, again while the server is away: the id in the body makes that safe.
    async fn begin<B, T>(&self, path: &str, body: &B) -> Result<T, Fault>
    where
        B: Serialize + Sync,
        T: DeserializeOwned,
    {
        let mut asked = self.ask_once::<_, T>(Method::POST, path, body).await;
        let deadline = Instant::now() + AWAY;
        let mut met = false;
        loop {
            match asked {
                Ok(begun) => return Ok(begun),
                Err(Trouble::Lost(fault)) if Instant::now() > deadline => return Err(fault),
                Err(Trouble::Lost(_)) => met = true,
                Err(Trouble::Unreached(_)) if met && Instant::now() < deadline => {}
                Err(trouble) => return Err(trouble.into()),
            }
            tokio::time::sleep(AGAIN).await;
            asked = self.ask_once(Method::POST, path, body).await;
        }
    }

    /// Holds the rollout under way where it is.
    pub(crate) async fn pause(&self, app: &AppName, reason: String) -> Result<Told, Fault> {
        self.ask(Method::POST, &format!("/v1/apps/{app}/pause"), &PauseBody { reason }).await
    }

    /// Ends its pause.
    pub(crate) async fn resume(&self, app: &AppName) -> Result<Told, Fault> {
        self.ask(Method::POST, &format!("/v1/apps/{app}/resume"), &()).await
    }

    /// Lets it go on now; `full` without further shares and pauses.
    pub(crate) async fn promote(&self, app: &AppName, full: bool) -> Result<Told, Fault> {
        self.ask(Method::POST, &format!("/v1/apps/{app}/promote"), &PromoteBody { full }).await
    }

    /// Gives the candidate of a canary this share.
    pub(crate) async fn set_weight(&self, app: &AppName, weight: Weight) -> Result<Told, Fault> {
        self.ask(Method::POST, &format!("/v1/apps/{app}/weight"), &WeightBody { weight }).await
    }

    /// The newest rollouts of an app, or of all.
    pub(crate) async fn history(
        &self,
        app: Option<&AppName>,
        limit: u32,
    ) -> Result<Vec<PastRun>, Fault> {
        let app = app.map_or(String::new(), |app| format!("&app={app}"));
        self.ask(Method::GET, &format!("/v1/history?limit={limit}{app}"), &()).await
    }

    /// Undoes the rollout under way; answers what will happen.
    pub(crate) async fn abort(&self, app: &AppName, reason: &str) -> Result<String, Fault> {
        let body = AbortBody { reason: reason.to_owned(), interrupted: false, run: None };
        self.undo(app, &body).await
    }

    /// Ctrl-C: undoes what a command began under the id `run`, and nobody else's; answers what will happen.
    pub(crate) async fn take_back(&self, app: &AppName, run: &str) -> Result<String, Fault> {
        let (reason, run) = ("interrupted (Ctrl-C)".to_owned(), Some(run.to_owned()));
        self.undo(app, &AbortBody { reason, interrupted: true, run }).await
    }

    async fn undo(&self, app: &AppName, body: &AbortBody) -> Result<String, Fault> {
        let said: Said = self.ask(Method::POST, &format!("/v1/apps/{app}/abort"), body).await?;
        Ok(said.text)
    }

    /// Shows what edits of the server's file would change, or takes them up.
    pub(crate) async fn reload(&self, body: &ReloadBody) -> Result<Reloaded, Fault> {
        self.ask(Method::POST, "/v1/reload", body).await
    }

    /// Stops the server and everything it runs; `now` waits for nothing that is open.
    pub(crate) async fn stop(&self, now: bool) -> Result<String, Fault> {
        let said: Said = self.ask(Method::POST, "/v1/stop", &StopBody { now }).await?;
        Ok(said.text)
    }

    /// Has the server become another binary; answers the id of the upgrade, which has only begun.
    pub(crate) async fn upgrade(&self, program: &Path, within: Duration) -> Result<String, Fault> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let body = UpgradeBody { program: program.to_owned(), within_ms };
        let accepted: Accepted = self.ask(Method::POST, "/v1/upgrade", &body).await?;
        Ok(accepted.run)
    }

    /// True when nobody serves the socket: it is not there, or what is there is left over.
    pub(crate) async fn unserved(&self) -> bool {
        let connected = UnixStream::connect(&self.socket).await;
        let kind = connected.err().map(|error| error.kind());
        matches!(kind, Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused))
    }

    /// A file of a run's report. A server that goes away meanwhile is waited for.
    pub(crate) async fn report(&self, run: &str, extension: &str) -> Result<Bytes, Fault> {
        let path = format!("/v1/runs/{run}/report.{extension}");
        let deadline = Instant::now() + AWAY;
        loop {
            let read = match self.send(Method::GET, &path, &()).await {
                Ok(response) => whole(response).await,
                Err(trouble) => Err(trouble),
            };
            match read {
                Ok(bytes) => return Ok(bytes),
                Err(Trouble::Lost(_) | Trouble::Unreached(_)) if Instant::now() < deadline => {}
                Err(trouble) => return Err(trouble.into()),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What an app's controller says, from the start of its present rollout on.
    pub(crate) async fn events(&self, app: &AppName) -> Result<Notices, Fault> {
        let response = self.send(Method::GET, &format!("/v1/apps/{app}/events"), &()).await?;
        Ok(Notices { body: response.into_body(), buffer: Vec::new() })
    }

    async fn ask<B, T>(&self, method: Method, path: &str, body: &B) -> Result<T, Fault>
    where
        B: Serialize + Sync,
        T: DeserializeOwned,
    {
        Ok(self.ask_once(method, path, body).await?)
    }

    async fn ask_once<B, T>(&self, method: Method, path: &str, body: &B) -> Result<T, Trouble>
    where
        B: Serialize + Sync,
        T: DeserializeOwned,
    {
        let bytes = whole(self.send(method, path, body).await?).await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Trouble::Told(Fault::internal(format!("the server's answer cannot be read: {e}")))
        })
    }

    async fn send<B>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<Response<Incoming>, Trouble>
    where
        B: Serialize + Sync,
    {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|e| Trouble::Unreached(self.no_server(&e)))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| lost(&e))?;
        tokio::spawn(connection);
        let json = serde_json::to_vec(body).map_err(|e| Trouble::ours(&e))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "cutover")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(json)))
            .map_err(|e| Trouble::ours(&e))?;
        let response = sender.send_request(request).await.map_err(|e| lost(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = whole(response).await?;
        let fault = serde_json::from_slice::<Fault>(&bytes);
        let odd = |_| Fault::internal(format!("the server answered {status}"));
        Err(Trouble::Told(fault.unwrap_or_else(odd)))
    }

    fn no_server(&self, error: &std::io::Error) -> Fault {
        if error.kind() == ErrorKind::PermissionDenied {
            let what = format!("{} is not yours to use", self.socket.display());
            return Fault::environment(what).help("run this as the user who runs `cutover up`");
        }
        Fault::environment(format!("no server is running ({}: {error})", self.socket.display()))
            .help("start it with `cutover up` in another terminal")
    }
}

/// Why a call came to nothing.
#[derive(Debug)]
enum Trouble {
    /// Nobody serves the socket, or it may not be used.
    Unreached(Fault),
    /// The server went away before it had answered: it may have heard.
    Lost(Fault),
    /// It answered, and this is what it said.
    Told(Fault),
}

impl Trouble {
    /// A request of ours that could not even be written.
    fn ours(error: &dyn std::error::Error) -> Self {
        Self::Told(Fault::internal(format!("cannot make a request: {error}")))
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let (Trouble::Unreached(fault) | Trouble::Lost(fault) | Trouble::Told(fault)) = trouble;
        fault
    }
}

fn lost(error: &hyper::Error) -> Trouble {
    Trouble::Lost(Fault::environment(format!("the server went away: {error}")))
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Trouble> {
    let collected = response.into_body().collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|e| lost(&e))
}

/// A stream of notices.
#[derive(Debug)]
pub(crate) struct Notices {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Notices {
    /// The next notice; `None` when the server closed the stream or went away.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(notice) = parse(&event) {
                    return Some(notice);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}

/// A server-sent event with one `data:` line; comments (keep-alive) give nothing.
fn parse(event: &[u8]) -> Option<Notice> {
    let text = std::str::from_utf8(event).ok()?;
    let data = text.lines().find_map(|line| line.strip_prefix("data:"))?;
    serde_json::from_str(data.trim_start()).ok()
}
