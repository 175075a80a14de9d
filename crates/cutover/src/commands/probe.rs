//! `cutover probe`: the prober alone, on anybody's service.
//!
//! With `--control` it is a rollout's prober: told by the controller, reporting to it, and writing
//! samples instead of a report.

use std::time::Duration;

use ::probe::{Options, Run, Stop, Target, Told, VersionFrom};
use model::{Fault, Kind, Lane, Outcome};
use report::{Input, Report};
use tokio::sync::watch;

use crate::cli;
use crate::config::duration;
use crate::interrupt::Interrupt;

/// Runs the command.
pub(super) async fn probe(arguments: cli::Probe) -> Result<u8, Fault> {
    let options = options(&arguments)?;
    let (told, orders) = watch::channel(Told::Go);
    let mut interrupt = Interrupt::new()?;
    let alone = arguments.control.is_none();
    if alone {
        super::writable(&arguments.out)?;
        say(&arguments, &options);
    }
    let run = ::probe::run(options, orders, None);
    tokio::pin!(run);
    let mut interrupted = false;
    let run = loop {
        tokio::select! {
            run = &mut run => break run?,
            () = interrupt.wait(), if !interrupted => {
                interrupted = true;
                told.send_replace(Told::Stop);
            }
        }
    };
    if alone { finish(&arguments, run, interrupted) } else { Ok(0) }
}

fn say(arguments: &cli::Probe, options: &Options) {
    let length = match options.stop {
        Stop::After { duration } => format!("for {}", duration::show(duration)),
        Stop::Count(n) => format!("{n} times"),
        Stop::WhenTold => "until told to stop".to_owned(),
    };
    anstream::eprintln!(
        "probing {} {length}, {}/s over {} (Ctrl-C ends it early)",
        arguments.url,
        arguments.rate,
        arguments.lanes.join(", ")
    );
}

fn options(arguments: &cli::Probe) -> Result<Options, Fault> {
    let mut options = Options::new(Target::parse(&arguments.url)?, arguments.rate);
    options.lanes = shares(&arguments.lanes)?;
    options.websocket_path.clone_from(&arguments.websocket_path);
    options.sockets = arguments.sockets;
    options.late_after = time("--late-after", &arguments.late_after)?;
    options.timeout = time("--timeout", &arguments.timeout)?;
    options.version_from = VersionFrom::Header(arguments.version_header.to_lowercase());
    if let Some(host) = &arguments.host {
        options.url = options.url.with_host(host)?;
    }
    options.samples.clone_from(&arguments.samples);
    options.control.clone_from(&arguments.control);
    options.stop = match arguments.count {
        _ if arguments.control.is_some() => Stop::WhenTold,
        Some(count) => Stop::Count(count),
        None => Stop::After { duration: time("--duration", &arguments.duration)? },
    };
    Ok(options)
}

/// The lanes' shares of the rate: requests over kept connections get twice what the others get.
fn shares(names: &[String]) -> Result<Vec<(Lane, f64)>, Fault> {
    let lane = |name: &String| {
        let found = Lane::ALL.into_iter().find(|lane| lane.name() == name);
        let known = Lane::ALL.map(Lane::name).join(", ");
        found.ok_or_else(|| {
            Fault::new(Kind::Usage, format!("there is no lane `{}`", name.escape_debug()))
                .help(format!("use some of {known}"))
        })
    };
    let lanes = names.iter().map(lane).collect::<Result<Vec<_>, _>>()?;
    let part = |lane: &Lane| if *lane == Lane::KeepAlive { 2.0 } else { 1.0 };
    let sum: f64 = lanes.iter().map(part).sum();
    Ok(lanes.iter().map(|lane| (*lane, part(lane) / sum)).collect())
}

fn time(option: &str, text: &str) -> Result<Duration, Fault> {
    duration::parse(text).ok_or_else(|| {
        Fault::new(Kind::Usage, format!("{option} `{}` is not a time", text.escape_debug()))
            .help("write it with a unit: 500ms, 10s, 1m30s")
    })
}

/// Judges the run, prints the result and writes the files.
fn finish(arguments: &cli::Probe, run: Run, interrupted: bool) -> Result<u8, Fault> {
    let report = judge(run, interrupted);
    let json = report::json(&report);
    let base = arguments.out.join(format!("cutover-probe-{}", report.run_id));
    let files = [
        (base.with_extension("html"), report::html(&report)),
        (base.with_extension("json"), json.clone()),
    ];
    for (path, text) in &files {
        std::fs::write(path, text).map_err(|e| {
            Fault::environment(format!("{} cannot be written: {e}", path.display()))
        })?;
    }
    if arguments.json {
        anstream::println!("{json}");
    } else {
        anstream::print!("{}", report::terminal(&report, super::deploy::style()));
        anstream::println!("report  {}  {}", files[0].0.display(), files[1].0.display());
    }
    Ok(report::exit_code(&report))
}

fn judge(run: Run, interrupted: bool) -> Report {
    report::judge(&Input {
        app: None,
        run_id: format!("{:x}", run.header.t0_unix_ms),
        cutover_version: env!("CARGO_PKG_VERSION").to_owned(),
        url: run.header.url.clone(),
        from: None,
        to: None,
        outcome: Outcome::None,
        interrupted,
        phases: Vec::new(),
        ending_note: None,
        header: run.header,
        attempts: run.attempts,
        connections: run.connections,
        blind: run.blind,
        footer: run.footer,
        settings: report::Settings::default(),
    })
}
