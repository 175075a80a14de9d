//! `cutover deploy`: asks the server for a rollout, follows it, hands over its report.
//!
//! Nothing is decided here: what a rollout does is the server's, what its traffic came to stands in the
//! report.

use std::path::Path;

use model::{AppName, Entered, Fault, Kind, Outcome, Verdict, Version, exit_code};
use report::Report;

use super::follow::{Followed, Follower};
use super::{also, ordered};
use crate::client::Client;
use crate::interrupt::Interrupt;
use crate::say;
use crate::say::progress::Progress;
use crate::say::step::Step;
use crate::server::bus::Ended;
use crate::server::orders::Begun;
use crate::server::run_id::new_run_id;
use crate::{cli, config};

/// Runs the command.
pub(super) async fn deploy(arguments: cli::Deploy) -> Result<u8, Fault> {
    let app = AppName::new(arguments.app)?;
    if !arguments.set.is_empty() {
        let what =
            format!("`--set` is for apps that are rolled out together, and {app} is one app");
        return Err(Fault::new(Kind::Usage, what).help("name its version alone"));
    }
    let version = Version::new(arguments.version)?;
    let (client, config) = super::reach(&arguments.at)?;
    config::must_know(&config, &app, &arguments.at.config)?;
    let following = arguments.following;
    let mut interrupt = ordered::ready(&following)?;
    if following.detach {
        let begun = client.deploy(&app, version.as_str(), &new_run_id()).await?;
        return ordered::begun(&app, begun, following.json);
    }
    let mut progress = say::choose(app.as_str(), following.json);
    let show = Show { out: &following.out, also: &following.also, json: following.json };
    let mut nothing = |_: &Entered| {};
    let (interrupt, at_phase) = (&mut interrupt, &mut nothing);
    let watch = Watch { progress: progress.as_mut(), interrupt, at_phase };
    ship(&client, (&app, &version), watch, &show).await
}

/// Where results go.
#[derive(Debug)]
pub(super) struct Show<'a> {
    /// Directory of the report files.
    pub(super) out: &'a Path,
    /// Further files that tell the result.
    pub(super) also: &'a cli::Also,
    /// JSON on stdout.
    pub(super) json: bool,
}

/// Who watches.
pub(super) struct Watch<'a> {
    /// Is told every step.
    pub(super) progress: &'a mut dyn Progress,
    /// May interrupt.
    pub(super) interrupt: &'a mut Interrupt,
    /// Is told every phase once.
    pub(super) at_phase: &'a mut (dyn FnMut(&Entered) + Send),
}

/// Ships a version and answers the exit code.
pub(super) async fn ship(
    client: &Client,
    (app, version): (&AppName, &Version),
    watch: Watch<'_>,
    show: &Show<'_>,
) -> Result<u8, Fault> {
    let run = new_run_id();
    let begun = tokio::select! {
        begun = client.deploy(app, version.as_str(), &run) => begun?,
        () = watch.interrupt.wait() => {
            // Whether it has begun is the server's to know; nobody is left to tell if it is away.
            drop(client.take_back(app, &run).await);
            return Ok(exit_code(true, Outcome::None, Verdict::Pass));
        }
    };
    if begun.run == run {
        return follow(client, (app, begun), watch, show).await;
    }
    // Somebody else's: the very same that waits already, or the one that this takes back.
    for text in begun.degrades {
        watch.progress.step(&Step::Note { at_ms: 0, text });
    }
    self::watch(client, (app, &begun.run), watch, show).await
}

/// Follows a rollout that this command began, to its end; Ctrl-C takes it back.
pub(super) async fn follow(
    client: &Client,
    (app, begun): (&AppName, Begun),
    watch: Watch<'_>,
    show: &Show<'_>,
) -> Result<u8, Fault> {
    let Watch { progress, interrupt, at_phase } = watch;
    for text in begun.degrades {
        progress.step(&Step::Note { at_ms: 0, text });
    }
    let follower = Follower::new(client, (app, &begun.run), progress, interrupt, at_phase);
    let end = follower.follow().await?;
    conclude(client, (app, &begun.run), end, (progress, show)).await
}

