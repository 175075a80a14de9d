//! Which metrics there are: every family, its labels and where its numbers come from.
//!
//! Only what is counted is told. Nothing is counted here.

use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use crate::census::AppCensus;
use crate::class::Class;
use crate::counters::{Counters, Histogram};
use crate::gate::{Gate, Open};
use crate::life::Shared;

use super::text::{Kind, Labels, Text};

/// What is one number for each release: name, meaning, and where it comes from.
type Counted = (&'static str, &'static str, fn(&Counters) -> u64);

const COUNTED: [Counted; 6] = [
    (
        "cutover_tunnels_total",
        "Tunnels that were established: upgraded connections and event streams.",
        |counters| counters.tunnels.get(),
    ),
    (
        "cutover_sockets_told_total",
        "WebSockets whose clients were told to leave an instance that leaves.",
        |counters| counters.sockets_told.get(),
    ),
    (
        "cutover_sockets_closed_total",
        "Those of them that were closed with 1012, or cut when that was not answered.",
        |counters| counters.sockets_closed.get(),
    ),
    (
        "cutover_sockets_left_total",
        "Those of them that ended by themselves when they had been told.",
        |counters| counters.sockets_left.get(),
    ),
    (
        "cutover_replays_total",
        "Requests that were sent again to another instance after this release failed them.",
        |counters| counters.replayed.get(),
    ),
    (
        "cutover_ejections_total",
        "How often an instance was left out for a while because it failed request after request.",
        |counters| counters.ejections.get(),
    ),
];

/// Writes all families.
pub(crate) fn write(text: &mut Text, shared: &Shared, apps: &[AppCensus]) {
    of_releases(text, apps);
    of_instances(text, apps);
    of_apps(text, apps);
    of_process(text, shared);
}

fn of_releases(text: &mut Text, apps: &[AppCensus]) {
    const CODES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    text.family(
        "cutover_requests_total",
        Kind::Counter,
        "Requests that ended, by class of the status told to the client; none if it was told nothing.",
    );
    each_release(apps, |labels, counters| {
        for (code, ended) in CODES.iter().zip(&counters.ended) {
            text.sample(&with(labels, ("code", code)), ended.get());
        }
    });
    text.family(
        "cutover_failures_total",
        Kind::Counter,
        "Requests that ended other than well after an instance was asked, by class.",
    );
    each_release(apps, |labels, counters| {
        for class in Class::ALL {
            let count = counters.unwell.of(class).get();
            if count > 0 || class.of_instance() {
                text.sample(&with(labels, ("class", class.name())), count);
            }
        }
    });
    text.family(
        "cutover_request_duration_seconds",
        Kind::Histogram,
        "Time from the whole head of a request to the last byte of its answer; tunnels are left out.",
    );
    each_release(apps, |labels, counters| {
        let (buckets, sum) = counters.lasted.get();
        text.histogram(labels, &Histogram::BOUNDS, (&buckets, sum));
    });
    for (name, help, count) in COUNTED {
        text.family(name, Kind::Counter, help);
        each_release(apps, |labels, counters| text.sample(labels, count(counters)));
    }
}

fn of_instances(text: &mut Text, apps: &[AppCensus]) {
    text.family("cutover_open_requests", Kind::Gauge, "Requests open on an instance.");
    each_gate(apps, |labels, _, open| text.sample(labels, open.requests));
    text.family("cutover_open_tunnels", Kind::Gauge, "Tunnels open on an instance.");
    each_gate(apps, |labels, _, open| text.sample(labels, open.tunnels));
    text.family(
        "cutover_draining",
        Kind::Gauge,
        "1 for an instance that gets nothing new and has something open, else 0.",
    );
    each_gate(apps, |labels, gate, open| {
        let draining = gate.is_closed() && open.requests + open.tunnels > 0;
        text.sample(labels, u64::from(draining));
    });
    text.family(
        "cutover_ejected",
        Kind::Gauge,
        "1 for an instance that gets nothing for a while because it failed request after request.",
    );
    each_gate(apps, |labels, gate, _| text.sample(labels, u64::from(gate.ejected_ms() > 0)));
}

/// Requests that wait while an app is replaced.
fn each_hold(text: &mut Text, apps: &[AppCensus]) {
    text.family("cutover_held_requests", Kind::Gauge, "Requests that wait for an app now.");
    for app in apps {
        text.sample(&[("app", app.app.as_str())], app.lasting.held.seen().now);
    }
    text.family("cutover_holds_total", Kind::Counter, "Requests that ever waited for an app.");
    for app in apps {
        text.sample(&[("app", app.app.as_str())], app.lasting.held.seen().total);
    }
}

