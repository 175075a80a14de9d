//! What an app asks of a router and a platform that these cannot do, or not as well as others.
//!
//! Asked before anything starts: what cannot be is a fault, what is worse than it could be a sentence.
//! Pure.

use drivers::platform::PlatformCapabilities;
use drivers::router::{ChangeKind, Drain, Evidence, RouterCapabilities};
use model::{CountBy, Fault, Kind, Mark, Selector, Wanted, Weight};

use rollout::Inconclusive;

use crate::config::{AnalysisConfig, AppConfig, Strategy};
use crate::duration;

/// What carries and what runs, with what they can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Able {
    /// What the router is called.
    pub(super) carrier: &'static str,
    /// What it can do.
    pub(super) router: RouterCapabilities,
    /// What the platform can do.
    pub(super) platform: PlatformCapabilities,
}

/// Refuses what cannot be; answers what degrades, each in a sentence.
pub(super) fn check(app: &AppConfig, able: Able) -> Result<Vec<String>, Fault> {
    refuse(app, able)?;
    let Able { carrier, router, platform } = able;
    let mut worse = Vec::new();
    match router.drain {
        Drain::Counted => {}
        Drain::Timed => worse.push(format!(
            "{carrier} does not tell requests from tunnels, so a drain is timed: when no new request \
             came for {}, what is open is taken for tunnels, and a request that lasts longer is cut \
             (`longest_request`)",
            duration::show(app.rollout.longest_request)
        )),
        Drain::None => worse.push(format!(
            "{carrier} does not say what is open, so each drain lasts {}, and a request that lasts \
             longer is cut (`drain_timeout`)",
            duration::show(app.rollout.drain_timeout)
        )),
    }
    worse.extend(taken_up(able));
    if router.evidence == Evidence::ProberOnly {
        worse.push(format!(
            "{carrier} counts no failures: those that the prober does not meet stay unknown"
        ));
    }
    worse.extend(unjudged(app, able));
    if let Some(source) = &app.source {
        let enough = match app.instances {
            1 => "an instance is".to_owned(),
            n => format!("{n} instances are"),
        };
        worse.push(format!(
            "instances are started and ended by somebody else: a new version waits until {enough} found \
             and pass{}, and what users left is not ended but told as safe to stop",
            if app.instances == 1 { "es" } else { "" }
        ));
        if matches!(source, model::Source::Dns(_)) {
            worse.push(
                "DNS is asked again when an answer is no longer good: until then nobody hears of an \
                 instance that comes or goes"
                    .to_owned(),
            );
        }
    }
    if !app.probe.enabled {
        let counted = router.evidence != Evidence::ProberOnly && app.rollout.analysis.is_some();
        let also = if counted { " and what users' requests show" } else { "" };
        worse.push(format!(
            "nobody probes (`enabled = false`): only health checks{also} can turn it back, and no verdict \
             is given"
        ));
    }
    if !platform.tell_only {
        worse.push(
            "instances cannot be told to end without being killed later: tunnels are cut"
                .to_owned(),
        );
    }
    if !platform.outlives_controller {
        worse.push("instances end with the controller: a crash of it is an outage".to_owned());
    }
    Ok(worse)
}

/// What is lost where nobody tells of single requests and their clients.
fn unjudged(app: &AppConfig, able: Able) -> Option<String> {
    let analysis = app.rollout.analysis?;
    if able.router.evidence == Evidence::PerRequest {
        return None;
    }
    let counters = able.router.evidence == Evidence::Counters;
    let shares = app.rollout.strategy.shares();
    let compares = counters && analysis.count_by == CountBy::Request;
    let lost = [
        (shares && !compares).then_some("the versions are not compared"),
        (shares && compares && analysis.latency).then_some("answer times are not compared"),
        analysis.early.then_some("no step ends early"),
        analysis.p99.map(|_| "`p99` is judged by nobody"),
    ];
    let lost: Vec<&str> = lost.into_iter().flatten().collect();
    let also = if lost.is_empty() { String::new() } else { format!("{}, and ", lost.join(", ")) };
    let only = match (counters, app.probe.enabled) {
        (true, true) => "`max_error_share` is held against all that it counts, the prober's, too",
        (true, false) => "`max_error_share` is held against all that it counts",
        (false, true) => "`max_error_share` is a limit of the prober's requests alone",
        (false, false) => "`max_error_share` limits nothing",
    };
    let each = if counters {
        " (each request, not one of a client in a second; an answer that breaks off passes for a whole one)"
    } else {
        ""
    };
    Some(format!("{} tells nothing of single requests: {also}{only}{each}", able.carrier))
}

