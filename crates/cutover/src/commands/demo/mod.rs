//! `cutover demo`: the whole story in one command, on real processes and real traffic.
//!
//! It writes a configuration into a temporary directory and then does what a user would: `up`,
//! `deploy v1`, `deploy v2`, `down`. It has no way of its own to move traffic.

mod sabotage;
mod stage;

use model::{AppName, Entered, Fault, Outcome, Version};

use self::sabotage::Saboteur;
use self::stage::Stage;
use super::deploy::{Show, Watch, ship};
use super::follow::{Followed, Follower};
use crate::cli;
use crate::interrupt::Interrupt;
use crate::say;
use crate::say::progress::Progress;
use crate::say::step::Step;
use crate::server::run_id::new_run_id;

/// Exit code when it was told to stop.
const INTERRUPTED: u8 = 130;

/// Runs the command.
pub(super) async fn demo(arguments: cli::Demo) -> Result<u8, Fault> {
    super::writable(&arguments.out)?;
    let mut interrupt = Interrupt::new()?;
    let mut stage = Stage::set(&arguments)?;
    let result = perform(&mut stage, &arguments, &mut interrupt).await;
    let struck = stage.strike(&mut interrupt).await;
    let code = result?;
    struck.map(|()| code)
}

async fn perform(
    stage: &mut Stage,
    arguments: &cli::Demo,
    interrupt: &mut Interrupt,
) -> Result<u8, Fault> {
    let also = cli::Also::default();
    let show = Show { out: &arguments.out, also: &also, json: arguments.json };
    let client = tokio::select! {
        client = stage.open() => client?,
        () = interrupt.wait() => return Ok(INTERRUPTED),
    };
    let (app, v1, v2) = (stage.app().clone(), Version::new("v1")?, Version::new("v2")?);
    tell(arguments, "starting v1");
    let first = ship_quietly(&client, (&app, &v1), interrupt).await?;
    match first.ended {
        _ if first.interrupted => return Ok(INTERRUPTED),
        Some(ended) if ended.outcome == Outcome::Promoted => {}
        other => {
            let why = other.map(|ended| ended.why).unwrap_or_default();
            let mut fault = Fault::environment("v1 of the sample app did not come up")
                .help("`cutover app` alone shows why");
            fault.notes = why.lines().map(str::to_owned).collect();
            return Err(fault);
        }
    }
    tell(
        arguments,
        &format!("v1 is live on http://{}/ - shipping v2 under load", stage.entrance()),
    );
    let mut saboteur = Saboteur::new(arguments.inject, client.clone(), stage.layout().clone());
    let mut at_phase = |entered: &Entered| saboteur.at(entered.phase);
    let mut progress = say::choose(app.as_str(), arguments.json);
    let watch = Watch { progress: progress.as_mut(), interrupt, at_phase: &mut at_phase };
    let code = ship(&client, (&app, &v2), watch, &show).await?;
    if code != INTERRUPTED {
        saboteur.struck().await?;
    }
    Ok(code)
}

/// The first deploy is only the setting of the scene: its steps are not shown.
async fn ship_quietly(
    client: &crate::client::Client,
    (app, version): (&AppName, &Version),
    interrupt: &mut Interrupt,
) -> Result<Followed, Fault> {
    struct Nobody;
    impl Progress for Nobody {
        fn step(&mut self, _: &Step) {}
    }
    let run = new_run_id();
    client.deploy(app, version.as_str(), &run).await?;
    let mut nothing = |_: &Entered| {};
    let mut nobody = Nobody;
    Follower::new(client, (app, &run), &mut nobody, interrupt, &mut nothing).follow().await
}

fn tell(arguments: &cli::Demo, text: &str) {
    if !arguments.json {
        say::errln!("{text}");
    }
}
