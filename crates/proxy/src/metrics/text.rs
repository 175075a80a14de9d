//! The text in which metrics are told: that of Prometheus (version 0.0.4) or OpenMetrics (1.0.0).
//!
//! It writes families one after the other and knows none of them.

use std::fmt::{Display, Write};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `text/plain; version=0.0.4`.
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Dialect {
    /// Its `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family's numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// They count what fell below bounds.
    Histogram,
}

/// Labels of one sample.
pub type Labels<'a> = [(&'a str, &'a str)];

/// A text under way.
#[derive(Debug)]
pub struct Text {
    dialect: Dialect,
    out: String,
    name: &'static str,
    kind: Kind,
}

impl Text {
    /// Nothing told yet.
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, out: String::new(), name: "", kind: Kind::Gauge }
    }

    /// Begins a family; those of kind counter have names that end in `_total`. `help` is one line
    /// without quotes and backslashes.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        (self.name, self.kind) = (name, kind);
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // OpenMetrics names a family of counters without what its samples end in.
        let name = match self.dialect {
            Dialect::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Dialect::Prometheus => name,
        };
        // A string takes everything.
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {word}\n");
    }

    /// One sample of the family.
    pub fn sample(&mut self, labels: &Labels<'_>, value: u64) {
        self.line("", labels, value);
    }

    /// One sample of the family: a time, told in seconds.
    pub fn seconds(&mut self, labels: &Labels<'_>, us: u64) {
        self.line("", labels, seconds(us));
    }

    /// A histogram of the family: how many fell into each bucket, and the sum, in microseconds; told
    /// in seconds and piled up.
    pub fn histogram(
        &mut self,
        labels: &Labels<'_>,
        bounds_us: &[u64],
        (buckets, sum_us): (&[u64], u64),
    ) {
        let mut piled = 0;
        for (at, bucket) in buckets.iter().enumerate() {
            piled += bucket;
            let bound = bounds_us.get(at).map_or("+Inf".to_owned(), |us| seconds(*us));
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.line("_bucket", &labels, piled);
        }
        self.line("_sum", labels, seconds(sum_us));
        self.line("_count", labels, piled);
    }

    /// The whole.
    pub fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn line(&mut self, suffix: &str, labels: &Labels<'_>, value: impl Display) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut before = '{';
        for (name, text) in labels {
            self.out.push(before);
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(&mut self.out, text);
            self.out.push('"');
            before = ',';
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

/// A label's value within its quotes.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// Microseconds as seconds, exactly; a bound keeps one place, as OpenMetrics wants it.
pub(super) fn seconds(us: u64) -> String {
    let (whole, part) = (us / 1_000_000, us % 1_000_000);
    let text = format!("{whole}.{part:06}");
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Kind, Text};

    #[test]
    fn label_values_cannot_break_out_of_their_quotes() {
        let mut text = Text::new(Dialect::Prometheus);
        text.family("x_total", Kind::Counter, "Help.");
        text.sample(&[("version", "a\"} 1\nevil{b=\"\\"), ("app", "\u{e4}")], 7);
        text.sample(&[], 8);
        assert_eq!(
            text.finish(),
            "# HELP x_total Help.\n# TYPE x_total counter\n\
             x_total{version=\"a\\\"} 1\\nevil{b=\\\"\\\\\",app=\"\u{e4}\"} 7\nx_total 8\n"
        );
    }

    #[test]
    fn a_histogram_piles_up_and_ends_without_a_bound() {
        let mut text = Text::new(Dialect::OpenMetrics);
        text.family("took_seconds", Kind::Histogram, "Time.");
        text.histogram(&[("app", "a")], &[2_500, 1_000_000], (&[1, 2, 3], 61_000_001));
        assert_eq!(
            text.finish(),
            "# HELP took_seconds Time.\n# TYPE took_seconds histogram\n\
             took_seconds_bucket{app=\"a\",le=\"0.0025\"} 1\n\
             took_seconds_bucket{app=\"a\",le=\"1.0\"} 3\n\
             took_seconds_bucket{app=\"a\",le=\"+Inf\"} 6\n\
             took_seconds_sum{app=\"a\"} 61.000001\ntook_seconds_count{app=\"a\"} 6\n# EOF\n"
        );
    }

    #[test]
    fn openmetrics_names_counters_without_their_ending() {
        let mut text = Text::new(Dialect::OpenMetrics);
        text.family("x_total", Kind::Counter, "Help.");
        text.sample(&[], 1);
        assert_eq!(text.finish(), "# HELP x Help.\n# TYPE x counter\nx_total 1\n# EOF\n");
    }
}
