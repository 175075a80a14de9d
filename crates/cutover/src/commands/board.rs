//! What `cutover status --watch` draws on a terminal: who carries what, how far a rollout is, what waits.
//!
//! Lines with styles from one answer of the API; it asks nobody and knows no clock.

use std::time::Duration;

use anstyle::Style;
use model::{Coarse, Phase};

use crate::duration;
use crate::say::ink::{BAD, BOLD, FAINT, GOOD, WAIT};
use crate::say::{Line, figure};
use crate::server::api::ServerStatus;
use crate::server::orders::{AppStatus, InstanceStatus, PoolStatus};
use crate::server::progress::Progress;

/// Columns of a bar of shares.
const BAR: usize = 20;
/// Column where what is said of something begins.
const WORDS: usize = 14;

/// The whole board.
pub(super) fn lines(status: &ServerStatus) -> Vec<Line> {
    let connections: u64 = status.proxies.iter().map(|proxy| proxy.connections).sum();
    let mut head =
        Line::default().styled(FAINT, format!("cutover {} (pid {})", status.version, status.pid));
    if !status.proxies.is_empty() {
        let listen = status.listen.join(", ");
        head = head.styled(FAINT, format!(" · {listen} · {connections} connections"));
    }
    let mut lines = vec![head];
    if let Some(to) = &status.upgrading {
        lines.push(Line::default().styled(WAIT, format!("an upgrade to {to} is under way")));
    }
    for app in &status.apps {
        lines.push(Line::default());
        lines.extend(of_app(app));
    }
    lines
}

fn of_app(app: &AppStatus) -> Vec<Line> {
    let mut lines = vec![headline(app)];
    if let Some(progress) = &app.progress {
        lines.extend(ladder(progress));
        lines.push(now(app, progress));
    }
    if let Some(together) = &app.together {
        lines.push(said("together", Style::new(), &together.words()));
    }
    if let Some(why) = &app.paused {
        lines.push(said("paused", WAIT, why));
        let ways = format!("`cutover resume {0}`, `promote {0}` or `abort {0}` ends that", app.app);
        lines.push(said("", FAINT, &ways));
    }
    lines.extend(app.pools.iter().map(|pool| carried(app, pool)));
    lines.extend(app.progress.as_ref().and_then(probed));
    let judged = app.progress.as_ref().and_then(|progress| progress.judged.as_ref());
    lines.extend(judged.map(|words| said("users", Style::new(), words)));
    if let Some((version, run)) = &app.next {
        lines.push(said("then", Style::new(), &format!("{version} (run {run})")));
    }
    lines.extend(odd_ones(app));
    lines.extend(app.lingering.lines().map(|line| said("still open", WAIT, &line)));
    lines.extend(app.notes.iter().map(|note| said("note", Style::new(), note)));
    if let Some(trouble) = &app.trouble {
        lines.push(said("trouble", BAD, trouble));
    }
    if let (None, Some(last)) = (&app.rollout, &app.last) {
        lines.push(said("last rollout", WAIT, last));
    }
    lines
}

/// `shop  v1 → v2  canary  baking`.
fn headline(app: &AppStatus) -> Line {
    let stable = app.stable.as_deref().unwrap_or("nothing deployed yet");
    let line = Line::default().styled(BOLD, app.app.as_str()).plain("  ").plain(stable);
    let Some((run, version, phase)) = &app.rollout else {
        let (style, word) = match app.coarse {
            Coarse::Healthy => (GOOD, "healthy"),
            Coarse::Progressing => (BOLD, "progressing"),
            Coarse::Paused => (WAIT, "paused"),
            Coarse::Degraded => (BAD, "degraded"),
        };
        return line.plain("  ").styled(style, word);
    };
    let style = if going_back(*phase) { BAD } else { BOLD };
    let strategy = app.progress.as_ref().map_or("", |progress| progress.strategy.as_str());
    line.plain(format!(" → {version}  {strategy}  "))
        .styled(style, phase.name())
        .styled(FAINT, format!("  run {run}"))
}

const fn going_back(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::RollingBack
            | Phase::DrainingCandidate
            | Phase::StoppingCandidate
            | Phase::Aborted
            | Phase::Stuck
    )
}

/// The steps of a canary: what is done, where it is, what is to come.
fn ladder(progress: &Progress) -> Option<Line> {
    let steps = &progress.steps;
    let share = progress.share.unwrap_or(0);
    // One step is the switch itself; a share that is no step was set by hand.
    if steps.len() < 2 {
        return None;
    }
    let at = steps.iter().position(|step| *step == share);
    let mut line = Line::default().plain("  steps").to(WORDS);
    for step in steps {
        let (style, sign) = match () {
            () if at.is_some() && *step == share => (BOLD, "●"),
            () if *step < share => (GOOD, "✓"),
            () => (FAINT, "○"),
        };
        line = line.styled(style, format!("{sign} {}", percent(*step))).plain("   ");
    }
    if at.is_none() && share > 0 {
        line = line.styled(WAIT, format!("now {}", percent(share)));
    }
    Some(line)
}

