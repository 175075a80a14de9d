//! `cutover plan`: what a deploy would do, before anything is touched.
//!
//! The server finds it out; here it is asked and laid out. Nothing is worked out here: `server::planning`
//! does it.

mod comparing;
mod folded;

use std::fmt::{self, Write as _};
use std::time::Duration;

use model::{AppName, Fault, Phase, Version, Weight};

use self::comparing::compared;
use self::folded::fold;
use crate::server::planned::{Finds, PhasePlanned, Planned, ProbePlanned, RouterPlanned};
use crate::{cli, config, duration};

/// More phases than this are not shown one by one.
const SHOWN: usize = 24;

/// Runs the command.
pub(super) async fn plan(arguments: cli::Plan) -> Result<u8, Fault> {
    let app = AppName::new(arguments.app)?;
    let version = Version::new(arguments.version)?;
    let config = super::load_judged(&arguments.at)?;
    config::must_know_any(&config, &app, &arguments.at.config)?;
    let (client, _) = super::reach(&arguments.at)?;
    if let Some(apps) = config.together.get(&app) {
        let mut all = Vec::new();
        for one in apps {
            all.push(client.plan(one, version.as_str()).await?);
        }
        return show_all(&app, &all, arguments.json);
    }
    let planned = client.plan(&app, version.as_str()).await?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&planned)
            .map_err(|e| Fault::internal(format!("the plan cannot be written: {e}")))?;
        crate::say::outln!("{json}");
    } else {
        crate::say::out!("{}", text(&planned));
    }
    Ok(0)
}

/// The plans of apps that go together, one after the other.
fn show_all(name: &AppName, all: &[Planned], json: bool) -> Result<u8, Fault> {
    if json {
        let json = serde_json::to_string_pretty(all)
            .map_err(|e| Fault::internal(format!("the plan cannot be written: {e}")))?;
        crate::say::outln!("{json}");
        return Ok(0);
    }
    let apps: Vec<&str> = all.iter().map(|one| one.app.as_str()).collect();
    crate::say::outln!(
        "{name}: {} in one rollout. Each waits for the others before its users are switched, before each \
         step and before the old version is given up; until then all turn back when one does.",
        apps.join(" and ")
    );
    for one in all {
        crate::say::out!("\n{}", text(one));
    }
    Ok(0)
}

fn text(planned: &Planned) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write(&mut text, planned);
    text
}

fn write(text: &mut String, planned: &Planned) -> fmt::Result {
    let Planned { app, from, to, strategy, instances, .. } = planned;
    let from = from.as_ref().map_or(String::new(), |from| format!("{from} -> "));
    let copies = if *instances == 1 { "instance" } else { "instances" };
    writeln!(text, "{app}: {from}{to}, {strategy}, {instances} {copies}")?;
    writeln!(text, "nothing was done; `cutover deploy {app} {to}` does it\n")?;
    router(text, &planned.router)?;
    probe(text, planned.probe.as_ref())?;
    list(text, "degrades", &planned.degrades, "nothing")?;
    list(text, "waiting for", &planned.first.waiting, "")?;
    phases(text, planned)?;
    list(text, "hooks", &planned.hooks, "")?;
    list(text, "kept", &planned.kept, "")?;
    compared(text, planned)?;
    list(text, "judged by users' requests", &planned.judged, "")?;
    list(text, "measured beside requests", &planned.measured, "")
}

fn router(text: &mut String, router: &RouterPlanned) -> fmt::Result {
    let RouterPlanned { name, drain, change, finest_weight, header_rules, evidence } = router;
    let finest = Weight::new(*finest_weight).unwrap_or_default();
    let rules = if *header_rules { "rules by header and cookie" } else { "no rules" };
    writeln!(
        text,
        "router   {name}: drain {drain}, change {change}, finest share {finest}, {rules}, \
         evidence {evidence}"
    )
}

fn probe(text: &mut String, probe: Option<&ProbePlanned>) -> fmt::Result {
    let Some(probe) = probe else {
        return writeln!(
            text,
            "prober   none: what only clients see (refused, reset, cut) is not found, and there is no verdict"
        );
    };
    let ProbePlanned { rate, lanes, late_after_ms, timeout_ms, max_errors, max_error_share } =
        probe;
    let (late, timeout) = (time(*late_after_ms), time(*timeout_ms));
    let share = Weight::new(*max_error_share).unwrap_or_default();
    writeln!(
        text,
        "prober   {rate}/s over {}; late after {late}, failed after {timeout}",
        lanes.join(", ")
    )?;
    writeln!(text, "aborts   at {max_errors} errors that are more than {share} of the answers")
}

