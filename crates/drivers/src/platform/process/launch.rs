//! Starting one process: arguments, environment, group, output.
//!
//! No shell, no pipes of ours: the process owns its log and lives on when we die. It does not
//! record anything and does not watch what it started.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use model::{Fault, InstanceId, Release};
use rustix::io::Errno;

use super::program::{find_checker, find_within};
use super::surroundings::Surroundings;
use crate::check::command::Program;

/// Who is started, where it is to listen and where its output goes.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) release: &'a Release,
    pub(super) id: &'a InstanceId,
    pub(super) port: u16,
    /// `None` is 127.0.0.1, of which nobody is told in the environment.
    pub(super) host: Option<IpAddr>,
    pub(super) state: &'a Path,
    pub(super) surroundings: &'a Surroundings,
}

impl Launch<'_> {
    /// Starts it and says its pid. When this returns, the program has been loaded.
    pub(super) fn start(&self, log: File) -> Result<u32, Fault> {
        let program = find_within(self.release, self.surroundings)?;
        let environment = self.surroundings.environment(self.release)?;
        let errors = log.try_clone().map_err(|e| Fault::environment(format!("the log: {e}")))?;
        let arguments = self.release.command.iter().skip(1).map(|argument| self.fill(argument));
        let host = self.host.map(|host| ("HOST", host.to_string()));
        let started = Command::new(&program)
            .args(arguments)
            .current_dir(&self.release.directory)
            .env_clear()
            .envs(environment)
            .envs(host)
            .env("PORT", self.port.to_string())
            .env("VERSION", self.release.version.as_str())
            .env("CUTOVER_INSTANCE", &self.id.0)
            .env("CUTOVER_STATE", self.state)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn();
        started.map(|child| child.id()).map_err(|error| {
            let what = format!("`{}` could not be started: {error}", program.display());
            Fault::environment(what).help(match error.kind() {
                ErrorKind::NotFound => {
                    "the file is there, and what it needs to be loaded is not: is it a program for \
                     this machine?"
                }
                _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                    "is it a program for this machine? A script begins with a line such as #!/bin/sh"
                }
                _ => "is it a program for this machine?",
            })
        })
    }

    /// The program that checks it, if its release names one: with the instance's own environment and
    /// where it listens.
    pub(super) fn checker(&self) -> Result<Program, Fault> {
        let file = find_checker(self.release, self.surroundings)?;
        let mut environment = self.surroundings.environment(self.release)?;
        for (name, value) in [
            ("PORT", self.port.to_string()),
            ("VERSION", self.release.version.to_string()),
            ("CUTOVER_INSTANCE", self.id.to_string()),
            ("CUTOVER_ADDRESS", SocketAddr::new(self.host(), self.port).to_string()),
        ] {
            environment.insert(name.into(), value.into());
        }
        if let Some(host) = self.host {
            environment.insert("HOST".into(), host.to_string().into());
        }
        // Both together mark processes of the instance, and this is none.
        environment.remove(OsStr::new("CUTOVER_STATE"));
        let arguments = self.release.health.command.iter().skip(1);
        Ok(Program {
            file,
            arguments: arguments.map(|argument| self.fill(argument)).collect(),
            directory: PathBuf::from(&self.release.directory),
            environment,
        })
    }

    fn host(&self) -> IpAddr {
        self.host.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// Fills in the placeholders that are known; everything else stays as it is.
    fn fill(&self, argument: &str) -> String {
        let mut rest = argument;
        let mut filled = String::new();
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            match &rest[..end] {
                "{host}" => filled.push_str(&self.host().to_string()),
                "{port}" => filled.push_str(&self.port.to_string()),
                "{version}" => filled.push_str(self.release.version.as_str()),
                "{instance}" => filled.push_str(&self.id.0),
                _ => {
                    filled.push('{');
                    rest = &rest[1..];
                    continue;
                }
            }
            rest = &rest[end..];
        }
        filled + rest
    }
}

#[cfg(test)]
mod tests {
    use super::{Launch, Surroundings};
    use model::fleet::HealthCheck;
    use model::{AppName, InstanceId, Release, ReleaseId, Version};

    #[test]
    fn only_whole_known_placeholders_are_filled() {
        let health = HealthCheck {
            path: None,
            command: Vec::new(),
            interval_ms: 1,
            timeout_ms: 1,
            rise: 1,
            fall: 1,
        };
        let release = Release {
            app: AppName::new("demo").unwrap(),
            id: ReleaseId(1),
            version: Version::new("v9").unwrap(),
            command: vec![],
            directory: "/".into(),
            environment: std::collections::BTreeMap::new(),
            health,
            stop_timeout_ms: 1,
            source: None,
        };
        let id = InstanceId("demo-1-1".into());
        let state = std::path::Path::new("/s");
        let surroundings = &Surroundings::default();
        let (host, port) = (None, 81);
        let launch = Launch { release: &release, id: &id, port, host, state, surroundings };
        for (given, filled) in [
            ("--port={port}", "--port=81"),
            ("{version}/{instance}:{port}", "v9/demo-1-1:81"),
            ("--bind={host}:{port}", "--bind=127.0.0.1:81"),
            ("{x} {port", "{x} {port"),
            ("{{port}}", "{81}"),
            ("{\"a\":{port}}", "{\"a\":81}"),
            ("é{port}é", "é81é"),
            ("", ""),
        ] {
            assert_eq!(launch.fill(given), filled);
        }
        let elsewhere = Launch { host: Some([10, 0, 0, 5].into()), ..launch };
        assert_eq!(elsewhere.fill("{host}:{port}"), "10.0.0.5:81");
    }
}
