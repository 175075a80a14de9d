//! `cutover up`: the controller of every app, the supervisor of instances, the API.
//!
//! This file wires: state directory, proxy, one controller per app, API socket, signals. It decides
//! nothing about traffic.

mod active;
mod again;
mod answered;
pub(crate) mod api;
mod asked;
mod begin;
mod believed;
pub(crate) mod bus;
mod busy;
mod capable;
pub(crate) mod children;
mod cohort_key;
mod controller;
mod counted;
mod courier;
mod departing;
mod desired;
mod detect;
mod dial;
mod ending;
mod evidence;
mod fail_open;
mod foretold;
mod gauge;
mod groups;
mod hands;
mod happenings;
mod herald;
pub(crate) mod history;
mod hooks;
mod judged;
mod keeper;
pub(crate) mod kept;
pub(crate) mod layout;
mod lingering;
mod listener;
mod live;
pub(crate) mod living;
mod measuring;
pub(crate) mod notify;
pub(crate) mod orders;
mod others;
mod outages;
pub(crate) mod passed;
pub(crate) mod planned;
mod planning;
mod post;
pub(crate) mod preflight;
mod preview;
mod probe_key;
mod prober;
mod probing;
pub(crate) mod progress;
mod prometheus;
mod proof;
pub(crate) mod proxies;
mod reach;
mod receipts;
pub(crate) mod reload;
mod remote;
mod retention;
pub(crate) mod run_id;
#[cfg(test)]
mod sample_release;
#[cfg(test)]
mod sample_tools;
mod show;
mod sight;
mod stages;
mod standing;
mod steering;
mod stopping;
mod takeover;
mod timed;
pub(crate) mod together;
mod token;
mod tools;
mod units;
pub(crate) mod upgrade;
mod voice;
mod waits;
mod windows;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drivers::platform::discovered::Discovery;
use drivers::platform::process::{Process, Surroundings};
use drivers::platform::{Condition, Mixed, Platform};
use futures_util::future::join_all;
use model::admin::ProxySeen;
use model::{AppName, Fault, Kind, Routes, Weight};
use tokio::net::UnixListener;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use self::bus::Bus;
use self::children::Children;
use self::controller::Controller;
use self::layout::Layout;
use self::orders::{AppStatus, Desk};
use self::others::Other;
use self::passed::Passed;
use self::proxies::Proxies;
use self::reach::Reach;
use self::reload::{ReloadBody, Reloader};
use self::remote::Remote;
use self::stages::Stages;
use self::steering::Steering;
use self::tools::Tools;
use self::upgrade::{Kit, Upgrades};
use crate::config::{Config, HistoryConfig};
use crate::interrupt::Interrupt;
use crate::store::Store;

/// How a server is started, besides its configuration.
#[derive(Debug)]
pub(crate) struct Start {
    /// The configuration file, absolute.
    pub(crate) file: PathBuf,
    /// The proxy takes orders to break something.
    pub(crate) allow_faults: bool,
    /// Sockets that came with us.
    pub(crate) passed: Passed,
}

