//! Which app answers for which host and prefix: no two may claim the same.
//!
//! Every app is reachable on every address of the proxy, so a host and a prefix are the whole
//! claim. A longer prefix, or an exact host beside "every host", is no conflict.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::shape::AppConfig;

/// Claims taken so far: host (empty for every host) and prefix, by whom and where.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    taken: BTreeMap<(String, String), (String, Range<usize>)>,
}

impl Claims {
    /// Adds the claims of an app; reports the first one that is taken.
    pub(crate) fn add(&mut self, app: &AppConfig, section: &Section<'_>, reader: &mut Reader) {
        let prefix = app.path_prefix.trim_end_matches('/').to_owned();
        let any = [String::new()];
        let hosts = if app.hosts.is_empty() { &any } else { app.hosts.as_slice() };
        let mut conflict = None;
        for host in hosts {
            let claim = (host.clone(), prefix.clone());
            match self.taken.get(&claim) {
                Some(other) => conflict = conflict.or(Some((host, other.clone()))),
                None => {
                    self.taken.insert(claim, (app.name.to_string(), section.span.clone()));
                }
            }
        }
        let Some((host, (other, first))) = conflict else {
            return;
        };
        let name = if host.is_empty() { "every host".into() } else { format!("`{host}`") };
        reader.push(
            Diagnostic::new(format!(
                "apps `{other}` and `{}` both answer for {name} at `{}`",
                app.name, app.path_prefix
            ))
            .at(&section.span, "and so does this")
            .also(&first, "this one does")
            .help("give one of them its own `hosts` or `path_prefix`"),
        );
    }
}