/// Follows a rollout that somebody else began, to its end; Ctrl-C leaves it alone.
pub(super) async fn watch(
    client: &Client,
    (app, run): (&AppName, &str),
    watch: Watch<'_>,
    show: &Show<'_>,
) -> Result<u8, Fault> {
    let Watch { progress, interrupt, at_phase } = watch;
    let follower = Follower::new(client, (app, run), progress, interrupt, at_phase);
    let end = follower.only_watching().follow().await?;
    conclude(client, (app, run), end, (progress, show)).await
}

/// Fetches the report and tells the result.
async fn conclude(
    client: &Client,
    (app, run): (&AppName, &str),
    followed: Followed,
    (progress, show): (&mut dyn Progress, &Show<'_>),
) -> Result<u8, Fault> {
    let Followed { ended, interrupted } = followed;
    let Some(ended) = ended else { return Ok(exit_code(true, Outcome::None, Verdict::Pass)) };
    let report = if ended.report { Some(fetch(client, run, show).await?) } else { None };
    if let Some(report) = &report {
        also::write(show.also, report)?;
    }
    progress.step(&Step::Ended {
        at_ms: ended.at_ms,
        outcome: ended.outcome,
        verdict: report.as_ref().map(|report| report.verdict).or(ended.verdict),
        sent: report.as_ref().map_or(0, |report| report.sent),
        failed: report.as_ref().map_or(0, |report| report.failed),
        why: ended.why.clone(),
    });
    Ok(tell(app, &ended, report.as_ref(), interrupted, show))
}

/// Copies the report files next to the user and reads the report.
async fn fetch(client: &Client, run: &str, show: &Show<'_>) -> Result<Report, Fault> {
    for extension in ["json", "html"] {
        let bytes = client.report(run, extension).await?;
        let path = show.out.join(format!("cutover-{run}.{extension}"));
        std::fs::write(&path, &bytes).map_err(|e| {
            Fault::environment(format!("{} cannot be written: {e}", path.display()))
                .help("name another directory with --out; the server keeps the report")
        })?;
    }
    let bytes = client.report(run, "json").await?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Fault::internal(format!("the report cannot be read: {e}")))
}

/// Prints the result and answers the exit code.
fn tell(
    app: &AppName,
    ended: &Ended,
    report: Option<&Report>,
    interrupted: bool,
    show: &Show<'_>,
) -> u8 {
    let seen = report.map(|report| report.verdict).or(ended.verdict);
    // Nothing was to be seen: then nothing was lost either.
    let verdict = seen.unwrap_or(Verdict::Pass);
    match (report, show.json) {
        (Some(report), true) => say::outln!("{}", report::json(report)),
        (Some(report), false) => {
            say::out!("{}", report::terminal(report, style()));
            let file = |extension| show.out.join(format!("cutover-{}.{extension}", ended.run));
            say::outln!("report  {}  {}", file("html").display(), file("json").display());
        }
        (None, true) => {
            say::outln!("{}", serde_json::to_string(ended).unwrap_or_default());
        }
        (None, false) => say::outln!("{}", sentence(app, ended)),
    }
    exit_code(interrupted, ended.outcome, verdict)
}

/// The result in a sentence, where nothing was probed.
fn sentence(app: &AppName, ended: &Ended) -> String {
    match (&ended.users_on, ended.outcome) {
        (Some(version), Outcome::Promoted) => format!("{app} is live at {version}"),
        (Some(version), Outcome::Aborted) => {
            format!("aborted: {}\n{app} stays at {version}", ended.why)
        }
        (None, Outcome::Aborted) => format!("aborted: {}\nnothing serves {app}", ended.why),
        _ => format!("stuck, a person is needed: {}", ended.why),
    }
}

/// Colour and width of stdout.
pub(super) fn style() -> report::Style {
    let colour = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let width = terminal_size::terminal_size().map_or(100, |(width, _)| width.0);
    report::Style { colour, width }
}