/// What the checks of an app say, as far as its routes tell.
fn each_health(text: &mut Text, apps: &[AppCensus]) {
    text.family("cutover_failing_instances", Kind::Gauge, "Instances that fail their checks.");
    for app in apps {
        text.sample(&[("app", app.app.as_str())], app.failing as u64);
    }
    text.family(
        "cutover_fail_open",
        Kind::Gauge,
        "1 while instances get requests although they fail their checks, because too few others pass.",
    );
    for app in apps {
        text.sample(&[("app", app.app.as_str())], u64::from(app.fails_open));
    }
}

fn of_apps(text: &mut Text, apps: &[AppCensus]) {
    text.family(
        "cutover_routes_generation",
        Kind::Gauge,
        "Generation of the routes of an app; it grows with every change.",
    );
    for app in apps {
        text.sample(&[("app", app.app.as_str())], app.generation.0);
    }
    text.family(
        "cutover_drains_total",
        Kind::Counter,
        "Instances that were taken out of the routes while something was open on them.",
    );
    for app in apps {
        text.sample(&[("app", app.app.as_str())], app.lasting.drains.get());
    }
    each_hold(text, apps);
    each_health(text, apps);
    text.family(
        "cutover_refusals_total",
        Kind::Counter,
        "Requests of an app that no instance was asked for, by class.",
    );
    for app in apps {
        for class in Class::ALL {
            let count = app.lasting.refused.of(class).get();
            if count > 0 || class.of_app() {
                text.sample(&[("app", app.app.as_str()), ("class", class.name())], count);
            }
        }
    }
}

/// Since when it runs, what led to it, and whether somebody looks after it.
fn of_life(text: &mut Text, shared: &Shared) {
    text.family(
        "cutover_start_time_seconds",
        Kind::Gauge,
        "When this proxy was started, seconds since 1970: another one after an upgrade or a crash.",
    );
    let started = shared.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], started.as_secs());
    text.family(
        "cutover_upgrades_total",
        Kind::Counter,
        "Upgrades of the proxy since it was last started anew.",
    );
    text.sample(&[], shared.upgrades.load(Ordering::Relaxed));
    text.family(
        "cutover_unattended",
        Kind::Gauge,
        "1 while nobody speaks to the proxy, which checks instances by itself then.",
    );
    text.sample(&[], u64::from(shared.unattended.load(Ordering::Relaxed)));
}

fn of_process(text: &mut Text, shared: &Shared) {
    let totals = &shared.totals;
    text.family(
        "cutover_unrouted_total",
        Kind::Counter,
        "Requests that were refused before their app was known, or that have none, by class.",
    );
    for class in Class::ALL.iter().filter(|class| !class.of_instance()) {
        text.sample(&[("class", class.name())], totals.refused.of(*class).get());
    }
    of_life(text, shared);
    text.family("cutover_connections", Kind::Gauge, "Client connections open.");
    text.sample(&[], shared.connections());
    let mut counter = |name, help, value| {
        text.family(name, Kind::Counter, help);
        text.sample(&[], value);
    };
    counter(
        "cutover_connections_accepted_total",
        "Client connections accepted.",
        totals.connections.get(),
    );
    counter(
        "cutover_tls_handshakes_failed_total",
        "TLS handshakes that came to nothing.",
        totals.handshakes_failed.get(),
    );
    counter(
        "cutover_connections_over_limit_total",
        "Client connections that were one too many and were answered 503.",
        totals.overflowed.get(),
    );
    counter(
        "cutover_connections_over_share_total",
        "Client connections that were more than the share of their client.",
        totals.greedy.get(),
    );
    counter(
        "cutover_clients_uncounted_total",
        "Times that a client was not limited, since too many others had something open.",
        shared.settings.load().share.unknown(),
    );
    counter(
        "cutover_resets_over_limit_total",
        "HTTP/2 connections that were ended because their clients only ever broke off.",
        totals.resets.get(),
    );
    counter(
        "cutover_log_lines_total",
        "Lines written to the access log.",
        totals.lines_written.get(),
    );
    counter(
        "cutover_log_lines_dropped_total",
        "Lines that did not get into the access log because the disk was full or slow.",
        totals.lines_dropped.get(),
    );
}

fn each_release(apps: &[AppCensus], mut tell: impl FnMut(&Labels<'_>, &Counters)) {
    for app in apps {
        for release in &app.releases {
            let number = release.id.0.to_string();
            let labels = [
                ("app", app.app.as_str()),
                ("release", &*number),
                ("version", &*release.counters.version),
            ];
            tell(&labels, &release.counters);
        }
    }
}

fn each_gate(apps: &[AppCensus], mut tell: impl FnMut(&Labels<'_>, &Gate, Open)) {
    for app in apps {
        for gate in &app.gates {
            let number = gate.release.0.to_string();
            let labels = [
                ("app", app.app.as_str()),
                ("release", &*number),
                ("version", &*gate.counters.version),
                ("instance", &*gate.id.0),
            ];
            tell(&labels, gate, gate.inside());
        }
    }
}

/// These labels and one more.
fn with<'a>(labels: &Labels<'a>, one: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    let mut all = labels.to_vec();
    all.push(one);
    all
}
