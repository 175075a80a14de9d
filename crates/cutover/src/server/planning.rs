//! What a deploy would do, found out without doing any of it.
//!
//! It looks, asks the drivers' pure plans and the rollout machine, and writes nothing anywhere.

use std::time::Duration;

use drivers::platform::FleetHave;
use drivers::platform::discovered::ask_once;
use drivers::router::{ChangeKind, Drain, Evidence, RouterCapabilities, RoutesHave};
use model::{
    Call, Change, Farewell, Fault, Hook, OnFailure, Pace, Phase, PoolState, Release, ReleaseId,
    Source, Version, Weight,
};
use rollout::{Foreseen, Metric, Rollout, Start, Unmeasured, foresee};

use super::begin::{asked, freeze, start};
use super::busy::Rate;
use super::capable::{Able, check};
use super::desired::Desired;
use super::detect::{Rule, compares, finds};
use super::foretold::{Shipment, foretell};
use super::judged::{judged, judges, unknown};
use super::planned::{
    ChangePlanned, Compared, FirstPlanned, PhasePlanned, Planned, ProbePlanned, RouterPlanned,
    UsersPlanned,
};
use super::post;
use super::standing::Standing;
use super::tools::Tools;
use crate::config::{AppConfig, Asked, Strategy};
use crate::duration;

/// What shipping `version` would do now. Refused where a deploy would be.
pub(super) async fn plan(
    (tools, standing): (&Tools, &Standing),
    version: &Version,
    busy: Option<Rate>,
) -> Result<Planned, Fault> {
    standing.may_deploy()?;
    let (app, config) = (&standing.app, &standing.config);
    let candidate = freeze(tools, (app, config), version)?;
    standing.may_find(&candidate)?;
    let now = found_now(candidate.source.as_ref()).await?;
    let fleet = tools.platform.look(app).await?;
    let routes = tools.router.look(app).await?;
    // What the router can do may depend on what the look found.
    let able = able(tools);
    let degrades = check(config, able)?;
    let stable = standing.stable.as_ref();
    let start = start(config, stable, &candidate, able.router.evidence);
    let foreseen = foresee(&start);
    let mut first = first(tools, standing, (&candidate, &foreseen), (&fleet, &routes));
    first.waiting.extend(now);
    let shipment = Shipment { start: &start, candidate: &candidate, foreseen: &foreseen };
    let told = foretell((tools, standing), shipment, (&fleet, &routes));
    let users = users(config, start.settings.probing, busy);
    let compared = compared(&start, (able.router, &foreseen), users);
    Ok(Planned {
        app: app.clone(),
        from: stable.map(|release| release.version.to_string()),
        to: version.to_string(),
        strategy: strategy(config, stable.is_some()),
        instances: config.instances,
        router: router(able.carrier, able.router),
        degrades,
        first,
        probe: start.settings.probing.then(|| probe(config, &start)),
        users: users.filter(|_| !compared.is_empty()),
        compared,
        judged: match able.router.evidence {
            Evidence::PerRequest => {
                let counted = stable.and_then(|stable| routes.totals.get(&stable.id));
                let unknown = unknown(&start, counted.map_or(0, |of| of.requests));
                judged(&start).into_iter().chain(unknown).collect()
            }
            Evidence::Counters => judged(&start),
            Evidence::ProberOnly => Vec::new(),
        },
        measured: stable.map_or_else(Vec::new, |_| {
            start.settings.metrics.iter().filter_map(|it| measured(config, it)).collect()
        }),
        handover: handover(config, able.carrier),
        hooks: start.settings.hooks.iter().map(hook).collect(),
        kept: kept(standing, &start),
        phases: phases((config, able), &start, (&foreseen, told.phases)),
        unforeseen: told.unforeseen,
    })
}

/// How many requests there are to compare by: users' own, or as many as the prober's.
fn users(config: &AppConfig, probing: bool, busy: Option<Rate>) -> Option<UsersPlanned> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let theirs = busy.map(|rate| UsersPlanned {
        per_second: rate.per_second,
        counted_ms: Some(ms(rate.within)),
    });
    let probes = asked(config);
    let supposed = UsersPlanned { per_second: probes, counted_ms: None };
    theirs.or_else(|| (probing && probes > 0.0).then_some(supposed))
}

/// Who is found now where a release's instances are, when somebody else starts them. Refused when nobody
/// can say.
pub(super) async fn found_now(source: Option<&Source>) -> Result<Option<String>, Fault> {
    match source {
        Some(source) => ask_once(source).await.map(Some),
        None => Ok(None),
    }
}

/// What carries and what runs, with what they can do.
pub(super) fn able(tools: &Tools) -> Able {
    Able { carrier: tools.carrier, router: tools.router.can(), platform: tools.platform.can() }
}

