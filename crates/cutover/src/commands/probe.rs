//! `cutover probe`: the prober alone, on anybody's service.
//!
//! With `--control` it is a rollout's prober: told by the controller, reporting to it, and writing samples
//! instead of a report. It judges nothing: the run is the `probe` crate's, the verdict the report's.

mod again;
mod asked;
mod happened;
mod lanes;
mod picture;
mod raw;
mod shown;
mod step;
mod sums;
mod teller;
#[cfg(test)]
mod tests;
mod told;
mod words;

use std::time::Duration;

use ::probe::{Ask, Options, Run, Stop, Target, Tls, Told, VersionFrom, Way};
use model::{Fault, Kind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};

use super::also;
use crate::cli;
use crate::duration;
use crate::interrupt::Interrupt;
use crate::say::{json_line, redraws};
use again::Asked;
pub(super) use again::again;
use raw::Raw;
use shown::Shown;
use step::Step;

/// Beats that may wait to be shown; the prober joins what does not fit to the next one.
const BEATS: usize = 8;

/// How long is probed.
const DURATION: Duration = Duration::from_secs(10);

/// How long a switch is waited for.
const SWITCH_WITHIN: Duration = Duration::from_mins(30);

/// Runs the command.
pub(super) async fn probe(arguments: cli::Probe) -> Result<u8, Fault> {
    raise_file_limit();
    let mut options = options(&arguments)?;
    let (told, orders) = watch::channel(Told::Go);
    let mut interrupt = Interrupt::new()?;
    let alone = arguments.control.is_none();
    if alone {
        super::writable(&arguments.out)?;
        also::writable(&arguments.also)?;
        if !tells_json(&arguments) {
            announce(&arguments, &options);
        }
    }
    let raw = arguments.watched.raw.then(|| Raw::within(&arguments.out));
    if let Some(raw) = &raw {
        options.samples = Some(raw.path().to_owned());
    }
    let shown = if alone {
        Shown::on_stderr(&options, arguments.watched.full_screen, arguments.json)
    } else {
        Shown::nowhere()
    };
    let metrics = arguments.watched.metrics.map(|address| shown.serve(address)).transpose()?;
    // Who asks for metrics is answered on this thread.
    let local = LocalSet::new();
    let followed = local.run_until(async {
        if let Some(metrics) = metrics {
            drop(spawn_local(metrics));
        }
        follow(options, (told, orders), shown, &mut interrupt).await
    });
    let (run, interrupted) = followed.await?;
    if alone {
        return finish(&arguments, run, (interrupted, raw));
    }
    run.trouble.map_or(Ok(0), Err)
}

/// Runs it to its end, and shows how it goes. True when it was interrupted; the second time somebody does that, what
/// is in flight is not waited for.
async fn follow(
    options: Options,
    (told, orders): (watch::Sender<Told>, watch::Receiver<Told>),
    mut shown: Shown,
    interrupt: &mut Interrupt,
) -> Result<(Run, bool), Fault> {
    let alone = options.control.is_none();
    let (sender, mut beats) = mpsc::channel(BEATS);
    let run = ::probe::run(options, orders, alone.then_some(sender));
    tokio::pin!(run);
    let mut interrupted = false;
    let run = loop {
        tokio::select! {
            run = &mut run => break run,
            Some(beat) = beats.recv() => shown.beat(beat),
            () = interrupt.wait() => {
                let hurried = interrupted && alone;
                told.send_replace(if hurried { Told::Now } else { Told::Stop });
                if !interrupted {
                    shown.ending();
                }
                interrupted = true;
            }
        }
    };
    // What ended last.
    while let Ok(beat) = beats.try_recv() {
        shown.beat(beat);
    }
    shown.end();
    Ok((run?, interrupted))
}

/// True when stderr is for programs.
fn tells_json(arguments: &cli::Probe) -> bool {
    arguments.json && !(arguments.watched.full_screen && redraws())
}

/// Lets the prober open as many files as it may: each connection is one. `up` does not do this,
/// because the user's app inherits its limit; the proxy does it itself.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it is refused the usual limit has to do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn announce(arguments: &cli::Probe, options: &Options) {
    let length = match options.stop {
        Stop::After { duration } => format!("for {}", duration::show(duration)),
        Stop::Count(n) => format!("{n} times"),
        Stop::AfterSwitch { at_most, .. } => {
            format!("until the version changes, {} at most", duration::show(at_most))
        }
        Stop::WhenTold => "until told to stop".to_owned(),
    };
    crate::say::errln!(
        "probing {} {length}, {}/s over {} (Ctrl-C ends it early)",
        arguments.url,
        arguments.rate,
        lanes::names(options)
    );
}

