//! One table of the file, with its name and place; an absent one has no fields.
//!
//! Opening a section reports its unknown keys, so that no reader can forget to.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::field::{Field, kind};
use super::names;
use super::reader::Reader;

/// A table of the file.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    /// As people write it: `app.shop.health`.
    pub(crate) name: String,
    /// As `names` knows it: `app.health`.
    form: &'static str,
    table: Option<&'a DeTable<'a>>,
    /// Where it stands.
    pub(crate) span: Range<usize>,
    /// Keys that unknown ones were probably meant to be.
    meant: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(crate) fn top(table: &'a DeTable<'a>, reader: &mut Reader) -> Self {
        Self::open(String::new(), "", (table, 0..0), reader)
    }

    /// The section of that name within another.
    pub(crate) fn within(outer: &Self, key: &'static str, reader: &mut Reader) -> Self {
        let dotted = |outer: &str| {
            if outer.is_empty() { key.into() } else { format!("{outer}.{key}") }
        };
        let name = dotted(&outer.name);
        let form = dotted(outer.form);
        let form = names::KEYS.iter().map(|(known, _)| *known).find(|known| *known == form);
        let form = form.unwrap_or_default();
        let Some(field) = outer.field(key) else {
            return Self { name, form, table: None, span: 0..0, meant: Vec::new() };
        };
        let DeValue::Table(table) = field.value else {
            reader.push(
                Diagnostic::new(format!("`{name}` must be a section"))
                    .at(&field.span, format!("this is {}", kind(field.value)))
                    .help(format!("write its keys below a line `[{name}]`")),
            );
            return Self { name, form, table: None, span: field.span, meant: Vec::new() };
        };
        Self::open(name, form, (table, field.span), reader)
    }

    /// The section of one name within a table of names: `app.NAME`, `together.NAME`.
    pub(crate) fn of(
        form: &'static str,
        name: &str,
        (table, span): (&'a DeTable<'a>, Range<usize>),
        reader: &mut Reader,
    ) -> Self {
        Self::open(format!("{form}.{name}"), form, (table, span), reader)
    }

    /// One table of the list `key` of another section.
    pub(crate) fn item(
        outer: &Self,
        key: &str,
        (table, span): (&'a DeTable<'a>, Range<usize>),
        reader: &mut Reader,
    ) -> Self {
        let dotted = |outer: &str| {
            if outer.is_empty() { key.to_owned() } else { format!("{outer}.{key}") }
        };
        let (name, form) = (dotted(&outer.name), dotted(outer.form));
        let form = names::KEYS.iter().map(|(known, _)| *known).find(|known| *known == form);
        Self::open(name, form.unwrap_or_default(), (table, span), reader)
    }

    fn open(
        name: String,
        form: &'static str,
        (table, span): (&'a DeTable<'a>, Range<usize>),
        reader: &mut Reader,
    ) -> Self {
        let mut section = Self { name, form, table: Some(table), span, meant: Vec::new() };
        let known = names::keys(form);
        for (key, value) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                let help = section.unknown(key.get_ref(), value);
                let what = format!("unknown key `{}` {}", key.get_ref(), section.place());
                if meant_secret(key.get_ref()) {
                    let (key, span) = ("", value.span());
                    reader.hide(&Field { key, value: value.get_ref(), span });
                }
                reader.push(Diagnostic::new(what).at(&key.span(), "").help(help));
            }
        }
        section
    }

    /// True when the file has this section.
    pub(crate) const fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// A key of this section, if it is there.
    pub(crate) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        debug_assert!(names::keys(self.form).contains(&key), "{key} is not in names::KEYS");
        let value = self.table?.get(key)?;
        Some(Field { key, value: value.get_ref(), span: value.span() })
    }

    /// True when an unknown key was probably meant to be this one, and that has been reported.
    pub(crate) fn probably_has(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    fn place(&self) -> String {
        if self.name.is_empty() { "at the top".into() } else { format!("in `[{}]`", self.name) }
    }

    /// What to do about an unknown key. A key that is right elsewhere is misplaced, not misspelled.
    fn unknown(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> String {
        let homes = names::homes(key, self.form);
        if !homes.is_empty() {
            let homes: Vec<String> =
                homes.iter().map(|home| format!("`{}`", self.written(home))).collect();
            return format!("it belongs to {}", homes.join(" or "));
        }
        if let Some(nearest) = names::nearest_key(key, self.form) {
            self.meant.push(nearest);
            return format!("did you mean `{nearest}`?");
        }
        if self.name.is_empty() && value.get_ref().get("command").is_some() {
            self.meant.push("app");
            return format!("for an app write `[app.{key}]`");
        }
        format!("known here: {}", names::list(names::keys(self.form)))
    }

    /// A section's form as it is written for the app of this section.
    fn written(&self, form: &str) -> String {
        let app = self.name.split('.').nth(1).filter(|_| self.form.starts_with("app"));
        match form.strip_prefix("app") {
            Some(rest) if rest.ends_with(".metrics") || rest == ".hooks" => {
                format!("[[app.{}{rest}]]", app.unwrap_or("NAME"))
            }
            Some(rest) => format!("[app.{}{rest}]", app.unwrap_or("NAME")),
            None if matches!(form, "proxy.certificates" | "notify") => format!("[[{form}]]"),
            None if form == "together" => "[together.NAME]".to_owned(),
            None if form.is_empty() => "the top of the file".to_owned(),
            None => format!("[{form}]"),
        }
    }
}

/// What stands there may be a secret, although the key is none of ours, or belongs elsewhere.
fn meant_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["token", "password", "passwd", "secret"].iter().any(|word| key.contains(word))
}
