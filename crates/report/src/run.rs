//! The run put in order once, so that every fact is drawn from the same view of it.
//!
//! It draws no conclusions.

use std::collections::BTreeMap;

use model::{Attempt, Class, Lane, Phase};

use crate::axis::axis;
use crate::clean;
use crate::input::Input;
use crate::versions::Slots;

/// The input, sorted and indexed.
pub(crate) struct Run<'a> {
    pub(crate) input: &'a Input,
    /// Attempts that were sent, by intended send time.
    pub(crate) sent: Vec<&'a Attempt>,
    /// Attempts that could not be sent.
    pub(crate) not_sent: Vec<&'a Attempt>,
    pub(crate) slots: Slots,
    /// Version names users know, cleaned.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// Version each socket spoke to: a tunnel never changes its instance.
    socket_versions: BTreeMap<u32, &'a str>,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    /// When traffic was moved: one span for each share or batch.
    pub(crate) switches: Vec<(i64, i64)>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(input: &'a Input) -> Self {
        let mut all: Vec<&Attempt> = input.attempts.iter().collect();
        all.sort_by_key(|a| (a.intended_us, a.id));
        let (not_sent, sent): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|a| a.class == Class::NotSent);
        let mut socket_versions = BTreeMap::new();
        for a in sent.iter().filter(|a| a.lane == Lane::Websocket && a.connection != 0) {
            if let Some(version) = &a.version {
                socket_versions.entry(a.connection).or_insert(version.as_str());
            }
        }
        let first = sent.iter().chain(&not_sent).map(|a| axis(a.intended_us)).min();
        let last = sent.iter().chain(&not_sent).map(|a| axis(a.done_us.max(a.intended_us))).max();
        let until = input.footer.as_ref().map_or(0, |f| axis(f.until_us));
        let from_us = first.unwrap_or(0);
        Self {
            slots: Slots::new(input, &sent, &socket_versions),
            input,
            from: input.from.as_deref().map(clean::name),
            to: input.to.as_deref().map(clean::name),
            socket_versions,
            from_us,
            to_us: last.unwrap_or(0).max(until).max(from_us),
            switches: spans(input, Phase::Shifting),
            sent,
            not_sent,
        }
    }

    /// The version that answered, or whose socket it was.
    pub(crate) fn version_of(&self, attempt: &'a Attempt) -> Option<&'a str> {
        attempt.version.as_deref().or_else(|| {
            let socket = attempt.lane == Lane::Websocket;
            self.socket_versions.get(&attempt.connection).copied().filter(|_| socket)
        })
    }

    /// The version that a socket spoke to.
    pub(crate) fn socket_version(&self, connection: u32) -> Option<&'a str> {
        self.socket_versions.get(&connection).copied()
    }

    /// Index of that version in the report's `versions`.
    pub(crate) fn slot_of(&self, attempt: &'a Attempt) -> usize {
        self.slots.of(self.version_of(attempt))
    }

    /// Phase at a time; the last one that had begun, when two claim it.
    pub(crate) fn phase_at(&self, us: i64) -> Option<Phase> {
        let open = |s: &&crate::PhaseSpan| s.from_us <= us && (us < s.to_us || s.phase.is_final());
        self.input.phases.iter().filter(open).max_by_key(|s| s.from_us).map(|s| s.phase)
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = &'a Attempt> {
        self.sent.iter().copied().filter(|a| a.class.failed())
    }

    /// The first time that traffic was moved.
    pub(crate) fn switch(&self) -> Option<(i64, i64)> {
        self.switches.first().copied()
    }

    /// Old and new as answers name them; nothing when an answer cannot tell them apart.
    pub(crate) fn apart(&self) -> Option<(&'a str, &'a str)> {
        let (from, to) = (self.input.from.as_deref()?, self.input.to.as_deref()?);
        (from != to).then_some((from, to))
    }

    /// True for the version users were on.
    pub(crate) fn is_old(&self, version: Option<&str>) -> bool {
        version.is_some() && version == self.input.from.as_deref()
    }

    /// True for the version being shipped.
    pub(crate) fn is_new(&self, version: Option<&str>) -> bool {
        version.is_some() && version == self.input.to.as_deref()
    }
}

/// Each time a phase lasted.
fn spans(input: &Input, phase: Phase) -> Vec<(i64, i64)> {
    let spans = input.phases.iter().filter(|s| s.phase == phase);
    spans.map(|s| (s.from_us, s.to_us)).collect()
}

/// Nearest-rank percentile of sorted values: the smallest that `per_mille` of them do not exceed.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> Option<u64> {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied()
}

/// A 99th percentile means something from this many samples on.
pub(crate) const P99_SAMPLES: usize = 1_000;

/// Median, 99th percentile (if there are samples enough) and largest; sorts its argument.
pub(crate) fn quantiles(values: &mut [u64]) -> [Option<u64>; 3] {
    values.sort_unstable();
    let p99 = (values.len() >= P99_SAMPLES).then(|| percentile(values, 990)).flatten();
    [percentile(values, 500), p99, values.last().copied()]
}

#[cfg(test)]
mod tests {
    use super::{percentile, quantiles};

    #[test]
    fn percentiles_are_nearest_rank_and_p99_needs_a_thousand() {
        let values: Vec<u64> = (1..=1_000).collect();
        assert_eq!(percentile(&values, 500), Some(500));
        assert_eq!(percentile(&values, 990), Some(990));
        assert_eq!(percentile(&[], 500), None);
        assert_eq!(quantiles(&mut values.clone()), [Some(500), Some(990), Some(1_000)]);
        assert_eq!(quantiles(&mut values[..999].to_vec()), [Some(500), None, Some(999)]);
    }
}
