//! The first record of a rollout: release and settings frozen, routes as they were.
//!
//! After this the rollout exists, whatever happens. Nothing runs and no traffic moves here.

use std::time::Duration;

use drivers::router::Evidence;
use model::{AppName, CountBy, Fault, Hold, Lane, Release, Version};
use rollout::analysis::Rules;
use rollout::{Aim, Analysis, Inconclusive, Metric, Named, Settings, Start, hooks_of_steps};

use super::tools::Tools;
use crate::clock;
use crate::config::{AnalysisConfig, AppConfig, MetricConfig, RolloutConfig, Strategy};
use crate::store::{NewRun, Run};

/// What a measurement may take beside its own time.
const MARGIN: Duration = Duration::from_secs(1);
/// Most memory that requests take while they wait, bytes.
const HELD_BYTES: u64 = 64 << 20;

/// What a release is to its app when it is shipped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shipped {
    pub(super) aim: Aim,
    /// It still runs.
    pub(super) warm: bool,
}

/// Journals the beginning of a rollout of a release that the store has, as the run of that id.
pub(super) fn begin(
    tools: &Tools,
    config: &AppConfig,
    stable: Option<&Release>,
    (release, shipped, run): (&Release, Shipped, &str),
) -> Result<Run, Fault> {
    let store = &tools.store;
    let original = store.committed_routes(&release.app)?;
    let start = start_of(config, stable, (release, shipped), tools.router.can().evidence);
    store.begin(&NewRun {
        run,
        start: &start,
        original_routes: original.as_ref(),
        boot_id: &clock::boot_id()?,
        began_mono_ns: clock::mono_ns(),
        began_unix_ms: clock::unix_ms(),
        epoch: tools.epoch,
    })
}

/// Freezes a release of `version` and keeps it.
pub(super) fn keep(
    tools: &Tools,
    ours: (&AppName, &AppConfig),
    version: &Version,
) -> Result<Release, Fault> {
    let release = freeze(tools, ours, version)?;
    tools.store.add_release(&release, clock::unix_ms())?;
    Ok(release)
}

/// The release that a deploy of `version` would make now; nothing keeps it yet.
pub(super) fn freeze(
    tools: &Tools,
    (app, config): (&AppName, &AppConfig),
    version: &Version,
) -> Result<Release, Fault> {
    let release = config.release(tools.store.next_release_id(app)?, version)?;
    if release.source.is_none() {
        drivers::platform::process::find_program(&release)?;
    }
    Ok(release)
}

/// The machine's start for shipping `candidate`. The first deploy has nobody to watch yet.
pub(super) fn start(
    config: &AppConfig,
    stable: Option<&Release>,
    candidate: &Release,
    evidence: Evidence,
) -> Start {
    start_of(config, stable, (candidate, Shipped { aim: Aim::Deploy, warm: false }), evidence)
}

/// A release that ran before has no shares to pass, is compared with nobody and is not waited for: users are to
/// be back soon. What it is judged by depends on what the router can say.
pub(super) fn start_of(
    config: &AppConfig,
    stable: Option<&Release>,
    (candidate, shipped): (&Release, Shipped),
    evidence: Evidence,
) -> Start {
    let named = |release: &Release| Named { id: release.id, version: release.version.clone() };
    let probing = config.probe.enabled && stable.is_some();
    let mut settings = aimed(settings(config, probing, &candidate.version), shipped);
    if evidence == Evidence::Counters {
        settings.analysis = settings.analysis.map(by_counters);
    }
    let found = stable.into_iter().chain([candidate]).filter(|release| release.source.is_some());
    settings.theirs = found.map(|release| release.id).collect();
    let mut start = Start {
        app: candidate.app.clone(),
        stable: stable.map(named),
        candidate: named(candidate),
        instances: config.instances,
        settings,
    };
    let hooks = std::mem::take(&mut start.settings.hooks);
    start.settings.hooks = hooks_of_steps(&start, hooks);
    start
}

/// Nothing is kept of what users are taken off for good reason.
fn aimed(mut settings: Settings, Shipped { aim, warm }: Shipped) -> Settings {
    settings.aim = aim;
    if aim == Aim::Rollback {
        settings.analysis = settings.analysis.map(limits_alone);
        settings.metrics = Vec::new();
        settings.pause_after = Vec::new();
        settings.keep_old_ms = 0;
        settings.hooks.retain(|hook| hook.rollback);
        settings.warm = warm;
        settings.return_home &= !warm;
        if warm || matches!(settings.strategy, rollout::Strategy::Canary { .. }) {
            settings.strategy = rollout::Strategy::BlueGreen;
        }
    }
    settings
}

/// Requests a second of the prober. Sockets stay where they are, whatever the shares.
pub(super) fn asked(config: &AppConfig) -> f64 {
    let asking = config.probe.lanes.iter().filter(|lane| **lane != Lane::Websocket).count();
    f64::from(config.probe.rate) * asking as f64 / config.probe.lanes.len().max(1) as f64
}

