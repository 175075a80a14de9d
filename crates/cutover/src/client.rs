//! The command line's side of the controller's API: HTTP over the unix socket.
//!
//! One connection per call. It never repeats a call by itself; who may ask again says so.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use model::{AppName, Fault};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::server::api::{AbortBody, Accepted, DeployBody, Said, ServerStatus};
use crate::server::bus::Notice;

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

    /// Begins a rollout; answers its run id.
    pub(crate) async fn deploy(&self, app: &AppName, version: &str) -> Result<String, Fault> {
        let body = DeployBody { version: version.to_owned() };
        let accepted: Accepted =
            self.ask(Method::POST, &format!("/v1/apps/{app}/deploy"), &body).await?;
        Ok(accepted.run)
    }

    /// Undoes the rollout under way; answers what will happen.
    pub(crate) async fn abort(
        &self,
        app: &AppName,
        reason: &str,
        interrupted: bool,
    ) -> Result<String, Fault> {
        let body = AbortBody { reason: reason.to_owned(), interrupted };
        let said: Said = self.ask(Method::POST, &format!("/v1/apps/{app}/abort"), &body).await?;
        Ok(said.text)
    }

    /// Stops the server and everything it runs.
    pub(crate) async fn stop(&self) -> Result<String, Fault> {
        let said: Said = self.ask(Method::POST, "/v1/stop", &()).await?;
        Ok(said.text)
    }

    /// A file of a run's report.
    pub(crate) async fn report(&self, run: &str, extension: &str) -> Result<Bytes, Fault> {
        let path = format!("/v1/runs/{run}/report.{extension}");
        whole(self.send(Method::GET, &path, &()).await?).await
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
        let bytes = whole(self.send(method, path, body).await?).await?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Fault::internal(format!("the server's answer cannot be read: {e}")))
    }

    async fn send<B>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<Response<Incoming>, Fault>
    where
        B: Serialize + Sync,
    {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.no_server(&e))?;
        let lost = |e: hyper::Error| Fault::environment(format!("the server went away: {e}"));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        let json = serde_json::to_vec(body)
            .map_err(|e| Fault::internal(format!("cannot write a request: {e}")))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "cutover")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(json)))
            .map_err(|e| Fault::internal(format!("cannot make a request: {e}")))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = whole(response).await?;
        let fault = serde_json::from_slice::<Fault>(&bytes);
        Err(fault.unwrap_or_else(|_| Fault::internal(format!("the server answered {status}"))))
    }

    fn no_server(&self, error: &std::io::Error) -> Fault {
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            let what = format!("{} is not yours to use", self.socket.display());
            return Fault::environment(what).help("run this as the user who runs `cutover up`");
        }
        Fault::environment(format!("no server is running ({}: {error})", self.socket.display()))
            .help("start it with `cutover up` in another terminal")
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Fault> {
    let collected = response.into_body().collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|e| Fault::environment(format!("the server went away: {e}")))
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
