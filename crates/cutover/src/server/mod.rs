//! `cutover up`: the controller of every app, the supervisor of instances, the API.
//!
//! This file wires: state directory, proxy, one controller per app, API socket, signals. It decides
//! nothing about traffic.

mod active;
pub(crate) mod api;
mod begin;
pub(crate) mod bus;
mod capable;
pub(crate) mod children;
mod controller;
mod counted;
mod departing;
mod desired;
mod detect;
mod ending;
mod evidence;
mod hands;
mod keeper;
pub(crate) mod layout;
mod listener;
mod live;
pub(crate) mod living;
pub(crate) mod orders;
mod outages;
pub(crate) mod planned;
mod planning;
pub(crate) mod preflight;
mod preview;
mod prober;
mod probing;
pub(crate) mod run_id;
mod show;
mod sight;
mod standing;
mod steering;
mod stopping;
mod takeover;
mod timed;
mod tools;
mod voice;
mod windows;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use drivers::platform::process::{Process, Surroundings};
use drivers::platform::{Condition, Platform};
use model::admin::ProxySeen;
use model::{AppName, Fault, Kind, Routes, Weight};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

use self::api::Reach;
use self::bus::Bus;
use self::children::Children;
use self::controller::Controller;
use self::layout::Layout;
use self::orders::{AppStatus, Desk};
use self::steering::Steering;
use self::tools::Tools;
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::store::Store;

/// Serves until it is told to stop; returns when nothing of it runs any more.
pub(crate) async fn up(config: Config, allow_faults: bool) -> Result<(), Fault> {
    let mut interrupt = Interrupt::new()?;
    let layout = Layout::at(&config.state_dir)?;
    layout.prepare()?;
    let lock = layout.lock()?;
    let store = Arc::new(Store::open(layout.directory())?);
    let secrets = config.secrets();
    let children = Children::without(secrets.keys().cloned());
    let surroundings = Surroundings::own().reserving(secrets);
    let process = Process::open_within(layout.directory(), surroundings)?;
    refuse_orphans(&process, &config).await?;
    let platform: Arc<dyn Platform> = Arc::new(process);
    let mut steering = Steering::open(&config, (&layout, &children), &store, allow_faults).await?;
    let epoch = store.next_epoch()?;
    let tools = tools(&config, (store, platform), (&layout, children), &steering, epoch);
    let desks = open_desks(config.apps, &tools)?;
    let (stop, mut told) = mpsc::channel(2);
    let reach = Arc::new(Reach {
        desks,
        layout: layout.clone(),
        stop,
        epoch,
        listen: steering.listening(),
        preflight: steering.preflight(),
    });
    let socket = open_socket(&layout.api_socket())?;
    let service = api::router(Arc::clone(&reach));
    tokio::spawn(async move { axum::serve(socket, service).await });
    say_up(&reach);
    let now = tokio::select! {
        () = steering.keep(|seen| carried(&tools.store, &reach, seen)) => false,
        asked = told.recv() => asked.unwrap_or_default(),
        () = interrupt.wait() => false,
    };
    let drain = config.proxy.drain_timeout;
    stopping::stop(&mut steering, &reach, drain, hurried(now, &mut told, &mut interrupt)).await;
    // A socket that nobody serves would make the next start look like a living one.
    drop(std::fs::remove_file(layout.api_socket()));
    drop(lock);
    say("stopped");
    Ok(())
}

/// What every controller works with.
fn tools(
    config: &Config,
    (store, platform): (Arc<Store>, Arc<dyn Platform>),
    (layout, children): (&Layout, Children),
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
        children,
        epoch,
        router_started: steering.started(),
        users_leave: steering.leaving(),
        entrance: entrance.unwrap_or_default(),
    }
}

/// Refuses to start beside instances of an app that the configuration does not name any more:
/// nobody would look after them, and nobody would end them.
async fn refuse_orphans(process: &Process, config: &Config) -> Result<(), Fault> {
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

/// One controller per app, each in its own task.
fn open_desks(
    apps: BTreeMap<AppName, crate::config::AppConfig>,
    tools: &Tools,
) -> Result<BTreeMap<AppName, Desk>, Fault> {
    let mut desks = BTreeMap::new();
    for (app, config) in apps {
        let bus = Arc::new(Bus::new());
        let (orders, inbox) = mpsc::channel(16);
        let (shown, status) = watch::channel(AppStatus::unknown(app.clone()));
        let controller =
            Controller::load((app.clone(), config), tools.clone(), Arc::clone(&bus), shown, inbox)?;
        tokio::spawn(controller.run());
        desks.insert(app, Desk { orders, bus, status });
    }
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
    say(&format!("up: serving {} on {}", apps.join(", "), reach.listen.join(", ")));
}

fn say(text: &str) {
    anstream::eprintln!("cutover: {text}");
}