fn list(text: &mut String, head: &str, lines: &[impl fmt::Display], none: &str) -> fmt::Result {
    if lines.is_empty() {
        return if none.is_empty() { Ok(()) } else { writeln!(text, "{head:<8} {none}") };
    }
    writeln!(text, "\n{head}")?;
    lines.iter().try_for_each(|line| writeln!(text, "  {line}"))
}

fn phases(text: &mut String, planned: &Planned) -> fmt::Result {
    writeln!(text, "\nif all goes well")?;
    let mut traffic: &[(String, u16)] = &[];
    let all = &planned.phases;
    let hidden = if all.len() > SHOWN { 8..all.len() - 8 } else { 0..0 };
    for (at, one) in all.iter().enumerate() {
        if hidden.contains(&at) {
            if at == hidden.start {
                writeln!(text, "  ... {} more like these ...", hidden.len())?;
            }
            traffic = &one.traffic;
            continue;
        }
        let moved = traffic != one.traffic.as_slice();
        traffic = &one.traffic;
        let shares = if moved { shares(&one.traffic) } else { String::new() };
        let line =
            format!("  {:<13} {:<12} {shares:<20} {}", one.phase, limit(one), words(one, planned));
        writeln!(text, "{}", line.trim_end())?;
        for change in fold(&one.changes) {
            writeln!(text, "    - {change}")?;
        }
    }
    if let Some(why) = &planned.unforeseen {
        writeln!(text, "\n{why}")?;
    }
    if all.iter().any(|one| one.finds.is_some() && one.traffic.len() > 1) {
        let note = "while both versions have a share, a failure that names no version (refused, \
                    reset) counts against neither";
        writeln!(text, "\n{note}")?;
    }
    Ok(())
}

fn limit(one: &PhasePlanned) -> String {
    match (one.phase, one.limit_ms) {
        (_, None) => String::new(),
        (Phase::Baking, Some(ms)) => format!("for {}", time(ms)),
        (_, Some(ms)) => format!("within {}", time(ms)),
    }
}

fn shares(traffic: &[(String, u16)]) -> String {
    let share = |(version, points): &(String, u16)| {
        format!("{version} {}", Weight::new(*points).unwrap_or_default())
    };
    traffic.iter().map(share).collect::<Vec<_>>().join(", ")
}

/// What a phase is for, or what would be found in it.
fn words(one: &PhasePlanned, planned: &Planned) -> String {
    let to = &planned.to;
    match one.phase {
        Phase::Starting => format!("{to} passes its health checks"),
        Phase::Previewing => format!("{to} is asked before users are"),
        Phase::Arming => "the prober gets ready".to_owned(),
        Phase::Shifting => "until it is seen in effect".to_owned(),
        Phase::Baking => one.finds.map_or_else(
            || unprobed(&one.judges, planned.probe.as_ref()),
            |finds| found(finds, to),
        ),
        Phase::Draining => match planned.router.drain.as_str() {
            "counted" => "until no request is open on what leaves",
            "timed" => "until no new request came for the longest one's time",
            _ => "all of that time: nobody says what is open",
        }
        .to_owned(),
        Phase::HandingOver => format!("if tunnels are open: {}", planned.handover),
        Phase::Stopping => "what is left is ended".to_owned(),
        _ => String::new(),
    }
}

/// Who judges a phase of which the prober finds nothing. What they find stands below, with their limits.
fn unprobed(judges: &[String], probe: Option<&ProbePlanned>) -> String {
    let sockets = probe.is_some_and(|probe| probe.lanes.iter().all(|lane| lane == "websocket"));
    let prober =
        if sockets { "; the prober has only sockets, which stay where they are" } else { "" };
    match judges {
        [] => format!("nobody judges it but the health checks{prober}"),
        _ => format!("judged by {}, health checks{prober}", judges.join(", ")),
    }
}

fn found(finds: Finds, to: &str) -> String {
    let Finds { answers, all_failing_ms, floor } = finds;
    let answers = format!("{answers} answers of {to}");
    match (all_failing_ms, floor) {
        (Some(ms), Some(points)) => {
            let floor = Weight::new(points).unwrap_or_default();
            format!("{answers}: errors of {floor} are found, all failing after {}", time(ms))
        }
        (Some(ms), None) => format!("{answers}: finds it only if all fail, after {}", time(ms)),
        (None, _) => format!("{answers}: finds nothing; raise the rate, the share or the time"),
    }
}

fn time(ms: u64) -> String {
    duration::show(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests;
