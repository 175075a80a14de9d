//! What a person demands of a run beside the built-in rules: `failed=0`, `p99<250ms`,
//! `share(v2)=25%±5`. Pure reading; what the run says to it is found in `assertions`.
//!
//! One expression is one comparison. There is no `and`: several are given instead.

use std::fmt;

use model::{Fault, Kind, Lane};
use serde::{Deserialize, Serialize};

/// What can be demanded, for people.
pub const KNOWN: &str = "sent, failed, not_sent, regressions, client_regressions, versions, \
                         p50 to p99.9, max, gap, mixed, share(VERSION), instance(NAME)";

/// One demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    pub(crate) metric: Metric,
    pub(crate) lane: Option<Lane>,
    sign: Sign,
    limit: f64,
    tolerance: f64,
}

/// A figure of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Metric {
    Sent,
    Failed,
    /// Failures per hundred attempts.
    FailedShare,
    NotSent,
    Regressions,
    /// Of clients that keep their cookies.
    ClientRegressions,
    Versions,
    /// Time to last byte that so many in a hundred answers do not exceed.
    Percentile(f64),
    Max,
    Gap,
    Mixed,
    /// Share of a version, per hundred answered requests.
    Share(String),
    /// Share of an instance.
    Instance(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Less,
    AtMost,
    Equal,
    Unequal,
    AtLeast,
    More,
}

/// In what a figure is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Count,
    /// Microseconds.
    Time,
    Percent,
}

/// A demand and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionFact {
    /// As it was written.
    pub text: String,
    /// What the run says to it: the figure, or why there is none.
    pub seen: String,
    /// Whether it holds; `None` when the run cannot tell.
    pub held: Option<bool>,
}

impl Assertion {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            let what = format!("`{}` cannot be demanded: {why}", text.escape_debug());
            Fault::new(Kind::Usage, what)
                .help(format!("write it as failed=0 or p99<250ms; known are {KNOWN}"))
        };
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        // What stands in brackets is a name, which may hold any sign.
        let named = plain.find('(').and_then(|at| Some(at + plain[at..].find(')')?)).unwrap_or(0);
        let sign = plain[named..]
            .find(['<', '=', '>', '!'])
            .ok_or_else(|| wrong("it compares nothing"))?;
        let (figure, rest) = plain.split_at(named + sign);
        let length = rest.find(|c| !matches!(c, '<' | '=' | '>' | '!')).unwrap_or(rest.len());
        let sign = Sign::read(&rest[..length])
            .ok_or_else(|| wrong("its sign is none of < <= = != >= >"))?;
        let (metric, lane) = figure_of(figure).map_err(|why| wrong(&why))?;
        let (value, tolerance) = split_tolerance(&rest[length..]);
        let (limit, unit) =
            value_of(value).ok_or_else(|| wrong("what it compares with is no figure"))?;
        let (metric, unit) = match (metric, unit) {
            (Metric::Failed, Unit::Percent) => (Metric::FailedShare, Unit::Percent),
            other => other,
        };
        if unit != metric.unit() {
            return Err(wrong(metric.unit().wanted()));
        }
        let tolerance = match tolerance {
            None => 0.0,
            Some(_) if sign != Sign::Equal => return Err(wrong("only = takes a tolerance")),
            Some(value) => {
                tolerance_of(value, unit).ok_or_else(|| wrong("its tolerance is no figure"))?
            }
        };
        Ok(Self { text: text.trim().to_owned(), metric, lane, sign, limit, tolerance })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True when it says how many attempts may fail, in place of the built-in rule that none may.
    pub(crate) fn limits_failures(&self) -> bool {
        matches!(self.metric, Metric::Failed | Metric::FailedShare) && self.lane.is_none()
    }

    /// Whether a figure is as demanded.
    pub(crate) fn holds(&self, seen: f64) -> bool {
        let off = (seen - self.limit).abs();
        match self.sign {
            Sign::Less => seen < self.limit,
            Sign::AtMost => seen <= self.limit,
            // Shares are told in hundredths of a per cent; a difference below that is none.
            Sign::Equal => off <= self.tolerance + 1e-9,
            Sign::Unequal => off > 1e-9,
            Sign::AtLeast => seen >= self.limit,
            Sign::More => seen > self.limit,
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Sign {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "<" => Self::Less,
            "<=" => Self::AtMost,
            "=" | "==" => Self::Equal,
            "!=" => Self::Unequal,
            ">=" => Self::AtLeast,
            ">" => Self::More,
            _ => return None,
        })
    }
}

impl Metric {
    const fn unit(&self) -> Unit {
        match self {
            Self::Sent
            | Self::Failed
            | Self::NotSent
            | Self::Regressions
            | Self::ClientRegressions
            | Self::Versions => Unit::Count,
            Self::Percentile(_) | Self::Max | Self::Gap | Self::Mixed => Unit::Time,
            Self::FailedShare | Self::Share(_) | Self::Instance(_) => Unit::Percent,
        }
    }
}

impl Unit {
    const fn wanted(self) -> &'static str {
        match self {
            Self::Count => "it is compared with a number without a unit",
            Self::Time => "it is compared with a time, such as 250ms or 2s",
            Self::Percent => "it is compared with a share, such as 25%",
        }
    }
}

