//! `cutover aa`: the false-abort rate of the canary's judge on an app's own traffic, and what to count by.
//!
//! It reads an access log and asks no server.

use std::fs::File;
use std::io::BufReader;

use model::survey::CountBy;
use model::{Fault, Kind};

use crate::calibrate::{Aborts, Dealt, Traffic, Trial, aborts, allowed};
use crate::cli;

/// Fewer requests than this say nothing.
const LEAST: usize = 1_000;

/// With fewer failures than this nobody sees whether they come together.
const LEAST_FAILED: usize = 20;

/// Runs the command.
pub(super) fn aa(arguments: &cli::Aa) -> Result<u8, Fault> {
    let path = &arguments.log;
    let refused = |e: std::io::Error| {
        Fault::environment(format!("{} cannot be read: {e}", path.display()))
            .help("name an access log of Cutover's proxy (`access_log` in [proxy], as JSON)")
    };
    let file = File::open(path).map_err(refused)?;
    let traffic = Traffic::read(BufReader::new(file), arguments.app.as_deref()).map_err(refused)?;
    let (requests, failed) = traffic.counts();
    if requests < LEAST {
        let what = format!("{} holds {requests} requests that count", path.display());
        return Err(Fault::new(Kind::Usage, what)
            .help(format!("name a log with at least {LEAST}, better of some hours")));
    }
    crate::say::outln!("{requests} requests of {} clients, {failed} failed", traffic.clients);
    crate::say::outln!(
        "dealt to two sides of the same version {} times, {} % to the one; each abort is a false one\n",
        arguments.times,
        arguments.percent
    );
    crate::say::outln!("canary            counted by   aborts at 5 %   at 1 %   units");
    let (mut fit, mut compared) = ([true; 2], failed >= LEAST_FAILED);
    for (name, dealt) in [("each request", Dealt::ByRequest), ("sticky clients", Dealt::ByClient)] {
        for (at, (unit, count_by)) in
            [("request", CountBy::Request), ("client", CountBy::Client)].into_iter().enumerate()
        {
            let share = f64::from(arguments.percent) / 100.0;
            let times = arguments.times;
            let found = aborts(&traffic, Trial { dealt, count_by, share, times });
            let Aborts { at_five, at_one, units } = found;
            let fits = allowed(at_five, times, 0.05) && allowed(at_one, times, 0.01);
            fit[at] &= fits;
            compared &= units > 0;
            let percent = |n: u32| f64::from(n) * 100.0 / f64::from(times.max(1));
            let mark = if fits { "" } else { "   too many" };
            crate::say::outln!(
                "{name:<17} {unit:<10} {:>13.1} % {:>6.1} %   {units}{mark}",
                percent(at_five),
                percent(at_one)
            );
        }
    }
    if compared {
        crate::say::outln!("\n{}", advice(fit));
    } else {
        crate::say::outln!(
            "\nit cannot be told from this log what to count by ({failed} of its requests failed, and it takes \
             {LEAST_FAILED}, in seconds in which both sides have requests): keep `count_by = \"client\"` (the default)"
        );
    }
    Ok(0)
}

/// What to write, from which units keep their promise: requests, clients.
const fn advice(fit: [bool; 2]) -> &'static str {
    match fit {
        [true, _] => {
            "requests fail independently of each other here: `count_by = \"request\"` keeps its promise and \
             sees more; `count_by = \"client\"` (the default) stays right if that changes"
        }
        [false, true] => {
            "errors of one client come together: keep `count_by = \"client\"` (the default)"
        }
        [false, false] => {
            "errors of different clients come together, so neither unit keeps its promise: lower `alpha`, or \
             set `enabled = false` in the analysis and let limits judge"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn the_unit_is_named() {
        let named = |fit| advice(fit).split('`').nth(1).unwrap();
        assert_eq!(named([true, true]), "count_by = \"request\"");
        assert_eq!(named([false, true]), "count_by = \"client\"");
        assert_eq!(named([false, false]), "alpha");
    }
}
