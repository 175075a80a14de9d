//! Reads how a rolling replacement goes: `batch` and `surge`, numbers of instances or percentages of all of
//! them, rounded up.
//!
//! What a rollout makes of them is the machine's; whether there is room for more is the platform's to say.

use std::ops::Range;

use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::field::{Field, bare};
use super::reader::Reader;
use super::section::Section;
use super::shape::Strategy;

/// Reads both for an app with that many instances; the strategy is named at `span`.
pub(super) fn read(
    rollout: &Section<'_>,
    (instances, span): (u16, &Range<usize>),
    reader: &mut Reader,
) -> Strategy {
    let fields = (rollout.field("batch"), rollout.field("surge"));
    let mut portion = |field: Option<&Field<'_>>, least, default| {
        field.map_or(default, |field| portion(field, (least, instances), reader))
    };
    let surge = portion(fields.1.as_ref(), 0, Some(0));
    let batch = portion(fields.0.as_ref(), 1, surge.map(|surge| surge.max(1)));
    let (Some(batch), Some(surge)) = (batch, surge) else {
        return Strategy::Rolling { batch: 1, surge: 0 };
    };
    if let Some(refused) = refused((batch, surge), instances) {
        let (batch, surge) = fields;
        let place = match refused.key {
            "surge" => surge,
            "batch" => batch.or(surge),
            _ => None,
        };
        let place = place.map_or(span.clone(), |field| field.span);
        reader.push(Diagnostic::new(refused.what).at(&place, "").help(refused.help));
    }
    Strategy::Rolling { batch, surge }
}

/// What cannot be, and the key that says it.
struct Refused {
    key: &'static str,
    what: String,
    help: String,
}

/// Somebody must be left to serve, and what comes first is a part of its batch.
fn refused((batch, surge): (u16, u16), instances: u16) -> Option<Refused> {
    if surge > batch {
        let what = format!("a surge of {surge} is more than a batch of {batch} has");
        let help = format!("use at most `surge = {batch}`, or a larger `batch`");
        return Some(Refused { key: "surge", what, help });
    }
    if instances < 2 && surge == 0 {
        let what = "a rolling replacement needs at least two instances: one leaves while the \
                    other serves"
            .to_owned();
        let help = "write `instances = 2` or more, `surge = 1` to start the new one first, or \
                    `strategy = \"blue-green\"`"
            .to_owned();
        return Some(Refused { key: "strategy", what, help });
    }
    if batch > instances && surge > 0 {
        let what = format!("a batch of {batch} is more than all instances, which are {instances}");
        return Some(Refused {
            key: "batch",
            what,
            help: format!("use at most `batch = {instances}`"),
        });
    }
    (batch - surge >= instances).then(|| Refused {
        key: "batch",
        what: format!("a batch of {batch} leaves none of {instances} instances to serve"),
        help: format!(
            "use at most `batch = {}`, or start some of the new ones first with `surge`",
            instances - 1
        ),
    })
}

/// How many of the instances a key asks for; `None` when nobody can say.
fn portion(field: &Field<'_>, (least, instances): (u32, u16), reader: &mut Reader) -> Option<u16> {
    if matches!(field.value, DeValue::Integer(_)) {
        // No count is so large.
        let count = reader.count(Some(field.clone()), u32::MAX, least..=100);
        return u16::try_from(count).ok();
    }
    let Some(text) = field.value.as_str() else {
        let fix = meant(field, least);
        reader.wrong_kind(field, "a number of instances or a percentage of them", &fix);
        return None;
    };
    let percent = whole(text);
    if let Some(percent) = percent.filter(|percent| (least..=100).contains(percent)) {
        return u16::try_from((u32::from(instances) * percent).div_ceil(100)).ok();
    }
    let key = field.key;
    let (what, help) = if percent.is_some() {
        let what = format!("`{key} = \"{text}\"` is out of range");
        (what, format!("use a percentage from {least}% to 100%, or a number of instances"))
    } else {
        let what =
            format!("`{key} = {text:?}` is no number of instances and no percentage of them");
        (what, format!("write `{key} = {}`", meant(field, least)))
    };
    let label = if percent.is_some() { "" } else { "percentages are whole ones" };
    reader.push(Diagnostic::new(what).at(&field.span, label).help(help));
    None
}

/// "25%" as 25.
fn whole(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    let percent: u32 = digits.parse().ok()?;
    (percent.to_string() == digits).then_some(percent)
}

/// What was probably meant, as it is written.
fn meant(field: &Field<'_>, least: u32) -> String {
    let text = bare(field.value).unwrap_or_default();
    let number = text.trim_end_matches(['%', ' ']);
    let in_range = |number: &u32| (least..=100).contains(number);
    let plain = |text: &str| text.parse::<u32>().ok().filter(in_range);
    let percent = match (number.split_once('.'), text.contains('%')) {
        (None, false) if field.value.is_str() && plain(number).is_some() => {
            return number.to_owned();
        }
        (None, true) => plain(number),
        // Two decimals of a share of one are percents.
        (Some(("0", part)), false) => part
            .get(..2)
            .or(Some(part))
            .and_then(|part| plain(format!("{part:0<2}").trim_start_matches('0'))),
        (Some((whole, _)), true) => whole.parse().ok().map(|n: u32| n + 1).filter(in_range),
        _ => None,
    };
    format!("\"{}%\"", percent.unwrap_or(25))
}

#[cfg(test)]
mod tests {
    use super::{refused, whole};

    #[test]
    fn percentages_are_whole_and_written_plainly() {
        assert_eq!((whole("25%"), whole("0%"), whole("100%")), (Some(25), Some(0), Some(100)));
        for text in ["25", "%", "+5%", "05%", "1.5%", " 5%", "5 %", "-1%", ""] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn somebody_is_left_to_serve() {
        let key = |batch, surge, instances| refused((batch, surge), instances).map(|it| it.key);
        for (batch, surge, instances) in [(1, 0, 2), (3, 0, 4), (4, 1, 4), (4, 4, 4), (1, 1, 1)] {
            assert_eq!(key(batch, surge, instances), None, "{batch} {surge} {instances}");
        }
        assert_eq!(
            (key(4, 0, 4), key(5, 1, 4), key(9, 0, 4)),
            (Some("batch"), Some("batch"), Some("batch"))
        );
        assert_eq!((key(1, 2, 4), key(1, 0, 1)), (Some("surge"), Some("strategy")));
    }
}
