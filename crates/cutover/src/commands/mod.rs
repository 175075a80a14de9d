//! What each command does: one file per command, and here only the smallest of them and what several begin
//! with. The work itself is done elsewhere, in `server`, `config`, `doctor`, `calibrate` and `say`.

mod aa;
mod also;
mod board;
mod demo;
mod deploy;
mod diff;
mod doctor;
mod down;
mod findings;
mod follow;
mod haproxy;
mod history;
mod logs;
mod nginx;
mod operate;
mod ordered;
mod plan;
mod ports;
mod probe;
mod reload;
mod report;
mod shell;
mod status;
mod together;
mod upgrade;
mod watch;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use model::{AppName, Fault, Kind};

use crate::cli::{self, Command, ConfigWhat, Where};
use crate::client::Client;
use crate::config::{self, Config, Diagnostic, Judge};
use crate::server::layout::Layout;
use crate::server::orders::Told;
use crate::server::passed::Passed;
use crate::server::{self, Start};

/// Runs a command and answers its exit code.
pub(crate) fn run(command: Command) -> Result<u8, Fault> {
    match command {
        Command::Demo(arguments) => block_on(demo::demo(arguments))?,
        Command::Up(arguments) => up(&arguments),
        Command::Down(arguments) => block_on(down::down(arguments))?,
        Command::Deploy(arguments) => block_on(together::deploy(arguments))?,
        Command::Plan(arguments) => block_on(plan::plan(arguments))?,
        Command::Abort(arguments) => block_on(abort(arguments))?,
        Command::Pause(arguments) => block_on(operate::pause(arguments))?,
        Command::Resume(arguments) => block_on(operate::resume(arguments))?,
        Command::Promote(arguments) => block_on(operate::promote(arguments))?,
        Command::SetWeight(arguments) => block_on(operate::set_weight(arguments))?,
        Command::Retry(arguments) => block_on(together::retry(arguments))?,
        Command::Rollback(arguments) => block_on(together::rollback(arguments))?,
        Command::Reload(arguments) => block_on(reload::reload(arguments))?,
        Command::Status(arguments) => block_on(status::status(arguments))?,
        Command::History(arguments) => block_on(history::history(arguments))?,
        Command::Logs(arguments) => block_on(logs::logs(arguments))?,
        Command::Report(arguments) => report::report(&arguments),
        Command::Doctor(arguments) => block_on(doctor::doctor(arguments))?,
        Command::Probe(arguments) => block_on(probe::probe(*arguments))?,
        Command::Aa(arguments) => aa::aa(&arguments),
        Command::App(options) => crate::app::run(*options).map(|()| 0),
        Command::Config { what: ConfigWhat::Check(at) } => check(&at),
        Command::Config { what: ConfigWhat::Example } => {
            crate::say::out!("{}", config::template());
            Ok(0)
        }
        Command::Config { what: ConfigWhat::Schema } => {
            crate::say::outln!("{:#}", config::schema());
            Ok(0)
        }
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
        Command::Haproxy { what } => block_on(haproxy::haproxy(what))?,
        Command::Nginx { what } => block_on(nginx::nginx(what))?,
        Command::Proxy(arguments) => carry(arguments),
        Command::Upgrade(arguments) => block_on(upgrade::upgrade(arguments))?,
        Command::UpgradeCheck(arguments) => upgrade::check(&arguments),
        Command::UpgradeGuard(arguments) => block_on(upgrade::watch(&arguments.state))?,
    }
}

/// Runs a command's future on a runtime of its own.
fn block_on<F: Future>(future: F) -> Result<F::Output, Fault> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map(|runtime| runtime.block_on(future))
        .map_err(|e| Fault::environment(format!("the runtime cannot be started: {e}")))
}

/// What a part that runs on tells goes to stderr. Where that is full or closed, it goes on without: to complain there
/// about it, as the crate does unless told otherwise, is to panic.
fn log() {
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false);
    log.log_internal_errors(false).init();
}

fn up(arguments: &cli::Up) -> Result<u8, Fault> {
    log();
    // While there is one thread only.
    let passed = Passed::take()?;
    // Users are served also when a file went bad or is away. The proxy shows what it can, and it is told
    // in the log; of the prober's own file a deploy is refused. To refuse the start would take down all.
    let config =
        config::load(&arguments.at.config).map_err(|mistakes| tell(&arguments.at, &mistakes))?;
    missing_pages(&config);
    let file = std::path::absolute(&arguments.at.config)
        .map_err(|e| Fault::environment(format!("{}: {e}", arguments.at.config.display())))?;
    let start = Start { file, allow_faults: arguments.allow_faults, passed };
    block_on(server::up(config, start))?.map(|()| 0)
}

