//! The metrics of a probe while it runs: which families there are, and their labels.
//!
//! How they are written and asked for is the proxy's (`proxy::exposition`). The prober tells at most 64
//! versions apart, so labels stay few whatever a server says. Nothing is summed up here: that is done in
//! `sums`.

use ::probe::BOUNDS_US;
use model::{Class, Lane};
use proxy::exposition::{Dialect, Kind, Text};

use super::sums::Sums;

/// All of them.
pub(super) fn metrics(dialect: Dialect, sums: &Sums) -> String {
    let mut text = Text::new(dialect);
    attempts(&mut text, sums);
    times(&mut text, sums);
    itself(&mut text, sums);
    text.finish()
}

fn attempts(text: &mut Text, sums: &Sums) {
    text.family(
        "cutover_probe_attempts_total",
        Kind::Counter,
        "Attempts that were sent and ended, by lane, by what became of them, and by the version that answered.",
    );
    for (version, of) in &sums.versions {
        for ((lane, class), n) in &of.counts {
            if *class != Class::NotSent {
                let class = class.name().replace(' ', "_");
                let labels =
                    [("lane", lane.name()), ("class", class.as_str()), ("version", version)];
                text.sample(&labels, *n);
            }
        }
    }
    text.family(
        "cutover_probe_not_sent_total",
        Kind::Counter,
        "Attempts that the prober could not send; they say nothing of the target.",
    );
    for lane in lanes(sums) {
        let n = sums.of(|of, class| of == lane && class == Class::NotSent);
        text.sample(&[("lane", lane.name())], n);
    }
    text.family("cutover_probe_in_flight", Kind::Gauge, "Attempts that have not ended yet.");
    text.sample(&[], sums.in_flight);
}

fn times(text: &mut Text, sums: &Sums) {
    text.family(
        "cutover_probe_duration_seconds",
        Kind::Histogram,
        "Time from the intended send time to the last byte of whole, right answers; lanes that are slow on purpose take their time.",
    );
    for lane in lanes(sums) {
        let times = sums.ttlb.get(&lane).cloned().unwrap_or_default();
        let told = (&times.buckets[..], times.sum_us);
        text.histogram(&[("lane", lane.name())], &BOUNDS_US, told);
    }
    text.family(
        "cutover_probe_lateness_seconds",
        Kind::Histogram,
        "How late the prober itself took up what it sent.",
    );
    text.histogram(&[], &BOUNDS_US, (&sums.lateness.buckets, sums.lateness.sum_us));
}

fn itself(text: &mut Text, sums: &Sums) {
    text.family(
        "cutover_probe_blind_windows_total",
        Kind::Counter,
        "Times in which the prober was stopped or starved, and saw nothing.",
    );
    text.sample(&[], sums.blind.0);
    text.family("cutover_probe_blind_seconds_total", Kind::Counter, "How long they were in all.");
    text.seconds(&[], sums.blind.1);
    text.family(
        "cutover_probe_lane_running",
        Kind::Gauge,
        "1 for a lane that runs, 0 for one that was wanted and is not served.",
    );
    for lane in lanes(sums) {
        text.sample(&[("lane", lane.name())], 1);
    }
    for (lane, _) in sums.header.iter().flat_map(|header| &header.lanes_not_run) {
        text.sample(&[("lane", lane.name())], 0);
    }
}

fn lanes(sums: &Sums) -> impl Iterator<Item = Lane> {
    sums.header.iter().flat_map(|header| header.lanes.iter().map(|(lane, _)| *lane))
}
