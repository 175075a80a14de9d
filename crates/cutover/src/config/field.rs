//! One key of the file with its value and its place, and values in words. It judges no value.

use std::ops::Range;

use toml::de::DeValue;

/// A key that is there.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    /// Its name.
    pub(crate) key: &'static str,
    /// Its value.
    pub(crate) value: &'a DeValue<'a>,
    /// Where the value stands.
    pub(crate) span: Range<usize>,
}

/// A plain value as it would stand between quotes.
pub(crate) fn bare(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) => Some(integer.to_string()),
        DeValue::Float(float) => Some(float.to_string()),
        DeValue::Boolean(on) => Some(on.to_string()),
        _ => None,
    }
}

/// What sort of value it is, in words.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(text) if text.contains('\0') => "text with a zero byte",
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "`true`",
        DeValue::Boolean(false) => "`false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
