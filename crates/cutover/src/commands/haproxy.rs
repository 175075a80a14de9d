//! `cutover haproxy`: what a HAProxy must be told to carry the traffic, written, shown and checked.
//!
//! It neither starts nor reloads HAProxy, and it moves no traffic.

use std::path::PathBuf;
use std::sync::Arc;

use drivers::router::haproxy::config::{AppSetup, Discovery, Setup, render};
use drivers::router::haproxy::{Address, Fate, Installed, install};
use model::{AppName, Fault, Kind, Selector};

use super::diff::diff;
use super::findings::tell;
use crate::cli::{HaproxyWhat, Where};
use crate::config::{AppConfig, Config, ConsulConfig, HaProxyConfig, RouterConfig};
use crate::server::preflight::{Preflight, checker, driver, review_files};

/// Runs the command.
pub(super) async fn haproxy(what: HaproxyWhat) -> Result<u8, Fault> {
    match what {
        HaproxyWhat::Config(at) => print(&at),
        HaproxyWhat::Install { at, force } => put(&at, force).await,
        HaproxyWhat::Check { files, at, json } if files.is_empty() => ask(&at, json).await,
        HaproxyWhat::Check { files, json, .. } => read(&files, json),
    }
}

fn print(at: &Where) -> Result<u8, Fault> {
    let (config, haproxy) = load(at)?;
    for file in render(&setup(&config, &haproxy))? {
        let path = haproxy.directory.join(file.name);
        crate::say::out!("# ---- {} ----\n{}\n", path.display(), file.text);
    }
    Ok(0)
}

async fn put(at: &Where, force: bool) -> Result<u8, Fault> {
    let (config, haproxy) = load(at)?;
    let checker = checker(&haproxy);
    let installed = install(&setup(&config, &haproxy), checker.as_ref(), force).await?;
    let mut stale = false;
    for Installed { path, fate } in installed {
        let path = path.display();
        match fate {
            Fate::Written => crate::say::outln!("wrote      {path}"),
            Fate::Replaced => crate::say::outln!("replaced   {path} (before: {path}.before)"),
            Fate::Unchanged => crate::say::outln!("unchanged  {path}"),
            Fate::Kept => crate::say::outln!("kept       {path}, nothing of it is to change"),
            Fate::Edited { there, wanted } => {
                stale = true;
                crate::say::out!(
                    "kept       {path}: it was edited, and these lines of it are out of date\n{}",
                    diff(&there, &wanted)
                );
            }
        }
    }
    if checker.is_none() {
        let key = "`program` under [router]";
        crate::say::outln!("not checked by HAProxy: name {key} to have that done");
    }
    crate::say::outln!("start HAProxy with\n  {}\nor reload it if it runs", start(&haproxy));
    if !stale {
        return Ok(0);
    }
    let what = "a file that was edited was kept, and what is new is not in force";
    Err(Fault::new(Kind::Conflict, what).help(
        "put the lines with `+` into it, or run `cutover haproxy install --force` to have it \
         replaced (it is kept beside the new one)",
    ))
}

async fn ask(at: &Where, json: bool) -> Result<u8, Fault> {
    let (config, haproxy) = load(at)?;
    let apps: Vec<AppName> = config.apps.keys().cloned().collect();
    let router = Arc::new(driver(&haproxy, &config)?);
    let preflight = Preflight::of(router, &haproxy, config.apps.values());
    let findings = preflight.findings(&apps).await?;
    preflight.targeted(&apps).await?;
    tell(&format!("HAProxy at `{}`", haproxy.socket), &findings, json)
}

fn read(files: &[PathBuf], json: bool) -> Result<u8, Fault> {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    tell(&names.join(" + "), &review_files(files)?, json)
}

/// The configuration, if it has a HAProxy carry the traffic.
fn load(at: &Where) -> Result<(Config, HaProxyConfig), Fault> {
    let config = super::load(at)?;
    match config.router.clone() {
        RouterConfig::HaProxy(haproxy) => Ok((config, haproxy)),
        other => {
            let what = format!("{} has {} carry the traffic", at.config.display(), other.who());
            Err(Fault::new(Kind::Config, what).help(
                "for a HAProxy write\n[router]\nkind = \"haproxy\"\nsocket = \"haproxy/master.sock\"\n\
                 directory = \"haproxy\"\nlisten = [\"127.0.0.1:8080\"]",
            ))
        }
    }
}

/// What the files are made from.
fn setup(config: &Config, haproxy: &HaProxyConfig) -> Setup {
    let apps = config.apps.values().map(|app| AppSetup {
        name: app.name.clone(),
        check_path: app.health.path.clone(),
        check_ms: u64::try_from(app.health.interval.as_millis()).unwrap_or(u64::MAX),
        looks_at: looks_at(app),
    });
    // Beside the master's, whatever that is called.
    let sockets = ["worker.sock", "workers.sock"].map(|name| haproxy.directory.join(name));
    let [socket, other] = sockets;
    let taken = haproxy.socket == Address::Unix(socket.clone());
    Setup {
        directory: haproxy.directory.clone(),
        socket: if taken { other } else { socket },
        master: haproxy.socket.clone(),
        entrances: haproxy.listen.clone(),
        apps: apps.collect(),
        discovery: haproxy.consul.as_ref().map(discovery),
    }
}

/// Where it finds instances.
fn discovery(consul: &ConsulConfig) -> Discovery {
    let ConsulConfig { dns, domain, places, .. } = consul;
    Discovery { dns: *dns, domain: domain.clone(), places: *places }
}

/// What the targets of an app need looked at, each once.
fn looks_at(app: &AppConfig) -> Vec<Selector> {
    let mut selectors: Vec<Selector> = Vec::new();
    for on in app.rollout.targets.iter().map(|target| target.mark.on()) {
        if !selectors.contains(on) {
            selectors.push(on.clone());
        }
    }
    selectors
}

/// The command line that HAProxy is started with.
fn start(haproxy: &HaProxyConfig) -> String {
    let program = haproxy.program.as_ref().map_or("haproxy".into(), |p| p.display().to_string());
    let socket: &Address = &haproxy.socket;
    let mut words = vec![program, format!("-W -S {socket}")];
    let files = haproxy.config.iter().chain([&haproxy.directory]);
    words.extend(files.map(|file| format!("-f {}", file.display())));
    words.join(" ")
}
