//! Metrics of several proxies put together: those of the one that is asked, and those of the ones that it replaces.
//!
//! What is counted is added up, and so is what is open; of the rest the one that is asked speaks for itself. Texts come as
//! `text` wrote them. Nobody is asked here.

#[cfg(test)]
mod fuzz;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Write as _};

use super::text::seconds;

/// What another proxy told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theirs<'a> {
    /// Its text.
    pub(crate) told: &'a str,
    /// It still carries users.
    pub(crate) lives: bool,
}

/// How the numbers of two proxies become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// Each speaks for itself.
    Alone,
    /// They are added up, also when one of them has ended.
    Counted,
    /// They are added up while both live.
    Open,
    /// Where one of them says so, it is so.
    Either,
}

impl Join {
    fn of(family: &str, kind: &str) -> Self {
        match (family, kind) {
            ("cutover_upgrades_total", _) => Self::Alone,
            (_, "counter" | "histogram") => Self::Counted,
            (
                "cutover_open_requests"
                | "cutover_open_tunnels"
                | "cutover_held_requests"
                | "cutover_connections",
                _,
            ) => Self::Open,
            ("cutover_draining", _) => Self::Either,
            _ => Self::Alone,
        }
    }
}

/// What one of them tells with what the others do.
pub(crate) fn together<'a>(own: &'a str, others: impl Iterator<Item = Theirs<'a>>) -> String {
    let mut families = read(own);
    let places: BTreeMap<_, _> =
        families.iter().enumerate().map(|(at, family)| (family.name.clone(), at)).collect();
    for Theirs { told, lives } in others {
        for theirs in read(told) {
            if let Some(at) = places.get(&theirs.name) {
                families[*at].take(&theirs, lives);
            }
        }
    }
    let mut out = String::with_capacity(own.len());
    for family in &families {
        family.write(&mut out);
    }
    if own.ends_with("# EOF\n") {
        out.push_str("# EOF\n");
    }
    out
}

/// What is left of a text when its proxy has ended.
pub(crate) fn lasting(told: &str) -> String {
    let mut out = String::new();
    for family in read(told).iter().filter(|family| family.join == Join::Counted) {
        family.write(&mut out);
    }
    out
}

/// One family of a text.
struct Family<'a> {
    /// As the older dialect names it.
    name: String,
    join: Join,
    /// Its lines that are no samples.
    head: &'a str,
    samples: Vec<(&'a str, Value)>,
}

fn read(text: &str) -> Vec<Family<'_>> {
    let mut families = Vec::new();
    let mut rest = text;
    while rest.starts_with("# HELP ") {
        let end = rest.find("\n# HELP ").map_or(rest.len(), |at| at + 1);
        families.extend(Family::read(&rest[..end]));
        rest = &rest[end..];
    }
    families
}

impl<'a> Family<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let second = text.find('\n')? + 1;
        let (name, kind) =
            text[second..].strip_prefix("# TYPE ")?.lines().next()?.split_once(' ')?;
        let end = second + text[second..].find('\n')? + 1;
        let (head, samples) = text.split_at(end);
        // OpenMetrics leaves out what samples of counters end in.
        let short = kind == "counter" && !name.ends_with("_total");
        let name = if short { format!("{name}_total") } else { name.to_owned() };
        let sample = |line: &'a str| {
            let (key, value) = line.rsplit_once(' ')?;
            Some((key, Value::read(value)?)).filter(|_| !line.starts_with('#'))
        };
        let samples = samples.lines().filter_map(sample).collect();
        Some(Self { join: Join::of(&name, kind), name, head, samples })
    }

    fn write(&self, out: &mut String) {
        out.push_str(self.head);
        for (key, value) in &self.samples {
            // A string takes everything.
            let _ = writeln!(out, "{key} {value}");
        }
    }

    /// Takes in what another one says of the same.
    fn take(&mut self, theirs: &Self, lives: bool) {
        let joins = match self.join {
            Join::Alone => false,
            Join::Counted => true,
            Join::Open | Join::Either => lives,
        };
        // Of other buckets no sum can be made.
        let (ours, other) = (self.bounds(), theirs.bounds());
        if !joins || (!ours.is_empty() && !other.is_empty() && ours != other) {
            return;
        }
        let mut places = BTreeMap::new();
        let mut kin = BTreeSet::new();
        for (at, (key, _)) in self.samples.iter().enumerate() {
            places.insert(*key, at);
            kin.insert(stem(key));
        }
        for (key, value) in &theirs.samples {
            match places.get(key) {
                Some(at) => self.samples[*at].1.join(*value, self.join),
                // What has ended is told as long as we tell of the same release.
                None if lives || kin.contains(stem(key)) => self.samples.push((*key, *value)),
                None => {}
            }
        }
    }

    /// The buckets of a histogram; none where nothing was counted in one.
    fn bounds(&self) -> BTreeSet<&str> {
        let bound = |(key, _): &(&'a str, Value)| key.rsplit_once(",le=").map(|(_, bound)| bound);
        self.samples.iter().filter_map(bound).collect()
    }
}

/// A name and its labels but for the last.
fn stem(key: &str) -> &str {
    key.rfind([',', '{']).map_or(key, |at| &key[..at])
}

/// A number as it was written, with six places at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    millionths: u128,
    whole: bool,
}

