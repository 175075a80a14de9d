//! Reads `step` of `[[app.NAME.hooks]]`: before or after which step of a canary a hook is called.
//!
//! Steps are named as `gates` names them, or counted from 1; all traffic is the last one. What they are is not
//! read here, but in `strategy`.

use model::Moment;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::field::kind;
use super::metrics;
use super::names;
use super::reader::Reader;
use super::section::Section;
use super::shape::Strategy;

/// The step, counted from 1; `None` where each is meant, or none.
pub(super) fn read(
    hook: &Section<'_>,
    (strategy, moment): (&Strategy, Option<Moment>),
    reader: &mut Reader,
) -> Option<u16> {
    let field = hook.field("step")?;
    // Of a moment that cannot be, its own mistake is told.
    let moment = moment?;
    let mut refuse = |what: String, help: String| {
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
        None
    };
    if !moment.is_of_steps() {
        let what = format!("`step` does nothing here: {moment} is not of a step");
        let help = format!("write `{} = \"step\"`, or remove it", moment.side());
        return refuse(what, help);
    }
    let steps = metrics::steps(strategy);
    let known: Vec<&str> = steps.iter().map(String::as_str).collect();
    let help = format!("use a number from 1 to {}, or {}", known.len(), names::list(&known));
    let (at, given) = match field.value {
        DeValue::String(text) => (
            steps.iter().position(|step| step.as_str() == text.as_ref()),
            format!("`{}`", text.escape_debug()),
        ),
        DeValue::Integer(integer) => {
            let number = usize::from_str_radix(integer.as_str(), integer.radix()).ok();
            let at = number.and_then(|number| number.checked_sub(1));
            (at.filter(|at| *at < steps.len()), integer.to_string())
        }
        other => return refuse(format!("`step` is {}", kind(other)), help),
    };
    match at.and_then(|at| u16::try_from(at + 1).ok()) {
        Some(step) => Some(step),
        None => refuse(format!("there is no step {given}"), help),
    }
}

/// Refuses what is never called: who goes back has no steps.
pub(super) fn not_in_rollbacks(hook: &Section<'_>, moment: Option<Moment>, reader: &mut Reader) {
    let Some(field) = hook.field("rollback").filter(|_| moment.is_some_and(Moment::is_of_steps))
    else {
        return;
    };
    let what = "`rollback` does nothing here: a rollback has no steps";
    let help = "remove it, or use `before = \"switch\"` or `after = \"switch\"`";
    reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
}