/// How a change is taken up, where that is not at one instant.
fn taken_up(able: Able) -> Option<String> {
    let too = match able.router.change {
        ChangeKind::Atomic => return None,
        ChangeKind::Eventual => "",
        ChangeKind::Mixed => ", on one connection, too",
    };
    let carrier = able.carrier;
    Some(format!(
        "{carrier} takes a change up here sooner than there: for a while both versions answer{too}"
    ))
}

fn refuse(app: &AppConfig, able: Able) -> Result<(), Fault> {
    let Able { carrier, router, platform } = able;
    let refused = |what: String, help: &str| Err(Fault::new(Kind::Config, what).help(help));
    // By instances, each gets as much: that is what a router without shares does anyway.
    if let Strategy::Canary { steps, counts, .. } = &app.rollout.strategy
        && counts.is_empty()
    {
        let finest = router.finest_weight.basis_points();
        let odd = |step: &&Weight| finest == 0 || !step.basis_points().is_multiple_of(finest);
        if let Some(step) = steps.iter().find(odd) {
            let what = format!("{carrier} cannot give {} a share of {step}", app.name);
            let help = if finest == 0 {
                "use `strategy = \"blue-green\"`: it knows no shares".to_owned()
            } else {
                format!("use multiples of {} in `steps`", router.finest_weight)
            };
            return refused(what, &help);
        }
    }
    let strict = |it: &AnalysisConfig| it.inconclusive != Inconclusive::Promote;
    if router.evidence != Evidence::PerRequest && app.rollout.analysis.as_ref().is_some_and(strict)
    {
        let what = format!(
            "{carrier} tells nothing of single requests, so nothing would ever be shown of {}",
            app.name
        );
        return refused(what, "remove `inconclusive`, or let Cutover's proxy carry it");
    }
    let mut marks = app.rollout.targets.iter().map(|target| &target.mark);
    if let Some(mark) = marks.find(|mark| !routes_by(router, mark)) {
        let what = format!("{carrier} cannot route by the {mark}, a target of {}", app.name);
        return refused(what, "remove it from `target`");
    }
    if !router.spread && (app.rollout.cohorts.is_some() || !app.slow_start.is_zero()) {
        let what = format!("{carrier} knows no cohorts and no slow start, as {} has", app.name);
        return refused(what, "remove `sticky` and `slow_start`");
    }
    let recreates = matches!(app.rollout.strategy, Strategy::Recreate { .. });
    if recreates && !router.hold {
        let what = format!("{carrier} cannot let the requests of {} wait", app.name);
        return refused(what, "let Cutover's own proxy carry it, or use another strategy");
    }
    if app.rollout.handover.is_some() && !router.hand_over {
        let what = format!("{carrier} cannot tell the WebSockets of {} to leave", app.name);
        let help = "write `handover = \"app\"`, or let Cutover's own proxy carry it";
        return refused(what, help);
    }
    if !platform.side_by_side
        && matches!(app.rollout.strategy, Strategy::Rolling { surge: 1.., .. })
    {
        let what = format!("no instance of {} can run beside the usual ones here", app.name);
        return refused(what, "remove `surge`");
    }
    let alone = recreates || matches!(app.rollout.strategy, Strategy::Rolling { .. });
    if !platform.side_by_side && !alone {
        let what = format!("two versions of {} cannot run side by side here", app.name);
        return refused(what, "use `strategy = \"rolling\"`");
    }
    Ok(())
}

