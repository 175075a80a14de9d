//! The command line of the bench.
//!
//! Words into options; what they mean for a run stands in `measure`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cases::Case;

/// What to say to whoever asks wrongly.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench proxy [OPTIONS]

Options:
  --quick            short windows and three rounds, for a look; figures to quote need the long run
  --json             JSON in place of Markdown
  --rounds N         rounds (7; with --quick 3)
  --window MS        how long each proxy is measured in a round (3000; with --quick 800), and half as long for
                     the latency at a fixed rate
  --only CASES       comma-separated: small, fresh, body, tls, h2, idle, tunnels
  --peers NAMES      comma-separated: cutover, haproxy-2.6, haproxy-3.0, haproxy-3.2, nginx-1.22,
                     nginx-1.26, nginx-1.30, caddy, pump; the default is the newest of each
  --bare             without access logs and metrics, all of them
  --newcomers        no client sends the cookie that it was given, and each answer gives it one anew
";

/// A run as asked for.
#[expect(clippy::struct_excessive_bools, reason = "independent words of a command line")]
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// JSON in place of Markdown.
    pub(crate) json: bool,
    /// Rounds of the cases that are measured by time.
    pub(crate) rounds: usize,
    /// How long one window is.
    pub(crate) window: Duration,
    /// A short run.
    pub(crate) quick: bool,
    /// Without access logs and metrics.
    pub(crate) bare: bool,
    /// Clients send no cookie of a cohort.
    pub(crate) newcomers: bool,
    /// What is measured.
    pub(crate) cases: Vec<Case>,
    /// Who is measured.
    pub(crate) peers: Vec<String>,
    /// Cutover's binary.
    pub(crate) cutover: PathBuf,
    /// Where `cargo xtask testbed` puts the others.
    pub(crate) testbed: PathBuf,
}

impl Options {
    /// Reads the words after `bench`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let peers = ["cutover", "haproxy-3.2", "nginx-1.30", "caddy", "pump"];
        let mut options = Self {
            json: false,
            rounds: 0,
            window: Duration::ZERO,
            quick: false,
            bare: false,
            newcomers: false,
            cases: Case::ALL.to_vec(),
            peers: peers.map(str::to_owned).to_vec(),
            cutover: beside(),
            testbed: PathBuf::from("target/testbed"),
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || words.next().copied().ok_or(format!("`{word}` needs a value"));
            match word {
                "--quick" => options.quick = true,
                "--json" => options.json = true,
                "--bare" => options.bare = true,
                "--newcomers" => options.newcomers = true,
                "--rounds" => options.rounds = usize::try_from(number(value()?)?).unwrap_or(0),
                "--window" => options.window = Duration::from_millis(number(value()?)?),
                "--only" => options.cases = named_cases(value()?)?,
                "--peers" => options.peers = value()?.split(',').map(str::to_owned).collect(),
                "--cutover" => options.cutover = value()?.into(),
                "--testbed" => options.testbed = value()?.into(),
                other => return Err(format!("`{other}` is not known")),
            }
        }
        let (rounds, window) = if options.quick { (3, 800) } else { (7, 3000) };
        if options.rounds == 0 {
            options.rounds = rounds;
        }
        if options.window.is_zero() {
            options.window = Duration::from_millis(window);
        }
        Ok(options)
    }
}

/// Cutover's binary as built together with this one.
fn beside() -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name("cutover")
}

fn number(said: &str) -> Result<u64, String> {
    said.parse().map_err(|_| format!("`{said}` is no number"))
}

fn named_cases(list: &str) -> Result<Vec<Case>, String> {
    let named = |name: &str| {
        let found = Case::ALL.into_iter().find(|case| case.name() == name);
        found.ok_or_else(|| format!("there is no case `{name}`"))
    };
    list.split(',').map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::Options;
    use crate::cases::Case;

    #[test]
    fn words_are_read_and_odd_ones_named() {
        let options =
            Options::parse(&["--quick", "--only", "small,h2", "--peers", "pump"]).unwrap();
        assert_eq!(options.cases, [Case::Small, Case::Http2]);
        assert_eq!((options.rounds, options.peers.len()), (3, 1));
        for (words, what) in [
            (&["--only", "large"][..], "no case `large`"),
            (&["--rounds"][..], "`--rounds` needs a value"),
            (&["--slow"][..], "`--slow` is not known"),
        ] {
            assert!(Options::parse(words).unwrap_err().contains(what), "{words:?}");
        }
    }
}