/// What the first settle would change.
fn first(
    tools: &Tools,
    standing: &Standing,
    (candidate, foreseen): (&Release, &[Foreseen]),
    (fleet, routes): (&FleetHave, &RoutesHave),
) -> FirstPlanned {
    let Some(begin) = foreseen.first() else { return FirstPlanned::default() };
    let desired = Desired::of(&begin.wants);
    let release =
        |id: ReleaseId| standing.stable.iter().chain([candidate]).find(|release| release.id == id);
    let want = desired.fleet(&standing.app, release);
    let platform = tools.platform.plan(&want, fleet);
    let want = standing.routes_of(
        (&desired, None),
        release,
        (fleet, &[]),
        routes.routes.as_ref().as_slice(),
    );
    let carrier = tools.router.plan(Some(&want), routes);
    let words = |changes: Vec<Change>| changes.into_iter().map(|change| change.words).collect();
    FirstPlanned {
        platform: words(platform.changes),
        router: words(carrier.changes),
        waiting: platform.waiting.into_iter().chain(carrier.waiting).collect(),
    }
}

fn strategy(config: &AppConfig, has_stable: bool) -> String {
    let home = if config.rollout.return_home { ", then home" } else { "" };
    if !has_stable {
        return "the first deploy: nobody is on it yet".to_owned();
    }
    let last = config.rollout.pause_after.contains(&Weight::ALL);
    let last = if last { ", a person is waited for before it is final" } else { "" };
    let order = match &config.rollout.strategy {
        Strategy::BlueGreen => format!("blue-green{home}"),
        Strategy::Canary { steps, step_bake, .. } if steps[..] == [Weight::NONE] => {
            let pauses = config.rollout.pause_after.contains(&Weight::NONE);
            let long =
                if pauses { "a person goes on".to_owned() } else { duration::show(*step_bake) };
            let until = if pauses { "until" } else { "for" };
            format!("blue-green, seen by whom a target names {until} {long} first{home}")
        }
        Strategy::Canary { steps, counts, .. } => {
            let pause = |share: Weight| {
                let pauses = config.rollout.pause_after.contains(&share);
                if pauses { ", pause" } else { "" }
            };
            let share = |share: Weight| match share {
                Weight::NONE => "whom a target names".to_owned(),
                share => share.to_string(),
            };
            let beside = |at: usize| match counts.get(at) {
                Some(count) => format!("{count} of {} instances: ", config.instances),
                None => String::new(),
            };
            let one = |(at, step): (usize, &Weight)| {
                format!("{}{}{}", beside(at), share(*step), pause(*step))
            };
            let shares: Vec<String> = steps.iter().enumerate().map(one).collect();
            let unseen = steps.first() == Some(&Weight::NONE);
            let first = if unseen || pause(Weight::NONE).is_empty() { "" } else { "pause, " };
            format!("canary, {first}{} then everything{home}", shares.join(", "))
        }
        Strategy::Recreate { hold, requests } => format!(
            "recreate: the old version ends first, {}; up to {requests} requests wait for up to {}",
            if config.instances > 1 { "all instances of it" } else { "its only instance" },
            duration::show(*hold)
        ),
        Strategy::Rolling { batch, surge } => rolling(config.instances, (*batch, *surge)),
    };
    order + last
}

/// "rolling, 2 of 4 at once", and what a surge comes to.
fn rolling(instances: u16, (batch, surge): (u16, u16)) -> String {
    let words = format!("rolling, {batch} of {instances} at once");
    if surge == 0 {
        return words;
    }
    let first = match (batch - surge, surge) {
        (0, 1) => "the new one first".to_owned(),
        (0, _) => "the new ones first".to_owned(),
        (_, 1) => "one new one first".to_owned(),
        _ => format!("{surge} new ones first"),
    };
    let (least, most) = (instances - (batch - surge), instances + surge);
    format!("{words}, {first}: never fewer than {least} serve, never more than {most} run")
}

/// What a hook calls, and what follows when it fails. An address is shown as far as its host.
fn hook(hook: &Hook) -> String {
    let called = match &hook.call {
        Call::Program(command) => format!("`{}`", command.join(" ")),
        Call::Post(to) => format!("POST {}", post::shown(to)),
    };
    let fails = match hook.on_failure {
        OnFailure::Abort => "is undone",
        OnFailure::Pause => "waits for a person",
        OnFailure::Continue => "goes on",
    };
    let limit = duration::show(Duration::from_millis(hook.limit_ms()));
    let (name, when) = (hook.given_name(), hook.when());
    format!("{when}: {name}, {called}, within {limit}; when it fails the rollout {fails}")
}