fn carry(arguments: cli::Proxy) -> Result<u8, Fault> {
    log();
    let options = proxy::Options {
        admin_socket: arguments.admin,
        threads: arguments.threads,
        allow_faults: arguments.allow_faults,
    };
    proxy::serve(options).map(|()| 0)
}

/// Says of which pages a line of text is answered instead.
fn missing_pages(config: &Config) {
    let settings = &config.proxy.settings;
    let closed = settings.maintenance.iter().filter_map(|one| one.file.as_ref());
    for file in settings.pages.iter().map(|page| &page.file).chain(closed) {
        if let Err(fault) = proxy::check_page(file) {
            tracing::warn!("{}; a line of text is answered instead", fault.what);
        }
    }
}

async fn abort(arguments: cli::Abort) -> Result<u8, Fault> {
    let (client, config) = reach(&arguments.at)?;
    let app = AppName::new(arguments.app)?;
    let app = member(&client, &config, app).await?;
    let reason = arguments.reason.as_deref().unwrap_or("asked for by `cutover abort`");
    let text = client.abort(&app, reason).await?;
    ordered::tell(&Told { text, run: None }, arguments.json)
}

fn check(at: &Where) -> Result<u8, Fault> {
    // What is wrong with the file besides is said first: then nobody knows which state directory is meant.
    let layout =
        config::load(&at.config).ok().and_then(|config| Layout::at(&config.state_dir).ok());
    let ours = layout.map(|layout| ports::Ours::of(&layout));
    let port = |address| ours.as_ref().map_or(Ok(()), |ours| ours.or_free(address));
    let config = judged(at, ca, &port)?;
    config.router.address().map_or(Ok(()), drivers::router::consul::of_this_machine)?;
    let apps: Vec<&str> = config.apps.keys().map(AppName::as_str).collect();
    crate::say::outln!("{} is right: {}", at.config.display(), apps.join(", "));
    Ok(0)
}

/// Loads the configuration; says all of its mistakes, with their places, and answers how many.
fn load(at: &Where) -> Result<Config, Fault> {
    config::load(&at.config).map_err(|mistakes| tell(at, &mistakes))
}

/// The same; certificates and pages must be usable now, as the proxy judges it.
fn load_judged(at: &Where) -> Result<Config, Fault> {
    judged(at, ca, &|_| Ok(()))
}

/// The same, and ports too.
fn judged(
    at: &Where,
    ca: fn(&Path) -> Result<(), Fault>,
    port: &(dyn Fn(SocketAddr) -> Result<(), Fault> + Sync),
) -> Result<Config, Fault> {
    let judge = Judge { pair: proxy::check_pair, page: proxy::check_page, ca, port };
    let loaded = config::load_judged(&at.config, judge);
    loaded.map_err(|mistakes| tell(at, &mistakes))
}

/// A file with whom to believe.
fn ca(file: &Path) -> Result<(), Fault> {
    trust::roots(Some(file)).map(drop)
}

fn tell(at: &Where, mistakes: &[Diagnostic]) -> Fault {
    let number = mistakes.len();
    match mistakes {
        // It could not be read at all.
        [only] if !only.has_place() => return only.into(),
        _ => config::say(mistakes),
    }
    let what = if number == 1 { "a mistake".to_owned() } else { format!("{number} mistakes") };
    Fault::new(Kind::Config, format!("{} has {what}; nothing was done", at.config.display()))
}

/// The client of the server that a configuration describes.
fn reach(at: &Where) -> Result<(Client, Config), Fault> {
    let config = load(at)?;
    let layout = Layout::at(&config.state_dir)?;
    Ok((Client::new(&layout.api_socket()), config))
}

/// The app of that name, or of those that go by it together one whose rollout is under way: what one of them
/// hears, all hear.
async fn member(client: &Client, config: &Config, name: AppName) -> Result<AppName, Fault> {
    let Some(apps) = config.together.get(&name) else { return Ok(name) };
    let status = client.status().await?;
    let goes =
        |app: &&AppName| status.apps.iter().any(|one| one.app == **app && one.together.is_some());
    apps.iter().find(goes).cloned().ok_or_else(|| {
        Fault::new(Kind::Conflict, format!("no rollout of {name} is under way"))
            .help(format!("`cutover rollback {name}` returns all of them to the version before"))
    })
}

/// Shows that files can be written into `directory`, before anything is started.
fn writable(directory: &Path) -> Result<(), Fault> {
    let refused = |e: io::Error| {
        Fault::environment(format!("reports cannot be written to {}: {e}", directory.display()))
            .help("name another directory with --out")
    };
    std::fs::create_dir_all(directory).map_err(refused)?;
    // Others may try the same directory at the same time.
    let trial = directory.join(format!(".cutover-trial-{}", std::process::id()));
    std::fs::write(&trial, b"").and_then(|()| std::fs::remove_file(&trial)).map_err(refused)
}
