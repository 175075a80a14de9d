//! Says in one sentence why a group of failures happened, and what to try.
//!
//! It chooses a rule and fills in its words; it knows nothing beyond the run's own evidence.

use model::attempt::{BlindWindow, Witness};
use model::{Attempt, Class, Phase};

use crate::blind;
use crate::cause_rules::{RULES, Rule, Side, Sign};
use crate::clean;
use crate::figures::{clock_ms, several, span};
use crate::lanes::whole_answer;
use crate::run::Run;
use crate::silence::{Silence, silences};

/// What a group of failures has in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) phase: Option<Phase>,
    pub(crate) class: Class,
    pub(crate) side: Side,
    pub(crate) status: u16,
    pub(crate) witness: Option<Witness>,
    pub(crate) sign: Sign,
}

/// Knows the run well enough to explain its failures.
pub(crate) struct Advisor<'r, 'a> {
    run: &'r Run<'a>,
    silences: Vec<Silence>,
    longest_answer_us: u64,
}

impl<'r, 'a> Advisor<'r, 'a> {
    pub(crate) fn new(run: &'r Run<'a>) -> Self {
        let answers = run.sent.iter().filter(|a| whole_answer(a.class));
        let longest_answer_us = answers.map(|a| a.ttlb_us()).max().unwrap_or(0);
        Self { run, silences: silences(run), longest_answer_us }
    }

    /// Why, and what to try.
    pub(crate) fn explain(&self, case: Case, of: &[&Attempt]) -> (String, Option<String>) {
        if matches!(case.class, Class::Late | Class::Timeout)
            && let Some(found) = self.stopped(of)
        {
            return found;
        }
        let rule = RULES.iter().find(|rule| fits(rule, case));
        let Some(rule) = rule else {
            return (case.class.name().to_owned(), None);
        };
        let advice = self.fill(rule.advice, case);
        (self.fill(rule.why, case), (!advice.is_empty()).then_some(advice))
    }

    /// Late because something stood still. A silence that the prober saw awake comes first: a moment in which
    /// it was blind, too, does not make that its own.
    fn stopped(&self, of: &[&Attempt]) -> Option<(String, Option<String>)> {
        self.standstill(of, |silence| blind::awake(self.run, silence))
            .or_else(|| self.blindness(of))
            .or_else(|| asked_again(of))
            .or_else(|| self.standstill(of, |_| true))
    }

    /// Late because the prober itself stood still: without the time in which it was blind while they were open
    /// they would have been in time.
    fn blindness(&self, of: &[&Attempt]) -> Option<(String, Option<String>)> {
        let explained = of.iter().filter(|a| blind::explains(self.run, a));
        let explained: Vec<&Attempt> = explained.copied().collect();
        if !most(explained.len(), of.len()) {
            return None;
        }
        let met = |b: &&BlindWindow| {
            explained.iter().map(|a| a.waited()).any(|(from, to)| blind::within(b, from, to) > 0)
        };
        let met = self.run.input.blind.iter().filter(met);
        let total = met.map(|b| blind::within(b, 0, u64::MAX)).sum::<u64>();
        let why = format!(
            "the prober itself was stopped or starved for {}: what was open then looks late, and \
             the target may be innocent",
            span(total)
        );
        Some((why, Some("give the prober a core of its own and run it again".to_owned())))
    }

    /// Late because nothing at all answered for a while.
    fn standstill(
        &self,
        of: &[&Attempt],
        counts: impl Fn(&Silence) -> bool,
    ) -> Option<(String, Option<String>)> {
        let held = |s: &Silence| of.iter().filter(|a| s.held(a)).count();
        // The first that fits: one of everything says more than one of requests alone.
        let fits = |s: &&Silence| most(held(s), of.len()) && counts(s);
        let silence = *self.silences.iter().find(fits)?;
        let waited = self.run.failures().filter(|a| silence.held(a)).count() as u64;
        let (what, scope) = if silence.sockets {
            ("nothing answered", "on every lane and whatever the version")
        } else {
            ("no request was answered", "whatever the version, while sockets went on")
        };
        let why = format!(
            "{what} for {} from {}: {} waited, {scope}; the path itself (proxy or host) stood still",
            span(silence.length_us()),
            clock_ms(self.run.input.header.t0_unix_ms, silence.from_us),
            several(waited, "request"),
        );
        let advice = "look at what the machine and the proxy did at that time: a pause of the \
                      process, a full disk, memory pressure, a configuration reload";
        Some((why, Some(advice.to_owned())))
    }

