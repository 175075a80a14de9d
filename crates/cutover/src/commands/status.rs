//! `cutover status`: what runs and what carries it, now.
//!
//! Nothing is looked at from here: the server tells, and this lays it out once. What changes later is for
//! `watch`.

use std::fmt::Write as _;
use std::time::Duration;

use model::admin::HoldSeen;
use model::{AppName, Fault};

use super::watch::watch;
use crate::server::api::ServerStatus;
use crate::server::kept::KeptStatus;
use crate::server::orders::AppStatus;
use crate::server::proxies::ProxyStatus;
use crate::{cli, config, duration};

/// Runs the command.
pub(super) async fn status(arguments: cli::Status) -> Result<u8, Fault> {
    let (client, config) = super::reach(&arguments.at)?;
    let app = arguments.app.map(AppName::new).transpose()?;
    if let Some(app) = &app {
        config::must_know_any(&config, app, &arguments.at.config)?;
    }
    let members = app.as_ref().and_then(|app| config.together.get(app)).cloned();
    let select = |mut status: ServerStatus| {
        status.apps.retain(|one| match (&app, &members) {
            (_, Some(members)) => members.contains(&one.app),
            (app, None) => app.as_ref().is_none_or(|app| one.app == *app),
        });
        status
    };
    if arguments.watch {
        return watch(&client, arguments.json, select).await;
    }
    let status = select(client.status().await?);
    if arguments.json {
        let json = serde_json::to_string_pretty(&status)
            .map_err(|e| Fault::internal(format!("the status cannot be written: {e}")))?;
        crate::say::outln!("{json}");
    } else {
        crate::say::out!("{}", text(&status));
    }
    Ok(0)
}

fn text(status: &ServerStatus) -> String {
    let (version, listen) = (&status.version, status.listen.join(", "));
    let mut text = format!("up {version} (pid {}), listening on {listen}\n", status.pid);
    for proxy in &status.proxies {
        let ProxyStatus { pid, version, connections, leaving } = proxy;
        let now = if *leaving { "still open" } else { "connections" };
        // Writing to a string does not fail.
        let _written = writeln!(text, "proxy {version} (pid {pid}), {connections} {now}");
    }
    if let Some(to) = &status.upgrading {
        let _written = writeln!(text, "an upgrade to {to} is under way");
    }
    for app in &status.apps {
        // Writing to a string does not fail.
        let _written = describe(&mut text, app);
    }
    text
}

/// Whom and what a rollout waits for.
fn held_up(text: &mut String, app: &AppStatus) -> std::fmt::Result {
    if let Some(together) = &app.together {
        writeln!(text, "  together {}", together.words())?;
    }
    if let Some(waits) = app.progress.as_ref().and_then(|progress| progress.waits.as_ref()) {
        writeln!(text, "  its time is over, waits {waits}")?;
    }
    if let Some(hook) = &app.hook {
        writeln!(text, "  calling: {hook}")?;
    }
    if let Some(why) = &app.paused {
        writeln!(text, "  paused: {why}")?;
        writeln!(text, "  `cutover resume {0}`, `promote {0}` or `abort {0}` ends that", app.app)?;
    }
    Ok(())
}

fn describe(text: &mut String, app: &AppStatus) -> std::fmt::Result {
    let stable = app.stable.as_deref().unwrap_or("nothing deployed yet");
    writeln!(text, "\n{}  {stable}  {:?}", app.app, app.coarse)?;
    if let Some((run, version, phase)) = &app.rollout {
        writeln!(text, "  rollout to {version}: {phase} (run {run})")?;
    }
    held_up(text, app)?;
    if let Some(judged) = app.progress.as_ref().and_then(|progress| progress.judged.as_ref()) {
        writeln!(text, "  users: {judged}")?;
    }
    if let Some((version, run)) = &app.next {
        writeln!(text, "  then: {version} (run {run})")?;
    }
    if let Some(last) = &app.last {
        writeln!(text, "  last rollout: {last}")?;
    }
    if let Some(KeptStatus { version, left_ms }) = &app.kept {
        let seconds = left_ms.unwrap_or_default().div_ceil(1_000);
        let left = duration::show(Duration::from_secs(seconds));
        let app = &app.app;
        writeln!(
            text,
            "  kept     {version} runs on for {left}; `cutover rollback {app}` returns to it at once"
        )?;
    }
    for pool in &app.pools {
        writeln!(
            text,
            "  traffic  {:<12} {:>6.2}%  {:<8}  {} requests, {} tunnels open",
            pool.version,
            f64::from(pool.weight) / 100.0,
            pool.state,
            pool.requests,
            pool.tunnels
        )?;
    }
    for line in app.lingering.lines() {
        writeln!(text, "  open     {line}")?;
    }
    if app.held.total > 0 || app.held.refused > 0 {
        let HoldSeen { now, total, refused, longest_ms, .. } = app.held;
        let longest = duration::show(Duration::from_millis(longest_ms));
        writeln!(
            text,
            "  held     {now} requests wait now; {total} waited so far, {longest} at the longest, \
             {refused} refused"
        )?;
    }
    for instance in &app.instances {
        let pid = match instance.pid {
            0 => String::new(),
            pid => format!("  pid {pid}"),
        };
        writeln!(
            text,
            "  instance {:<12} {:<10} {:<9} {}{pid}",
            instance.id, instance.version, instance.condition, instance.address
        )?;
    }
    for note in &app.notes {
        writeln!(text, "  note: {note}")?;
    }
    if let Some(trouble) = &app.trouble {
        writeln!(text, "  trouble: {trouble}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{AppName, Phase};

    use super::describe;
    use crate::server::bus::Live;
    use crate::server::orders::AppStatus;
    use crate::server::progress::Progress;

    #[test]
    fn what_a_bake_waits_for_is_said_when_its_time_is_over() {
        let mut app = AppStatus::unknown(AppName::new("shop").unwrap());
        app.rollout = Some(("r1".to_owned(), "v2".to_owned(), Phase::Baking));
        app.progress = Some(Progress {
            strategy: "blue-green".to_owned(),
            steps: vec![10_000],
            share: Some(10_000),
            why: "seen".to_owned(),
            phase_ms: 3_000,
            left_ms: Some(14_000),
            goes_on: true,
            waits: Some("until all is counted".to_owned()),
            live: Live::default(),
            judged: None,
        });
        let said = |app: &AppStatus| {
            let mut text = String::new();
            describe(&mut text, app).unwrap();
            (text, crate::commands::watch::glance(app))
        };
        let (text, glance) = said(&app);
        assert!(text.contains("\n  its time is over, waits until all is counted\n"), "{text}");
        assert!(glance.ends_with(" waits=\"until all is counted\""), "{glance}");
        app.progress.as_mut().unwrap().waits = None;
        let (text, glance) = said(&app);
        assert!(!(text + &glance).contains("waits"));
    }
}
