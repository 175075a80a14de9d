//! `cutover deploy`, `retry` and `rollback` of apps that are rolled out together: begun by one request, and
//! followed all at once, line by line.
//!
//! The name of one app is handed on to the commands for one app. Each app has its own report; the exit code
//! is that of the worst. Where they wait for each other is not known here: the server says it line by line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use model::{AppName, Entered, Fault, Kind};

use super::deploy::{self, Show, Watch};
use super::operate;
use crate::cli::{self, Also};
use crate::client::Client;
use crate::config::{self, Config};
use crate::interrupt::Interrupt;
use crate::say;
use crate::server::orders::Begun;
use crate::server::run_id::new_run_id;
use crate::server::together::{BegunApp, BegunTogether, TogetherBody};

/// Exit codes, the worst first.
const WORST: [u8; 6] = [130, 5, 4, 1, 3, 0];

/// Where results go.
struct Into<'a> {
    out: &'a Path,
    also: &'a Also,
    json: bool,
    detach: bool,
}

impl<'a> Into<'a> {
    fn of(following: &'a cli::Following) -> Self {
        let cli::Following { out, also, json, detach } = following;
        Self { out, also, json: *json, detach: *detach }
    }
}

/// Runs `cutover deploy`.
pub(super) async fn deploy(arguments: cli::Deploy) -> Result<u8, Fault> {
    let (client, config) = super::reach(&arguments.at)?;
    let name = AppName::new(arguments.app.as_str())?;
    let Some(apps) = config.together.get(&name) else {
        config::must_know_any(&config, &name, &arguments.at.config)?;
        return deploy::deploy(arguments).await;
    };
    let cli::Deploy { version, set, following, .. } = arguments;
    let versions = set.iter().map(|one| named(one, (&name, apps))).collect::<Result<_, _>>()?;
    let into = Into::of(&following);
    ready(&into, apps)?;
    let body = TogetherBody { version: Some(version), versions, run: Some(new_run_id()) };
    let begun = client.deploy_together(&name, &body).await?;
    follow(&client, &name, begun, &into).await
}

/// Runs `cutover retry`.
pub(super) async fn retry(arguments: cli::Retry) -> Result<u8, Fault> {
    let (client, config) = super::reach(&arguments.target.at)?;
    match group(&config, &arguments.target)? {
        Some(name) => again(&client, &config, (&name, "retry"), &arguments.following).await,
        None => operate::retry(arguments).await,
    }
}

/// Runs `cutover rollback`.
pub(super) async fn rollback(arguments: cli::Rollback) -> Result<u8, Fault> {
    let (client, config) = super::reach(&arguments.target.at)?;
    let Some(name) = group(&config, &arguments.target)? else {
        return operate::rollback(arguments).await;
    };
    if let Some(to) = arguments.to {
        let what = format!("`--to {to}` is for one app, and {name} is several");
        let help = "without it each returns to the version before; or roll back each app by itself";
        return Err(Fault::new(Kind::Usage, what).help(help));
    }
    again(&client, &config, (&name, "rollback"), &arguments.following).await
}

fn group(config: &Config, target: &cli::Target) -> Result<Option<AppName>, Fault> {
    let name = AppName::new(target.app.as_str())?;
    Ok(config.together.contains_key(&name).then_some(name))
}

async fn again(
    client: &Client,
    config: &Config,
    (name, what): (&AppName, &str),
    following: &cli::Following,
) -> Result<u8, Fault> {
    let into = Into::of(following);
    ready(&into, config.together.get(name).map_or(&[][..], Vec::as_slice))?;
    let begun = client.again_together(name, what, &new_run_id()).await?;
    follow(client, name, begun, &into).await
}