/// Serves until it is told to stop; returns when nothing of it runs any more.
pub(crate) async fn up(config: Config, mut start: Start) -> Result<(), Fault> {
    let mut interrupt = Interrupt::new()?;
    let hangup = interrupt.take_hangup()?;
    let layout = Layout::at(&config.state_dir)?;
    layout.prepare()?;
    let lock = match layout.lock() {
        Err(fault) if fault.kind == Kind::Conflict && notify::supervised() => {
            return yield_to(&layout, fault);
        }
        taken => taken?,
    };
    // Before anything is started: it may be refused.
    let (keep, remote) = (config.history, Remote::open(config.api.as_ref())?);
    let store = Arc::new(Store::open(layout.directory())?);
    let secrets = config.secrets();
    let for_us = notify::VARIABLES.map(str::to_owned);
    let children = Children::without(secrets.keys().cloned().chain(for_us));
    let around = Surroundings::of(notify::for_others()).reserving(secrets);
    let process = Process::open_at(layout.directory(), around.clone(), config.router.address())?;
    refuse_orphans((&process, &store), &config, &start.file).await?;
    living::bury();
    let platform = platform(process, &layout)?;
    let started = (start.allow_faults, &mut start.passed);
    let mut steering = Steering::open(&config, (&layout, &children), &store, started).await?;
    let epoch = store.next_epoch()?;
    let tools = tools(&config, (store, platform), (&layout, around, children), &steering, epoch);
    let (place, orders) = (steering.place(), (steering.orders(), remote.clone()));
    let proxies = Proxies(place.as_ref().map(|_| layout.clone()));
    let (last, mut steps) = mpsc::channel(1);
    let kit = Kit {
        layout: layout.clone(),
        store: Arc::clone(&tools.store),
        config: start.file.clone(),
        place,
        epoch,
        drain: config.proxy.upgrade_timeout,
        step: last,
    };
    let upgrades = Arc::new(Upgrades::new(kit));
    tokio::spawn(see_off(steering.others(), Arc::clone(&upgrades), config.proxy.upgrade_timeout));
    let desks = open_desks(&config, &tools)?;
    let (stop, mut told) = mpsc::channel(2);
    let reach = Arc::new(Reach {
        desks,
        layout: layout.clone(),
        store: Arc::clone(&tools.store),
        stop,
        epoch,
        listen: steering.listening(),
        preflight: steering.preflight(),
        upgrades,
        proxies,
        reloader: Reloader::new((start.file, config), orders, steering.router()),
    });
    attend(&reach, (hangup, remote), keep)?;
    say_up(&reach);
    let now = tokio::select! {
        () = steering.keep(|seen| carried(&tools.store, &reach, seen), || open(&reach)) => false,
        () = async { while let Some(step) = steps.recv().await { step.take() } } => false,
        asked = told.recv() => asked.unwrap_or_default(),
        () = interrupt.wait() => false,
    };
    notify::stopping();
    reach.upgrades.call_off().await;
    let drain = reach.reloader.drain_timeout().await;
    stopping::stop(&mut steering, &reach, drain, hurried(now, &mut told, &mut interrupt)).await;
    // A socket that nobody serves would make the next start look like a living one.
    drop(std::fs::remove_file(layout.api_socket()));
    drop(lock);
    say("stopped");
    Ok(())
}

/// From now on whoever asks is answered, and what grows is kept small.
fn attend(
    reach: &Arc<Reach>,
    (hangup, remote): (Signal, Option<Arc<Remote>>),
    keep: HistoryConfig,
) -> Result<(), Fault> {
    tokio::spawn(reload_at(hangup, Arc::clone(reach)));
    tokio::spawn(retention::watch_logs(reach.layout.clone(), keep));
    let socket = open_socket(&reach.layout.api_socket())?;
    let service = api::router(Arc::clone(reach));
    if let Some(remote) = remote {
        tokio::spawn(remote.serve(service.clone()));
    }
    tokio::spawn(async move { axum::serve(socket, service).await });
    Ok(())
}

/// Takes up the file at each SIGHUP, for ever; nobody is asked.
async fn reload_at(mut hangup: Signal, reach: Arc<Reach>) {
    while hangup.recv().await.is_some() {
        let body = ReloadBody { apply: true, seen: None };
        match reach.reload(body).await {
            Ok(done) if done.refused.is_empty() => {
                tracing::info!("reloaded: {}", done.changes.join("; "));
            }
            Ok(done) => {
                tracing::error!("not reloaded, nothing was changed: {}", done.refused.join("; "));
            }
            Err(fault) => tracing::error!("not reloaded: {fault}; {}", fault.notes.join("; ")),
        }
    }
}

/// Another server has this state directory: one that an upgrade has started. Our supervisor has it, too.
fn yield_to(layout: &Layout, fault: Fault) -> Result<(), Fault> {
    let Some(pid) = layout.holder() else { return Err(fault) };
    notify::ready(pid, "started by an upgrade");
    say(&format!("the server runs already (pid {pid}); whoever supervises this one is told"));
    Ok(())
}

/// The proxies that were here beside ours finish, once it is settled which binary stays.
async fn see_off(others: Vec<Other>, upgrades: Arc<Upgrades>, within: Duration) {
    upgrades.settled().await;
    join_all(others.into_iter().map(|other| other.see_off(within))).await;
}

/// What starts instances, and what finds those that somebody else starts.
fn platform(process: Process, layout: &Layout) -> Result<Arc<dyn Platform>, Fault> {
    let finds = Discovery::open(layout.directory())?;
    Ok(Arc::new(Mixed::new(Arc::new(process), finds)))
}

/// What every controller works with.
fn tools(
    config: &Config,
    (store, platform): (Arc<Store>, Arc<dyn Platform>),
    (layout, surroundings, children): (&Layout, Surroundings, Children),
    steering: &Steering,
    epoch: u64,
) -> Tools {
    let entrance = steering.entrance(config).map(|at| at.to_string());
    Tools {
        store,
        platform,
        router: steering.router(),
        carrier: steering.name(),
        exact: steering.counts_exactly(),
        layout: layout.clone(),
        stages: Arc::new(Stages::default()),
        keep: config.history.runs,
        surroundings: Arc::new(surroundings),
        children,
        epoch,
        router_started: steering.started(),
        users_leave: steering.leaving(),
        entrance: entrance.unwrap_or_default(),
    }
}

