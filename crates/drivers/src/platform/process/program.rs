//! Which file a command means, and why it cannot be run.
//!
//! The program is looked up here and not left to the system, so that the sentence for people can
//! say where was looked. It starts nothing.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::{Fault, Kind, Release, Variable};

use super::surroundings::Surroundings;
use crate::check::command::Program;

/// So much of a script's first line does the system read.
const LINE: u64 = 256;

/// The program of a release that starts from our own environment, as `find_within` finds it: for
/// asking before a deploy begins. That of its health check, where it has one, must be there as well.
pub fn find_program(release: &Release) -> Result<PathBuf, Fault> {
    let surroundings = Surroundings::own();
    let found = find_within(release, &surroundings)?;
    if !release.health.command.is_empty() {
        find_checker(release, &surroundings)?;
    }
    Ok(found)
}

/// Another program of a release, with the environment of its instances but for what tells them apart, and in
/// their directory: for what is called beside them. The command stands as it is, without placeholders.
pub fn program(
    release: &Release,
    command: &[String],
    surroundings: &Surroundings,
) -> Result<Program, Fault> {
    let file = find(command, release, surroundings)?;
    let mut environment = surroundings.environment(release)?;
    // Both together mark processes of an instance, and this is none.
    environment.remove(OsStr::new("CUTOVER_INSTANCE"));
    environment.insert("VERSION".into(), release.version.as_str().into());
    let arguments = command.iter().skip(1).cloned().collect();
    Ok(Program { file, arguments, directory: PathBuf::from(&release.directory), environment })
}

/// The program that checks instances of a release, found in the same way.
pub(super) fn find_checker(
    release: &Release,
    surroundings: &Surroundings,
) -> Result<PathBuf, Fault> {
    find(&release.health.command, release, surroundings).map_err(|fault| {
        let help =
            fault.help.map_or_else(String::new, |help| format!("{help} (of the health check)"));
        Fault { what: format!("the health check: {}", fault.what), help: Some(help), ..fault }
    })
}

/// The program of a release, as an absolute path; a fault in words when it cannot be run.
pub(super) fn find_within(
    release: &Release,
    surroundings: &Surroundings,
) -> Result<PathBuf, Fault> {
    find(&release.command, release, surroundings)
}

fn find(
    command: &[String],
    release: &Release,
    surroundings: &Surroundings,
) -> Result<PathBuf, Fault> {
    let directory = Path::new(&release.directory);
    if !directory.is_dir() {
        let what = format!("the working directory `{}` does not exist", release.directory);
        return Err(Fault::environment(what).help("create it, or correct `directory`"));
    }
    let Some(name) = command.first().filter(|name| !name.is_empty()) else {
        return Err(Fault::new(Kind::Config, "the command is empty")
            .help("write `command` as a list: the program and its arguments"));
    };
    if name.contains('/') {
        return runnable(
            name,
            (directory.join(name), directory),
            &format!("looked in {}", release.directory),
        );
    }
    let path = surroundings.path(release).unwrap_or_default();
    let candidates = std::env::split_paths(path).map(|folder| directory.join(folder).join(name));
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    let missing = directory.join(name);
    match found {
        Some(file) => runnable(name, (file, directory), ""),
        None if missing.is_file() => {
            let what = format!("`{name}` was not found in PATH");
            Err(Fault::environment(what)
                .help(format!("it stands in {}: write `./{name}`", release.directory)))
        }
        None => {
            // The value of a variable that the configuration only names is shown to nobody.
            let named = matches!(release.environment.get("PATH"), Some(Variable::Secret(_)));
            let looked =
                if named { "its value is not shown".into() } else { path.to_string_lossy() };
            let what = format!("`{name}` was not found (looked in PATH: {looked})");
            Err(Fault::environment(what).help("install it, or write its path"))
        }
    }
}

fn runnable(
    name: &str,
    (file, directory): (PathBuf, &Path),
    looked: &str,
) -> Result<PathBuf, Fault> {
    let Ok(found) = fs::metadata(&file) else {
        let what = format!("`{name}` was not found ({looked})");
        return Err(Fault::environment(what).help("build it, or correct `command` or `directory`"));
    };
    if found.is_dir() {
        let what = format!("`{name}` is a directory, not a program");
        return Err(Fault::environment(what).help("correct `command`"));
    }
    if found.permissions().mode() & 0o111 == 0 {
        let what = format!("`{name}` is not executable");
        return Err(Fault::environment(what).help(format!("chmod +x {}", file.display())));
    }
    match found.is_file().then(|| interpreter(&file)).flatten() {
        Some(line) if !directory.join(&line).exists() => Err(no_interpreter(name, &line)),
        _ => Ok(file),
    }
}

/// What the first line of a script says is to run it. Where the file cannot be read, the system will tell.
fn interpreter(file: &Path) -> Option<String> {
    let mut begin = Vec::new();
    fs::File::open(file).ok()?.take(LINE).read_to_end(&mut begin).ok()?;
    let line = begin.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let words = std::str::from_utf8(line).ok()?;
    words.split([' ', '\t']).find(|word| !word.is_empty()).map(str::to_owned)
}

/// The system says of it only that there is no such file, which reads as if it spoke of the script.
fn no_interpreter(name: &str, interpreter: &str) -> Fault {
    if let Some(meant) = interpreter.strip_suffix('\r') {
        let what = format!("the lines of `{name}` end as on Windows: nothing is `{meant}\\r`");
        return Fault::environment(what).help("save it with the line ends of Unix (LF alone)");
    }
    let what = format!("`{name}` is a script for `{interpreter}`, which was not found");
    Fault::environment(what).help("install that, or correct the first line of the script")
}
