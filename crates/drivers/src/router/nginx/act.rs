//! Takes one step: asks instances, or writes a configuration, has nginx test it, and reloads nginx.
//!
//! The routes are on record before the reload, and the configuration that nginx refuses is put back. Which
//! step is next is decided in `plan`; whether workers run what was written is not waited for here, the next
//! look sees it.

use std::fs;

use model::{AppName, Fault, Kind, Routes};

use super::checks::Checks;
use super::conf::render;
use super::record::{Record, Told};
use super::setup::Setup;
use super::step::Step;
use super::test_run::test;
use super::{SLACK_MS, clients, master, written};
use crate::router::fenced::{Fenced as _, OnRecord};
use crate::router::moment::Moment;
use crate::router::open::connections;
use crate::router::replace::replace;

/// Takes a step that has been read.
pub(super) async fn act(
    setup: &Setup,
    checks: &Checks,
    (step, words): (Step, &str),
    epoch: u64,
) -> Result<(), Fault> {
    let app = step.relies_on().0.clone();
    let record = Record::read(&setup.record(&app))?;
    let found = OnRecord { generation: record.generation, epoch: record.epoch };
    step.still_holds(words, found, epoch)?;
    let newer = epoch > record.epoch;
    let record = Record { epoch, ..record };
    match step {
        Step::Check { instances, .. } => {
            checks.ask(&app, setup.check_path(&app), &instances).await;
            if newer { record.write(&setup.record(&app)) } else { Ok(()) }
        }
        Step::Publish { next, routes, .. } => publish(setup, &app, record, (next, routes)).await,
        Step::Reload { .. } => {
            let kept_ms = ready(setup).await?;
            reload(setup, &app, Record { kept_ms, ..record })
        }
        Step::Refuse { why, help, .. } => {
            Err(Fault::new(Kind::Config, format!("nginx cannot carry {why}")).help(help))
        }
    }
}

async fn publish(
    setup: &Setup,
    app: &AppName,
    record: Record,
    (next, routes): (u64, Option<Routes>),
) -> Result<(), Fault> {
    let path = setup.file(app);
    let there = fs::read_to_string(&path).ok();
    replace(&path, &render(app, routes.as_ref(), next, setup.control))?;
    let kept_ms = match ready(setup).await {
        Ok(kept_ms) => kept_ms,
        Err(fault) => {
            let before = there.unwrap_or_else(|| {
                render(app, record.routes.as_ref(), record.generation, setup.control)
            });
            replace(&path, &before)?;
            return Err(fault);
        }
    };
    let master = master::find(&setup.pid)?;
    let lingering = may_be_asked(&record, &master, setup.longest_ms(app));
    let connections = connections(master.pid);
    let left =
        record.left_by(routes.as_ref(), |one| lingering || connections.contains_key(&one.address));
    let before = record.routes.clone();
    reload(setup, app, Record { generation: next, routes, before, left, kept_ms, ..record })
}

/// Has nginx test what is written, and waits until no reload is under way: one of somebody else's may have
/// read what was before, and begin workers with it after ours were counted. Answers how long workers wait
/// for kept connections, ms.
async fn ready(setup: &Setup) -> Result<u64, Fault> {
    let text = test(&setup.program).await?;
    master::find(&setup.pid)?.at_rest().await?;
    Ok(written::kept_ms(&text))
}

/// Puts it on record with the workers that run something else, then reloads.
fn reload(setup: &Setup, app: &AppName, record: Record) -> Result<(), Fault> {
    let master = master::find(&setup.pid)?;
    // After the configuration is in its place: whoever is started from here on reads it.
    let workers = master.workers().into_iter().map(|worker| worker.process).collect();
    let record = Record { told: Some(Told { workers, at: Moment::now() }), ..record };
    record.write(&setup.record(app))?;
    master.reload()
}

/// True while a worker that ends may bring something to who was left before: those are still known to it.
fn may_be_asked(record: &Record, master: &master::Master, longest_ms: u64) -> bool {
    let told = record.told.as_ref().and_then(|told| Some((told, told.at.ago_ms()?)));
    let Some((told, ago)) = told else { return true };
    let within = |ms: u64| ago < ms.saturating_add(SLACK_MS);
    let ends = |worker: &master::Worker| worker.ending && told.workers.contains(&worker.process);
    let ending: Vec<_> = master.workers().into_iter().filter(ends).collect();
    within(record.kept_ms) || within(longest_ms) && clients::unserved(master.pid, &ending) > 0
}
