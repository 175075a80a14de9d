//! `cutover.toml`: what a person asks for, checked before anything starts.
//!
//! The only IO is [`load`] and that of its judge. Every mistake of a file is reported at once, each with its place, the
//! nearest name and the fix. What this module does *not* do: look at the machine (programs,
//! directories), or know what runs.

mod address;
mod agent;
mod analysis;
mod answers;
mod api;
mod app;
mod asked;
mod certificates;
mod claim;
mod cohort;
mod command;
mod consul;
mod counted;
mod diagnostic;
mod difference;
mod environment;
mod field;
mod handover;
mod history;
mod hook_step;
mod hooks;
mod limits;
mod metric_source;
mod metrics;
mod names;
mod nginx;
mod notify;
mod observed;
mod outliers;
mod over_tls;
mod post;
mod probed;
mod proxy;
mod reader;
mod registered;
mod release;
mod rolling;
mod router;
mod schema;
mod secret;
mod section;
mod shape;
mod source;
mod strategy;
mod syntax;
mod target;
mod theirs;
mod together;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::admin::KeyPair;
use model::{AppName, Fault, Kind};

pub(crate) use asked::{Asked, Login, Prometheus};
pub(crate) use diagnostic::{Diagnostic, say};
pub(crate) use difference::Difference;
pub(crate) use names::{list, nearest};
pub(crate) use probed::ProbeTls;
pub(crate) use schema::schema;
pub(crate) use shape::{
    AnalysisConfig, ApiConfig, AppConfig, Config, ConsulConfig, FollowerConfig, HaProxyConfig,
    HealthConfig, HistoryConfig, MetricConfig, NginxConfig, NotifyConfig, ProxyConfig,
    RolloutConfig, RouterConfig, Side, Strategy, Target, TokenPlace, Told,
};
pub(crate) use strategy::share;

use diagnostic::Source;
use reader::Reader;
use section::Section;

/// A file that is larger is not a configuration.
const LARGEST: u64 = 1 << 20;

/// Looks at what the configuration names, files and ports, and says what is wrong with it.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    /// The files of a certificate.
    pub(crate) pair: fn(&KeyPair) -> Result<(), Fault>,
    /// A page that the proxy answers.
    pub(crate) page: fn(&Path) -> Result<(), Fault>,
    /// A file with whom the prober is to believe.
    pub(crate) ca: fn(&Path) -> Result<(), Fault>,
    /// An address that the proxy or the API is to listen on.
    pub(crate) port: &'a (dyn Fn(SocketAddr) -> Result<(), Fault> + Sync),
}

impl Judge<'_> {
    /// Takes every file and port for good, unseen.
    const BLIND: Judge<'static> =
        Judge { pair: |_| Ok(()), page: |_| Ok(()), ca: Self::UNSEEN, port: &|_| Ok(()) };
    /// Takes the file for good.
    pub(crate) const UNSEEN: fn(&Path) -> Result<(), Fault> = |_| Ok(());
}

/// Reads and checks a file. Paths in it become absolute, relative to where it lies.
pub(crate) fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    load_judged(path, Judge::BLIND)
}

/// The same; what the judge says of a file is a mistake of the file too.
pub(crate) fn load_judged(path: &Path, judge: Judge<'_>) -> Result<Config, Vec<Diagnostic>> {
    let text = read(path).map_err(|diagnostic| vec![*diagnostic])?;
    check(&text, &path.display().to_string(), &folder_of(path), judge)
}

/// Refuses a name that no app of the file has; `file` is its path as the user wrote it.
pub(crate) fn must_know(config: &Config, app: &AppName, file: &Path) -> Result<(), Fault> {
    known(config.apps.keys(), app, file)
}

/// Refuses a name that neither an app of the file has nor several together.
pub(crate) fn must_know_any(config: &Config, app: &AppName, file: &Path) -> Result<(), Fault> {
    known(config.apps.keys().chain(config.together.keys()), app, file)
}

fn known<'a>(
    names: impl Iterator<Item = &'a AppName>,
    app: &AppName,
    file: &Path,
) -> Result<(), Fault> {
    let known: Vec<&str> = names.map(AppName::as_str).collect();
    if known.contains(&app.as_str()) {
        return Ok(());
    }
    let help = match nearest(app.as_str(), &known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known there: {}", list(&known)),
    };
    let what = format!("there is no app `{app}` in {}", file.display());
    Err(Fault::new(Kind::Usage, what).help(help))
}