    fn fill(&self, template: &str, case: Case) -> String {
        let settings = &self.run.input.settings;
        let header = &self.run.input.header;
        let longest = self.longest_answer_us;
        let or =
            |name: &Option<String>, other: &str| name.clone().unwrap_or_else(|| other.to_owned());
        let status =
            if case.status == 0 { "no status".to_owned() } else { case.status.to_string() };
        // In somebody else's deploy no setting of ours has a value, and its names would say nothing.
        let raise = |name: &str, now_ms: Option<u64>, theirs: &str| match now_ms {
            Some(ms) => format!("raise {name} (now {})", span(ms.saturating_mul(1_000))),
            None => theirs.to_owned(),
        };
        let drain = format!(
            "{} above the longest answer ({} seen)",
            raise(
                "drain_timeout",
                settings.drain_timeout_ms,
                "let whoever deploys wait for open requests before it ends an instance,"
            ),
            span(longest)
        );
        let handover =
            raise("handover_timeout", settings.handover_timeout_ms, "give them time to do so");
        let stop = raise(
            "stop_timeout",
            settings.stop_timeout_ms,
            "leave it more time between SIGTERM and SIGKILL",
        );
        // Foreign text goes in last, so that braces in it are never filled.
        let filled = template
            .replace("{drain}", &drain)
            .replace("{handover}", &handover)
            .replace("{stop}", &stop)
            .replace("{status}", &status)
            .replace("{late}", &span(header.late_after_us))
            .replace("{timeout}", &span(header.timeout_us));
        splice(
            &filled,
            &[
                ("{old}", &or(&self.run.from, "the old version")),
                ("{new}", &or(&self.run.to, "the new version")),
                ("{url}", &clean::line(&self.run.input.url, clean::LINE_MAX)),
            ],
        )
    }
}

/// Replaces all names in one pass, so that a value is never searched for another name.
fn splice(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, tail) = rest.split_at(start);
        out.push_str(before);
        let hit = values.iter().find(|(name, _)| tail.starts_with(name));
        let (text, used) = hit.map_or(("{", 1), |(name, value)| (*value, name.len()));
        out.push_str(text);
        rest = tail.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Late by just as long as a kernel waits before it asks for a connection once more.
fn asked_again(of: &[&Attempt]) -> Option<(String, Option<String>)> {
    let waited_for_it = |a: &&&Attempt| {
        let (from, to) = a.waited();
        let waited = to.saturating_sub(from);
        ASKED_AGAIN_US.iter().any(|at| (*at..at + at / 10).contains(&waited))
    };
    if of.len() < 2 || !most(of.iter().filter(waited_for_it).count(), of.len()) {
        return None;
    }
    let why = "each took as long as a kernel waits before it asks for a connection once more (1 s, 3 s, \
               7 s): whoever was to accept it had no room in its queue, or a packet was lost";
    let advice = "look at `nstat -az TcpExtListenOverflows` and at the Send-Q of `ss -ltn` on the host of \
                  the app, and let it listen with a longer queue (backlog)";
    Some((why.to_owned(), Some(advice.to_owned())))
}

/// When Linux sends the first packet of a connection again: after a second, and each time twice as long
/// after the last (`TCP_TIMEOUT_INIT`, RFC 6298 section 2).
const ASKED_AGAIN_US: [u64; 3] = [1_000_000, 3_000_000, 7_000_000];

fn most(part: usize, whole: usize) -> bool {
    part > 0 && part * 10 >= whole * 9
}

fn fits(rule: &Rule, case: Case) -> bool {
    let gateway = matches!(case.status, 502..=504) && case.witness != Some(Witness::App);
    rule.classes.contains(&case.class)
        && (rule.phases.is_empty() || case.phase.is_some_and(|p| rule.phases.contains(&p)))
        && rule.side.is_none_or(|side| side == case.side)
        && rule.gateway.is_none_or(|wanted| wanted == gateway)
        && rule.sign.is_none_or(|sign| sign == case.sign)
}

#[cfg(test)]
mod tests {
    use super::splice;

    #[test]
    fn values_are_never_searched_for_names() {
        let values = [("{old}", "{new}"), ("{new}", "v2")];
        assert_eq!(splice("{old} then {new} {odd}", &values), "{new} then v2 {odd}");
    }
}