impl Value {
    fn read(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if part.len() > 6 || !digits(whole) || !digits(part) {
            return None;
        }
        let part: u128 = format!("{part:0<6}").parse().ok()?;
        let millionths = u128::from(whole.parse::<u64>().ok()?) * 1_000_000 + part;
        Some(Self { millionths, whole: !text.contains('.') })
    }

    fn join(&mut self, other: Self, how: Join) {
        self.whole &= other.whole;
        self.millionths = match how {
            Join::Either => self.millionths.max(other.millionths),
            _ => (self.millionths + other.millionths).min(u128::from(u64::MAX) * 1_000_000),
        };
    }
}

impl Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.whole {
            return write!(out, "{}", self.millionths / 1_000_000);
        }
        out.write_str(&seconds(u64::try_from(self.millionths).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Theirs, lasting, together};

    fn text(samples: &[(&str, &str, &str)]) -> String {
        let family = |(name, kind, samples): &(&str, &str, &str)| {
            let samples = samples.replace('|', &format!("\n{name}"));
            format!("# HELP {name} Some help.\n# TYPE {name} {kind}\n{name}{samples}\n")
        };
        samples.iter().map(family).collect()
    }

    fn both(own: &str, told: &str, lives: bool) -> String {
        together(own, [Theirs { told, lives }].into_iter())
    }

    #[test]
    fn what_is_counted_adds_up_and_what_is_open_does_while_both_live() {
        let own = text(&[
            ("cutover_requests_total", "counter", "{release=\"2\",code=\"2xx\"} 5"),
            ("cutover_upgrades_total", "counter", " 2"),
            ("cutover_connections", "gauge", " 3"),
            ("cutover_draining", "gauge", "{instance=\"a\"} 0|{instance=\"b\"} 1"),
            ("cutover_routes_generation", "gauge", "{app=\"a\"} 9"),
        ]);
        let old = text(&[
            (
                "cutover_requests_total",
                "counter",
                "{release=\"1\",code=\"2xx\"} 7|{release=\"2\",code=\"2xx\"} 10|{release=\"2\",code=\"5xx\"} 1",
            ),
            ("cutover_upgrades_total", "counter", " 1"),
            ("cutover_connections", "gauge", " 4"),
            (
                "cutover_draining",
                "gauge",
                "{instance=\"a\"} 1|{instance=\"b\"} 1|{instance=\"c\"} 1",
            ),
            ("cutover_routes_generation", "gauge", "{app=\"a\"} 8"),
            ("cutover_nothing_of_ours", "gauge", " 1"),
        ]);
        let living = text(&[
            (
                "cutover_requests_total",
                "counter",
                "{release=\"2\",code=\"2xx\"} 15|{release=\"1\",code=\"2xx\"} 7|{release=\"2\",code=\"5xx\"} 1",
            ),
            ("cutover_upgrades_total", "counter", " 2"),
            ("cutover_connections", "gauge", " 7"),
            (
                "cutover_draining",
                "gauge",
                "{instance=\"a\"} 1|{instance=\"b\"} 1|{instance=\"c\"} 1",
            ),
            ("cutover_routes_generation", "gauge", "{app=\"a\"} 9"),
        ]);
        assert_eq!(both(&own, &old, true), living);
        let ended = text(&[
            (
                "cutover_requests_total",
                "counter",
                "{release=\"2\",code=\"2xx\"} 15|{release=\"2\",code=\"5xx\"} 1",
            ),
            ("cutover_upgrades_total", "counter", " 2"),
            ("cutover_connections", "gauge", " 3"),
            ("cutover_draining", "gauge", "{instance=\"a\"} 0|{instance=\"b\"} 1"),
            ("cutover_routes_generation", "gauge", "{app=\"a\"} 9"),
        ]);
        assert_eq!(both(&own, &lasting(&old), false), ended);
    }

    #[test]
    fn times_keep_their_places_and_other_buckets_are_left_out() {
        let family = |samples| text(&[("took", "histogram", samples)]);
        let own = family(
            "_bucket{a=\"1\",le=\"0.5\"} 1|_bucket{a=\"1\",le=\"+Inf\"} 2|_sum{a=\"1\"} 1.25|_count{a=\"1\"} 2",
        );
        let old = family(
            "_bucket{a=\"1\",le=\"0.5\"} 3|_bucket{a=\"1\",le=\"+Inf\"} 3|_sum{a=\"1\"} 0.000005|_count{a=\"1\"} 3",
        );
        let sum = family(
            "_bucket{a=\"1\",le=\"0.5\"} 4|_bucket{a=\"1\",le=\"+Inf\"} 5|_sum{a=\"1\"} 1.250005|_count{a=\"1\"} 5",
        );
        let other = old.replace("0.5", "0.7");
        for (told, both) in [(&old, &sum), (&other, &own)] {
            for lives in [true, false] {
                assert_eq!(self::both(&own, told, lives), *both);
            }
        }
    }

    #[test]
    fn openmetrics_is_put_together_with_what_was_told_in_the_other_dialect() {
        let own = "# HELP x Help.\n# TYPE x counter\nx_total{a=\"b c\"} 1\n# EOF\n";
        let old = "# HELP x_total Help.\n# TYPE x_total counter\nx_total{a=\"b c\"} 2\n";
        assert_eq!(both(own, old, true), own.replace("} 1", "} 3"));
        assert_eq!(together(own, [].into_iter()), own);
    }
}