fn figure_of(text: &str) -> Result<(Metric, Option<Lane>), String> {
    let (word, argument) = match text.split_once('(') {
        None => (text, None),
        Some((word, rest)) => {
            let argument = rest.strip_suffix(')').filter(|argument| !argument.is_empty());
            (word, Some(argument.ok_or("its bracket holds nothing or is not closed")?))
        }
    };
    let metric = match word {
        "share" | "instance" => {
            let name =
                argument.ok_or_else(|| format!("{word} of what? Write {word}(NAME)"))?.to_owned();
            let metric = if word == "share" { Metric::Share(name) } else { Metric::Instance(name) };
            return Ok((metric, None));
        }
        "sent" => Metric::Sent,
        "failed" => Metric::Failed,
        "not_sent" => Metric::NotSent,
        "max" => Metric::Max,
        "gap" => Metric::Gap,
        "regressions" | "client_regressions" | "versions" | "mixed" if argument.is_some() => {
            return Err(format!("{word} is of the whole run, not of a lane"));
        }
        "regressions" => Metric::Regressions,
        "client_regressions" => Metric::ClientRegressions,
        "versions" => Metric::Versions,
        "mixed" => Metric::Mixed,
        _ => percentile_of(word)
            .ok_or_else(|| format!("there is no figure `{}`", word.escape_debug()))?,
    };
    let lane = argument.map(|name| {
        let found = Lane::ALL.into_iter().find(|lane| lane.name() == name);
        found.ok_or_else(|| format!("there is no lane `{}`", name.escape_debug()))
    });
    Ok((metric, lane.transpose()?))
}

fn percentile_of(word: &str) -> Option<Metric> {
    let digits =
        word.strip_prefix('p').filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))?;
    let percent: f64 = digits.parse().ok()?;
    (percent > 0.0 && percent < 100.0).then_some(Metric::Percentile(percent))
}

fn split_tolerance(text: &str) -> (&str, Option<&str>) {
    let parted = ["±", "+-", "+/-"].into_iter().find_map(|sign| text.split_once(sign));
    parted.map_or((text, None), |(value, tolerance)| (value, Some(tolerance)))
}

fn value_of(text: &str) -> Option<(f64, Unit)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let (factor, unit) = match &text[digits..] {
        "" => (1.0, Unit::Count),
        "%" => (1.0, Unit::Percent),
        "us" | "µs" => (1.0, Unit::Time),
        "ms" => (1e3, Unit::Time),
        "s" => (1e6, Unit::Time),
        "m" => (6e7, Unit::Time),
        _ => return None,
    };
    Some((number * factor, unit))
}

/// A tolerance may leave the unit of its value away where there is only one: 25%±5.
fn tolerance_of(text: &str, unit: Unit) -> Option<f64> {
    match value_of(text)? {
        (number, Unit::Count) if unit == Unit::Percent => Some(number),
        (number, given) => (given == unit).then_some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::{Assertion, Metric};

    #[test]
    fn demands_are_read_and_compared() {
        let holds = |text: &str, seen: f64| Assertion::parse(text).unwrap().holds(seen);
        assert!(holds("failed=0", 0.0) && !holds("failed = 0", 1.0));
        assert!(holds("p99<250ms", 249_999.0) && !holds("p99<250ms", 250_000.0));
        assert!(holds("p99.9<=1.5s", 1_500_000.0) && !holds("max<=1m", 60_000_001.0));
        assert!(holds("share(v2)=25%±5", 30.0) && !holds("share(v2)=25%±5", 30.01));
        assert!(holds("share(v2)=25%+-5%", 20.0) && !holds("share(v2)=25%+/-5", 19.99));
        assert!(holds("failed<0.1%", 0.09) && holds("versions!=1", 2.0) && holds("sent>=5", 5.0));
        assert_eq!(
            Assertion::parse("share(a=b<c)>1%").unwrap().metric,
            Metric::Share("a=b<c".to_owned())
        );
        assert_eq!(Assertion::parse("failed<1%").unwrap().metric, Metric::FailedShare);
        assert_eq!(Assertion::parse("max(fresh)<1s").unwrap().lane, Some(model::Lane::Fresh));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "compares nothing"),
            ("failed", "compares nothing"),
            ("failed=<0", "its sign"),
            ("faild=0", "no figure `faild`"),
            ("p100<1s", "no figure `p100`"),
            ("p-1<1s", "no figure"),
            ("p99<250", "a time"),
            ("failed<1s", "a number without a unit"),
            ("share(v2)=25", "a share"),
            ("share=25%", "share of what?"),
            ("share()=25%", "bracket"),
            ("max(dove)<1s", "no lane `dove`"),
            ("mixed(fresh)<1s", "of the whole run"),
            ("p99<5ms±1ms", "only = takes"),
            ("sent=5±x", "tolerance"),
            ("sent=five", "no figure"),
            ("sent=nan", "no figure"),
        ] {
            let fault = Assertion::parse(text).unwrap_err();
            assert!(fault.what.contains(why), "{text}: {}", fault.what);
        }
    }
}