/// How long it has been in its phase, how long yet, and why.
fn now(app: &AppStatus, progress: &Progress) -> Line {
    let since = short(progress.phase_ms);
    let left = progress.left_ms.filter(|_| app.paused.is_none()).map(|ms| {
        let left = short(ms);
        match &progress.waits {
            Some(waits) => format!(", its time is over, waits {waits}, at most {left} more"),
            None if progress.goes_on => format!(", goes on in {left}"),
            None => format!(", at most {left} more"),
        }
    });
    let text = format!("{since}{}: ", left.unwrap_or_default());
    Line::default().plain("  for").to(WORDS).plain(text).styled(FAINT, &progress.why)
}

fn short(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    duration::show(Duration::from_secs(seconds))
}

/// One version: its share as a bar, who of it is ready, what it answers, what is open.
fn carried(app: &AppStatus, pool: &PoolStatus) -> Line {
    let full = usize::from(pool.weight) * BAR / 10_000;
    // A share that is not nothing shows.
    let full = if pool.weight > 0 { full.max(1) } else { 0 };
    let of_it = |one: &&InstanceStatus| one.version == pool.version;
    let all = app.instances.iter().filter(of_it).count();
    let ready = |one: &&InstanceStatus| matches!(&*one.condition, "ready" | "standby");
    let well = app.instances.iter().filter(of_it).filter(ready).count();
    let seen = app.progress.as_ref().map(|progress| &progress.live);
    let rps = seen.and_then(|live| live.per_version.iter().find(|(name, _)| *name == pool.version));
    let style = if well < all { WAIT } else { Style::new() };
    let mut line = Line::default()
        .plain(format!("  {}", pool.version))
        .to(WORDS)
        .styled(GOOD, "█".repeat(full))
        .styled(FAINT, "░".repeat(BAR - full))
        .plain(format!(" {:>7}  ", percent(pool.weight)))
        .styled(style, format!("{well}/{all} ready"));
    if let Some((_, rps)) = rps {
        line = line.plain(format!("  {rps:>4.0} /s"));
    }
    let mut open = vec![format!("{} open", figure::count(pool.requests))];
    if pool.tunnels > 0 {
        open.push(format!("{} tunnels", figure::count(pool.tunnels)));
    }
    if pool.state != "serving" {
        open.push(pool.state.clone());
    }
    line.styled(FAINT, format!("  {}", open.join(", ")))
}

/// What the prober saw since the rollout began.
fn probed(progress: &Progress) -> Option<Line> {
    let seen = &progress.live;
    if seen.sent == 0 {
        return None;
    }
    let style = if seen.failed > 0 { BAD } else { GOOD };
    let mut line = Line::default()
        .plain("  prober")
        .to(WORDS)
        .plain(format!("{} sent  ", figure::count(seen.sent)))
        .styled(style, format!("{} failed", figure::count(seen.failed)));
    if let Some(us) = seen.p50_us {
        line = line.plain(format!("  p50 {}", figure::short(us)));
    }
    Some(line)
}

/// Instances that are not simply ready.
fn odd_ones(app: &AppStatus) -> impl Iterator<Item = Line> {
    let odd = app.instances.iter().filter(|one| !matches!(&*one.condition, "ready" | "standby"));
    odd.map(|one| {
        let InstanceStatus { id, version, address, pid, condition } = one;
        let style = if condition == "starting" { Style::new() } else { WAIT };
        Line::default()
            .plain("  instance")
            .to(WORDS)
            .plain(format!("{id}  {version}  "))
            .styled(style, condition)
            .styled(
                FAINT,
                if *pid == 0 { format!("  {address}") } else { format!("  {address}  pid {pid}") },
            )
    })
}

fn said(what: &str, style: Style, words: &str) -> Line {
    Line::default().plain(format!("  {what}")).to(WORDS).styled(style, words)
}

/// `5%`, `12.5%`, `0.01%`.
fn percent(basis_points: u16) -> String {
    let (whole, rest) = (basis_points / 100, basis_points % 100);
    if rest == 0 { format!("{whole}%") } else { format!("{whole}.{rest:02}%") }
}

#[cfg(test)]
mod tests {
    use model::{AppName, Coarse, Phase};

