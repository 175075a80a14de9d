//! The demo's stage: a temporary directory, a configuration, and a `cutover up` of its own.
//!
//! Everything it starts it ends, also when the demo fails half-way. The story that is played on it is in
//! `mod`.

use std::fs::DirBuilder;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use model::{AppName, Fault, Kind};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::Instant;

use crate::cli::{self, Inject};
use crate::client::Client;
use crate::interrupt::Interrupt;
use crate::server::children::{self, Children};
use crate::server::layout::Layout;

/// How long the server may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Share of errors in `candidate-errors`, unless said otherwise.
const ERROR_SHARE: f64 = 0.5;

/// The demo's stage.
pub(super) struct Stage {
    directory: PathBuf,
    layout: Layout,
    app: AppName,
    entrance: SocketAddr,
    allow_faults: bool,
    server: Option<Child>,
    /// The server was up once.
    answered: bool,
}

impl Stage {
    /// Writes the configuration and the two releases; nothing runs yet.
    pub(super) fn set(arguments: &cli::Demo) -> Result<Self, Fault> {
        if let (Some(inject), Some(_)) = (arguments.inject, arguments.error_share)
            && inject != Inject::CandidateErrors
        {
            let what = format!("`--error-share` has no part in `--inject {}`", inject.name());
            let help = "it goes with `--inject candidate-errors`";
            return Err(Fault::new(Kind::Usage, what).help(help));
        }
        let name = format!("cutover-demo-{}-{:04x}", std::process::id(), fastrand::u16(..));
        let directory = std::env::temp_dir().join(name);
        let layout = Layout::at(&directory.join("state")).map_err(|mut fault| {
            fault.help = Some("set TMPDIR to a directory with a shorter path".to_owned());
            fault
        })?;
        let refused = |e: std::io::Error| {
            Fault::environment(format!("{} cannot be used: {e}", directory.display()))
                .help("set TMPDIR to a directory that you can write")
        };
        let entrance = free_port().map_err(refused)?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(refused)?;
        let stage = Self {
            app: AppName::new("demo")?,
            layout,
            entrance,
            allow_faults: arguments.inject == Some(Inject::Truncate),
            server: None,
            answered: false,
            directory: directory.clone(),
        };
        if let Err(error) = stage.write(arguments) {
            // Nothing of use is in it.
            drop(std::fs::remove_dir_all(&directory));
            return Err(refused(error));
        }
        Ok(stage)
    }

    fn write(&self, arguments: &cli::Demo) -> std::io::Result<()> {
        let config = configuration(arguments, self.entrance);
        std::fs::write(self.directory.join("cutover.toml"), config)?;
        self.write_release("v1", "")?;
        let slow = "--start-delay 1s --ready-delay 1s";
        self.write_release("v2", candidate_fault(arguments).as_deref().unwrap_or(slow))
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

    /// Starts the server and waits until it answers. May be dropped half-way.
    pub(super) async fn open(&mut self) -> Result<Client, Fault> {
        let config = self.directory.join("cutover.toml");
        let mut arguments =
            vec!["up".to_owned(), "--config".to_owned(), config.display().to_string()];
        if self.allow_faults {
            arguments.push("--allow-faults".to_owned());
        }
        let log = self.directory.join("up.log");
        let server = self.server.insert(Children::default().spawn(&arguments, &log)?);
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
        self.answered = true;
        Ok(client)
    }

    /// Ends the server with everything it runs, and removes the directory. An interruption hurries
    /// it: what is still open is cut then.
    pub(super) async fn strike(mut self, interrupt: &mut Interrupt) -> Result<(), Fault> {
        if self.answered && self.died() {
            // It was killed from outside. What it ran lives on; its successor takes that over.
            self.open().await?;
        }
        if let Some(mut server) = self.server.take() {
            tell_to_end(&server, Signal::TERM);
            let deadline = Instant::now() + PATIENCE;
            loop {
                tokio::select! {
                    _ = server.wait() => break,
                    () = tokio::time::sleep_until(deadline) => {
                        let what = "the demo's server did not end";
                        let place = format!("its state is in {}", self.directory.display());
                        return Err(Fault::internal(what).note(place));
                    }
                    // Two of the same kind may arrive as one.
                    () = interrupt.wait() => tell_to_end(&server, Signal::INT),
                }
            }
        }
        std::fs::remove_dir_all(&self.directory)
            .map_err(|e| Fault::environment(format!("{}: {e}", self.directory.display())))
    }

    fn died(&mut self) -> bool {
        self.server.as_mut().is_some_and(|server| matches!(server.try_wait(), Ok(Some(_))))
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
}

/// SIGTERM or SIGINT; a second one makes a server hurry. One that has ended already needs none.
fn tell_to_end(server: &Child, told: Signal) {
    let pid = server.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, told);
    }
}

/// A port that is free now; if somebody takes it before `up` does, `up` says so.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn candidate_fault(arguments: &cli::Demo) -> Option<String> {
    match arguments.inject? {
        Inject::CandidateErrors => {
            Some(format!("--error-share {}", arguments.error_share.unwrap_or(ERROR_SHARE)))
        }
        Inject::CandidateNeverReady => Some("--ready-delay 10m".to_owned()),
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Stage, candidate_fault};
    use crate::cli::{self, Cli, Command};

    fn demo(arguments: &str) -> Result<cli::Demo, clap::Error> {
        let words = ["cutover", "demo"].into_iter().chain(arguments.split_whitespace());
        let Command::Demo(demo) = Cli::try_parse_from(words)?.command else { panic!() };
        Ok(demo)
    }

    fn fault(arguments: &str) -> Option<String> {
        candidate_fault(&demo(arguments).unwrap())
    }

    #[test]
    fn half_of_the_answers_are_errors_unless_said_otherwise() {
        let half = fault("--inject candidate-errors");
        assert_eq!(half.as_deref(), Some("--error-share 0.5"));
        let few = fault("--inject candidate-errors --error-share 0.05");
        assert_eq!(few.as_deref(), Some("--error-share 0.05"));
        assert_eq!(fault("--inject stall"), None);
    }

    #[test]
    fn a_share_of_errors_without_a_fault_is_refused() {
        let refused = demo("--error-share 0.05").unwrap_err().to_string();
        assert!(refused.contains("--inject <FAULT>"), "{refused}");
    }

    #[test]
    fn a_share_of_errors_with_another_fault_is_refused() {
        let demo = demo("--inject stall --error-share 0.05").unwrap();
        let refused = Stage::set(&demo).err().unwrap();
        assert_eq!(refused.what, "`--error-share` has no part in `--inject stall`");
    }
}
