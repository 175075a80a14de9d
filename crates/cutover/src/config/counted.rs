//! Reads the steps of a canary that are numbers of the new version's instances, all of the old one's beside them.
//!
//! The shares follow from the numbers, so that every instance of both versions gets as much. Steps that are
//! shares are not read here, but by `strategy`.

use std::ops::Range;

use model::Weight;
use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::field::{Field, kind};
use super::reader::Reader;

/// The step of a canary, of either kind, at which a person is waited for.
pub(super) const PAUSE: &str = "pause";
const KEY: &str = "instances";
const EXAMPLE: &str = "`{ instances = 1 }`";

/// What the steps come to.
#[derive(Default)]
pub(super) struct Counted {
    /// The share at each step.
    pub(super) steps: Vec<Weight>,
    /// The number of instances at each step.
    pub(super) counts: Vec<u16>,
    /// The shares after which a person is waited for; none where a pause stands first.
    pub(super) pauses: Vec<Weight>,
}

/// The steps, if one of them is no text: all of them are numbers then.
pub(super) fn items<'a>(field: &Field<'a>) -> Option<&'a [Spanned<DeValue<'a>>]> {
    let DeValue::Array(array) = field.value else { return None };
    let any = array.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_)));
    any.then_some(&array[..])
}

/// Reads them for an app with that many instances.
pub(super) fn read(items: &[Spanned<DeValue<'_>>], usual: u16, reader: &mut Reader) -> Counted {
    let mut read = Counted::default();
    for item in items {
        if item.get_ref().as_str() == Some(PAUSE) {
            read.pauses.push(read.steps.last().copied().unwrap_or_default());
            continue;
        }
        let Some(count) = count(item, reader) else { continue };
        let known = (1..=usual).find(|known| i64::from(*known) == count.0);
        let Some(known) = known else {
            reader.push(beyond(&count, usual));
            continue;
        };
        if read.counts.last().is_some_and(|last| *last >= known) {
            let what = format!("{known} {} not more than the step before", is(known));
            let help = "let the numbers grow: a candidate never gets less traffic without an abort";
            reader.push(Diagnostic::new(what).at(&count.1, "").help(help));
            continue;
        }
        read.counts.push(known);
        read.steps.push(share(known, usual));
    }
    read.pauses.dedup();
    read
}

/// As much for each instance, of those of the new version beside all of the old one's.
fn share(count: u16, usual: u16) -> Weight {
    let (mine, all) = (u32::from(count), u32::from(count) + u32::from(usual));
    let points = u16::try_from(mine * 10_000 / all.max(1)).ok();
    points.and_then(|points| Weight::new(points).ok()).unwrap_or_default()
}

/// The number in one step.
fn count(item: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<(i64, Range<usize>)> {
    let mut refuse = |what: String, span: &Range<usize>, help: &str| {
        reader.push(Diagnostic::new(what).at(span, "").help(help));
        None
    };
    let span = item.span();
    let DeValue::Table(table) = item.get_ref() else {
        let what = match item.get_ref().as_str() {
            Some(text) => format!("`{text}` stands among numbers of instances"),
            None => format!("`steps` holds {}", kind(item.get_ref())),
        };
        let help = "write each step as a share, such as \"25%\", or each as `{ instances = 1 }`; \"pause\" may \
                    stand between both";
        return refuse(what, &span, help);
    };
    if let Some((key, _)) = table.iter().find(|(key, _)| key.get_ref() != KEY) {
        let what = format!("unknown key `{}` in a step", key.get_ref());
        return refuse(
            what,
            &key.span(),
            &format!("write {EXAMPLE}: so many of the new version run"),
        );
    }
    let Some(value) = table.get(KEY) else {
        return refuse("a step says nothing".to_owned(), &span, &format!("write {EXAMPLE}"));
    };
    let DeValue::Integer(integer) = value.get_ref() else {
        let what = format!("`{KEY}` is {}", kind(value.get_ref()));
        return refuse(what, &value.span(), &format!("write a whole number, as in {EXAMPLE}"));
    };
    let number = i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX);
    Some((number, value.span()))
}

/// A number that cannot be.
fn beyond((count, span): &(i64, Range<usize>), usual: u16) -> Diagnostic {
    if *count < 1 {
        let what = format!("a step of {count} instances is none");
        let help =
            "begin with 1; for those alone whom a target names, write steps as shares: \"0%\"";
        return Diagnostic::new(what).at(span, "").help(help);
    }
    let what = format!("a step of {count} instances, and the app has {usual}");
    let help = format!(
        "write at most {usual}, or more `instances` for the app; when all of them serve, all traffic follows \
         by itself"
    );
    Diagnostic::new(what).at(span, "").help(help)
}

const fn is(count: u16) -> &'static str {
    if count == 1 { "instance is" } else { "instances are" }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn every_instance_gets_as_much() {
        let points = |count, usual| share(count, usual).basis_points();
        assert_eq!((points(1, 1), points(1, 4), points(4, 4)), (5_000, 2_000, 5_000));
        assert_eq!((points(1, 2), points(1, 100), points(99, 100)), (3_333, 99, 4_974));
    }
}
