//! What `[router]` says of any router that is not Cutover's own: keys that it must have, where users come
//! in, its program. What only one sort has is read elsewhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address;
use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;

/// Refuses when a key is missing that has an example.
pub(super) fn must_have(
    keys: &[(&'static str, &str)],
    router: &Section<'_>,
    whose: &str,
    reader: &mut Reader,
) {
    let kind = router.field("kind").map_or(0..0, |field| field.span);
    // The others may be left out.
    for (key, example) in keys.iter().filter(|(_, example)| !example.is_empty()) {
        if router.field(key).is_none() && !router.probably_has(key) {
            reader.push(
                Diagnostic::new(format!("`[router]` lacks `{key}`"))
                    .at(&kind, format!("{whose} needs it"))
                    .help(format!("add a line such as `{key} = {example}`")),
            );
        }
    }
}

/// Where users come in, each with a port.
pub(super) fn entrances(
    router: &Section<'_>,
    carrier: &str,
    reader: &mut Reader,
) -> Vec<SocketAddr> {
    let listen = address::listen(router, reader);
    if let Some(field) = router.field("listen").filter(|_| listen.iter().any(|at| at.port() == 0)) {
        reader.push(
            Diagnostic::new(format!(
                "`listen` names port 0, and nobody would know where {carrier} listens"
            ))
            .at(&field.span, "")
            .help("write the port that users come to, such as \"127.0.0.1:8080\""),
        );
    }
    listen
}

/// A name alone is looked up in PATH, everything else is relative to the file.
pub(super) fn program(text: &str, folder: &Path) -> PathBuf {
    if text.contains('/') { folder.join(text) } else { PathBuf::from(text) }
}
