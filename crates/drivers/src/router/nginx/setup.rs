//! What the driver must be told of an nginx: where its files lie and how it is tested. Only the nouns.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::AppName;

/// An nginx and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The files of the apps, which the user's configuration includes at the level of `http`.
    pub directory: PathBuf,
    /// Where the master keeps its pid.
    pub pid: PathBuf,
    /// Where workers say which configuration they run; loopback.
    pub control: SocketAddr,
    /// Where users come in; only the configuration that is offered needs it.
    pub entrances: Vec<SocketAddr>,
    /// How a configuration is tested.
    pub program: Program,
    /// The apps.
    pub apps: Vec<AppSetup>,
}

/// The program of the nginx that runs, and what it is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The `nginx`.
    pub path: PathBuf,
    /// Its main configuration file (`-c`).
    pub config: PathBuf,
    /// Its prefix (`-p`), if it is not the one it was built with.
    pub prefix: Option<PathBuf>,
}

/// One app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSetup {
    /// Its name.
    pub name: AppName,
    /// Hosts that the offered configuration gives it; empty means every one.
    pub hosts: Vec<String>,
    /// Path prefix that the offered configuration gives it.
    pub path_prefix: String,
    /// An instance is asked for this path before it gets traffic; without one it must accept a
    /// connection.
    pub check_path: Option<String>,
    /// The longest that a request lasts.
    pub longest_request: Duration,
    /// The time that a rollout gives tunnels, from the switch on, to move by themselves.
    pub tunnels: Duration,
}

impl Setup {
    /// One that has everything in one directory.
    pub fn within(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            pid: directory.join("nginx.pid"),
            control: ([127, 0, 0, 1], 9170).into(),
            entrances: Vec::new(),
            program: Program {
                path: "nginx".into(),
                config: directory.join("nginx.conf"),
                prefix: None,
            },
            apps: Vec::new(),
        }
    }

    /// The generated configuration of an app.
    pub(super) fn file(&self, app: &AppName) -> PathBuf {
        self.directory.join(format!("{app}.conf"))
    }

    /// What is on record of an app.
    pub(super) fn record(&self, app: &AppName) -> PathBuf {
        self.directory.join(format!("{app}.json"))
    }

    /// The longest that a request of the app lasts, ms.
    pub(super) fn longest_ms(&self, app: &AppName) -> u64 {
        let own = self.apps.iter().find(|one| one.name == *app);
        let longest = own.map_or(Duration::ZERO, |app| app.longest_request);
        u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)
    }

    /// What an instance of the app is asked for.
    pub(super) fn check_path(&self, app: &AppName) -> Option<&str> {
        self.apps.iter().find(|one| one.name == *app)?.check_path.as_deref()
    }
}

/// One for tests, of everything below `/`.
#[cfg(test)]
pub(super) fn app_setup(name: &str) -> AppSetup {
    AppSetup {
        name: AppName::new(name).unwrap(),
        hosts: Vec::new(),
        path_prefix: "/".to_owned(),
        check_path: None,
        longest_request: Duration::from_secs(10),
        tunnels: Duration::from_mins(1),
    }
}
