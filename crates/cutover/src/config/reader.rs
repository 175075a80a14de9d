//! Collects mistakes, and takes plain values: text, numbers, shares, switches, durations, lists.
//!
//! A value that is missing or wrong becomes the default, so that reading goes on and the next
//! mistake is found too; nothing is used when a mistake was found. Every refusal names the value
//! and what is allowed.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use model::fault::Place;
use toml::de::DeValue;

use super::diagnostic::{Diagnostic, Source};
use super::field::{Field, bare, kind};
use crate::duration;
use crate::size;

/// Reads one file.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Arc<Source>,
    found: Vec<Diagnostic>,
    /// What no excerpt of the file may show.
    secrets: Vec<Range<usize>>,
}

impl Reader {
    /// A reader that has found nothing yet.
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, found: Vec::new(), secrets: Vec::new() }
    }

    /// Adds a mistake.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic.within(&self.source));
    }

    /// A place in the file, for later.
    pub(crate) fn place(&self, span: &Range<usize>) -> Option<Place> {
        Diagnostic::new("").at(span, "").within(&self.source).place()
    }

    /// Whatever stands there is a secret that should not: no excerpt shows it.
    pub(crate) fn hide(&mut self, field: &Field<'_>) {
        if field.value.is_str() {
            self.secrets.push(field.span.clone());
        }
    }

    /// All mistakes in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(Diagnostic::start);
        if self.secrets.is_empty() {
            return self.found;
        }
        let source = Arc::new(self.source.without(&self.secrets));
        self.found.into_iter().map(|diagnostic| diagnostic.within(&source)).collect()
    }

    /// Refuses a value because of what it is.
    pub(crate) fn wrong_kind(&mut self, field: &Field<'_>, wanted: &str, fix: &str) {
        let Field { key, value, span } = field;
        self.push(
            Diagnostic::new(format!("`{key}` must be {wanted}, and this is {}", kind(value)))
                .at(span, "")
                .help(format!("write `{key} = {fix}`")),
        );
    }

    /// Text.
    pub(crate) fn text<'a>(&mut self, field: Option<Field<'a>>) -> Option<&'a str> {
        let field = field?;
        let DeValue::String(text) = field.value else {
            let fix = bare(field.value).map_or("\"…\"".to_owned(), |bare| format!("\"{bare}\""));
            self.wrong_kind(&field, "text", &fix);
            return None;
        };
        if text.is_empty() || text.contains('\0') {
            let what = if text.is_empty() { "is empty" } else { "holds a zero byte" };
            self.push(
                Diagnostic::new(format!("`{}` {what}", field.key))
                    .at(&field.span, "")
                    .help("write a value, or remove the line for the default"),
            );
            return None;
        }
        Some(text)
    }

    /// A whole number.
    pub(crate) fn count(
        &mut self,
        field: Option<Field<'_>>,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let Some(field) = field else { return default };
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = field.value else {
            let quoted = field.value.as_str().and_then(|text| text.parse().ok());
            let fix: u32 = quoted.filter(|n| range.contains(n)).unwrap_or(default);
            self.wrong_kind(&field, &wanted, &fix.to_string());
            return default;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if let Some(number) =
            number.and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n))
        {
            return number;
        }
        self.push(
            Diagnostic::new(format!("`{} = {integer}` is out of range", field.key))
                .at(&field.span, "")
                .help(format!("use {wanted}")),
        );
        default
    }

    /// A size such as `"10MiB"`, bytes; 0 needs no unit.
    pub(crate) fn size(
        &mut self,
        field: Option<Field<'_>>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let Some(field) = field else { return default };
        let text = match field.value {
            DeValue::String(text) => text.to_string(),
            other => bare(other).unwrap_or_default(),
        };
        let quoted = matches!(field.value, DeValue::String(_));
        let found = if quoted { size::parse(&text) } else { (text == "0").then_some(0) };
        if let Some(found) = found.filter(|found| range.contains(found)) {
            return found;
        }
        let (low, high) = (size::show(*range.start()), size::show(*range.end()));
        let what = match found {
            Some(_) => format!("`{} = {}` is out of range", field.key, written(&text, quoted)),
            None => format!("`{} = {}` is not a size", field.key, written(&text, quoted)),
        };
        let meant = size::repair(&text).filter(|meant| found.is_none() && range.contains(meant));
        let help = match meant {
            Some(meant) => format!("write `{} = \"{}\"`", field.key, size::show(meant)),
            None => format!("use a size from \"{low}\" to \"{high}\""),
        };
        let units = "whole numbers with `B`, `KiB`, `MiB` or `GiB`";
        let label = if found.is_none() { units } else { "" };
        self.push(Diagnostic::new(what).at(&field.span, label).help(help));
        default
    }

    /// A share from 0 to 1.
    pub(crate) fn share(&mut self, field: Option<Field<'_>>, default: f64) -> f64 {
        let Some(field) = field else { return default };
        let number = match field.value {
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::Integer(integer) => integer.as_str().parse::<f64>().ok(),
            other => {
                let percent = other.as_str().and_then(|text| text.trim().strip_suffix('%'));
                let share = percent.and_then(|text| text.trim().parse::<f64>().ok());
                let fix = share.map_or(default, |percent| percent / 100.0);
                self.wrong_kind(&field, "a share from 0 to 1", &fix.to_string());
                return default;
            }
        };
        if let Some(number) = number.filter(|share| (0.0..=1.0).contains(share)) {
            return number;
        }
        self.push(
            Diagnostic::new(format!("`{}` is a share of all requests, from 0 to 1", field.key))
                .at(&field.span, "")
                .help(format!("for one percent write `{} = 0.01`", field.key)),
        );
        default
    }

    /// A whole percentage, as text: `"50%"`.
    pub(crate) fn percent(
        &mut self,
        field: Option<Field<'_>>,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let Some(field) = field else { return default };
        let text = bare(field.value).unwrap_or_default();
        let number = text.strip_suffix('%').and_then(|text| text.parse().ok());
        if let Some(number) = number.filter(|n| range.contains(n) && field.value.is_str()) {
            return number;
        }
        let meant = match text.split_once('.') {
            // Two decimals of a share of one are percents.
            Some(("0", part)) => format!("{part:0<2}").parse().ok(),
            _ => text.trim_end_matches(['%', ' ']).parse().ok(),
        };
        let fix = meant.filter(|n| range.contains(n)).unwrap_or(default);
        let (low, high) = (range.start(), range.end());
        self.push(
            Diagnostic::new(format!("`{}` must be a percentage as text", field.key))
                .at(&field.span, format!("whole, from {low}% to {high}%"))
                .help(format!("write `{} = \"{fix}%\"`", field.key)),
        );
        default
    }

    /// `true` or `false`.
    pub(crate) fn switch(&mut self, field: Option<Field<'_>>, default: bool) -> bool {
        let Some(field) = field else { return default };
        if let DeValue::Boolean(on) = field.value {
            return *on;
        }
        let off = matches!(field.value.as_str(), Some("false" | "no" | "off"));
        self.wrong_kind(&field, "true or false", if off { "false" } else { "true" });
        default
    }

    /// A duration such as `"1m30s"`.
    pub(crate) fn duration(
        &mut self,
        field: Option<Field<'_>>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(field) = field else { return default };
        let key = field.key;
        let DeValue::String(text) = field.value else {
            let fix = bare(field.value).and_then(|text| duration::repair(&text, default));
            let fix = duration::show(fix.filter(|fix| range.contains(fix)).unwrap_or(default));
            self.wrong_kind(&field, "a duration with its unit", &format!("\"{fix}\""));
            return default;
        };
        let Some(found) = duration::parse(text) else {
            let fix = duration::repair(text, default);
            let fix = fix.filter(|fix| range.contains(fix)).unwrap_or(default);
            self.push(
                Diagnostic::new(format!("`{key} = \"{text}\"` is not a duration"))
                    .at(&field.span, "whole numbers with `h`, `m`, `s` or `ms`")
                    .help(format!("write `{key} = \"{}\"`", duration::show(fix))),
            );
            return default;
        };
        if range.contains(&found) {
            return found;
        }
        let (low, high) = (duration::show(*range.start()), duration::show(*range.end()));
        self.push(
            Diagnostic::new(format!("`{key} = \"{text}\"` is out of range"))
                .at(&field.span, "")
                .help(format!("use a duration from {low} to {high}")),
        );
        default
    }

    /// A list of texts with their places; `None` when the key is missing or wrong.
    pub(crate) fn texts<'a>(
        &mut self,
        field: Option<&Field<'a>>,
    ) -> Option<Vec<(&'a str, Range<usize>)>> {
        let field = field?;
        let DeValue::Array(array) = field.value else {
            let fix =
                bare(field.value).map_or("[\"…\"]".to_owned(), |text| format!("[{text:?}]"));
            self.wrong_kind(field, "a list of texts", &fix);
            return None;
        };
        let mut texts = Vec::new();
        for item in array {
            let field = Field { key: field.key, value: item.get_ref(), span: item.span() };
            match field.value.as_str() {
                Some(text) if !text.contains('\0') => texts.push((text, field.span)),
                _ => self.push(
                    Diagnostic::new(format!("`{}` holds {}", field.key, kind(field.value)))
                        .at(&field.span, "every item must be text")
                        .help(bare(field.value).map_or("put it in quotes".to_owned(), |text| {
                            format!("write {text:?}")
                        })),
                ),
            }
        }
        (texts.len() == array.len()).then_some(texts)
    }
}

/// A value as it stands in the file.
fn written(text: &str, quoted: bool) -> String {
    if quoted { format!("{text:?}") } else { text.to_owned() }
}
