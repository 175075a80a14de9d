//! What users' requests may end in a rollout and what they show, in words for its plan.
//!
//! Nothing is judged here; when the comparison finds what is `detect`'s.

use drivers::router::Evidence;
use model::Weight;
use model::survey::CountBy;
use rollout::analysis::{LEAST_KNOWN, MARGIN, Rules, clean_units};
use rollout::{Analysis, Inconclusive, Settings, Start};

/// Nobody knows before a rollout from how many addresses users come.
const FEW: &str = "of each address one request a second is compared: where all come from a few (a load balancer that \
                   `trusted` does not name), finding it takes at least as many seconds as requests, divided by the \
                   addresses";

/// One sentence for each limit, for the comparison, and for what ends a step early; none where nobody judges
/// by users' requests.
pub(super) fn judged(start: &Start) -> Vec<String> {
    let (Some(analysis), Some(stable)) = (start.settings.analysis, &start.stable) else {
        return Vec::new();
    };
    let Analysis { rules, count_by, .. } = analysis;
    let (to, from) = (start.candidate.version.as_str(), stable.version.as_str());
    let alpha = f64::from(rules.alpha_bp) / 10_000.0;
    let unit = match count_by {
        _ if rules.counters => "each counts, the prober's too",
        CountBy::Client => "of each client one a second",
        CountBy::Request => "each counts",
    };
    let mut judged = Vec::new();
    if let Some(share) = limit(rules) {
        judged.push(format!(
            "more than {share} % of {to}'s requests failing ends it ({unit}; alpha = {alpha})"
        ));
    }
    if let Some(us) = rules.p99_us {
        let ms = us.div_ceil(1_000);
        judged.push(format!(
            "more than 1 % of its answers taking over {ms} ms ends it (alpha = {alpha})"
        ));
    }
    if rules.compare {
        let what = if rules.latency { "errors or answer times" } else { "errors" };
        judged.push(format!(
            "being worse than {from} in {what} ends it (alpha = {alpha}, the chance of that for one that is \
             no worse)"
        ));
        judged.extend((count_by == CountBy::Client).then(|| FEW.to_owned()));
    }
    judged.extend(rules.early.then(|| early(rules, (to, from), alpha)));
    judged
}

/// Who judges the new version beside health checks and the prober while it bakes with this share: users'
/// requests, where something is held against them, and metrics. The first deploy is judged by none of these.
pub(super) fn judges(start: &Start, evidence: Evidence, share: Weight) -> Vec<String> {
    let Settings { analysis, metrics, .. } = &start.settings;
    if start.stable.is_none() {
        return Vec::new();
    }
    let holds = |rules: Rules| {
        let shared = share > Weight::NONE && share < Weight::ALL;
        limit(rules).is_some() || rules.p99_us.is_some() || rules.compare && shared
    };
    let told = evidence != Evidence::ProberOnly && analysis.is_some_and(|it| holds(it.rules));
    let users = told.then(|| "users' requests".to_owned());
    let here = metrics.iter().filter(|it| it.at.is_empty() || it.at.contains(&share));
    users.into_iter().chain(here.map(|it| format!("the metric {}", it.name))).collect()
}

/// That too few of stable's requests are known to compare answer times, and what follows from that; nothing where
/// that is not so, or where they are not compared.
pub(super) fn unknown(start: &Start, known: u64) -> Option<String> {
    let (analysis, stable) = (start.settings.analysis?, start.stable.as_ref()?);
    let Analysis { rules, inconclusive, .. } = analysis;
    let compares = rules.compare && rules.latency && known < LEAST_KNOWN;
    let shown = rules.early || inconclusive != Inconclusive::Promote;
    let shown = if shown { ", so nothing counts as shown" } else { "" };
    compares.then(|| {
        format!(
            "answer times are not compared unless more of {}'s requests are known before the switch: {known} of \
             {LEAST_KNOWN} are now{shown}",
            stable.version
        )
    })
}

/// When a step ends before its time, and what is shown then.
fn early(rules: Rules, (to, from): (&str, &str), alpha: f64) -> String {
    let clean = limit(rules).map(|share| {
        let units = clean_units(share / 100.0, alpha / 2.0);
        format!(", or, as long as nothing fails, fewer than {share} % ({units} requests of {to})")
    });
    let slow = if rules.latency {
        format!("; and the odds of answers over {from}'s usual times below {MARGIN} times, too")
    } else {
        String::new()
    };
    format!(
        "a step ends early when {to}'s odds of an error are shown to be below {MARGIN} times {from}'s{}{slow} \
         (alpha = {alpha})",
        clean.unwrap_or_default()
    )
}

/// The limit of errors, percent.
fn limit(rules: Rules) -> Option<f64> {
    let bp = rules.max_error_share_bp;
    (1..10_000).contains(&bp).then(|| f64::from(bp) / 100.0)
}

