//! `cutover pause`, `resume`, `promote`, `set-weight`, `retry`, `rollback`: what operators do about a
//! rollout.
//!
//! The server decides; here it is asked, and what comes of it is followed as a deploy is.

use model::{AppName, Entered, Fault, Weight};

use super::also;
use super::deploy::{self, Show, Watch};
use crate::cli::{self, Following};
use crate::client::Client;
use crate::interrupt::Interrupt;
use crate::server::orders::{Begun, Told};
use crate::server::run_id::new_run_id;
use crate::{config, say};

/// The server, and the app by its name in the file.
pub(super) async fn reach(target: &cli::Target) -> Result<(Client, AppName), Fault> {
    let app = AppName::new(target.app.clone())?;
    let (client, config) = super::reach(&target.at)?;
    config::must_know_any(&config, &app, &target.at.config)?;
    let app = super::member(&client, &config, app).await?;
    Ok((client, app))
}

/// `cutover pause`.
pub(super) async fn pause(arguments: cli::Pause) -> Result<u8, Fault> {
    let (client, app) = reach(&arguments.target).await?;
    let reason = arguments.reason.unwrap_or_else(|| "by `cutover pause`".to_owned());
    tell(&client.pause(&app, reason).await?, arguments.json)
}

/// `cutover resume`.
pub(super) async fn resume(arguments: cli::Resume) -> Result<u8, Fault> {
    let (client, app) = reach(&arguments.target).await?;
    tell(&client.resume(&app).await?, arguments.json)
}

/// `cutover set-weight`.
pub(super) async fn set_weight(arguments: cli::SetWeight) -> Result<u8, Fault> {
    let (client, app) = reach(&arguments.target).await?;
    let weight: Weight = arguments.share;
    tell(&client.set_weight(&app, weight).await?, arguments.json)
}

/// `cutover promote`: goes on, and follows to the end.
pub(super) async fn promote(arguments: cli::Promote) -> Result<u8, Fault> {
    let (client, app) = reach(&arguments.target).await?;
    let following = arguments.following;
    let mut interrupt = ready(&following)?;
    let told = client.promote(&app, arguments.full).await?;
    let Some(run) = told.run.clone().filter(|_| !following.detach) else {
        return tell(&told, following.json);
    };
    anstream::eprintln!("{}", told.text);
    let mut progress = say::choose(following.json);
    let mut nothing = |_: &Entered| {};
    let (interrupt, at_phase) = (&mut interrupt, &mut nothing);
    let watch = Watch { progress: progress.as_mut(), interrupt, at_phase };
    let show = Show { out: &following.out, also: &following.also, json: following.json };
    deploy::watch(&client, (&app, &run), watch, &show).await
}

/// `cutover retry`: begins anew, and follows to the end.
pub(super) async fn retry(arguments: cli::Retry) -> Result<u8, Fault> {
    let (client, app) = reach(&arguments.target).await?;
    let interrupt = ready(&arguments.following)?;
    let begun = client.retry(&app, &new_run_id()).await?;
    follow(&client, (&app, begun), interrupt, &arguments.following).await
}

/// `cutover rollback`: begins the way back, and follows to the end.
pub(super) async fn rollback(arguments: cli::Rollback) -> Result<u8, Fault> {
    let (client, app) = reach(&arguments.target).await?;
    let interrupt = ready(&arguments.following)?;
    let begun = client.rollback(&app, arguments.to, &new_run_id()).await?;
    follow(&client, (&app, begun), interrupt, &arguments.following).await
}

/// Shows that the report can be written, before anything is asked for.
pub(super) fn ready(following: &Following) -> Result<Interrupt, Fault> {
    if !following.detach {
        super::writable(&following.out)?;
        also::writable(&following.also)?;
    }
    Interrupt::new()
}

async fn follow(
    client: &Client,
    (app, begun): (&AppName, Begun),
    mut interrupt: Interrupt,
    following: &Following,
) -> Result<u8, Fault> {
    if following.detach {
        return self::begun(app, begun, following.json);
    }
    let mut progress = say::choose(following.json);
    let mut nothing = |_: &Entered| {};
    let (interrupt, at_phase) = (&mut interrupt, &mut nothing);
    let watch = Watch { progress: progress.as_mut(), interrupt, at_phase };
    let show = Show { out: &following.out, also: &following.also, json: following.json };
    deploy::follow(client, (app, begun), watch, &show).await
}

/// Which rollout has begun, for somebody who does not follow it.
pub(super) fn begun(app: &AppName, begun: Begun, json: bool) -> Result<u8, Fault> {
    let text = std::iter::once(format!("{app}: began run {}", begun.run)).chain(begun.degrades);
    let text = text.collect::<Vec<_>>().join("\n");
    tell(&Told { text, run: Some(begun.run) }, json)
}

/// What will happen now, on stdout.
fn tell(told: &Told, json: bool) -> Result<u8, Fault> {
    if json {
        let text = serde_json::to_string(told)
            .map_err(|e| Fault::internal(format!("the answer cannot be written: {e}")))?;
        anstream::println!("{text}");
    } else {
        anstream::println!("{}", told.text);
    }
    Ok(0)
}
