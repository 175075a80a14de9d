//! Can its health check fail at all? The app is made to stand still, and asked for what nobody can have meant.
//!
//! What the check says before users are answered is tried in `start`, what it says after SIGTERM in `end`; what it
//! says of a database or a queue that is away is not tried: nobody knows them here. The words are in `finding`.

use std::time::Duration;

use drivers::check::{Answer, ask};
use drivers::platform::Condition;
use model::Fault;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;

use super::finding;
use super::start::Started;
use super::ward::Ward;
use super::{Asked, Chart, ms};
use crate::config::HealthConfig;

/// So much longer than its checks may take it is waited for.
const MARGIN: Duration = Duration::from_secs(1);
/// How long one that goes on may take to be ready again.
const BACK: Duration = Duration::from_secs(5);

/// A process group that stands still for as long as this lives, also when the trial is given up.
struct Still(Pid);

impl Still {
    fn of(pid: u32) -> Result<Self, rustix::io::Errno> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(rustix::io::Errno::SRCH)?;
        kill_process_group(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        // One that has ended meanwhile needs it no more.
        let _ended = kill_process_group(self.0, Signal::CONT);
    }
}

/// Stops the instance for a while, and puts on the chart whether its checks notice.
pub(super) async fn stall(
    ward: &Ward,
    chart: &mut Chart<'_>,
    started: &Started,
) -> Result<(), Fault> {
    (chart.say)("letting it stand still (SIGSTOP): does its health check fail?");
    let still = match Still::of(started.pid) {
        Ok(still) => still,
        Err(error) => {
            chart.not_tried(&format!("a standstill: it cannot be stopped ({error})"));
            return Ok(());
        }
    };
    let begun = Instant::now();
    let patience = patience(&chart.config.health);
    let noticed = becomes(ward, started, (false, begun + patience)).await?;
    let asked = Asked::of(chart, started);
    let answers = !noticed && ask(asked.address, &asked.host, &asked.path, MARGIN).await.is_ok();
    drop(still);
    if noticed {
        chart.examined.measured.stall_ms = Some(ms(begun.elapsed()));
    } else if answers {
        chart.not_tried(
            "a standstill: what answers is not in the process group that was started, so it cannot be stopped",
        );
    } else if chart.config.health.path.is_none() && chart.config.health.command.is_empty() {
        chart.saw("health-only-connects", finding::survives(patience));
    } else {
        chart.find(finding::survives_stall(patience, &chart.config.health.command));
    }
    // What is tried next is tried on one that is well again, if it ever is.
    becomes(ward, started, (true, Instant::now() + BACK)).await.map(|_| ())
}

/// How long checks in a row may take to say that it is not ready.
fn patience(health: &HealthConfig) -> Duration {
    (health.timeout + health.interval) * health.fall + MARGIN
}

/// Waits until the checks say that it is ready, or that it is not. False when the time is over before.
async fn becomes(
    ward: &Ward,
    started: &Started,
    (ready, deadline): (bool, Instant),
) -> Result<bool, Fault> {
    loop {
        let have = ward.look().await?;
        let mut instances = have.of(started.release);
        let is = instances.any(|i| i.id == started.id && i.condition == Condition::Ready);
        if is == ready {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        ward.changed(&have).await;
    }
}

/// Asks for what nobody can have meant, and says when that is answered well: like the health path itself, or in
/// another way.
pub(super) async fn anything(chart: &mut Chart<'_>, asked: &Asked) {
    let Some(path) = chart.config.health.path.clone() else { return };
    let limit = chart.config.health.timeout;
    let Ok(well) = ask(asked.address, &asked.host, &path, limit).await else { return };
    let mut others = Vec::new();
    for other in nowhere(&path) {
        let answer = ask(asked.address, &asked.host, &other, asked.limit).await;
        let good = |answer: &Answer| (200..300).contains(&answer.status);
        others.extend(answer.ok().filter(good).map(|answer| (other, answer)));
    }
    match others.iter().find(|(_, answer)| same(answer, &well)) {
        Some((other, _)) => chart.find(finding::catch_all(&path, other)),
        None if !others.is_empty() => chart.find(finding::answers_anything()),
        None => {}
    }
}

/// Paths that do not exist: at the top, and beside the health path.
fn nowhere(path: &str) -> Vec<String> {
    let name = format!("cutover-doctor-{:08x}", fastrand::u32(..));
    let plain = path.split('?').next().unwrap_or_default();
    let folder = plain.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut paths = vec![format!("/{name}"), format!("{folder}/{name}")];
    paths.dedup();
    paths
}

/// True when nobody could tell one answer from the other.
fn same(one: &Answer, other: &Answer) -> bool {
    let kind = |answer: &Answer| answer.field("content-type").map(str::to_owned);
    (one.status, one.body_bytes, &one.body_head, kind(one))
        == (other.status, other.body_bytes, &other.body_head, kind(other))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drivers::check::Answer;

    use super::{nowhere, same};

    fn answer(body: &str, kind: &str) -> Answer {
        Answer {
            status: 200,
            version: None,
            location: None,
            body_head: body.to_owned(),
            body_bytes: body.len() as u64,
            fields: vec![("content-type".to_owned(), kind.to_owned())],
            latency: Duration::from_millis(1),
        }
    }

    #[test]
    fn answers_are_the_same_when_nobody_could_tell_them_apart() {
        let page = answer("<html>", "text/html");
        assert!(same(&page, &answer("<html>", "text/html")));
        assert!(!same(&page, &answer("<body>", "text/html")));
        assert!(!same(&page, &answer("<html>", "text/plain")));
        assert!(!same(&page, &Answer { body_bytes: 900, ..page.clone() }));
    }

    #[test]
    fn a_path_beside_the_health_path_is_tried_too() {
        let paths = |path| {
            nowhere(path).into_iter().map(|one| one.split("cutover").next().unwrap().to_owned())
        };
        assert_eq!(paths("/healthz").collect::<Vec<_>>(), ["/"]);
        assert_eq!(paths("/api/v1/health?full=/x").collect::<Vec<_>>(), ["/", "/api/v1/"]);
    }
}
