//! `cargo xtask bench probe`: how true the prober's figures are, and what they cost.
//!
//! A server of our own stamps each request and plays known faults; the prober runs in a process of its own,
//! on the other core; the load tools that can be had do the same against the same server. Judges the marks
//! that the project has set itself, and nothing else.

pub(crate) mod alone;
mod arrival;
mod echoes;
mod figures;
mod json;
mod marks;
mod memory;
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
use alone::{Alone, Loop};
pub(crate) use arrival::monotonic_ns;
use memory::OfLane;
use options::Options;
use paced::Paced;
use place::Place;
use tools::Beside;
use truths::{Counts, Freeze, Standstill};

/// All that a run has shown. What was not asked for is empty.
#[derive(Debug, Default)]
struct Findings {
    rates: Vec<Paced>,
    /// The machine without the prober, at the same rates.
    alone: Vec<Alone>,
    highest: Option<Paced>,
    memory: Vec<OfLane>,
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
        Ok(findings) if options.json => println!("{:#}", json::json(&findings)),
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
            for &rate in &options.rates {
                eprintln!("{rate}/s");
                self.rate(place, rate, options)?;
            }
        }
        if options.has("highest") {
            let window = (options.window / 5).max(Duration::from_secs(1));
            self.highest = paced::highest(place, window)?;
        }
        if options.has("memory") {
            eprintln!("memory");
            self.memory = memory::of_lanes(place)?;
        }
        Ok(())
    }

    /// One rate at each pace, and in between the machine alone, before and after each.
    fn rate(&mut self, place: &Place, rate: u32, options: &Options) -> Outcome<()> {
        let mut turns = Vec::new();
        let mut alone = |kind| -> Outcome<()> {
            turns.push(alone::turn(place, kind, rate, options.window / 4)?);
            Ok(())
        };
        alone(Loop::Asleep)?;
        alone(Loop::Awake)?;
        for pace in &options.paces {
            match paced::paced(place, (rate, *pace), options.window) {
                Ok(paced) => self.rates.push(paced),
                Err(error) => {
                    self.skipped.push((format!("{rate}/s, {pace}"), error.to_string()));
                }
            }
            alone(Loop::Asleep)?;
            alone(Loop::Awake)?;
        }
        self.alone.push(Alone::of(rate, &turns));
        Ok(())
    }
}
