//! How a probe that ran alone is judged, the first time and again: its raw attempts (`--raw`) have behind them,
//! in the same file, what was asked of the run. That of a deploy takes the journal, too, and is not made here.

use std::path::Path;

use ::probe::{Run, samples};
use model::{Attempt, Fault, Kind, Lane, Outcome};
use report::{Assertion, Input, Report};
use serde::{Deserialize, Serialize};

use crate::cli;

/// What the report takes beside the attempts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Of the prober: two that begin in the same millisecond are two runs. Not said by older files.
    #[serde(default)]
    pid: Option<u32>,
    /// Version of Cutover that ran it.
    cutover_version: String,
    /// It was cut short by a person.
    interrupted: bool,
    /// It was to see the version change.
    until_switch: bool,
    /// As they were written.
    demands: Vec<String>,
}

impl Asked {
    /// What the command line asks.
    pub(super) fn of(arguments: &cli::Probe, interrupted: bool) -> Self {
        Self {
            pid: Some(std::process::id()),
            cutover_version: env!("CARGO_PKG_VERSION").to_owned(),
            interrupted,
            until_switch: arguments.until_switch,
            demands: arguments.assert.iter().map(ToString::to_string).collect(),
        }
    }

    /// Writes it behind the raw attempts.
    pub(super) fn write_behind(&self, raw: &Path) -> Result<(), Fault> {
        let word = serde_json::to_string(self)
            .map_err(|e| Fault::internal(format!("cannot write what was asked: {e}")))?;
        samples::append(raw, &word)
    }

    /// What the run and its files are called.
    fn run_id(&self, t0_unix_ms: u64) -> String {
        let pid = self.pid.map(|pid| format!("-{pid:x}")).unwrap_or_default();
        format!("{t0_unix_ms:x}{pid}")
    }

    /// Judges a run.
    pub(super) fn judge(&self, run: Run) -> Result<Report, Fault> {
        let demands = self.demands.iter().map(|text| Assertion::parse(text));
        let assertions = demands.collect::<Result<_, _>>()?;
        let (from, to) = moved(&run.attempts, self.until_switch).unzip();
        Ok(report::judge(&Input {
            app: None,
            run_id: self.run_id(run.header.t0_unix_ms),
            cutover_version: self.cutover_version.clone(),
            url: run.header.url.clone(),
            from,
            to,
            outcome: Outcome::None,
            interrupted: self.interrupted,
            phases: Vec::new(),
            ending_note: None,
            shares: Vec::new(),
            outages: Vec::new(),
            router: None,
            account: None,
            header: run.header,
            attempts: run.attempts,
            connections: run.connections,
            blind: run.blind,
            footer: run.footer,
            settings: report::Settings::default(),
            asked: report::Asked { switch: self.until_switch, assertions },
        }))
    }
}

/// Judges raw attempts once more.
pub(crate) fn again(raw: &Path) -> Result<Report, Fault> {
    let run = samples::read(raw)?;
    let word = samples::appended(raw)?;
    let asked: Option<Asked> = word.and_then(|word| serde_json::from_str(&word).ok());
    let asked = asked.ok_or_else(|| {
        let what = format!("{} does not tell what was asked of the run", raw.display());
        Fault::new(Kind::Usage, what).help(
            "give the .json file of its report; only `cutover probe --raw` writes both into one",
        )
    })?;
    asked.judge(run)
}

/// Answers of one version alone, before and after, that tell a move from versions that take turns.
const ALONE: usize = 10;

/// From which version the requests moved to which: the first that answered and the last, when they differ. Where
/// nobody said that there would be a move, each must have answered alone for a while.
fn moved(attempts: &[Attempt], expected: bool) -> Option<(String, String)> {
    let mut named: Vec<(u64, &str)> = attempts
        .iter()
        .filter(|a| a.lane != Lane::Websocket)
        .filter_map(|a| Some((a.sent_us, a.version.as_deref()?)))
        .collect();
    named.sort_unstable();
    let ((_, first), (_, last)) = (*named.first()?, *named.last()?);
    let alone = |answers: &mut dyn Iterator<Item = &(u64, &str)>, version: &str| {
        answers.take_while(|(_, seen)| *seen == version).count() >= ALONE
    };
    let for_good = alone(&mut named.iter(), first) && alone(&mut named.iter().rev(), last);
    (first != last && (expected || for_good)).then(|| (first.to_owned(), last.to_owned()))
}

#[cfg(test)]
mod tests {
    use model::Class;

    use super::super::tests::attempt;
    use super::moved;

    /// From which to which, of answers one after the other.
    fn of(versions: &str, expected: bool) -> Option<String> {
        let attempts: Vec<_> = (1..)
            .zip(versions.chars())
            .map(|(at_us, version)| attempt(Some(&version.to_string()), Class::Ok, at_us))
            .collect();
        moved(&attempts, expected).map(|(from, to)| from + &to)
    }

    #[test]
    fn a_move_that_nobody_expected_is_one_version_after_the_other() {
        assert_eq!(of("aaaaaaaaaaabababbbbbbbbbbb", false).as_deref(), Some("ab"));
        assert_eq!(of("aaaaaaaaaaaaaaaaaaaaaaaaab", false), None, "the newcomer may leave again");
        assert_eq!(of("abababababababababababababab", false), None, "they take turns");
        assert_eq!(of("ababab", true).as_deref(), Some("ab"));
        assert_eq!(of("aaaaaaaaaaaaaaaaaaaaaa", false), None);
        assert_eq!(of("", true), None);
    }
}
