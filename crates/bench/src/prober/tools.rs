//! The load tools that can be had, against the same server of truth: how much each can send on one core,
//! what a request costs it, and how evenly it sends at a rate.
//!
//! Requests are those that the server has counted, never what a tool says of itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::figures::{dispersion, error_ppm, rate};
use super::place::Place;
use super::truth::Truth;
use crate::Outcome;
use crate::process::ended_cpu;

/// Connections of a tool.
const CONNECTIONS: u32 = 50;
/// Requests a second, where a tool knows rates.
pub(crate) const RATE: u32 = 5_000;

/// A tool.
struct Tool {
    name: &'static str,
    /// How the one on the test bed was built, where that is not how it is shipped.
    built: &'static str,
    /// Paths, the first that is there counts: on the test bed, or as the shell finds it.
    programs: &'static [&'static str],
    /// Words for `C` connections as fast as they go for `S` seconds.
    fast: &'static [&'static str],
    /// More words for `R` requests a second, `Q` for each connection.
    paced: &'static [&'static str],
}

const TOOLS: [Tool; 4] = [
    Tool {
        name: "wrk",
        built: "",
        programs: &["wrk-bookworm/usr/bin/wrk", "wrk"],
        fast: &["-t1", "-cC", "-dSs"],
        paced: &[],
    },
    Tool {
        name: "hey",
        built: "",
        programs: &["hey-bookworm/usr/bin/hey", "hey"],
        fast: &["-c", "C", "-z", "Ss"],
        paced: &["-q", "Q"],
    },
    Tool {
        name: "h2load",
        built: "",
        programs: &["h2load-bookworm/usr/bin/h2load", "h2load"],
        fast: &["--h1", "-t1", "-cC", "-DS"],
        paced: &["--rps=Q"],
    },
    Tool {
        name: "oha",
        built: " (built without link-time optimization)",
        programs: &["oha/bin/oha", "oha"],
        fast: &["--no-tui", "-c", "C", "-z", "Ss"],
        paced: &["-q", "R"],
    },
];

/// What one tool has shown.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    pub(crate) name: String,
    /// As fast as it goes.
    pub(crate) fast: Sent,
    /// At [`RATE`]; not everybody knows rates.
    pub(crate) paced: Option<Sent>,
}

/// What a run of a tool has sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Requests a second.
    pub(crate) rate: f64,
    /// CPU time per request, µs.
    pub(crate) cpu_us: f64,
    /// How far the rate was off [`RATE`], parts per million.
    pub(crate) error_ppm: f64,
    /// Variance to mean in bins of a millisecond.
    pub(crate) dispersion: f64,
}

/// All that can be had, and who could not and why.
pub(crate) fn beside(place: &Place, window: Duration) -> (Vec<Beside>, Vec<(String, String)>) {
    let (mut there, mut skipped) = (Vec::new(), Vec::new());
    for tool in &TOOLS {
        eprintln!("beside: {}", tool.name);
        match tool.measure(place, window) {
            Ok(beside) => there.push(beside),
            Err(error) => skipped.push((tool.name.to_owned(), error.to_string())),
        }
    }
    (there, skipped)
}

impl Tool {
    fn measure(&self, place: &Place, window: Duration) -> Outcome<Beside> {
        let fast = self.run(place, window, self.fast.to_vec())?;
        let words = [self.fast, self.paced].concat();
        let paced = (!self.paced.is_empty()).then(|| self.run(place, window, words)).transpose()?;
        let built =
            if self.program(&place.testbed)?.starts_with(&place.testbed) { self.built } else { "" };
        Ok(Beside { name: format!("{}{built}", self.name), fast, paced })
    }

    /// Where it is: on the test bed, else wherever the shell finds it.
    fn program(&self, testbed: &Path) -> Outcome<std::path::PathBuf> {
        let [bed, plain] = self.programs else { return Err("it has no program".into()) };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let beds = std::iter::once(testbed.join(bed));
        let mut all = beds.chain(std::env::split_paths(&path).map(|folder| folder.join(plain)));
        Ok(all.find(|program| program.is_file()).ok_or("it is not here")?)
    }

    fn run(&self, place: &Place, window: Duration, words: Vec<&str>) -> Outcome<Sent> {
        let server = Truth::awake(place.cores)?;
        let seconds = window.as_secs().max(1);
        let fill = |word: &str| {
            let values = [('C', CONNECTIONS), ('R', RATE), ('Q', RATE / CONNECTIONS)];
            let mut word = word.replace('S', &seconds.to_string());
            for (letter, value) in values {
                word = word.replace(letter, &value.to_string());
            }
            word
        };
        let mut command = Command::new(self.program(&place.testbed)?);
        // Go's and Tokio's: one thread, as they have one core.
        command.env("GOMAXPROCS", "1").env("TOKIO_WORKER_THREADS", "1");
        command.args(words.into_iter().map(fill)).arg(format!("http://{}/", server.address));
        let before = ended_cpu();
        let said = place.tool(&mut command, window)?;
        let used_s = ended_cpu() - before;
        let mut received = server.seen().received_ns;
        received.sort_unstable();
        let kept = received.get(received.len() / 10..).unwrap_or_default();
        let (Some(rate), Some(dispersion)) = (rate(kept), dispersion(kept, 1_000_000)) else {
            return Err(format!("it sent {} requests: {said:.300}", received.len()).into());
        };
        let cpu_us = used_s / received.len() as f64 * 1e6;
        Ok(Sent { rate, cpu_us, error_ppm: error_ppm(rate, f64::from(RATE)), dispersion })
    }
}
