//! `cargo xtask bench probe`: how true the prober's figures are, and what they cost.
//!
//! A server of our own stamps each request and plays known faults; the prober runs in a process of its own,
//! on the other core; the load tools that can be had do the same against the same server. Judges the marks
//! that the project has set itself, and nothing else.

mod echoes;
mod figures;
mod marks;
mod options;
mod paced;
mod place;
mod script;
pub(crate) mod subject;
mod table;
mod tools;
mod truth;
mod truths;

use std::process::ExitCode;
use std::time::Duration;

use crate::Outcome;
use crate::cores::{Cores, Machine};
use crate::process::{ended_cpu, own_cpu};
use options::Options;
use paced::Paced;
use place::Place;
use tools::Beside;
pub(crate) use truth::monotonic_ns;
use truths::{Counts, Freeze, Standstill};

/// Attempts a second.
const RATES: [u32; 6] = [10, 100, 1_000, 5_000, 10_000, 20_000];

/// All that a run has shown. What was not asked for is empty.
#[derive(Debug, Default)]
struct Findings {
    rates: Vec<Paced>,
    highest: Option<Paced>,
    faults: Vec<Counts>,
    freeze: Option<Freeze>,
    standstill: Option<Standstill>,
    beside: Vec<Beside>,
    /// Who or what could not be measured, and why.
    skipped: Vec<(String, String)>,
    machine: String,
    window: Duration,
    /// Shares of the machine that others used, and that its host took.
    noise: (f64, f64),
}

/// Runs the words after `bench probe`.
pub(crate) fn main(words: &[&str]) -> ExitCode {
    if words.contains(&"--help") {
        print!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(words) {
        Ok(options) => options,
        Err(sentence) => {
            eprintln!("error: {sentence}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(findings) if options.json => println!("{:#}", table::json(&findings)),
        Ok(findings) => print!("{}", table::markdown(&findings)),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> Outcome<Findings> {
    let place = Place::new(options.testbed.clone())?;
    let (machine, used) = (Machine::now()?, own_cpu() + ended_cpu());
    let mut findings = Findings {
        machine: crate::cores::described(),
        window: options.window,
        ..Findings::default()
    };
    findings.truths(&place, options)?;
    findings.rates(&place, options)?;
    if options.has("tools") {
        let (beside, skipped) = tools::beside(&place, options.window / 2);
        findings.beside = beside;
        findings.skipped.extend(skipped);
    }
    let used = own_cpu() + ended_cpu() - used;
    findings.noise = Machine::now()?.since(machine, used);
    Cores::go_to(place.cores.load)?;
    Ok(findings)
}

impl Findings {
    fn truths(&mut self, place: &Place, options: &Options) -> Outcome<()> {
        if options.has("faults") {
            eprintln!("faults");
            self.faults = truths::faults(place, 110 * options.window.as_secs())?;
        }
        if options.has("freeze") {
            eprintln!("freeze");
            let lasts = Duration::from_secs(if options.quick { 1 } else { 2 });
            self.freeze = Some(truths::freeze(place, lasts)?);
        }
        if options.has("stopped") {
            eprintln!("stopped");
            self.standstill = Some(truths::standstill(place)?);
        }
        Ok(())
    }

    /// A rate that the prober or the machine cannot do must not cost the figures of the others.
    fn rates(&mut self, place: &Place, options: &Options) -> Outcome<()> {
        if options.has("rates") {
            for rate in RATES {
                eprintln!("{rate}/s");
                match paced::paced(place, rate, options.window) {
                    Ok(paced) => self.rates.push(paced),
                    Err(error) => self.skipped.push((format!("{rate}/s"), error.to_string())),
                }
            }
        }
        if options.has("highest") {
            let window = (options.window / 5).max(Duration::from_secs(1));
            self.highest = paced::highest(place, window)?;
        }
        Ok(())
    }
}
