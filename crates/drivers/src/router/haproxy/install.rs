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
use super::files::{Checker, check_with, map_text, replace};
use super::record::{Record, Slot};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There was none.
    Written,
    /// It was another one; that one lies beside it, with `.before` after its name.
    Replaced,
    /// It said the same already.
    Unchanged,
    /// It holds what is carried now, so it stays as it is.
    Kept,
}

/// A file, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// What became of it.
    pub fate: Fate,
}

/// Writes the configuration: the entrance always, files of apps and maps where there is none yet.
/// Refused before anything is replaced when a file is not Cutover's, or when `checker` finds that
/// HAProxy would not start with it.
pub async fn install(setup: &Setup, checker: Option<&Checker>) -> Result<Vec<Installed>, Fault> {
    let wanted = wanted(setup)?;
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
    let changed: Vec<&(PathBuf, String, Fate)> =
        wanted.iter().filter(|(_, _, fate)| changes(*fate)).collect();
    if let Some(checker) = checker {
        let texts: Vec<(&Path, &str)> =
            changed.iter().map(|(path, text, _)| (path.as_path(), text.as_str())).collect();
        check_with(checker, &setup.directory, "install", &texts).await?;
    }
    for (path, text, fate) in changed {
        if *fate == Fate::Replaced {
            fs::copy(path, before(path)).map_err(|e| unwritable(&e))?;
        }
        replace(path, text)?;
    }
    let files = wanted.into_iter().map(|(path, _, fate)| Installed { path, fate });
    Ok(files.chain(installed).collect())
}

const fn changes(fate: Fate) -> bool {
    matches!(fate, Fate::Written | Fate::Replaced)
}

fn before(path: &Path) -> PathBuf {
    path.with_extension("cfg.before")
}

/// The files of the configuration with what is to become of each.
fn wanted(setup: &Setup) -> Result<Vec<(PathBuf, String, Fate)>, Fault> {
    let mut wanted = Vec::new();
    for Rendered { name, text } in config::render(setup)? {
        let path = setup.directory.join(&name);
        let app = setup.apps.iter().find(|app| app_file::app_file(&app.name) == name);
        let fate = match (fs::read_to_string(&path), app) {
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Fate::Written,
            (Err(error), _) => {
                let what = format!("cannot read `{}`: {error}", path.display());
                return Err(Fault::environment(what).help("let Cutover read and write it"));
            }
            (Ok(there), _) if there == text => Fate::Unchanged,
            (Ok(there), None) if there.starts_with(OURS) => Fate::Replaced,
            (Ok(there), Some(app)) if holds(&there, &Slot::A.backend(&app.name)) => Fate::Kept,
            (Ok(_), _) => return Err(foreign(&path)),
        };
        wanted.push((path, text, fate));
    }
    Ok(wanted)
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
