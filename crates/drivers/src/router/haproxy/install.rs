//! Puts the configuration where HAProxy is started with it.
//!
//! What it would overwrite and did not write is refused; nothing is replaced before HAProxy itself has
//! found the whole right. It does not start or reload HAProxy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::{Fault, Kind};

use super::app_file;
use super::config::{self, OURS, Rendered, Setup};
use super::files::{Checker, check_with, map_text};
use super::record::{Record, Slot};
use crate::router::replace::replace;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There was none.
    Written,
    /// It was another one; that one lies beside it, with `.before` after its name.
    Replaced,
    /// It said the same already.
    Unchanged,
    /// It holds what is carried now, or what a person put into it; nothing of it would be otherwise.
    Kept,
    /// A person has edited it, and it should be otherwise: it was kept, and what is new is not in it.
    Edited {
        /// Its text.
        there: String,
        /// What would be written in its place.
        wanted: String,
    },
}

/// A file, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// What became of it.
    pub fate: Fate,
}

/// Writes the configuration: the entrance always, files of apps unless somebody has edited them (or
/// `force` says so), maps where there is none yet. Instances in the file of an app stay. Refused
/// before anything is replaced when a file is not Cutover's, or when `checker` finds that HAProxy would
/// not start with it.
pub async fn install(
    setup: &Setup,
    checker: Option<&Checker>,
    force: bool,
) -> Result<Vec<Installed>, Fault> {
    let wanted = wanted(setup, force)?;
    let unwritable = |error: &io::Error| {
        Fault::environment(format!("cannot write in `{}`: {error}", setup.directory.display()))
            .help("name a directory of yours as `directory`, or let Cutover write there")
    };
    fs::create_dir_all(&setup.directory).map_err(|e| unwritable(&e))?;
    let mut installed = Vec::new();
    // Without the maps no check can pass. An empty one changes nothing for anybody.
    for app in &setup.apps {
        let path = setup.directory.join(app_file::map_file(&app.name));
        let there = path.exists();
        if !there {
            replace(&path, &map_text(&app.name, &Record::default()))?;
        }
        installed.push(Installed { path, fate: if there { Fate::Kept } else { Fate::Written } });
    }
    let changed: Vec<&Wanted> = wanted.iter().filter(|file| changes(&file.fate)).collect();
    if let Some(checker) = checker {
        let texts: Vec<(&Path, &str)> =
            changed.iter().map(|file| (file.path.as_path(), file.text.as_str())).collect();
        check_with(checker, &setup.directory, "install", &texts).await?;
    }
    for file in changed {
        // A server that is up writes instances there, too.
        if read(&file.path)? != file.there {
            let what = format!("`{}` was changed meanwhile", file.path.display());
            return Err(Fault::new(Kind::Conflict, what).help("run it again"));
        }
        if file.fate == Fate::Replaced {
            fs::copy(&file.path, before(&file.path)).map_err(|e| unwritable(&e))?;
        }
        replace(&file.path, &file.text)?;
    }
    let files = wanted.into_iter().map(|file| Installed { path: file.path, fate: file.fate });
    Ok(files.chain(installed).collect())
}

const fn changes(fate: &Fate) -> bool {
    matches!(fate, Fate::Written | Fate::Replaced)
}

/// A file of the configuration.
struct Wanted {
    path: PathBuf,
    text: String,
    /// Its text now, if it is there.
    there: Option<String>,
    fate: Fate,
}

fn before(path: &Path) -> PathBuf {
    path.with_extension("cfg.before")
}

/// The files of the configuration with what is to become of each.
fn wanted(setup: &Setup, force: bool) -> Result<Vec<Wanted>, Fault> {
    let mut wanted = Vec::new();
    for Rendered { name, mut text } in config::render(setup)? {
        let path = setup.directory.join(&name);
        let app = setup.apps.iter().find(|app| app_file::app_file(&app.name) == name);
        let there = read(&path)?;
        let fate = match (&there, app) {
            (None, _) => Fate::Written,
            (Some(there), _) if *there == text => Fate::Unchanged,
            (Some(there), None) if there.starts_with(OURS) => Fate::Replaced,
            (Some(there), Some(app)) if holds(there, &Slot::A.backend(&app.name)) => {
                let bare = text;
                // Those that Consul tells are written nowhere.
                let written = setup.discovery.is_none();
                text = if written { app_file::with_instances_of(&bare, there) } else { bare };
                fate_of(there, &text, force)
            }
            (Some(_), _) => return Err(foreign(&path)),
        };
        wanted.push(Wanted { path, text, there, fate });
    }
    Ok(wanted)
}

/// What becomes of the file of an app that is there.
fn fate_of(there: &str, wanted: &str, force: bool) -> Fate {
    let seal = app_file::seal(there);
    let untouched = seal == Some(app_file::digest(there).as_str());
    // A file of a version that wrote no seal, and nobody has edited.
    let same = app_file::digest(there) == app_file::digest(wanted);
    match (there == wanted, untouched || same || force) {
        (true, _) => Fate::Unchanged,
        (false, true) => Fate::Replaced,
        // Edited, and what Cutover would write is what it wrote then.
        (false, false) if seal == app_file::seal(wanted) => Fate::Kept,
        (false, false) => Fate::Edited { there: there.to_owned(), wanted: wanted.to_owned() },
    }
}

/// The text of a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<String>, Fault> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let what = format!("cannot read `{}`: {error}", path.display());
            Err(Fault::environment(what).help("let Cutover read and write it"))
        }
    }
}

fn holds(text: &str, backend: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some("backend") && words.next() == Some(backend)
    })
}

fn foreign(path: &Path) -> Fault {
    let what = format!("`{}` is there and was not written by Cutover", path.display());
    Fault::new(Kind::Conflict, what)
        .note("nothing was written")
        .help("move it away, or name another `directory` under [router] in cutover.toml")
}

#[cfg(test)]
mod tests {
    use super::{Fate, fate_of};
    use crate::router::haproxy::app_file::{backends, with_instances};
    use crate::router::haproxy::record::Slot;
    use model::{AppName, Instance, InstanceId};

    #[test]
    fn a_file_is_replaced_as_long_as_nobody_has_edited_it() {
        let app = AppName::new("demo").unwrap();
        let [old, new] =
            ["/healthz", "/ready"].map(|path| backends(&app, Some(path), 200, (None, None)));
        let address = ([127, 0, 0, 1], 7).into();
        let one = (Slot::A, Instance { id: InstanceId("demo-1-1".into()), address });
        let full = |text: &str| with_instances(text, &app, std::slice::from_ref(&one));
        let fate = |there: &str, wanted: &str| fate_of(there, &full(wanted), false);
        assert_eq!(fate(&full(&old), &old), Fate::Unchanged);
        assert_eq!(fate(&full(&old), &new), Fate::Replaced);
        let edited = full(&old).replace("balance leastconn", "balance random");
        // What is new would undo what a person wanted; what is old is there already.
        assert_eq!(fate(&edited, &old), Fate::Kept);
        assert!(matches!(fate(&edited, &new), Fate::Edited { there, .. } if there == edited));
        assert_eq!(fate_of(&edited, &full(&new), true), Fate::Replaced);
        // Of a version that wrote no seal.
        let sealed = full(&old);
        let lines = sealed.lines().filter(|line| !line.starts_with("# Seal"));
        let unsealed = lines.collect::<Vec<_>>().join(
            "
",
        ) + "
";
        assert_eq!(fate(&unsealed, &old), Fate::Replaced);
        assert!(matches!(fate(&unsealed, &new), Fate::Edited { .. }));
    }
}