/// The app of a small file, for tests elsewhere.
#[cfg(test)]
pub(crate) fn example_app() -> AppConfig {
    tests::web("")
}

/// A commented example of every key, which is itself a valid file.
pub(crate) const fn template() -> &'static str {
    include_str!("template.toml")
}

fn check(
    text: &str,
    file: &str,
    folder: &Path,
    judge: Judge<'_>,
) -> Result<Config, Vec<Diagnostic>> {
    let mut reader = Reader::new(Source::new(file, text));
    let (document, errors) = toml::de::DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for mistake in syntax::mistakes(&errors, text) {
            reader.push(mistake);
        }
        return Err(reader.finish());
    }
    let top = Section::top(document.get_ref(), &mut reader);
    let state_dir = reader.text(top.field("state_dir")).unwrap_or(".cutover");
    let history = history::read(&Section::within(&top, "history", &mut reader), &mut reader);
    let api = api::read(&Section::within(&top, "api", &mut reader), folder, judge, &mut reader);
    let section = Section::within(&top, "proxy", &mut reader);
    let mut proxy = proxy::read(&section, folder, judge, &mut reader);
    let router = router::read(&top, folder, &mut reader);
    let notify = notify::read(&top, folder, &mut reader);
    let served = over_tls::Served::by(&router, (&section, &proxy));
    let read = (folder, judge, served);
    let apps = apps(&top, read, (&router, &mut proxy), &mut reader);
    let together = together::read(&top, &apps, &mut reader);
    let state_dir = folder.join(state_dir);
    let config = Config { state_dir, history, api, proxy, router, notify, apps, together };
    let found = reader.finish();
    if found.is_empty() { Ok(config) } else { Err(found) }
}

fn apps(
    top: &Section<'_>,
    (folder, judge, served): (&Path, Judge<'_>, over_tls::Served),
    (router, proxy): (&RouterConfig, &mut ProxyConfig),
    reader: &mut Reader,
) -> BTreeMap<AppName, AppConfig> {
    let mut apps = BTreeMap::new();
    let mut claims = claim::Claims::default();
    for section in app::sections(top, reader) {
        let Some(app) = app::read(&section, (folder, judge, served), reader) else {
            continue;
        };
        claims.add(&app, &section, reader);
        router::must_carry(router, &app, &section, reader);
        answers::read(&section, Some(&app.name), (folder, judge), &mut proxy.settings, reader);
        limits::of_app(&section, &app.name, &mut proxy.settings, reader);
        apps.insert(app.name.clone(), app);
    }
    apps
}

fn read(path: &Path) -> Result<String, Box<Diagnostic>> {
    let shown = path.display();
    let open = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().map_err(|error| Box::new(unreadable(path, &error)))?;
    if bytes.len() as u64 > LARGEST {
        let what = format!("{shown} is larger than 1 MiB");
        let help = "name a cutover.toml, which is a text of a few lines";
        return Err(Box::new(Diagnostic::new(what).help(help)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + String::from_utf8_lossy(good).matches('\n').count();
        let what = format!("{shown} is not UTF-8 text, see line {line}");
        Box::new(Diagnostic::new(what).help("save the file as UTF-8"))
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound => missing(path),
        ErrorKind::IsADirectory => Diagnostic::new(format!("{shown} is a directory"))
            .help(format!("name the file in it: {}", path.join("cutover.toml").display())),
        _ => Diagnostic::new(format!("cannot read {shown}: {error}"))
            .help("make it readable for the user who runs Cutover"),
    }
}

fn missing(path: &Path) -> Diagnostic {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Diagnostic::new(format!("no {name} in {}", folder_of(path).display())).help(
        "write one, or see it work first with `cutover demo`; the shortest is\n\
         [app.web]\n\
         command = [\"./server\", \"--port\", \"{port}\"]",
    )
}

/// The folder a file lies in, absolute.
fn folder_of(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path);
    let whole = whole.as_deref().unwrap_or(path);
    whole.parent().unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests;
