//! Makes the driver of the Consul that somebody follows: which agent, which token, whose apps.
//!
//! Nothing is asked here; what a Consul refuses is found by the driver itself when the preflight looks.

use drivers::router::consul::{AppSetup, Consul, FOLLOWED_WITHIN, Owner, Setup, Token};
use model::Fault;

use super::controller_id;
use crate::config::{Config, ConsulConfig};

/// The driver's part of it; nothing is asked yet.
pub(super) fn driver(consul: &ConsulConfig, config: &Config) -> Result<Consul, Fault> {
    let apps = config.apps.values().map(|app| AppSetup {
        name: app.name.clone(),
        check_path: app.health.path.clone(),
        check_ms: u64::try_from(app.health.interval.as_millis()).unwrap_or(u64::MAX),
        tags: app.registered.tags.clone(),
        meta: app.registered.meta.clone(),
    });
    let token = consul.token.as_ref().map(Token::read).transpose()?;
    let driver = Consul::new(Setup {
        agent: consul.agent,
        secure: consul.secure.clone(),
        token,
        owner: owner(config)?,
        apps: apps.collect(),
        followed_within: FOLLOWED_WITHIN,
    });
    Ok(driver.reached_at(consul.address))
}

/// Whose apps these are: of the controller of this state directory.
fn owner(config: &Config) -> Result<Owner, Fault> {
    let id = controller_id::read_or_make(&config.state_dir)?;
    let machine = rustix::system::uname();
    Ok(Owner { id, host: machine.nodename().to_string_lossy().into_owned() })
}