/// What is kept now, and what will be.
fn kept(standing: &Standing, start: &Start) -> Vec<String> {
    let copies = |n: u16| format!("{n} instance{}", if n == 1 { "" } else { "s" });
    let instances = standing.config.instances;
    let now = standing.kept.as_ref().map(|kept| {
        let version = &kept.release.version;
        format!(
            "{version}, which users left, still runs: its {} end as this begins",
            copies(instances)
        )
    });
    let keeps = Rollout::new(start.clone()).keeps_stable();
    let then = start.stable.as_ref().filter(|_| keeps).map(|stable| {
        let time = duration::show(standing.config.rollout.keep_old);
        let (version, app) = (&stable.version, &standing.app);
        format!(
            "{version} runs on for {time} without traffic, {} beside as many of the new version; \
             until then `cutover rollback {app}` returns to it at once",
            copies(instances)
        )
    });
    now.into_iter().chain(then).collect()
}

/// What becomes of the tunnels that are open on what leaves.
fn handover(config: &AppConfig, carrier: &str) -> String {
    let Some(Pace { farewell, per_second, at_once }) = &config.rollout.handover else {
        return if config.source.is_some() {
            "nobody tells their clients: they stay until whoever started the instances ends them"
                .to_owned()
        } else {
            "the app is told to end, and tells their clients to reconnect".to_owned()
        };
    };
    let told = match farewell {
        Farewell::Close => "closes WebSockets (1012)".to_owned(),
        Farewell::Frame(text) => format!("sends WebSockets {text:?}"),
    };
    let then = if config.source.is_some() { "" } else { "; then the app is told" };
    format!("{carrier} {told}, {per_second} a second, {at_once} at once{then}")
}

fn router(name: &str, can: RouterCapabilities) -> RouterPlanned {
    let drain = match can.drain {
        Drain::Counted => "counted",
        Drain::Timed => "timed",
        Drain::None => "none",
    };
    let change = match can.change {
        ChangeKind::Atomic => "atomic",
        ChangeKind::Eventual => "eventual",
        ChangeKind::Mixed => "mixed",
    };
    let evidence = match can.evidence {
        Evidence::PerRequest => "per-request",
        Evidence::Counters => "counters",
        Evidence::ProberOnly => "prober-only",
    };
    RouterPlanned {
        name: name.to_owned(),
        drain: drain.to_owned(),
        change: change.to_owned(),
        finest_weight: can.finest_weight.basis_points(),
        header_rules: can.header_rules,
        evidence: evidence.to_owned(),
    }
}

/// What users' requests show at each share that both have: of a canary's steps, or after each batch.
fn compared(
    start: &Start,
    (can, foreseen): (RouterCapabilities, &[Foreseen]),
    users: Option<UsersPlanned>,
) -> Vec<Compared> {
    let (Some(analysis), Some(_)) = (start.settings.analysis, &start.stable) else {
        return Vec::new();
    };
    if can.evidence == Evidence::ProberOnly || !analysis.rules.compare {
        return Vec::new();
    }
    let rate = users.map(|users| users.per_second);
    let shares = shares(start, foreseen).into_iter();
    shares.map(|share| compares(share, analysis.rules, rate)).collect()
}

/// The candidate's shares beside stable that are judged, in basis points, each once.
fn shares(start: &Start, foreseen: &[Foreseen]) -> Vec<u16> {
    let judged = foreseen.iter().filter(|seen| seen.phase == Phase::Baking);
    let share = |seen: &Foreseen| {
        let pool = seen.wants.pools.iter().find(|pool| pool.release == start.candidate.id)?;
        Some(pool.weight.basis_points()).filter(|points| (1..10_000).contains(points))
    };
    let mut shares: Vec<u16> = judged.filter_map(share).collect();
    shares.dedup();
    shares
}

/// One metric, whom it asks, and what its limit means.
fn measured(config: &AppConfig, metric: &Metric) -> Option<String> {
    let of = config.rollout.metrics.iter().find(|of| of.name == metric.name)?;
    let asks = match &of.asked {
        Asked::Prometheus(whom) => match &whom.login {
            Some(login) => format!("{}, which is shown {login}", whom.url),
            None => whom.url.clone(),
        },
        Asked::Command(command) => command.first().cloned().unwrap_or_default(),
    };
    let min = of.min.map(|min| format!("at least {min}"));
    let limits: Vec<String> =
        min.into_iter().chain(of.max.map(|it| format!("at most {it}"))).collect();
    let limits = if limits.is_empty() { "status 0".to_owned() } else { limits.join(" and ") };
    let shares: Vec<String> = metric.at.iter().map(ToString::to_string).collect();
    let at = if shares.is_empty() { "every step".to_owned() } else { shares.join(", ") };
    let (every, times) = (duration::show(of.interval), of.failures);
    let lost = match metric.unmeasured {
        Unmeasured::Pause => "pauses",
        Unmeasured::Abort => "aborts",
        Unmeasured::Ignore => "changes nothing",
    };
    Some(format!(
        "{} ({asks}): {limits}, at {at}, every {every}; {times} in a row aborts, as many without a value {lost}",
        metric.name
    ))
}