#[cfg(test)]
mod tests {
    use drivers::router::Evidence;
    use model::{AppName, ReleaseId, Version, Weight};
    use rollout::analysis::Rules;
    use rollout::{Analysis, Inconclusive, Metric, Named, Settings, Start, Unmeasured};

    use super::{judged, judges};

    fn said(rules: Rules) -> Vec<String> {
        judged(&start(Analysis { rules, ..Analysis::default() }))
    }

    fn start(analysis: Analysis) -> Start {
        let named = |id, version: &str| Named {
            id: ReleaseId(id),
            version: Version::new(version).unwrap(),
        };
        Start {
            app: AppName::new("shop").unwrap(),
            stable: Some(named(1, "v1")),
            candidate: named(2, "v2"),
            instances: 1,
            settings: Settings { analysis: Some(analysis), ..Settings::default() },
        }
    }

    /// What holds in a phase depends on its share, on the router and on the limits, never on the prober.
    #[test]
    fn who_judges_a_phase_beside_the_prober() {
        let tenth = Weight::new(1_000).unwrap();
        let mut canary = start(Analysis::default());
        let metric = |name: &str, at: &[Weight]| Metric {
            name: name.to_owned(),
            failures: 3,
            unmeasured: Unmeasured::Pause,
            at: at.to_vec(),
            patience_ms: 1_000,
        };
        canary.settings.metrics = vec![metric("late", &[]), metric("queue", &[tenth])];
        let said = |start: &Start, evidence, share| judges(start, evidence, share).join(", ");
        let (exact, none) = (Evidence::PerRequest, Evidence::ProberOnly);
        assert_eq!(
            said(&canary, exact, tenth),
            "users' requests, the metric late, the metric queue"
        );
        assert_eq!(said(&canary, exact, Weight::ALL), "users' requests, the metric late");
        assert_eq!(
            said(&canary, Evidence::Counters, Weight::ALL),
            "users' requests, the metric late"
        );
        assert_eq!(said(&canary, none, tenth), "the metric late, the metric queue");
        canary.settings.metrics.clear();
        // Without a limit they are only compared, which takes both.
        let rules = Rules { max_error_share_bp: 10_000, ..Rules::default() };
        canary.settings.analysis = Some(Analysis { rules, ..Analysis::default() });
        assert_eq!(said(&canary, exact, tenth), "users' requests");
        assert_eq!(said(&canary, exact, Weight::ALL) + &said(&canary, exact, Weight::NONE), "");
        canary.settings.analysis = None;
        assert_eq!(said(&canary, exact, tenth), "");
        let first = Start { stable: None, ..start(Analysis::default()) };
        assert_eq!(said(&first, exact, Weight::ALL), "");
    }

    #[test]
    fn answer_times_of_which_too_little_is_known_are_told() {
        let said = |analysis, known| super::unknown(&start(analysis), known).unwrap_or_default();
        let plain = Analysis::default();
        assert_eq!(
            said(plain, 812),
            "answer times are not compared unless more of v1's requests are known before the switch: 812 of 2000 \
             are now"
        );
        let asks = Analysis { inconclusive: Inconclusive::Pause, ..plain };
        assert!(said(asks, 0).ends_with("are now, so nothing counts as shown"));
        let unasked = Rules { latency: false, ..Rules::default() };
        assert_eq!(said(plain, 2_000) + &said(Analysis { rules: unasked, ..plain }, 0), "");
    }

    #[test]
    fn what_is_shown_is_told_with_its_factor_and_its_alpha() {
        let rules = Rules { early: true, p99_us: Some(300_000), ..Rules::default() };
        let expected = [
            "more than 1 % of v2's requests failing ends it (of each client one a second; alpha = 0.01)",
            "more than 1 % of its answers taking over 300 ms ends it (alpha = 0.01)",
            "being worse than v1 in errors or answer times ends it (alpha = 0.01, the chance of that for one \
             that is no worse)",
            super::FEW,
            "a step ends early when v2's odds of an error are shown to be below 2 times v1's, or, as long as \
             nothing fails, fewer than 1 % (528 requests of v2); and the odds of answers over v1's usual \
             times below 2 times, too (alpha = 0.01)",
        ];
        assert_eq!(said(rules), expected);
        let limits = Rules { compare: false, max_error_share_bp: 250, ..Rules::default() };
        let expected = [
            "more than 2.5 % of v2's requests failing ends it (of each client one a second; alpha = 0.01)",
        ];
        assert_eq!(said(limits), expected);
        let expected = [
            "more than 2.5 % of v2's requests failing ends it (each counts, the prober's too; alpha = 0.01)",
        ];
        assert_eq!(said(Rules { counters: true, ..limits }), expected);
    }
}
