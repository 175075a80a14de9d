//! What must be true of the limit of a candidate's errors, whoever told of them: one that plainly breaks it is never
//! promoted, and one that keeps it is never turned back for it; nor is one promoted that keeps it and is plainly worse
//! than stable, where they are compared. What is drawn for that stands here, too.
//!
//! What hits both releases is drawn in `suffering` and judged in `main`, not here.

use model::{Event, Outcome};
use rollout::Rollout;

use crate::controller::Controller;
use crate::plan::Plan;
use crate::rng::Rng;

/// So many failures of a candidate beside a stable without one, in so many of its requests, are no chance.
const WORSE: (u64, u64) = (40, 60);
/// So many more of a hundred than may fail are plainly too many in the seconds of a bake.
const PLAINLY: u64 = 29;

/// In worlds without an incident half of the requests may fail now and then, and some of the candidate's do; or nobody
/// but the router tells of a candidate of which most fail. (Stable is found to suffer, too, when it is over the same limit;
/// so where it is high an incident takes long to be told.)
pub(crate) fn draw(plan: &mut Plan, rng: &mut Rng) {
    if plan.suffering.incident.is_some() {
        return;
    }
    if rng.chance(15) && plan.start.settings.analysis.is_some() {
        (plan.start.settings.probing, plan.prober_lost) = (false, None);
        plan.candidate_errors = rng.between(80, 100);
    }
    if !rng.chance(50) {
        return;
    }
    let settings = &mut plan.start.settings;
    settings.max_error_share_bp = 5_000;
    if let Some(analysis) = &mut settings.analysis {
        analysis.rules.max_error_share_bp = 5_000;
    }
    if plan.candidate_errors == 0 && rng.chance(20) {
        plan.candidate_errors = rng.between(1, 10);
    }
    // Less than the limit, and more than stable's: only who compares them can tell.
    let compares = settings.analysis.is_some_and(|analysis| analysis.rules.compare);
    if plan.candidate_errors == 0 && compares && rng.chance(40) {
        plan.candidate_errors = rng.between(30, 45);
    }
}

/// Judges a world that is over.
pub(crate) fn judge(plan: &Plan, controller: &Controller<'_>, must: &mut impl FnMut(bool, &str)) {
    let (machine, settings) = (&controller.machine, &plan.start.settings);
    let said = |words: &str| machine.entered().iter().any(|entered| entered.why.contains(words));
    let limit = u64::from(settings.max_error_share_bp) / 100;
    let errors = plan.candidate_errors;
    let watched = settings.probing && plan.prober_lost.is_none();
    let told = settings.analysis.is_some() && plan.start.stable.is_some();
    let undisturbed = plan.deaths == 0 && plan.presses.is_empty() && plan.is_honest();
    if errors > limit + PLAINLY && undisturbed {
        let promoted = machine.outcome() == Some(Outcome::Promoted);
        must(!promoted || !watched, "the prober saw that it breaks the limit, and it was promoted");
        must(!promoted || !told, "its users' requests break the limit, and it was promoted");
    }
    if plan.suffering.incident.is_some() {
        return;
    }
    let turns = !plan.rolls_back() && !plan.crashes() && plan.router_dead.is_none();
    if undisturbed && turns && machine.outcome() == Some(Outcome::Promoted) {
        must(!plainly_worse(plan, controller), "it is worse than stable, and it was promoted");
    }
    must(errors > limit || !said("over a limit"), "it kept the limit, and went for it");
    // So far from it that chance explains no three of five.
    let far = errors * 10 <= limit && !plan.crashes();
    let certain = far && plan.is_honest() && plan.router_dead.is_none();
    must(!certain || !said("failed since"), "the prober saw it keep the limit, and it went for it");
}

/// True when both had users in seconds whose counts show, whatever a machine makes of them, that the candidate is worse.
fn plainly_worse(plan: &Plan, controller: &Controller<'_>) -> bool {
    let compares = plan.start.settings.analysis.is_some_and(|analysis| analysis.rules.compare);
    if !compares || plan.start.stable.is_none() {
        return false;
    }
    let mut machine = Rollout::new(plan.start.clone());
    let (mut failures, mut beside) = (0, 0);
    for (at, event) in &controller.journal {
        if let Event::Units { tick, .. } = event
            && machine.judges_windows()
            && tick.candidate.units.min(tick.stable.units) > 0
            && tick.stable.errors == 0
        {
            failures += tick.candidate.errors;
            beside += tick.stable.units;
        }
        machine.advance(*at, event);
    }
    failures >= WORSE.0 && beside >= WORSE.1
}