fn probe(config: &AppConfig, start: &Start) -> ProbePlanned {
    let probe = &config.probe;
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    ProbePlanned {
        rate: probe.rate,
        lanes: probe.lanes.iter().map(|lane| lane.name().to_owned()).collect(),
        late_after_ms: ms(probe.late_after),
        timeout_ms: ms(probe.timeout),
        max_errors: config.rollout.max_errors,
        max_error_share: start.settings.max_error_share_bp,
    }
}

fn phases(
    (config, able): (&AppConfig, Able),
    start: &Start,
    (foreseen, changes): (&[Foreseen], Vec<Vec<ChangePlanned>>),
) -> Vec<PhasePlanned> {
    let rate = asked(config);
    let max_share = start.settings.max_error_share_bp;
    let rule = Rule { max_errors: config.rollout.max_errors, max_share };
    let named: Vec<_> = start.stable.iter().chain([&start.candidate]).collect();
    let one = |(seen, changes): (&Foreseen, Vec<ChangePlanned>)| {
        let serving = seen.wants.pools.iter().filter(|pool| pool.state == PoolState::Serving);
        let traffic = serving.filter(|pool| pool.weight.basis_points() > 0).filter_map(|pool| {
            let of = named.iter().find(|named| named.id == pool.release)?;
            Some((of.version.to_string(), pool.weight.basis_points()))
        });
        let mut pools = seen.wants.pools.iter();
        let share = pools.find(|pool| pool.release == start.candidate.id);
        let baking = share.filter(|_| seen.phase == Phase::Baking);
        let judged = seen.limit_ms.zip(baking).filter(|_| start.settings.probing && rate > 0.0);
        let beside = baking.map(|pool| judges(start, able.router.evidence, pool.weight));
        PhasePlanned {
            phase: seen.phase,
            limit_ms: seen.limit_ms,
            traffic: traffic.collect(),
            finds: judged.map(|(ms, pool)| finds(rate, pool.weight.basis_points(), ms, rule)),
            judges: beside.unwrap_or_default(),
            changes,
        }
    };
    foreseen.iter().zip(changes).map(one).collect()
}

#[cfg(test)]
mod tests {
    use model::{AppName, ReleaseId, Version, Weight};
    use rollout::{Named, Settings, Start, Strategy, foresee};

    use super::{rolling, shares};

    fn shared(strategy: Strategy, instances: u16) -> Vec<u16> {
        let named = |id, version: &str| Named {
            id: ReleaseId(id),
            version: Version::new(version).unwrap(),
        };
        let settings = Settings { strategy, ..Settings::default() };
        let (app, stable) = (AppName::new("shop").unwrap(), Some(named(1, "v1")));
        let start = Start { app, stable, candidate: named(2, "v2"), instances, settings };
        shares(&start, &foresee(&start))
    }

    #[test]
    fn each_share_that_is_judged_beside_the_old_version_is_compared() {
        let rolling =
            |batch, surge, instances| shared(Strategy::Rolling { batch, surge }, instances);
        assert_eq!(rolling(1, 0, 4), [2_500, 5_000, 7_500]);
        assert_eq!(rolling(2, 0, 4), [5_000]);
        // One more at first, beside all of the old ones.
        assert_eq!(rolling(1, 1, 2), [3_333, 6_666]);
        let steps = [0, 500, 2_500].map(|points| Weight::new(points).unwrap()).to_vec();
        let canary = Strategy::Canary { steps, step_ms: 1_000, counts: Vec::new() };
        assert_eq!(shared(canary, 4), [500, 2_500]);
        assert_eq!(shared(Strategy::BlueGreen, 4), [0; 0]);
    }

    #[test]
    fn a_surge_is_told_by_what_it_comes_to() {
        assert_eq!(rolling(4, (2, 0)), "rolling, 2 of 4 at once");
        for (pace, first, least, most) in [
            ((1, 1), "1 of 4 at once, the new one first", 4, 5),
            ((2, 1), "2 of 4 at once, one new one first", 3, 5),
            ((4, 2), "4 of 4 at once, 2 new ones first", 2, 6),
            ((2, 2), "2 of 4 at once, the new ones first", 4, 6),
        ] {
            let bounds = format!("never fewer than {least} serve, never more than {most} run");
            assert_eq!(rolling(4, pace), format!("rolling, {first}: {bounds}"));
        }
    }
}