fn options(arguments: &cli::Probe) -> Result<Options, Fault> {
    let mut options = Options::new(Target::parse(&arguments.url)?, arguments.rate);
    options.timeout = arguments.timeout;
    lanes::set(&mut options, arguments)?;
    options.pace = arguments.pace;
    options.max_in_flight = arguments.max_in_flight;
    options.late_after = arguments.late_after;
    options.expected.clone_from(&arguments.expect_status);
    options.version_from = match (&arguments.watch_version, &arguments.version_header) {
        (Some(from), _) => from.clone(),
        (None, Some(header)) => VersionFrom::Header(header.to_lowercase()),
        (None, None) => options.version_from,
    };
    options.ask = ask(&arguments.request)?;
    options.way = way(&arguments.way);
    options.clients = arguments.request.clients;
    options.client_field.clone_from(&arguments.request.client_field);
    if let Some(host) = &arguments.host {
        options.url = options.url.with_host(host)?;
    }
    if let Some(file) = &arguments.key_file {
        let key = std::fs::read_to_string(file)
            .map_err(|e| Fault::environment(format!("{} cannot be read: {e}", file.display())))?;
        options.url = options.url.with_key(key.trim_end())?;
    }
    options.samples.clone_from(&arguments.samples);
    options.control.clone_from(&arguments.control);
    options.stop = match arguments.count {
        _ if arguments.control.is_some() => Stop::WhenTold,
        Some(count) => Stop::Count(count),
        None if arguments.until_switch => Stop::AfterSwitch {
            settle: arguments.settle,
            at_most: arguments.duration.unwrap_or(SWITCH_WITHIN),
        },
        None => Stop::After { duration: arguments.duration.unwrap_or(DURATION) },
    };
    Ok(options)
}

/// What every request says.
fn ask(said: &cli::Request) -> Result<Ask, Fault> {
    let mut ask = Ask::default().with_method(&said.method)?;
    for field in &said.fields {
        // Without a colon it is a name that cannot be sent, and is refused as such.
        let (name, value) = field.split_once(':').unwrap_or((field, "\n"));
        ask = ask.with_field(name, value)?;
    }
    if let Some(name) = &said.basic_from {
        ask = ask.with_basic(&secret(name)?)?;
    }
    if let Some(name) = &said.bearer_from {
        ask = ask.with_bearer(&secret(name)?)?;
    }
    match said.body.as_deref().map(|body| (body, body.strip_prefix('@'))) {
        None => Ok(ask),
        Some((_, Some(path))) => ask.with_body(
            std::fs::read(path)
                .map_err(|e| Fault::environment(format!("{path} cannot be read: {e}")))?,
        ),
        Some((body, None)) => ask.with_body(body.as_bytes().to_vec()),
    }
}

/// What an environment variable holds.
fn secret(name: &str) -> Result<String, Fault> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
        let what = format!("the environment variable {} is not set", name.escape_debug());
        Fault::new(Kind::Usage, what).help("set it in the environment of `cutover probe`")
    })
}

/// How the target is reached.
fn way(reached: &cli::Reached) -> Way {
    Way {
        unix: reached.unix.clone(),
        resolve: reached.resolve.clone(),
        tls: Tls {
            ca: reached.ca.clone(),
            insecure: reached.insecure,
            client: reached.client_cert.clone().zip(reached.client_key.clone()),
        },
    }
}

/// Judges the run, prints the result and writes the files.
fn finish(
    arguments: &cli::Probe,
    mut run: Run,
    (interrupted, raw): (bool, Option<Raw>),
) -> Result<u8, Fault> {
    let trouble = run.trouble.take();
    let asked = Asked::of(arguments, interrupted);
    if let Some(raw) = raw.as_ref().filter(|_| trouble.is_none()) {
        asked.write_behind(raw.path())?;
        // Judged from there, so that anybody can do it again.
        run.attempts = Vec::new();
        run = ::probe::samples::read(raw.path())?;
    }
    let report = asked.judge(run)?;
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
    also::write(&arguments.also, &report)?;
    let raw = raw.map(|raw| raw.keep(&base)).transpose()?;
    if tells_json(arguments) {
        let ended = json_line(&Step::from(&report)).unwrap_or_default();
        crate::say::errln!("{ended}");
    }
    if arguments.json {
        crate::say::outln!("{json}");
    } else {
        crate::say::out!("{}", report::terminal(&report, super::deploy::style()));
        crate::say::outln!("report  {}  {}", files[0].0.display(), files[1].0.display());
        if let Some(raw) = raw {
            crate::say::outln!("raw     {}", raw.display());
        }
    }
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    Ok(report::exit_code(&report))
}
