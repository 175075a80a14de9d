//! Takes one step: asks instances, or writes a configuration, has nginx test it, and reloads nginx.
//!
//! The routes are on record before the reload, and the configuration that nginx refuses is put back. Which
//! step is next is decided in `plan`; whether workers run what was written is not waited for here, the next
//! look sees it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use model::{AppName, Fault, Kind, Routes};

use super::checks::Checks;
use super::conf::render;
use super::record::{Record, Told};
use super::setup::Setup;
use super::step::Step;
use super::test_run::test;
use super::{SLACK_MS, master, written};
use crate::router::fenced::{Fenced as _, OnRecord};
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
            let kept_ms = written::kept_ms(&test(&setup.program).await?);
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
    let kept_ms = match test(&setup.program).await {
        Ok(text) => written::kept_ms(&text),
        Err(fault) => {
            let before = there.unwrap_or_else(|| {
                render(app, record.routes.as_ref(), record.generation, setup.control)
            });
            replace(&path, &before)?;
            return Err(fault);
        }
    };
    // While a worker lingers that still knows them, they may be asked yet.
    let ago = record.told.as_ref().map_or(0, |told| now_ms().saturating_sub(told.at_ms));
    let lingering = ago < record.kept_ms.saturating_add(SLACK_MS);
    let connections = connections(master::find(&setup.pid)?.pid);
    let left =
        record.left_by(routes.as_ref(), |one| lingering || connections.contains_key(&one.address));
    let before = record.routes.clone();
    reload(setup, app, Record { generation: next, routes, before, left, kept_ms, ..record })
}

/// Puts it on record with the workers that run something else, then reloads.
fn reload(setup: &Setup, app: &AppName, record: Record) -> Result<(), Fault> {
    let master = master::find(&setup.pid)?;
    // After the configuration is in its place: whoever is started from here on reads it.
    let workers = master.workers().into_iter().map(|worker| worker.process).collect();
    let record = Record { told: Some(Told { workers, at_ms: now_ms() }), ..record };
    record.write(&setup.record(app))?;
    master.reload()
}

/// Ms since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