    use super::lines;
    use crate::server::api::ServerStatus;
    use crate::server::bus::Live;
    use crate::server::orders::{AppStatus, InstanceStatus, PoolStatus};
    use crate::server::progress::Progress;

    fn pool(version: &str, weight: u16) -> PoolStatus {
        let state = "serving".to_owned();
        PoolStatus { version: version.to_owned(), weight, state, requests: 3, tunnels: 0 }
    }

    fn instance(version: &str, condition: &str) -> InstanceStatus {
        InstanceStatus {
            id: format!("shop-{version}-1"),
            version: version.to_owned(),
            address: "127.0.0.1:2000".to_owned(),
            pid: 7,
            condition: condition.to_owned(),
        }
    }

    fn canary() -> AppStatus {
        let mut app = AppStatus::unknown(AppName::new("shop").unwrap());
        app.coarse = Coarse::Progressing;
        app.stable = Some("v1".to_owned());
        app.rollout = Some(("r1".to_owned(), "v2".to_owned(), Phase::Baking));
        app.pools = vec![pool("v1", 9_000), pool("v2", 1_000)];
        app.instances = vec![instance("v1", "ready"), instance("v2", "ejected")];
        app.progress = Some(Progress {
            strategy: "canary".to_owned(),
            steps: vec![100, 1_000, 2_500, 10_000],
            share: Some(1_000),
            why: "the router sends its share to v2".to_owned(),
            phase_ms: 12_300,
            left_ms: Some(47_200),
            goes_on: true,
            waits: None,
            live: Live {
                per_version: vec![("v1".to_owned(), 45.2), ("v2".to_owned(), 4.6)],
                sent: 1_534,
                failed: 2,
                p50_us: Some(2_300),
                ..Live::default()
            },
            judged: Some("0 of 60 failed, 1 of 540 of v1; worse at p = 0.01 or less".to_owned()),
        });
        app
    }

    fn drawn(app: AppStatus) -> String {
        let status = ServerStatus {
            pid: 1,
            version: "0.1.0".to_owned(),
            program: String::new(),
            proxies: Vec::new(),
            upgrading: None,
            epoch: 1,
            listen: vec!["127.0.0.1:80".to_owned()],
            apps: vec![app],
        };
        lines(&status).iter().skip(2).map(|line| line.text(false) + "\n").collect()
    }

    #[test]
    fn a_canary_shows_its_steps_its_shares_and_what_is_odd() {
        let expected = "\
shop  v1 → v2  canary  baking  run r1
  steps       ✓ 1%   ● 10%   ○ 25%   ○ 100%   
  for         13s, goes on in 48s: the router sends its share to v2
  v1          ██████████████████░░     90%  1/1 ready    45 /s  3 open
  v2          ██░░░░░░░░░░░░░░░░░░     10%  0/1 ready     5 /s  3 open
  prober      1,534 sent  2 failed  p50 2.3 ms
  users       0 of 60 failed, 1 of 540 of v1; worse at p = 0.01 or less
  instance    shop-v2-1  v2  ejected  127.0.0.1:2000  pid 7
";
        assert_eq!(drawn(canary()), expected);
    }

    #[test]
    fn a_share_set_by_hand_and_a_pause_are_said() {
        let mut app = canary();
        app.paused = Some("asked for by hand".to_owned());
        let progress = app.progress.as_mut().unwrap();
        progress.share = Some(1_750);
        progress.goes_on = false;
        let text = drawn(app);
        assert!(text.contains("✓ 1%   ✓ 10%   ○ 25%   ○ 100%   now 17.50%\n"), "{text}");
        assert!(text.contains("  for         13s: the router"), "{text}");
        assert!(text.contains("  paused      asked for by hand\n"), "{text}");
        assert!(text.contains("`cutover resume shop`, `promote shop`"), "{text}");
    }

    #[test]
    fn what_a_bake_waits_for_is_said_when_its_time_is_over() {
        let mut app = canary();
        let progress = app.progress.as_mut().unwrap();
        progress.waits = Some("until all is counted".to_owned());
        progress.left_ms = Some(14_200);
        let expected = "  for         13s, its time is over, waits until all is counted, at most 15s more: the \
                        router sends its share to v2\n";
        let text = drawn(app);
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn at_rest_it_is_two_lines() {
        let mut app = AppStatus::unknown(AppName::new("shop").unwrap());
        app.stable = Some("v2".to_owned());
        app.pools = vec![pool("v2", 10_000)];
        app.instances = vec![instance("v2", "ready")];
        let expected = "\
shop  v2  healthy
  v2          ████████████████████    100%  1/1 ready  3 open
";
        assert_eq!(drawn(app), expected);
    }
}
