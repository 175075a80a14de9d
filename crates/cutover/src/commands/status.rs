//! `cutover status`: what runs and what carries it, now.

use std::fmt::Write as _;

use model::Fault;

use crate::cli;
use crate::server::api::ServerStatus;
use crate::server::orders::AppStatus;

/// Runs the command.
pub(super) async fn status(arguments: cli::Status) -> Result<u8, Fault> {
    let (client, _) = super::reach(&arguments.at)?;
    let status = client.status().await?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&status)
            .map_err(|e| Fault::internal(format!("the status cannot be written: {e}")))?;
        anstream::println!("{json}");
    } else {
        anstream::print!("{}", text(&status));
    }
    Ok(0)
}

fn text(status: &ServerStatus) -> String {
    let mut text = format!("up (pid {}), listening on {}\n", status.pid, status.listen.join(", "));
    for app in &status.apps {
        // Writing to a string does not fail.
        let _written = describe(&mut text, app);
    }
    text
}

fn describe(text: &mut String, app: &AppStatus) -> std::fmt::Result {
    let stable = app.stable.as_deref().unwrap_or("nothing deployed yet");
    writeln!(text, "\n{}  {stable}  {:?}", app.app, app.coarse)?;
    if let Some((run, version, phase)) = &app.rollout {
        writeln!(text, "  rollout to {version}: {phase} (run {run})")?;
    }
    if let Some(last) = &app.last {
        writeln!(text, "  last rollout: {last}")?;
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
    for instance in &app.instances {
        writeln!(
            text,
            "  instance {:<12} {:<10} {:<9} {}  pid {}",
            instance.id, instance.version, instance.condition, instance.address, instance.pid
        )?;
    }
    if let Some(trouble) = &app.trouble {
        writeln!(text, "  trouble: {trouble}")?;
    }
    Ok(())
}
