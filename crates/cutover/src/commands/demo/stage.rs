//! The demo's stage: a temporary directory, a configuration, and a `cutover up` of its own.
//!
//! Everything it starts it ends, also when the demo fails half-way.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AppName, Fault};
use tokio::process::Child;
use tokio::time::Instant;

use crate::cli::{self, Inject};
use crate::client::Client;
use crate::server::children;
use crate::server::layout::Layout;

/// How long the server may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The demo's stage.
pub(super) struct Stage {
    directory: PathBuf,
    layout: Layout,
    app: AppName,
    entrance: SocketAddr,
    allow_faults: bool,
    server: Option<Child>,
}

impl Stage {
    /// Writes the configuration and the two releases; nothing runs yet.
    pub(super) fn set(arguments: &cli::Demo) -> Result<Self, Fault> {
        let name = format!("cutover-demo-{}-{:04x}", std::process::id(), fastrand::u16(..));
        let directory = std::env::temp_dir().join(name);
        let refused = |e: std::io::Error| {
            Fault::environment(format!("{} cannot be used: {e}", directory.display()))
                .help("set TMPDIR to a directory that you can write")
        };
        std::fs::create_dir_all(&directory).map_err(refused)?;
        let entrance = free_port().map_err(refused)?;
        let layout = Layout::at(&directory.join("state"))?;
        let stage = Self {
            app: AppName::new("demo")?,
            layout,
            entrance,
            allow_faults: arguments.inject == Some(Inject::Truncate),
            server: None,
            directory: directory.clone(),
        };
        let config = configuration(arguments, entrance);
        std::fs::write(directory.join("cutover.toml"), config).map_err(refused)?;
        stage.write_release("v1", "").map_err(refused)?;
        let slow = "--start-delay 1s --ready-delay 1s";
        let fault = candidate_fault(arguments.inject).unwrap_or(slow);
        stage.write_release("v2", fault).map_err(refused)?;
        Ok(stage)
    }

    /// A release is a directory with a start script, as a build would leave it.
    fn write_release(&self, version: &str, fault: &str) -> std::io::Result<()> {
        use std::io::Write as _;
        let directory = self.directory.join(version);
        std::fs::create_dir_all(&directory)?;
        let mut script = std::fs::File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o755)
            .open(directory.join("start"))?;
        let program = std::env::current_exe()?;
        let quoted = program.display().to_string().replace('\'', r"'\''");
        write!(script, "#!/bin/sh\nexec '{quoted}' app --version {version} {fault} \"$@\"\n")
    }

    /// Starts the server and waits until it answers.
    pub(super) async fn open(&mut self) -> Result<Client, Fault> {
        let config = self.directory.join("cutover.toml");
        let mut arguments =
            vec!["up".to_owned(), "--config".to_owned(), config.display().to_string()];
        if self.allow_faults {
            arguments.push("--allow-faults".to_owned());
        }
        let log = self.log();
        let mut server = children::spawn_self(&arguments, &log)?;
        let client = Client::new(&self.layout.api_socket());
        let deadline = Instant::now() + PATIENCE;
        while client.status().await.is_err() {
            let ended = tokio::time::timeout(Duration::from_millis(20), server.wait()).await;
            if ended.is_ok() || Instant::now() > deadline {
                let mut fault = Fault::environment("the demo's server did not start");
                fault.notes = children::tail(&log, 8);
                return Err(fault);
            }
        }
        self.server = Some(server);
        Ok(client)
    }

    /// Ends the server with everything it runs, and removes the directory.
    pub(super) async fn strike(mut self) -> Result<(), Fault> {
        if let Some(server) = &mut self.server {
            let client = Client::new(&self.layout.api_socket());
            client.stop().await?;
            if tokio::time::timeout(PATIENCE, server.wait()).await.is_err() {
                return Err(Fault::internal("the demo's server did not end")
                    .note(format!("its state is in {}", self.directory.display())));
            }
        }
        std::fs::remove_dir_all(&self.directory)
            .map_err(|e| Fault::environment(format!("{}: {e}", self.directory.display())))
    }

    /// The app that is shipped.
    pub(super) const fn app(&self) -> &AppName {
        &self.app
    }

    /// Where its users come in.
    pub(super) const fn entrance(&self) -> SocketAddr {
        self.entrance
    }

    /// The state directory.
    pub(super) const fn layout(&self) -> &Layout {
        &self.layout
    }

    fn log(&self) -> PathBuf {
        Path::join(&self.directory, "up.log")
    }
}

/// A port that is free now; if somebody takes it before `up` does, `up` says so.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn candidate_fault(inject: Option<Inject>) -> Option<&'static str> {
    match inject? {
        Inject::CandidateErrors => Some("--error-share 0.5"),
        Inject::CandidateNeverReady => Some("--ready-delay 10m"),
        Inject::KillBeforeDrain | Inject::CandidateDies | Inject::Truncate | Inject::Stall => None,
    }
}

fn configuration(arguments: &cli::Demo, entrance: SocketAddr) -> String {
    let (instances, rate) = (arguments.instances, arguments.rate);
    format!(
        r#"state_dir = "state"

[proxy]
listen = ["{entrance}"]
drain_timeout = "5s"

[app.demo]
command = ["./{{version}}/start", "--port", "{{port}}", "--drain-deadline", "8s"]
instances = {instances}
stop_timeout = "10s"

[app.demo.health]
path = "/healthz"
interval = "100ms"
timeout = "1s"
rise = 3
deadline = "8s"

[app.demo.rollout]
preview_requests = 40
bake = "4s"
drain_timeout = "10s"
handover_timeout = "10s"

[app.demo.probe]
rate = {rate}
path = "/datetime"
lanes = ["keep-alive", "fresh", "websocket"]
websocket_path = "/ws"
late_after = "500ms"
timeout = "5s"
"#
    )
}