/// Refuses to start beside instances, or a rollout that others wait for, of an app that the configuration does not
/// name any more: nobody would look after them, and nobody would end them.
async fn refuse_orphans(
    (process, store): (&Process, &Store),
    config: &Config,
    file: &Path,
) -> Result<(), Fault> {
    groups::refuse_torn(store, &config.apps, file)?;
    for app in process.apps()?.iter().filter(|app| !config.apps.contains_key(*app)) {
        let fleet = process.look(app).await?;
        if fleet.instances.iter().any(|instance| instance.condition != Condition::Ended) {
            let what =
                format!("instances of `{app}` still run, and no app of that name is configured");
            let help = format!(
                "put [app.{app}] back into the file; to end it, run `cutover down` before you \
                 take it out"
            );
            return Err(Fault::new(Kind::Conflict, what).help(help));
        }
    }
    Ok(())
}

/// One controller per app, each in its own task; and whoever is told what they say.
fn open_desks(
    Config { apps, notify, .. }: &Config,
    tools: &Tools,
) -> Result<BTreeMap<AppName, Desk>, Fault> {
    let (mut desks, mut controllers) = (BTreeMap::new(), Vec::new());
    for (app, config) in apps.clone() {
        let bus = Arc::new(Bus::new());
        let (orders, inbox) = mpsc::channel(16);
        let (shown, status) = watch::channel(AppStatus::unknown(app.clone()));
        let controller =
            Controller::load((app.clone(), config), tools.clone(), Arc::clone(&bus), shown, inbox)?;
        controllers.push(controller);
        desks.insert(app, Desk { orders, bus, status });
    }
    // None of them begins before all have said how far they are: those that go together ask each other.
    for controller in controllers {
        tokio::spawn(controller.run());
    }
    herald::begin(notify, desks.iter(), &tools.store);
    Ok(desks)
}

/// True when every app that has a release for its users, or had one when its routes were committed,
/// has somebody to serve them.
fn carried(store: &Store, reach: &Reach, seen: &ProxySeen) -> bool {
    reach.desks.keys().all(|app| {
        let stable = store.stable(app).ok().flatten();
        let committed = store.committed_routes(app).ok().flatten();
        let now = seen.apps.iter().find(|carried| carried.routes.app == *app);
        let awaited = stable.is_some() || committed.is_some_and(|routes| serves(&routes));
        !awaited || now.is_some_and(|now| serves(&now.routes))
    })
}

/// What was open on the router at the last look.
fn open(reach: &Reach) -> String {
    let (mut requests, mut tunnels) = (0, 0);
    for desk in reach.desks.values() {
        for pool in &desk.status.borrow().pools {
            (requests, tunnels) = (requests + pool.requests, tunnels + pool.tunnels);
        }
    }
    format!("{requests} requests and {tunnels} tunnels")
}

/// Somebody is there for new requests.
fn serves(routes: &Routes) -> bool {
    routes.pools.iter().any(|pool| pool.weight > Weight::NONE && !pool.instances.is_empty())
}

/// Resolves when somebody does not want to wait for what is open.
async fn hurried(now: bool, told: &mut mpsc::Receiver<bool>, interrupt: &mut Interrupt) {
    if now {
        return;
    }
    let asked = async { while !told.recv().await.unwrap_or_default() {} };
    tokio::select! {
        () = asked => {}
        () = interrupt.wait() => {}
    }
}

/// The API socket, for this user only.
fn open_socket(path: &Path) -> Result<UnixListener, Fault> {
    let refused =
        |e: std::io::Error| Fault::environment(format!("{} cannot be opened: {e}", path.display()));
    if path.exists() {
        // The lock is ours, so nobody serves it.
        std::fs::remove_file(path).map_err(refused)?;
    }
    let socket = UnixListener::bind(path).map_err(refused)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(socket)
}

fn say_up(reach: &Reach) {
    let apps: Vec<&str> = reach.desks.keys().map(AppName::as_str).collect();
    let serving = format!("serving {} on {}", apps.join(", "), reach.listen.join(", "));
    say(&format!("up: {serving}"));
    notify::ready(std::process::id(), &serving);
}

fn say(text: &str) {
    crate::say::errln!("cutover: {text}");
}
