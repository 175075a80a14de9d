//! Somebody who asks for metrics, and reads them more strictly than Prometheus does.
//!
//! Which metrics there must be is said in `metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::stage::wait_until;

/// Asks on the admin socket; `fields` are more lines of the head.
pub(crate) fn ask(socket: &Path, fields: &str) -> String {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    ask_over(stream, fields)
}

/// Waits until a number is told: requests are counted when they have ended, a moment after their answers are out, and
/// some classes of them are told from the first one on.
pub(crate) fn comes(socket: &Path, name: &str, labels: &[(&str, &str)], expected: u64) {
    let expected = expected.to_string();
    wait_until(&format!("{name} {labels:?} is {expected}"), || {
        Metrics::of(&ask(socket, "")).values(name, labels) == [&*expected]
    });
}

/// Asks on a connection; gives the text of an answer that must be whole.
pub(crate) fn ask_over(mut stream: impl Read + Write, fields: &str) -> String {
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: a\r\n{fields}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", text.len())), "{head}");
    text.to_owned()
}

/// One sample.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: String,
}

/// Metrics that were found correct.
#[derive(Debug)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
    /// Kinds of all families.
    pub(crate) families: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads the format of Prometheus.
    pub(crate) fn of(text: &str) -> Self {
        Self::read(text, false).unwrap_or_else(|why| panic!("{why}\n{text}"))
    }

    /// Reads OpenMetrics.
    pub(crate) fn open(text: &str) -> Self {
        Self::read(text, true).unwrap_or_else(|why| panic!("{why}\n{text}"))
    }

    /// HELP, TYPE and samples of each family stand together, in this order; no series comes twice;
    /// histograms pile up.
    pub(crate) fn read(text: &str, open: bool) -> Result<Self, String> {
        let body = match (open, text.strip_suffix("# EOF\n")) {
            (true, None) => return Err("no end".into()),
            (true, Some(body)) => body,
            (false, _) => text,
        };
        if !body.ends_with('\n') || body.contains('\r') {
            return Err("lines must end, with a line feed".into());
        }
        let (mut samples, mut families) = (Vec::new(), BTreeMap::new());
        let (mut helped, mut family, mut seen) = (None, String::new(), BTreeSet::new());
        for line in body.strip_suffix('\n').unwrap_or(body).split('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or("a HELP without words")?;
                if help.is_empty() || help.contains('\\') {
                    return Err(format!("odd help: {line}"));
                }
                helped = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or("a TYPE without a kind")?;
                if helped.take().as_deref() != Some(name) {
                    return Err(format!("TYPE without its HELP before: {line}"));
                }
                if families.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(format!("a family twice: {line}"));
                }
                name.clone_into(&mut family);
            } else {
                let sample = sample(line)?;
                fits(&sample, &family, &families[&family], open)?;
                if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                    return Err(format!("a series twice: {line}"));
                }
                samples.push(sample);
            }
        }
        let metrics = Self { samples, families };
        metrics.pile_up()?;
        Ok(metrics)
    }

    /// The whole number of the only sample with these labels, and more perhaps.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let values = self.values(name, labels);
        let [only] = values.as_slice() else { panic!("{name} {labels:?}: {values:?}") };
        only.parse().unwrap()
    }

    /// The values of all samples with these labels.
    pub(crate) fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&str> {
        let fits = |sample: &&Sample| {
            let has = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).map(String::as_str) == Some(*value)
            };
            sample.name == name && labels.iter().all(has)
        };
        self.samples.iter().filter(fits).map(|sample| sample.value.as_str()).collect()
    }

    /// All values of a label.
    pub(crate) fn label(&self, name: &str) -> BTreeSet<&str> {
        self.samples.iter().filter_map(|one| Some(one.labels.get(name)?.as_str())).collect()
    }

    /// Names of all samples.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|one| one.name.as_str()).collect()
    }

    fn pile_up(&self) -> Result<(), String> {
        for (family, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut series: BTreeMap<_, Vec<(f64, u64)>> = BTreeMap::new();
            for sample in self.samples.iter().filter(|one| one.name == format!("{family}_bucket")) {
                let mut labels = sample.labels.clone();
                let bound = labels.remove("le").ok_or("a bucket without a bound")?;
                let bound = bound.parse::<f64>().map_err(|_| format!("bound {bound}"))?;
                let count = sample.value.parse::<u64>().map_err(|why| why.to_string())?;
                series.entry(labels).or_default().push((bound, count));
            }
            for (labels, buckets) in series {
                let labels: Vec<_> =
                    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let grows =
                    buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
                let last = buckets.last().ok_or("no bucket")?;
                let count = self.values(&format!("{family}_count"), &labels);
                if !grows || last.0.is_finite() || count != [last.1.to_string()] {
                    return Err(format!("{family} {labels:?} does not pile up"));
                }
            }
        }
        Ok(())
    }
}

/// Whether a sample may stand below this family.
fn fits(sample: &Sample, family: &str, kind: &str, open: bool) -> Result<(), String> {
    let rest = sample.name.strip_prefix(family);
    let good = match kind {
        "counter" if open => rest == Some("_total"),
        "counter" => rest == Some("") && family.ends_with("_total"),
        "gauge" => rest == Some("") && !family.ends_with("_total"),
        "histogram" => matches!(rest, Some("_bucket" | "_sum" | "_count")),
        _ => false,
    };
    let number = sample.value.parse::<u64>().is_ok()
        || rest == Some("_sum") && sample.value.parse::<f64>().is_ok_and(|sum| sum >= 0.0);
    if good && number { Ok(()) } else { Err(format!("{sample:?} does not belong to {family}")) }
}

fn sample(line: &str) -> Result<Sample, String> {
    let odd = || format!("no sample: {line}");
    let end = line.find(['{', ' ']).ok_or_else(odd)?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or_else(odd)?;
            let (value, after) = quoted(value).ok_or_else(odd)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("label {label}: {line}"));
            }
            let Some(more) = after.strip_prefix(',') else {
                rest = after.strip_prefix('}').ok_or_else(odd)?;
                break;
            };
            rest = more;
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(odd)?;
    if !is_name(name) {
        return Err(odd());
    }
    Ok(Sample { name: name.to_owned(), labels, value: value.to_owned() })
}

/// Text up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut out, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(match characters.next()?.1 {
                'n' => '\n',
                other @ ('\\' | '"') => other,
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

#[test]
fn what_is_not_in_order_is_refused() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\\\"\\n\"} 1\n";
    assert_eq!(Metrics::of(good).value("a_total", &[("b", "c\"\n")]), 1);
    for (from, to) in [
        ("# HELP a_total A.\n", ""),
        ("} 1\n", "} 1"),
        ("} 1\n", "} 1\na_total{b=\"c\\\"\\n\"} 2\n"),
        ("} 1\n", "} -1\n"),
        ("{b=", "{b=\"\",b="),
        ("\\\"\\n", "\""),
        ("a_total{", "b_total{"),
        ("counter", "gauge"),
        ("} 1\n", "} 1\n# HELP a_total A.\n# TYPE a_total counter\n"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(Metrics::read(&bad, false).is_err(), "{bad}");
    }
    assert!(Metrics::read(good, true).is_err());
}
