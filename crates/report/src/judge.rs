//! Folds one run into its report.
//!
//! It only puts the parts together; each part is drawn from the run by a file of its own.

use model::exit_code;

use crate::document::{Report, SCHEMA_VERSION};
use crate::input::{Input, PhaseSpan};
use crate::ledger::Ledger;
use crate::mended::Mended;
use crate::run::Run;
use crate::{
    answers, assertions, clean, clients, connections, eras, facts, failures, floor, lanes, orders,
    outages, proof, reconcile, series, shares, sockets, trust, verdict, zoom,
};

/// Judges a run. Never fails and never panics, whatever the samples hold.
pub fn judge(input: &Input) -> Report {
    let run = Run::new(input);
    let ledger = reconcile::ledger(&run);
    let mut report = drawn(input, run, ledger);
    tell(&mut report, input);
    report
}

/// The report without its sentences.
fn drawn(input: &Input, run: Run<'_>, ledger: Option<Ledger>) -> Report {
    let (proof, clients) = (proof::proof(&run), clients::clients(&run));
    let moves = (proof.as_ref(), clients.as_ref());
    let (trust, answered) = (trust::trust(&run), answers::count(&run));
    let assertions = assertions::facts(&run, &answered, moves);
    let (verdict, reasons) = verdict::verdict(&run, moves, (&trust, ledger.as_ref()), &assertions);
    let (groups, causes) = failures::groups(&run);
    let (rows, failed) = (failures::rows(&run), run.failures().count() as u64);
    let (sent, lane_facts) = (run.sent.len() as u64, lanes::facts(&run));
    let (chains, sockets_left_out) = sockets::chains(&run);
    let (connections, connections_left_out) = connections::connections(&run);
    Report {
        schema_version: SCHEMA_VERSION,
        run_id: clean::name(&input.run_id),
        cutover_version: clean::name(&input.cutover_version),
        verdict,
        outcome: input.outcome,
        interrupted: input.interrupted,
        exit_code: exit_code(input.interrupted, input.outcome, verdict),
        sentence: String::new(),
        outcome_line: None,
        outcome_notes: Vec::new(),
        reasons,
        facts: Vec::new(),
        app: input.app.as_ref().map(ToString::to_string),
        url: clean::line(&input.url, clean::LINE_MAX),
        from: run.from.clone(),
        to: run.to.clone(),
        t0_unix_ms: input.header.t0_unix_ms,
        from_us: run.from_us,
        to_us: run.to_us,
        sent_until_us: series::sent_until(&run),
        rate: input.header.rate,
        late_after_us: input.header.late_after_us,
        timeout_us: input.header.timeout_us,
        sent,
        failed,
        not_sent: run.not_sent.len() as u64,
        detection_floor_us: floor::of_run(&run),
        failure_bound_ppb: (failed == 0 && sent > 0).then(|| 3_000_000_000 / sent.max(3)),
        longest_gap_us: lanes::longest_gap(run.sent.iter().copied().filter(|a| !a.lane.slow())),
        lanes_not_run: lanes::not_run(&run, &lane_facts),
        lanes: lane_facts,
        zoom: zoom::zoom(&run, proof.as_ref()),
        eras: eras::eras(&run, proof.as_ref()),
        connections,
        connections_left_out,
        proof,
        clients,
        phases: phases(input),
        shares: shares::facts(&run),
        outages: outages::outages(&run),
        router: input.router.clone(),
        switch_us: run.switch().map(|(from, _)| from),
        causes,
        groups,
        failures_left_out: failed.saturating_sub(rows.len() as u64),
        failures: rows,
        buckets: series::buckets(&run, series::width_us(&run)),
        bucket_us: series::width_us(&run),
        slow: series::slow(&run),
        sockets: chains,
        sockets_left_out,
        trust,
        answered,
        orders: orders::orders(&run),
        mended: Mended::of(input),
        ledger,
        assertions,
        versions: run.slots.facts,
    }
}

/// Puts it in words.
fn tell(report: &mut Report, input: &Input) {
    report.sentence = facts::sentence(report);
    (report.outcome_line, report.outcome_notes) = facts::outcome(report, input);
    report.facts = facts::facts(report);
}

fn phases(input: &Input) -> Vec<PhaseSpan> {
    let cleaned = |s: &PhaseSpan| PhaseSpan {
        phase: s.phase,
        from_us: s.from_us,
        to_us: s.to_us.max(s.from_us),
        why: clean::lines(&s.why, clean::LINES_MAX),
    };
    input.phases.iter().map(cleaned).collect()
}
