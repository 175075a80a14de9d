//! The command line of `bench probe`. The parts themselves are in `mod`.

use std::path::PathBuf;
use std::time::Duration;

use probe::Pace;

use super::subject::USUAL;

/// What to say to whoever asks wrongly.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench probe [OPTIONS]

Options:
  --quick            short windows, for a look; figures to quote need the long run
  --json             JSON in place of Markdown
  --window SECONDS   how long each rate and each tool is measured (20; with --quick 3)
  --rates RATES      comma-separated, attempts a second (10,100,1000,5000,10000,20000)
  --paces PACES      comma-separated: frugal, steady, exact (steady,exact); the highest rate is that of steady
  --only PARTS       comma-separated: rates, highest, memory, faults, freeze, stopped, tools
";

/// Attempts a second, unless others are asked for.
const RATES: [u32; 6] = [10, 100, 1_000, 5_000, 10_000, 20_000];

/// What can be measured.
pub(crate) const PARTS: [&str; 7] =
    ["rates", "highest", "memory", "faults", "freeze", "stopped", "tools"];

/// A run as asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) json: bool,
    pub(crate) quick: bool,
    pub(crate) window: Duration,
    /// Attempts a second.
    pub(crate) rates: Vec<u32>,
    /// At which each rate is measured.
    pub(crate) paces: Vec<Pace>,
    parts: Vec<String>,
    /// Where `cargo xtask testbed` puts the tools.
    pub(crate) testbed: PathBuf,
}

impl Options {
    /// Reads the words after `bench probe`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            json: false,
            quick: false,
            window: Duration::ZERO,
            rates: RATES.to_vec(),
            paces: vec![USUAL, Pace::Exact],
            parts: PARTS.map(str::to_owned).to_vec(),
            testbed: PathBuf::from("target/testbed"),
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || words.next().copied().ok_or(format!("`{word}` needs a value"));
            match word {
                "--quick" => options.quick = true,
                "--json" => options.json = true,
                "--window" => {
                    let said = value()?;
                    let seconds = said.parse().map_err(|_| format!("`{said}` is no number"))?;
                    options.window = Duration::from_secs(seconds);
                }
                "--rates" => options.rates = rates(value()?)?,
                "--paces" => options.paces = paces(value()?)?,
                "--only" => options.parts = value()?.split(',').map(str::to_owned).collect(),
                "--testbed" => options.testbed = value()?.into(),
                other => return Err(format!("`{other}` is not known")),
            }
        }
        if let Some(odd) = options.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
            return Err(format!("there is no part `{odd}`"));
        }
        if options.window.is_zero() {
            options.window = Duration::from_secs(if options.quick { 3 } else { 20 });
        }
        Ok(options)
    }

    /// True when this part was asked for.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|asked| asked == part)
    }
}

fn rates(said: &str) -> Result<Vec<u32>, String> {
    let read = |word: &str| {
        let rate = word.parse().ok().filter(|rate| (1..=100_000).contains(rate));
        rate.ok_or(format!("`{word}` is no rate"))
    };
    said.split(',').map(read).collect()
}

fn paces(said: &str) -> Result<Vec<Pace>, String> {
    let read = |word: &str| match word.parse() {
        Ok(Pace::Steady(_)) => Ok(USUAL),
        other => other.map_err(|fault: model::Fault| fault.what),
    };
    said.split(',').map(read).collect()
}

#[cfg(test)]
mod tests {
    use probe::Pace;

    use super::super::subject::USUAL;
    use super::Options;

    #[test]
    fn words_are_read_and_odd_ones_named() {
        let options = Options::parse(&["--quick", "--only", "faults,freeze"]).unwrap();
        assert_eq!(
            (options.window.as_secs(), options.has("faults"), options.has("rates")),
            (3, true, false)
        );
        let paces = Options::parse(&["--paces", "frugal,steady"]).unwrap().paces;
        assert_eq!(paces, [Pace::Frugal, USUAL]);
        assert_eq!(Options::parse(&["--rates", "7,100"]).unwrap().rates, [7, 100]);
        for (words, what) in [
            (&["--only", "all"][..], "no part `all`"),
            (&["--window", "x"][..], "`x` is no number"),
            (&["--paces", "steady,fast"][..], "`fast` is no pace"),
            (&["--rates", "10,0"][..], "`0` is no rate"),
            (&["--slow"][..], "`--slow` is not known"),
        ] {
            assert!(Options::parse(words).unwrap_err().contains(what), "{words:?}");
        }
    }
}
