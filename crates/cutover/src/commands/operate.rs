//! `cutover pause`, `resume`, `promote`, `set-weight`, `retry`, `rollback`: what operators do about a
//! rollout.
//!
//! The server decides; here it is asked, and what comes of it is followed as a deploy is. Whether an order
//! can be given at this moment is not known here.

use model::{AppName, Entered, Fault, Weight};

use super::deploy::{self, Show, Watch};
use super::ordered::{self, ready, tell};
use crate::cli::{self, Following};
use crate::client::Client;
use crate::interrupt::Interrupt;
use crate::server::orders::Begun;
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
    crate::say::errln!("{}", told.text);
    let mut progress = say::choose(app.as_str(), following.json);
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

async fn follow(
    client: &Client,
    (app, begun): (&AppName, Begun),
    mut interrupt: Interrupt,
    following: &Following,
) -> Result<u8, Fault> {
    if following.detach {
        return ordered::begun(app, begun, following.json);
    }
    let mut progress = say::choose(app.as_str(), following.json);
    let mut nothing = |_: &Entered| {};
    let (interrupt, at_phase) = (&mut interrupt, &mut nothing);
    let watch = Watch { progress: progress.as_mut(), interrupt, at_phase };
    let show = Show { out: &following.out, also: &following.also, json: following.json };
    deploy::follow(client, (app, begun), watch, &show).await
}
