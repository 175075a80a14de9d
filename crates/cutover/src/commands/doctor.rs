//! `cutover doctor`: prints what was found on throw-away instances.
//!
//! The trials are `crate::doctor`'s; here a version is chosen and the result laid out.

use std::fmt::{self, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use model::{AppName, Fault, Kind, Version};

use crate::config::{AppConfig, Config};
use crate::doctor::{Examined, Finding, Severity, Wish, examine};
use crate::interrupt::Interrupt;
use crate::{cli, config, duration};

/// Exit code when something loses requests, or may.
const FOUND: u8 = 1;
/// Exit code when it was told to stop.
const INTERRUPTED: u8 = 130;

/// Runs the command.
pub(super) async fn doctor(arguments: cli::Doctor) -> Result<u8, Fault> {
    let app = AppName::new(arguments.app.clone())?;
    let config = super::load(&arguments.at)?;
    config::must_know(&config, &app, &arguments.at.config)?;
    started_here(&app, &config)?;
    let version = version(&arguments, &app, &config).await?;
    let slow_path = arguments.slow_path.as_deref();
    if slow_path.is_some_and(|path| !path.starts_with('/')) {
        return Err(Fault::new(Kind::Usage, "--slow-path is no path").help("begin it with `/`"));
    }
    let mut interrupt = Interrupt::new()?;
    let wish = Wish { app: &app, version: &version, slow_path };
    let say = |text: &str| {
        if !arguments.json {
            crate::say::errln!("{text}");
        }
    };
    let Some(examined) = examine(&config, &wish, &say, interrupt.wait()).await? else {
        return Ok(INTERRUPTED);
    };
    if arguments.json {
        let json = serde_json::to_string_pretty(&examined)
            .map_err(|e| Fault::internal(format!("the findings cannot be written: {e}")))?;
        crate::say::outln!("{json}");
    } else {
        crate::say::out!("{}", text(&examined));
    }
    let bad = |finding: &Finding| finding.severity != Severity::Note;
    Ok(if examined.findings.iter().any(bad) { FOUND } else { 0 })
}

/// Refuses an app whose instances somebody else starts: there is nothing to start one with.
fn started_here(app: &AppName, config: &Config) -> Result<(), Fault> {
    let Some(source) = config.apps.get(app).and_then(|app| app.source.as_ref()) else {
        return Ok(());
    };
    let what = format!(
        "doctor starts and ends an instance to try it, and those of {app} are started by somebody else \
         and found at {source}"
    );
    let help = format!(
        "write a file with the `command` that they are started with and try it there; `cutover plan {app} \
         VERSION` shows who is found"
    );
    Err(Fault::new(Kind::Usage, what).help(help))
}

/// The version that was named; else the one users are on, where the command depends on it.
async fn version(
    arguments: &cli::Doctor,
    app: &AppName,
    config: &Config,
) -> Result<Version, Fault> {
    if let Some(version) = &arguments.version {
        return Version::new(version.clone());
    }
    if !config.apps.get(app).is_some_and(needs_version) {
        return Version::new("doctor");
    }
    let (client, _) = super::reach(&arguments.at)?;
    let status = client.status().await.ok();
    let apps = status.into_iter().flat_map(|status| status.apps);
    let stable = apps.filter(|one| one.app == *app).find_map(|one| one.stable);
    let unknown = || {
        let what = format!("which version of {app} is to be tried? Its command depends on it");
        Fault::new(Kind::Usage, what).help(format!("name one: `cutover doctor {app} VERSION`"))
    };
    Version::new(stable.ok_or_else(unknown)?)
}

fn needs_version(app: &AppConfig) -> bool {
    let holds = |text: &str| text.contains("{version}");
    app.command.iter().any(|text| holds(text)) || holds(&app.directory.to_string_lossy())
}

fn text(examined: &Examined) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write(&mut text, examined);
    text
}

fn write(text: &mut String, examined: &Examined) -> fmt::Result {
    let Examined { app, version, findings, measured, not_tried } = examined;
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let told = match (count(Severity::Loses), count(Severity::Risks)) {
        (0, 0) => "nothing was found that loses requests in a deploy".to_owned(),
        (loses, risks) => format!("{loses} found that lose requests, {risks} that may"),
    };
    writeln!(text, "{app} {version}: {told}")?;
    let heads = [
        (Severity::Loses, "loses requests", AnsiColor::Red.on_default().bold()),
        (Severity::Risks, "may lose requests", AnsiColor::Yellow.on_default().bold()),
        (Severity::Note, "good to know", Style::new().bold()),
    ];
    for (severity, head, style) in heads {
        let mut of_it = findings.iter().filter(|one| one.severity == severity).peekable();
        if of_it.peek().is_some() {
            writeln!(text, "\n{style}{head}{style:#}")?;
        }
        of_it.try_for_each(|finding| one(text, finding))?;
    }
    writeln!(text, "\nmeasured")?;
    let time = |ms: Option<u64>, none: &str| {
        ms.map_or(none.to_owned(), |ms| duration::show(Duration::from_millis(ms)))
    };
    writeln!(text, "  ready    after {}", time(measured.ready_ms, "no time: it never was"))?;
    writeln!(text, "  answers  after {}", time(measured.answers_ms, "no time: not well"))?;
    let least = if measured.idle_ms == Some(measured.reuse_ms) { "at least " } else { "" };
    writeln!(text, "  idle     {least}{}", time(measured.idle_ms, "not tried"))?;
    if measured.stall_ms.is_some() {
        writeln!(text, "  stall    noticed after {}", time(measured.stall_ms, ""))?;
    }
    if measured.ready_ms.is_some() {
        let (answered, of) = (measured.answered, measured.in_flight);
        writeln!(text, "  in flight at SIGTERM  {answered} of {of} answered")?;
        writeln!(text, "  ended    after {}", time(measured.ended_ms, "no time: it did not"))?;
    }
    not_tried.iter().try_for_each(|what| writeln!(text, "not tried  {what}"))?;
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(text, "\nR numbers are told of in docs/races.md")
}

fn one(text: &mut String, finding: &Finding) -> fmt::Result {
    writeln!(text, "  {:<4} {}", finding.race, finding.what)?;
    finding.seen.iter().try_for_each(|seen| writeln!(text, "       seen  {seen}"))?;
    writeln!(text, "       fix   {}", finding.fix)
}
