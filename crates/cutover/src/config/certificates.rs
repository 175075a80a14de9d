//! Reads `certificates` under `[proxy]`: pairs of files, and that there is a use for them.
//!
//! What is in the files is not known here: a judge is asked, if the caller has one.

use std::path::Path;

use model::admin::KeyPair;
use toml::de::DeValue;

use super::Judge;
use super::diagnostic::Diagnostic;
use super::field::{Field, bare, kind};
use super::reader::Reader;
use super::section::Section;

const EXAMPLE: &str = "[{ chain = \"fullchain.pem\", key = \"privkey.pem\" }]";

/// The pairs, their paths joined to the folder of the file.
pub(crate) fn read(
    proxy: &Section<'_>,
    folder: &Path,
    judge: Judge<'_>,
    reader: &mut Reader,
) -> Vec<KeyPair> {
    let Some(field) = proxy.field("certificates") else { return Vec::new() };
    let DeValue::Array(items) = field.value else {
        reader.wrong_kind(&field, "a list of pairs of files", EXAMPLE);
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for item in items {
        let DeValue::Table(table) = item.get_ref() else {
            let chain = bare(item.get_ref()).unwrap_or_else(|| "fullchain.pem".to_owned());
            reader.push(
                Diagnostic::new(format!("`certificates` holds {}", kind(item.get_ref())))
                    .at(&item.span(), "every item must be a pair of files")
                    .help(format!("write {{ chain = {chain:?}, key = \"privkey.pem\" }}")),
            );
            continue;
        };
        let section = Section::item(proxy, field.key, (table, item.span()), reader);
        let (chain, key) =
            (path("chain", &section, folder, reader), path("key", &section, folder, reader));
        let (Some(chain), Some(key)) = (chain, key) else { continue };
        let pair = KeyPair { chain, key };
        if let Err(fault) = (judge.pair)(&pair) {
            let help = fault.help.as_deref().unwrap_or("name a certificate and its key, in PEM");
            reader.push(Diagnostic::new(fault.what).at(&section.span, "").help(help));
        }
        pairs.push(pair);
    }
    pairs
}

/// Refuses TLS without certificates, and certificates without TLS.
pub(crate) fn must_be_used(proxy: &Section<'_>, reader: &mut Reader) {
    let filled = |field: &Field<'_>| field.value.as_array().is_none_or(|items| !items.is_empty());
    let listen = proxy.field("tls_listen").filter(filled);
    let certificates = proxy.field("certificates").filter(filled);
    match (listen, certificates) {
        (Some(listen), None) if !proxy.probably_has("certificates") => reader.push(
            Diagnostic::new("`tls_listen` needs a certificate, and there is none")
                .at(&listen.span, "")
                .help(format!("add a line such as `certificates = {EXAMPLE}`")),
        ),
        (None, Some(certificates)) if !proxy.probably_has("tls_listen") => reader.push(
            Diagnostic::new("there are certificates, and nobody listens for TLS")
                .at(&certificates.span, "")
                .help("add a line such as `tls_listen = [\"0.0.0.0:443\"]`, or remove this"),
        ),
        _ => {}
    }
}

fn path(
    key: &'static str,
    pair: &Section<'_>,
    folder: &Path,
    reader: &mut Reader,
) -> Option<std::path::PathBuf> {
    let Some(field) = pair.field(key) else {
        if !pair.probably_has(key) {
            reader.push(
                Diagnostic::new(format!("a certificate lacks its `{key}`"))
                    .at(&pair.span, "")
                    .help(format!("write {}", &EXAMPLE[1..EXAMPLE.len() - 1])),
            );
        }
        return None;
    };
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    if text.starts_with("~/") {
        let what = format!("`{text}` is a path as shells know it, and `~` is not filled in");
        reader.push(Diagnostic::new(what).at(&span, "").help("write the whole path"));
        return None;
    }
    Some(folder.join(text))
}
