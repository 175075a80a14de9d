//! Reads the strategy of a rollout and the keys that belong to one strategy only.
//!
//! A key of another strategy is a mistake, not ignored: it would not do what it says.

use std::ops::Range;
use std::time::Duration;

use model::Weight;

use super::counted::{self, Counted, PAUSE};
use super::diagnostic::Diagnostic;
use super::field::Field;
use super::names;
use super::reader::Reader;
use super::rolling;
use super::section::Section;
use super::shape::{AppConfig, Strategy};
use crate::duration;

const DAY: Duration = Duration::from_hours(24);
/// Keys of one strategy only, each with its strategy.
const KEYS: [(&str, &str); 9] = [
    ("preview", "blue-green"),
    ("steps", "canary"),
    ("step_bake", "canary"),
    ("sticky", "canary"),
    ("cohort", "canary"),
    ("batch", "rolling"),
    ("surge", "rolling"),
    ("hold", "recreate"),
    ("hold_requests", "recreate"),
];
/// The step at which only those see the new version whom a target names.
const UNSEEN: &str = "0%";
/// The share of a canary that names none.
const FIRST_SHARE: u16 = 2_500;

/// Reads what `[app.NAME.rollout]` says of an app with that many instances, and the shares after which a
/// person is waited for.
pub(crate) fn read(
    rollout: &Section<'_>,
    instances: u16,
    reader: &mut Reader,
) -> (Strategy, Vec<Weight>) {
    let (strategy, mut pauses) = order(rollout, instances, reader);
    if manual(rollout, reader) {
        pauses.push(Weight::ALL);
    }
    (strategy, pauses)
}

/// Whether a person is waited for before the promotion is final.
fn manual(rollout: &Section<'_>, reader: &mut Reader) -> bool {
    let Some(field) = rollout.field("pause") else { return false };
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return false };
    if text != "manual" {
        let what = format!("`pause = \"{text}\"` cannot be");
        let help = "write `pause = \"manual\"`: a person is waited for before the new version is \
                    final; a pause by time is `bake`";
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
    }
    text == "manual"
}

fn order(rollout: &Section<'_>, instances: u16, reader: &mut Reader) -> (Strategy, Vec<Weight>) {
    let field = rollout.field("strategy");
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let named = reader.text(field).map_or(Some("blue-green"), |text| known(text, &span, reader));
    // After a name that is not known nobody can say which keys are right.
    let Some(name) = named else { return (Strategy::BlueGreen, Vec::new()) };
    for (key, home) in KEYS {
        if let Some(field) = rollout.field(key).filter(|_| home != name) {
            let what = format!("`{key}` is for `strategy = \"{home}\"`, and this one is {name}");
            let help = format!("write `strategy = \"{home}\"`, or remove `{key}`");
            reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
        }
    }
    let strategy = match name {
        "canary" => return canary(rollout, instances, reader),
        "rolling" => rolling::read(rollout, (instances, &span), reader),
        "recreate" => recreate(rollout, reader),
        _ => return blue_green(rollout, reader),
    };
    (strategy, Vec::new())
}

/// All at once; with a `preview` those see the new version before whom a target names, which is a canary
/// without a share.
fn blue_green(rollout: &Section<'_>, reader: &mut Reader) -> (Strategy, Vec<Weight>) {
    let Some(field) = rollout.field("preview") else { return (Strategy::BlueGreen, Vec::new()) };
    if rollout.field("target").is_none() {
        let what = "`preview` without a `target`: nobody would see the new version";
        let help = "add a target, such as `target = { header = \"x-preview\", value = \"new\" }`";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    let person = field.value.as_str() == Some(PAUSE);
    let (pauses, field) =
        if person { (vec![Weight::NONE], None) } else { (Vec::new(), Some(field)) };
    let least = Duration::from_millis(1);
    let step_bake = reader.duration(field, least, least..=DAY);
    (Strategy::Canary { steps: vec![Weight::NONE], step_bake, counts: Vec::new() }, pauses)
}

/// Whether a new version is put in the place of the old one at the end.
pub(crate) fn returns_home(
    rollout: &Section<'_>,
    strategy: &Strategy,
    reader: &mut Reader,
) -> bool {
    const SLOTS: [&str; 2] = ["ping-pong", "home"];
    let Some(field) = rollout.field("slots") else { return false };
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return false };
    let home = text == "home";
    let help = match (SLOTS.contains(&text), strategy) {
        (false, _) => match names::nearest(text, &SLOTS) {
            Some(nearest) => format!("did you mean `slots = \"{nearest}\"`?"),
            None => format!("use {}", names::list(&SLOTS)),
        },
        (true, Strategy::Rolling { .. }) if home => {
            "remove it: a rolling replacement puts each instance in the place of another anyway"
                .to_owned()
        }
        (true, Strategy::Recreate { .. }) if home => {
            "remove it: there is only one place when only one copy can run".to_owned()
        }
        (true, _) => return home,
    };
    reader
        .push(Diagnostic::new(format!("`slots = \"{text}\"` cannot be")).at(&span, "").help(help));
    false
}

