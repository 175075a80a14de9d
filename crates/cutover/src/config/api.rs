//! Reads `[api]`: the API over TCP, which needs a certificate and a token; without both it is refused.
//!
//! The token itself is not read here, and stands in no `cutover.toml`.

use std::path::{Path, PathBuf};

use model::admin::KeyPair;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::reader::Reader;
use super::section::Section;
use super::shape::{ApiConfig, TokenPlace};
use super::{Judge, address};

const TOKEN: &str = "token = { from = \"CUTOVER_TOKEN\" }";

/// Reads the section; an absent one means that the API has its socket alone.
pub(crate) fn read(
    api: &Section<'_>,
    folder: &Path,
    judge: Judge<'_>,
    reader: &mut Reader,
) -> Option<ApiConfig> {
    if !api.is_there() {
        return None;
    }
    let listen = needed(api, "listen", "listen = \"0.0.0.0:7443\"", reader);
    let listen = listen.and_then(|field| address::one(&field, judge, reader));
    let mut path = |key, example| {
        let field = needed(api, key, example, reader)?;
        Some(folder.join(reader.text(Some(field))?))
    };
    let chain = path("chain", "chain = \"fullchain.pem\"");
    let key = path("key", "key = \"privkey.pem\"");
    let token = needed(api, "token", TOKEN, reader);
    let token = token.and_then(|field| place(&field, folder, reader));
    let pair = KeyPair { chain: chain?, key: key? };
    if let Err(fault) = (judge.pair)(&pair) {
        let help = fault.help.as_deref().unwrap_or("name a certificate and its key, in PEM");
        reader.push(Diagnostic::new(fault.what).at(&api.span, "").help(help));
    }
    Some(ApiConfig { listen: listen?, pair, token: token? })
}

/// A key that has no default: over TCP the API is served to nobody in the clear, and to nobody unknown.
fn needed<'a>(
    api: &Section<'a>,
    key: &'static str,
    example: &str,
    reader: &mut Reader,
) -> Option<Field<'a>> {
    let found = api.field(key);
    if found.is_none() && !api.probably_has(key) {
        reader.push(
            Diagnostic::new(format!("`[api]` has no `{key}`"))
                .at(&api.span, "the API over TCP needs an address, a certificate and a token")
                .help(format!(
                    "write `{example}`, or remove the section: the socket serves without"
                )),
        );
    }
    found
}

/// Where a token is.
pub(super) fn place(field: &Field<'_>, folder: &Path, reader: &mut Reader) -> Option<TokenPlace> {
    place_of(field, ("CUTOVER_TOKEN", "api.token"), folder, reader)
}

/// Where a secret is, with the names of a variable and of a file to propose.
pub(super) fn place_of(
    field: &Field<'_>,
    (variable, file): (&str, &str),
    folder: &Path,
    reader: &mut Reader,
) -> Option<TokenPlace> {
    let key = field.key;
    let help =
        format!("write `{key} = {{ from = \"{variable}\" }}` or `{key} = {{ file = \"{file}\" }}`");
    let DeValue::Table(table) = field.value else {
        reader.hide(field);
        reader.push(
            Diagnostic::new(format!("`{key}` says where the {key} is, not what it is"))
                .at(&field.span, "")
                .help(help),
        );
        return None;
    };
    let text = |key| table.get(key).and_then(|value| value.get_ref().as_str());
    match (table.len(), text("from"), text("file")) {
        (1, Some(name), None) if !name.is_empty() && !name.contains(['=', '\0']) => {
            Some(TokenPlace::Variable(name.to_owned()))
        }
        (1, None, Some(file)) if !file.is_empty() && !file.contains('\0') => {
            Some(TokenPlace::File(folder.join(PathBuf::from(file))))
        }
        _ => {
            reader.push(
                Diagnostic::new(format!("`{key}` names a variable or a file, one of the two"))
                    .at(&field.span, "")
                    .help(help),
            );
            None
        }
    }
}
