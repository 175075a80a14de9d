//! Reads `handover` of a rollout, and how fast it is: what the clients of WebSockets are told when the
//! old version leaves, and by whom.
//!
//! Whether the router can do it is checked elsewhere.

use model::{Farewell, Pace};
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::names;
use super::reader::Reader;
use super::section::Section;

/// How many are told a second when nothing is said.
const RATE: u32 = 50;
/// How many may be on their way at once when nothing is said.
const AT_ONCE: u32 = 100;
/// Longest message, bytes: it waits in the memory of every WebSocket that is told.
const FRAME_MAX: usize = 4_096;
const MODES: [&str; 2] = ["app", "close-1012"];
const EXAMPLE: &str = r#"{ frame = '{"message":"reconnect"}' }"#;
/// What people call the modes elsewhere.
const FRAME: &str = "frame";

/// Reads the keys; `None` when the app tells its clients itself.
pub(crate) fn read(rollout: &Section<'_>, reader: &mut Reader) -> Option<Pace> {
    let field = rollout.field("handover");
    let given = field.is_some();
    let farewell = field.and_then(|field| farewell(&field, reader));
    let keys = ["handover_rate", "handover_at_once"].map(|key| rollout.field(key));
    let Some(farewell) = farewell else {
        let fix = "write `handover = \"close-1012\"`, or remove it";
        // What was meant by a mode that is not known, nobody can say.
        let app = !given
            || rollout.field("handover").is_some_and(|field| field.value.as_str() == Some("app"));
        for field in keys.into_iter().flatten().filter(|_| app) {
            let what = format!("`{}` does nothing here: the app tells its clients", field.key);
            reader.push(Diagnostic::new(what).at(&field.span, "").help(fix));
        }
        return None;
    };
    let [rate, at_once] = keys;
    Some(Pace {
        farewell,
        per_second: reader.count(rate, RATE, 1..=100_000),
        at_once: reader.count(at_once, AT_ONCE, 1..=100_000),
    })
}

fn farewell(field: &Field<'_>, reader: &mut Reader) -> Option<Farewell> {
    match field.value {
        DeValue::String(text) => match text.as_ref() {
            "close-1012" => Some(Farewell::Close),
            "app" => None,
            other => {
                let what = format!("`handover = \"{other}\"` cannot be");
                let help = match names::nearest(other, &MODES) {
                    _ if other == FRAME => format!("name the message: `handover = {EXAMPLE}`"),
                    Some(nearest) => format!("did you mean `handover = \"{nearest}\"`?"),
                    None => format!("use \"app\", \"close-1012\", or `{EXAMPLE}`"),
                };
                reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
                None
            }
        },
        DeValue::Table(table) => frame(table, field, reader),
        _ => {
            let fix = format!("\"close-1012\"`, or `handover = {EXAMPLE}");
            reader.wrong_kind(field, "\"app\", \"close-1012\" or a table", &fix);
            None
        }
    }
}

/// The text of a message.
fn frame(table: &DeTable<'_>, field: &Field<'_>, reader: &mut Reader) -> Option<Farewell> {
    for (key, _) in table.iter().filter(|(key, _)| key.get_ref() != FRAME) {
        let what = format!("unknown key `{}` in `handover`", key.get_ref());
        let help = format!("write `handover = {EXAMPLE}`");
        reader.push(Diagnostic::new(what).at(&key.span(), "").help(help));
    }
    let Some(value) = table.get(FRAME) else {
        if table.is_empty() {
            let help = format!("write `handover = {EXAMPLE}`");
            reader.push(Diagnostic::new("`handover` is empty").at(&field.span, "").help(help));
        }
        return None;
    };
    let inner = Field { key: FRAME, value: value.get_ref(), span: value.span() };
    let text = reader.text(Some(inner))?;
    if text.len() > FRAME_MAX {
        let what = format!("the message is longer than {FRAME_MAX} bytes");
        let help = "say only that the client is to connect again";
        reader.push(Diagnostic::new(what).at(&value.span(), "").help(help));
        return None;
    }
    Some(Farewell::Frame(text.to_owned()))
}