/// How long the old version runs on when users have left it.
pub(crate) fn keep_old(
    rollout: &Section<'_>,
    (strategy, home): (&Strategy, bool),
    reader: &mut Reader,
) -> Duration {
    let field = rollout.field("keep_old");
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let kept = reader.duration(field, Duration::ZERO, Duration::ZERO..=DAY);
    let why = match strategy {
        _ if kept.is_zero() => return kept,
        Strategy::Rolling { .. } => "a rolling replacement ends the old version piece by piece",
        Strategy::Recreate { .. } => "only one copy can run",
        _ if home => "with `slots = \"home\"` the new version takes its place",
        _ => return kept,
    };
    let what = format!("`keep_old` keeps nothing here: {why}");
    let help = "remove `keep_old`, or use blue-green or canary with `slots = \"ping-pong\"`";
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
    kept
}

/// The name of a strategy, or a mistake.
fn known(text: &str, span: &Range<usize>, reader: &mut Reader) -> Option<&'static str> {
    if let Some(found) = Strategy::NAMES.into_iter().find(|name| *name == text) {
        return Some(found);
    }
    let help = match names::nearest(text, &Strategy::NAMES) {
        Some(nearest) => format!("did you mean `strategy = \"{nearest}\"`?"),
        None => format!("this version knows {}", names::list(&Strategy::NAMES)),
    };
    reader.push(Diagnostic::new(format!("unknown strategy `{text}`")).at(span, "").help(help));
    None
}

fn canary(rollout: &Section<'_>, instances: u16, reader: &mut Reader) -> (Strategy, Vec<Weight>) {
    let least = Duration::from_millis(1);
    let each = reader.duration(rollout.field("step_bake"), Duration::from_secs(10), least..=DAY);
    let field = rollout.field("steps");
    if let Some(items) = field.as_ref().and_then(counted::items) {
        let Counted { steps, counts, pauses } = counted::read(items, instances, reader);
        return (Strategy::Canary { steps, step_bake: each, counts }, pauses);
    }
    let given = field.as_ref().and_then(|field| reader.texts(Some(field)));
    let (steps, pauses) = match (&field, given) {
        (Some(field), Some(texts)) => {
            let unseen = texts.iter().position(|(text, _)| *text == UNSEEN);
            if let Some(at) = unseen {
                can_be_unseen(rollout, (&texts, at), reader);
            }
            shares(field, &texts, reader)
        }
        _ => (Weight::new(FIRST_SHARE).into_iter().collect(), Vec::new()),
    };
    (Strategy::Canary { steps, step_bake: each, counts: Vec::new() }, pauses)
}

/// Refuses a step without a share that nobody would see, or before which a pause would be another.
fn can_be_unseen(
    rollout: &Section<'_>,
    (texts, at): (&[(&str, Range<usize>)], usize),
    reader: &mut Reader,
) {
    let span = &texts[at].1;
    if rollout.field("target").is_none() {
        let what = "`0%` without a `target`: nobody would see the new version";
        let help = "add a target, such as `target = { header = \"x-canary\", value = \"new\" }`";
        reader.push(Diagnostic::new(what).at(span, "").help(help));
    }
    if let Some((_, before)) = texts[..at].iter().find(|(text, _)| *text == PAUSE) {
        let what = "a pause before `0%` would be the one after it";
        let help = "write it behind: `steps = [\"0%\", \"pause\", …]`";
        reader.push(Diagnostic::new(what).at(before, "").help(help));
    }
}

