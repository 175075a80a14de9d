//! What a new binary checks before it replaces a running one: a copy of the state, and the file.
//!
//! It is the *new* binary that runs this. It opens and migrates the copy, reads everything that a server
//! reads when it starts, and compares the configuration with what runs. It touches nothing but the copy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use drivers::platform::process::Process;
use model::{AppName, Fault, Kind};
use serde::{Deserialize, Serialize};

use crate::config::{Config, RouterConfig};
use crate::store::Store;

/// What runs, for the new binary to compare with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Present {
    /// The configuration file.
    pub(crate) config: PathBuf,
    /// Apps that have instances.
    pub(crate) living: Vec<AppName>,
    /// Where our own proxy listens, and whether with TLS.
    pub(crate) listening: Vec<(SocketAddr, bool)>,
    /// Our own proxy carries the traffic.
    pub(crate) own_proxy: bool,
    /// The schema of the database that the running binary knows; one that does not say reads no newer one.
    #[serde(default)]
    pub(crate) schema: Option<usize>,
}

/// What the new binary says of itself when all is well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Its version.
    pub(crate) version: String,
}

impl Present {
    /// Writes it beside the copy of the state.
    pub(super) fn write(&self, copy: &Path) -> Result<(), Fault> {
        let json = serde_json::to_vec(self)
            .map_err(|e| Fault::internal(format!("what runs cannot be written down: {e}")))?;
        std::fs::write(copy.join("present.json"), json)
            .map_err(|e| Fault::environment(format!("{} cannot be written: {e}", copy.display())))
    }

    /// Reads it back.
    pub(crate) fn read(copy: &Path) -> Result<Self, Fault> {
        let path = copy.join("present.json");
        let bytes = std::fs::read(&path).map_err(|e| {
            Fault::new(Kind::Usage, format!("{} cannot be read: {e}", path.display()))
                .help("this command is run by `cutover upgrade`")
        })?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Fault::environment(format!("what the running server says cannot be read: {e}"))
                .help("it is of another kind than this binary; stop it and start this one")
        })
    }
}

/// Checks the copy in `copy` against a configuration.
pub(crate) fn check(copy: &Path, present: &Present, config: &Config) -> Result<Verdict, Fault> {
    fits(present, config)?;
    Store::way_back(copy, present.schema)?;
    let store = Store::open(copy)?;
    for app in config.apps.keys() {
        store.stable(app)?;
        store.committed_routes(app)?;
        if let Some(run) = store.last_run(app)? {
            store.frozen(run.id)?;
            store.events(run.id, 0)?;
        }
        if let Some(run) = store.open_run(app)? {
            let what = format!("a rollout of `{app}` is under way (run {})", run.name);
            return Err(Fault::new(Kind::Conflict, what));
        }
    }
    Process::open(copy)?.apps()?;
    Ok(Verdict { version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// What a server would refuse when it starts beside what runs.
fn fits(present: &Present, config: &Config) -> Result<(), Fault> {
    if let Some(app) = present.living.iter().find(|app| !config.apps.contains_key(*app)) {
        let what = format!("instances of `{app}` run, and no app of that name is configured");
        let help = format!("put [app.{app}] back into {}", present.config.display());
        return Err(Fault::new(Kind::Conflict, what).help(help));
    }
    if present.own_proxy != (config.router == RouterConfig::Proxy) {
        let what = "the file names another router than the one that carries the traffic now";
        return Err(Fault::new(Kind::Conflict, what).help("change `kind` under [router] back"));
    }
    for (address, secure) in &present.listening {
        let other = if *secure { &config.proxy.listen } else { &config.proxy.tls_listen };
        let bare = *secure && config.proxy.certificates.is_empty();
        if other.contains(address) || bare {
            let how = if *secure { "with TLS" } else { "without TLS" };
            let what =
                format!("the proxy that runs listens on {address} {how}, the file says else");
            return Err(Fault::new(Kind::Conflict, what).help("change the file back"));
        }
    }
    Ok(())
}
