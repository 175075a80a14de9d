//! What a run says to the demands made of it.
//!
//! A demand that the run has no figure for is neither kept nor broken; the verdict is then open.

use model::Attempt;

use crate::answered::{AnswerCount, Answered};
use crate::assertion::{Assertion, AssertionFact, Metric};
use crate::clean;
use crate::client_fact::ClientFacts;
use crate::figures::{count, span};
use crate::lanes::{longest_gap, whole_answer};
use crate::run::Run;
use crate::version_proof::VersionProof;

/// The demands, each with what came of it.
pub(crate) fn facts(
    run: &Run<'_>,
    answered: &Answered,
    (proof, clients): (Option<&VersionProof>, Option<&ClientFacts>),
) -> Vec<AssertionFact> {
    let sight = Sight { run, answered, proof, clients };
    let demands = run.input.asked.assertions.iter();
    demands
        .map(|demand| {
            let (seen, held) = match sight.figure(demand) {
                Ok((figure, words)) => (words, Some(demand.holds(figure))),
                Err(why) => (why, None),
            };
            AssertionFact { text: clean::line(demand.text(), clean::LINE_MAX), seen, held }
        })
        .collect()
}

struct Sight<'a> {
    run: &'a Run<'a>,
    answered: &'a Answered,
    proof: Option<&'a VersionProof>,
    clients: Option<&'a ClientFacts>,
}

impl Sight<'_> {
    /// The figure, in the unit of its metric, and in words; or why there is none.
    fn figure(&self, demand: &Assertion) -> Result<(f64, String), String> {
        match &demand.metric {
            Metric::Sent => Ok(number(self.sent(demand).count())),
            Metric::Failed => Ok(number(self.failed(demand))),
            Metric::FailedShare => self.failed_share(demand),
            Metric::NotSent => {
                let mine = |a: &&&Attempt| demand.lane.is_none_or(|lane| lane == a.lane);
                Ok(number(self.run.not_sent.iter().filter(mine).count()))
            }
            Metric::Versions => {
                let named = self.answered.versions.iter().filter(|row| row.name.is_some());
                Ok(number(named.count()))
            }
            Metric::Percentile(percent) => self.percentile(demand, *percent),
            Metric::Max => self.percentile(demand, 100.0),
            Metric::Gap => {
                self.some(demand)?;
                Ok(time(longest_gap(self.prompt(demand))))
            }
            Metric::Regressions => {
                let proof = self.proof.ok_or_else(no_change)?;
                Ok(number(usize::try_from(proof.regressions).unwrap_or(usize::MAX)))
            }
            Metric::ClientRegressions => {
                let clients = self.clients.ok_or("no client kept its cookies (--clients)")?;
                Ok(number(usize::try_from(clients.regressions).unwrap_or(usize::MAX)))
            }
            Metric::Mixed => {
                let mixed = self.proof.and_then(|proof| proof.mixed_us).ok_or_else(no_change)?;
                Ok(time(mixed))
            }
            Metric::Share(version) => self.share(&self.answered.versions, version),
            Metric::Instance(instance) => self.share(&self.answered.instances, instance),
        }
    }

    fn sent(&self, demand: &Assertion) -> impl Iterator<Item = &Attempt> {
        let lane = demand.lane;
        self.run.sent.iter().copied().filter(move |a| lane.is_none_or(|lane| lane == a.lane))
    }

    /// Where the prober is slow on purpose, time is judged only when it is asked for.
    fn prompt(&self, demand: &Assertion) -> impl Iterator<Item = &Attempt> {
        let asked = demand.lane.is_some();
        self.sent(demand).filter(move |a| asked || !a.lane.slow())
    }

    fn failed(&self, demand: &Assertion) -> usize {
        self.sent(demand).filter(|a| a.class.failed()).count()
    }

    fn some(&self, demand: &Assertion) -> Result<usize, String> {
        let sent = self.sent(demand).count();
        if sent == 0 { Err("nothing was sent".to_owned()) } else { Ok(sent) }
    }

    fn failed_share(&self, demand: &Assertion) -> Result<(f64, String), String> {
        let sent = self.some(demand)?;
        let failed = self.failed(demand);
        let share = failed as f64 * 100.0 / sent as f64;
        Ok((share, format!("{share:.4}% ({} of {})", count(failed as u64), count(sent as u64))))
    }

    /// Of whole, right answers, in time or not: the smallest that so many do not exceed.
    fn percentile(&self, demand: &Assertion, percent: f64) -> Result<(f64, String), String> {
        let whole = self.prompt(demand).filter(|a| whole_answer(a.class));
        let mut times: Vec<u64> = whole.map(Attempt::ttlb_us).collect();
        times.sort_unstable();
        let n = times.len();
        // With fewer it would be the largest one under another name.
        if n == 0 || (n as f64) * (100.0 - percent) < 100.0 - 1e-9 && percent < 100.0 {
            return Err(format!("{} whole answers are too few", count(n as u64)));
        }
        let below = times
            .iter()
            .enumerate()
            .find(|(at, _)| (at + 1) as f64 * 100.0 >= n as f64 * percent - 1e-6);
        Ok(time(below.map_or(0, |(_, us)| *us)))
    }

    fn share(&self, rows: &[AnswerCount], name: &str) -> Result<(f64, String), String> {
        let requests = self.answered.requests;
        if requests == 0 {
            return Err("no request was answered".to_owned());
        }
        let answers =
            rows.iter().find(|row| row.name.as_deref() == Some(name)).map_or(0, |row| row.answers);
        let share = answers as f64 * 100.0 / requests as f64;
        Ok((share, format!("{share:.2}% ({} of {})", count(answers), count(requests))))
    }
}

fn no_change() -> String {
    "no change of the version was seen".to_owned()
}

fn number(n: usize) -> (f64, String) {
    (n as f64, count(n as u64))
}

fn time(us: u64) -> (f64, String) {
    (us as f64, span(us))
}