fn settings(config: &AppConfig, probing: bool, version: &Version) -> Settings {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let rollout = &config.rollout;
    let strategy = match &rollout.strategy {
        Strategy::BlueGreen => rollout::Strategy::BlueGreen,
        Strategy::Canary { steps, step_bake, counts } => rollout::Strategy::Canary {
            steps: steps.clone(),
            step_ms: ms(*step_bake),
            counts: counts.clone(),
        },
        Strategy::Recreate { hold, requests } => {
            let bytes = HELD_BYTES;
            let hold = Hold { wait_ms: ms(*hold), requests: *requests, bytes };
            rollout::Strategy::Recreate { hold }
        }
        Strategy::Rolling { batch, surge } => {
            rollout::Strategy::Rolling { batch: *batch, surge: *surge }
        }
    };
    Settings {
        strategy,
        return_home: rollout.return_home,
        keep_old_ms: ms(rollout.keep_old),
        pause_after: rollout.pause_after.clone(),
        pause_deadline_ms: ms(rollout.pause_timeout),
        ready_deadline_ms: ms(config.health.deadline),
        preview_requests: rollout.preview_requests,
        bake_ms: ms(rollout.bake),
        drain_deadline_ms: ms(rollout.drain_timeout),
        handover_deadline_ms: ms(rollout.handover_timeout),
        handover: rollout.handover.clone(),
        stop_deadline_ms: ms(config.stop_timeout) + 5_000,
        max_errors: u64::from(rollout.max_errors),
        max_error_share_bp: basis_points(rollout.max_error_share),
        analysis: rollout.analysis.map(|it| analysis(it, rollout)),
        incident: rollout.incident,
        metrics: rollout.metrics.iter().map(metric).collect(),
        probing,
        probe_per_minute: whole(asked(config) * 60.0),
        hooks: config.hooks(version),
        ..Settings::default()
    }
}

/// What is measured beside requests.
fn metric(config: &MetricConfig) -> Metric {
    let patience = (config.interval + config.timeout) * config.failures + MARGIN;
    Metric {
        name: config.name.clone(),
        failures: config.failures,
        unmeasured: config.no_data,
        at: config.at.clone(),
        patience_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
    }
}

/// How both versions are compared while both have a share, as in a canary and a rolling update; else what the
/// limits are.
fn analysis(config: AnalysisConfig, rollout: &RolloutConfig) -> Analysis {
    let us = |limit: Duration| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    let rules = Rules {
        alpha_bp: config.alpha_bp,
        compare: true,
        max_error_share_bp: basis_points(rollout.max_error_share),
        latency: config.latency,
        p99_us: config.p99.map(us),
        early: config.early,
        counters: false,
    };
    let whole = Analysis { rules, inconclusive: config.inconclusive, count_by: config.count_by };
    if rollout.strategy.shares() { whole } else { limits_alone(whole) }
}

/// Nothing is compared with stable, so nothing can stay open either.
const fn limits_alone(analysis: Analysis) -> Analysis {
    let rules = Rules { compare: false, early: false, ..analysis.rules };
    Analysis { rules, inconclusive: Inconclusive::Promote, ..analysis }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no rate is either")]
fn whole(rate: f64) -> u32 {
    rate.round() as u32
}

/// A router's counters tell requests and failures: no latency, and no clients, so the versions are compared only where
/// each request is said to count.
fn by_counters(analysis: Analysis) -> Analysis {
    let each = analysis.count_by == CountBy::Request;
    let Analysis { rules, count_by, .. } = if each { analysis } else { limits_alone(analysis) };
    let rules = Rules { latency: false, p99_us: None, early: false, counters: true, ..rules };
    Analysis { rules, inconclusive: Inconclusive::Promote, count_by }
}

/// A share of 0 to 1 in basis points.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=10000")]
fn basis_points(share: f64) -> u16 {
    (share.clamp(0.0, 1.0) * 10_000.0).round() as u16
}

#[cfg(test)]
mod tests {
    use model::{CountBy, Version};
    use rollout::analysis::Rules;
    use rollout::{Aim, Analysis, Inconclusive};

    use super::{Shipped, aimed, by_counters, settings};
    use crate::config::{AnalysisConfig, Strategy, example_app};

    #[test]
    fn versions_are_compared_where_both_have_a_share_for_a_while() {
        let mut app = example_app();
        let asked = AnalysisConfig {
            alpha_bp: 100,
            latency: true,
            p99: None,
            early: true,
            inconclusive: Inconclusive::Pause,
            count_by: CountBy::Client,
        };
        let mut compares = |strategy: Strategy, aim| {
            app.rollout.strategy = strategy;
            app.rollout.analysis = Some(asked);
            let version = Version::new("v2").unwrap();
            let settings = aimed(settings(&app, true, &version), Shipped { aim, warm: false });
            let Analysis { rules, inconclusive, .. } = settings.analysis.unwrap();
            assert_eq!(
                (rules.early, inconclusive == Inconclusive::Pause),
                (rules.compare, rules.compare)
            );
            rules.compare
        };
        let rolling = || Strategy::Rolling { batch: 1, surge: 0 };
        assert!(compares(rolling(), Aim::Deploy));
        assert!(!compares(Strategy::BlueGreen, Aim::Deploy));
        // Who goes back for good reason is not held against what is left.
        assert!(!compares(rolling(), Aim::Rollback));
    }

    #[test]
    fn by_counters_the_limit_of_errors_is_judged_and_only_who_counts_requests_compares() {
        let rules = Rules { p99_us: Some(1), early: true, ..Rules::default() };
        let asked = Analysis { rules, inconclusive: Inconclusive::Pause, ..Analysis::default() };
        let limit = Rules {
            compare: false,
            latency: false,
            p99_us: None,
            early: false,
            counters: true,
            ..rules
        };
        assert_eq!(by_counters(asked), Analysis { rules: limit, ..Analysis::default() });
        let count_by = CountBy::Request;
        let each =
            Analysis { rules: Rules { compare: true, ..limit }, count_by, ..by_counters(asked) };
        assert_eq!(by_counters(Analysis { count_by, ..asked }), each);
    }
}