fn routes_by(router: RouterCapabilities, mark: &Mark) -> bool {
    let named = matches!(mark.on(), Selector::Header(_) | Selector::Cookie(_));
    let plain = named && matches!(mark.wanted(), Wanted::Exactly(_));
    if plain { router.header_rules } else { router.other_rules }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drivers::platform::PlatformCapabilities;
    use drivers::router::{ChangeKind, Drain, Evidence, RouterCapabilities};
    use model::{CountBy, Weight};

    use rollout::Inconclusive;

    use super::{Able, check};
    use crate::config::{AnalysisConfig, AppConfig, Side, Strategy, Target, example_app};

    fn able() -> Able {
        let router = RouterCapabilities {
            finest_weight: Weight::new(1).unwrap(),
            drain: Drain::Counted,
            change: ChangeKind::Atomic,
            header_rules: true,
            hold: true,
            hand_over: true,
            other_rules: true,
            spread: true,
            evidence: Evidence::PerRequest,
        };
        let platform =
            PlatformCapabilities { side_by_side: true, outlives_controller: true, tell_only: true };
        Able { carrier: "the router", router, platform }
    }

    fn canary(points: u16) -> AppConfig {
        let mut app = example_app();
        let (steps, step_bake) = (vec![Weight::new(points).unwrap()], Duration::from_secs(1));
        app.rollout.strategy = Strategy::Canary { steps, step_bake, counts: Vec::new() };
        app
    }

    #[test]
    fn what_can_do_everything_degrades_nothing() {
        assert_eq!(check(&canary(1), able()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut coarse = able();
        coarse.router.finest_weight = Weight::new(100).unwrap();
        let fault = check(&canary(2_550), coarse).unwrap_err();
        assert!(fault.what.contains("cannot give") && fault.what.contains("25.50%"), "{fault}");
        assert!(fault.help.unwrap().contains("multiples of 1.00%"));
        assert!(check(&canary(2_500), coarse).is_ok());
        coarse.router.finest_weight = Weight::NONE;
        assert!(check(&canary(2_500), coarse).is_err());
        // Each instance as much is what it does anyway.
        let mut by_instances = canary(3_333);
        if let Strategy::Canary { counts, .. } = &mut by_instances.rollout.strategy {
            counts.push(1);
        }
        assert!(check(&by_instances, coarse).is_ok());
        let mut blind = able();
        blind.router.header_rules = false;
        let mut app = canary(2_500);
        assert!(check(&app, blind).is_ok());
        let mark = model::Mark::new(model::Selector::Header("x-canary".into()), "1").unwrap();
        app.rollout.targets = vec![Target { mark, to: Side::Candidate }];
        assert!(check(&app, blind).unwrap_err().what.contains("header x-canary"));
        let mut hasty = able();
        hasty.router.hold = false;
        app.rollout.strategy =
            Strategy::Recreate { hold: Duration::from_secs(10), requests: 1_000 };
        assert!(check(&app, hasty).unwrap_err().what.contains("wait"));
        let mut mute = able();
        mute.router.hand_over = false;
        let mut told = example_app();
        assert!(check(&told, mute).is_ok());
        told.rollout.handover =
            Some(model::Pace { farewell: model::Farewell::Close, per_second: 1, at_once: 1 });
        assert!(check(&told, able()).is_ok());
        assert!(check(&told, mute).unwrap_err().what.contains("WebSockets"));
        let mut plain = able();
        (plain.router.other_rules, plain.router.spread) = (false, false);
        assert!(check(&app, plain).is_ok());
        let (on, wanted) = (model::Selector::Query("v".into()), model::Wanted::Present);
        app.rollout.targets[0].mark = model::Mark::of(on, wanted).unwrap();
        assert!(check(&app, plain).unwrap_err().what.contains("query parameter v"));
        app.rollout.targets.clear();
        app.slow_start = Duration::from_secs(1);
        assert!(check(&app, plain).unwrap_err().what.contains("slow start"));
        let mut narrow = able();
        narrow.platform.side_by_side = false;
        assert!(check(&canary(1), narrow).unwrap_err().what.contains("side by side"));
        let mut rolling = example_app();
        rolling.rollout.strategy = Strategy::Rolling { batch: 1, surge: 0 };
        assert!(check(&rolling, narrow).is_ok());
        rolling.rollout.strategy = Strategy::Rolling { batch: 1, surge: 1 };
        assert!(check(&rolling, narrow).unwrap_err().what.contains("beside the usual ones"));
        assert!(check(&rolling, able()).is_ok());
    }

    #[test]
    fn without_single_requests_nothing_is_compared() {
        let mut app = canary(1);
        let mut analysis = AnalysisConfig {
            alpha_bp: 100,
            latency: true,
            p99: None,
            early: false,
            inconclusive: Inconclusive::Promote,
            count_by: CountBy::Client,
        };
        app.rollout.analysis = Some(analysis);
        let mut mute = able();
        mute.router.evidence = Evidence::ProberOnly;
        let mut counting = able();
        counting.router.evidence = Evidence::Counters;
        let said = |app: &AppConfig, able| check(app, able).unwrap().pop().unwrap();
        let begins = "the router tells nothing of single requests: ";
        let alone = "`max_error_share` is a limit of the prober's requests alone";
        let all = "`max_error_share` is held against all that it counts, the prober's, too (each request, \
                   not one of a client in a second; an answer that breaks off passes for a whole one)";
        let lost = "the versions are not compared, and ";
        assert_eq!(said(&app, mute), format!("{begins}{lost}{alone}"));
        assert_eq!(said(&app, counting), format!("{begins}{lost}{all}"));
        assert_eq!(check(&app, able()).unwrap(), Vec::<String>::new());
        let mut whole = example_app();
        assert_eq!(said(&whole, mute), format!("{begins}{alone}"));
        assert_eq!(said(&whole, counting), format!("{begins}{all}"));
        // Batch by batch both have a share, too.
        let mut rolling = app.clone();
        rolling.rollout.strategy = Strategy::Rolling { batch: 1, surge: 1 };
        assert_eq!(said(&rolling, mute), format!("{begins}{lost}{alone}"));
        analysis.count_by = CountBy::Request;
        app.rollout.analysis = Some(analysis);
        let lost = "answer times are not compared, and ";
        assert_eq!(said(&app, counting), format!("{begins}{lost}{all}"));
        assert!(said(&app, mute).contains("the versions are not compared"));
        (analysis.p99, analysis.early) = (Some(Duration::from_millis(300)), true);
        app.rollout.analysis = Some(analysis);
        let lost =
            "answer times are not compared, no step ends early, `p99` is judged by nobody, and ";
        assert_eq!(said(&app, counting), format!("{begins}{lost}{all}"));
        whole.probe.enabled = false;
        let said = |app: &AppConfig, able| check(app, able).unwrap().join("\n");
        assert!(said(&whole, mute).contains("requests: `max_error_share` limits nothing"));
        assert!(said(&whole, counting).contains("against all that it counts (each request"));
        assert!(said(&whole, counting).contains("checks and what users' requests show can"));
        whole.rollout.analysis = None;
        assert!(!said(&whole, counting).contains("max_error_share"));
        analysis.inconclusive = Inconclusive::Abort;
        app.rollout.analysis = Some(analysis);
        assert!(check(&app, counting).unwrap_err().what.contains("nothing would ever be shown"));
        assert!(check(&app, able()).is_ok());
    }

    #[test]
    fn what_is_worse_is_said() {
        let one = |change: fn(&mut Able, &mut AppConfig)| {
            let (mut able, mut app) = (able(), example_app());
            change(&mut able, &mut app);
            let mut said = check(&app, able).unwrap();
            assert_eq!(said.len(), 1, "{said:?}");
            said.remove(0)
        };
        assert!(one(|able, _| able.router.drain = Drain::Timed).contains("a drain is timed"));
        assert!(one(|able, _| able.router.drain = Drain::None).contains("each drain lasts 30s"));
        assert!(one(|able, _| able.router.change = ChangeKind::Eventual).contains("both versions"));
        assert!(one(|able, _| able.router.change = ChangeKind::Mixed).contains("one connection"));
        let unjudged = |able: &mut Able, app: &mut AppConfig| {
            (able.router.evidence, app.rollout.analysis) = (Evidence::ProberOnly, None);
        };
        assert!(one(unjudged).contains("no failures"));
        assert!(one(|_, app| app.probe.enabled = false).contains("nobody probes"));
        assert!(one(|able, _| able.platform.tell_only = false).contains("tunnels are cut"));
        assert!(one(|able, _| able.platform.outlives_controller = false).contains("an outage"));
    }
}