/// The shares, each larger than the one before and smaller than all traffic, and those of them after
/// which `"pause"` stands; none where it stands first.
fn shares(
    field: &Field<'_>,
    texts: &[(&str, Range<usize>)],
    reader: &mut Reader,
) -> (Vec<Weight>, Vec<Weight>) {
    let (mut shares, mut pauses): (Vec<Weight>, Vec<Weight>) = (Vec::new(), Vec::new());
    if texts.iter().all(|(text, _)| *text == PAUSE) {
        let what = if texts.is_empty() {
            "`steps` is empty: then this is no canary"
        } else {
            "`steps` names no share: then this is no canary"
        };
        let help = "name shares, as in `steps = [\"5%\", \"25%\"]`, or use blue-green";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    for (text, span) in texts {
        if *text == PAUSE {
            pauses.push(shares.last().copied().unwrap_or_default());
            continue;
        }
        let unseen = (*text == UNSEEN && shares.is_empty()).then_some(Weight::NONE);
        let Some(share) = unseen.or_else(|| share(text)) else {
            let what = format!("`{text}` is not a share of the traffic");
            let help = "write a percentage between 0.01% and 99.99%, such as \"25%\", or \"pause\"; all \
                        traffic follows by itself, and only the first may be \"0%\"";
            reader.push(Diagnostic::new(what).at(span, "").help(help));
            continue;
        };
        if shares.last().is_some_and(|last| *last >= share) {
            let what = format!("`{text}` is not more than the step before");
            let help = "let the shares grow: a candidate never gets less traffic without an abort";
            reader.push(Diagnostic::new(what).at(span, "").help(help));
        }
        shares.push(share);
    }
    pauses.dedup();
    (shares, pauses)
}

/// A percentage with at most two decimals, neither nothing nor everything, in basis points.
pub(crate) fn share(text: &str) -> Option<Weight> {
    let (whole, part) = match text.strip_suffix('%')?.split_once('.') {
        Some((whole, part)) => (whole, part),
        None => (text.strip_suffix('%')?, "0"),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 2 || part.len() > 2 {
        return None;
    }
    let hundredths = format!("{part:0<2}").parse::<u16>().ok()?;
    let points = whole.parse::<u16>().ok()? * 100 + hundredths;
    Weight::new(points).ok().filter(|share| *share > Weight::NONE)
}

fn recreate(rollout: &Section<'_>, reader: &mut Reader) -> Strategy {
    let least = Duration::from_millis(100);
    let most = Duration::from_mins(10);
    let hold = reader.duration(rollout.field("hold"), Duration::from_secs(10), least..=most);
    let requests = reader.count(rollout.field("hold_requests"), 1_000, 1..=100_000);
    Strategy::Recreate { hold, requests }
}

/// Refuses a hold in which no instance could become ready: half of it is the new version's.
pub(crate) fn can_be_held(rollout: &Section<'_>, app: &AppConfig, reader: &mut Reader) {
    let Strategy::Recreate { hold, .. } = app.rollout.strategy else { return };
    let least = app.health.interval * (app.health.rise - 1);
    if least < hold / 2 {
        return;
    }
    let place = rollout.field("hold").or_else(|| rollout.field("strategy"));
    let span = place.map_or(0..0, |field| field.span);
    let (takes, half) = (duration::show(least), duration::show(hold / 2));
    let what = format!(
        "no request could wait for a new version: it has half of `hold`, which is {half}, and {} \
         passes of its health check take at least {takes}",
        app.health.rise
    );
    let roomy = duration::show(least * 4);
    let help = format!("write `hold = \"{roomy}\"`, or lower `interval` or `rise`");
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn percentages_become_basis_points() {
        let points = |text| share(text).map(model::Weight::basis_points);
        for (text, wanted) in
            [("25%", 2_500), ("0.5%", 50), ("0.01%", 1), ("99.99%", 9_999), ("7.25%", 725)]
        {
            assert_eq!(points(text), Some(wanted), "{text}");
        }
        for text in ["25", "0%", "0.00%", "100%", "-5%", "1.234%", "%", ".5%", "5.%", "1e1%", ""] {
            assert_eq!(points(text), None, "{text}");
        }
    }
}
