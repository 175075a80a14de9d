//! `cutover nginx`: what an nginx must be told to carry the traffic, shown, written and checked.
//!
//! It neither starts nor reloads nginx, and it moves no traffic.

use std::sync::Arc;

use drivers::router::nginx::{install, sample};
use model::{AppName, Fault, Kind};

use super::findings::tell;
use crate::cli::{NginxWhat, Where};
use crate::config::{Config, NginxConfig, RouterConfig};
use crate::server::preflight::{Preflight, nginx_driver, nginx_setup};

/// Runs the command.
pub(super) async fn nginx(what: NginxWhat) -> Result<u8, Fault> {
    match what {
        NginxWhat::Config(at) => {
            let (config, nginx) = load(&at)?;
            crate::say::out!("{}", sample(&nginx_setup(&nginx, config.apps.values())));
            Ok(0)
        }
        NginxWhat::Install(at) => put(&at),
        NginxWhat::Check { at, json } => check(&at, json).await,
    }
}

fn put(at: &Where) -> Result<u8, Fault> {
    let (config, nginx) = load(at)?;
    for (path, written) in install(&nginx_setup(&nginx, config.apps.values()))? {
        let fate = if written { "wrote" } else { "kept" };
        crate::say::outln!("{fate:<6} {}", path.display());
    }
    let prefix = nginx.prefix.as_ref();
    let prefix = prefix.map_or(String::new(), |prefix| format!(" -p {}", prefix.display()));
    let (program, file) = (nginx.program.display(), nginx.config.display());
    crate::say::outln!("start nginx with\n  {program}{prefix} -c {file}\nor reload it if it runs");
    Ok(0)
}

async fn check(at: &Where, json: bool) -> Result<u8, Fault> {
    let (config, nginx) = load(at)?;
    let apps: Vec<AppName> = config.apps.keys().cloned().collect();
    let router = Arc::new(nginx_driver(&nginx, config.apps.values()));
    let findings = Preflight::of_nginx(router, &nginx).findings(&apps).await?;
    tell(&format!("nginx with `{}`", nginx.config.display()), &findings, json)
}

/// The configuration, if it has an nginx carry the traffic.
fn load(at: &Where) -> Result<(Config, NginxConfig), Fault> {
    let config = super::load(at)?;
    let RouterConfig::Nginx(nginx) = config.router.clone() else {
        let who = config.router.who();
        let what = format!("{} has {who} carry the traffic", at.config.display());
        return Err(Fault::new(Kind::Config, what).help(
            "for an nginx write\n[router]\nkind = \"nginx\"\ndirectory = \"nginx/cutover\"\n\
             config = \"/etc/nginx/nginx.conf\"\npid = \"/run/nginx.pid\"\n\
             listen = [\"127.0.0.1:8080\"]",
        ));
    };
    Ok((config, nginx))
}