/// `APP=VERSION`.
fn named(text: &str, (name, apps): (&AppName, &[AppName])) -> Result<(String, String), Fault> {
    let known: Vec<&str> = apps.iter().map(AppName::as_str).collect();
    let wrong = |what: String| Fault::new(Kind::Usage, what);
    let Some((app, version)) = text.split_once('=') else {
        let help = format!("write `--set {}=VERSION`", known.first().unwrap_or(&"APP"));
        return Err(wrong(format!("`--set {text}` names no app and version")).help(help));
    };
    if !known.contains(&app) {
        let help = format!("they are {}", config::list(&known));
        return Err(wrong(format!("`{app}` is none of the apps of {name}")).help(help));
    }
    Ok((app.to_owned(), version.to_owned()))
}

/// Shows that everything can be written, before anything is asked for.
fn ready(into: &Into<'_>, apps: &[AppName]) -> Result<(), Fault> {
    if into.detach {
        return Ok(());
    }
    super::writable(into.out)?;
    apps.iter().try_for_each(|app| super::also::writable(&of_app(into.also, app)))
}

/// Each app has files of its own: `summary.md` becomes `summary-credit.md`.
fn of_app(also: &Also, app: &AppName) -> Also {
    let own = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = match path.extension() {
            Some(extension) => format!("{stem}-{app}.{}", extension.to_string_lossy()),
            None => format!("{stem}-{app}"),
        };
        path.with_file_name(name)
    };
    Also { summary: also.summary.as_ref().map(own), junit: also.junit.as_ref().map(own) }
}

/// Follows all of them to the end; Ctrl-C takes them back.
async fn follow(
    client: &Client,
    name: &AppName,
    begun: BegunTogether,
    into: &Into<'_>,
) -> Result<u8, Fault> {
    if into.detach {
        return tell(name, &begun, into.json);
    }
    let apps: Vec<AppName> = begun.apps.iter().map(|one| one.app.clone()).collect();
    let ends = join_all(begun.apps.into_iter().map(|one| follow_one(client, one, into))).await;
    let codes = ends.into_iter().collect::<Result<Vec<u8>, Fault>>()?;
    if !into.json {
        let all = apps.iter().zip(&codes).map(|(app, code)| format!("{app} {}", words(*code)));
        say::outln!("{name}: {}", all.collect::<Vec<_>>().join("; "));
    }
    Ok(WORST.into_iter().find(|code| codes.contains(code)).unwrap_or(0))
}

async fn follow_one(client: &Client, one: BegunApp, into: &Into<'_>) -> Result<u8, Fault> {
    let BegunApp { app, run, degrades } = one;
    let mut progress = say::among(app.as_str(), into.json);
    let mut interrupt = Interrupt::new()?;
    let mut nothing = |_: &Entered| {};
    let (interrupt, at_phase) = (&mut interrupt, &mut nothing);
    let watch = Watch { progress: progress.as_mut(), interrupt, at_phase };
    let also = of_app(into.also, &app);
    let show = Show { out: into.out, also: &also, json: into.json };
    deploy::follow(client, (&app, Begun { run, degrades }), watch, &show).await
}

/// What has begun, on stdout.
fn tell(name: &AppName, begun: &BegunTogether, json: bool) -> Result<u8, Fault> {
    if json {
        let text = serde_json::to_string(begun)
            .map_err(|e| Fault::internal(format!("the answer cannot be written: {e}")))?;
        say::outln!("{text}");
        return Ok(0);
    }
    let runs: BTreeMap<&AppName, &str> =
        begun.apps.iter().map(|one| (&one.app, one.run.as_str())).collect();
    for (app, run) in runs {
        say::outln!("{name}: {app} began run {run}");
    }
    for text in begun.apps.iter().flat_map(|one| &one.degrades) {
        say::outln!("{text}");
    }
    Ok(0)
}

/// How one of them ended, by its exit code.
const fn words(code: u8) -> &'static str {
    match code {
        0 => "is on the new version, PASS",
        1 => "is on the new version, FAIL",
        3 => "is on the new version, INCONCLUSIVE",
        4 => "is on the old version",
        130 => "was left",
        _ => "is stuck, a person is needed",
    }
}
