//! Where things lie in the state directory.
//!
//! ```text
//! STATE/lock  cutover.db  api.sock  proxy.sock  probe-RUN.sock
//! STATE/instances/…  (the process platform's)   STATE/logs/…
//! STATE/runs/RUN/samples.ndjson.gz  report.json  report.html
//! ```
//! Paths only: nobody's content is known here.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use model::{Fault, Kind};

/// Longest path a unix socket can have, less the longest name used here.
const DIRECTORY_MAX: usize = 107 - "/probe-xxxxxxxx.sock".len();

/// A state directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
}

/// The right to run a controller in a state directory; given back when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct StateLock(#[expect(dead_code, reason = "held for its lock")] File);

impl Layout {
    /// The state directory `directory`, which may not exist yet.
    pub(crate) fn at(directory: &Path) -> Result<Self, Fault> {
        let absolute = std::path::absolute(directory)
            .map_err(|e| Fault::environment(format!("{}: {e}", directory.display())))?;
        if absolute.as_os_str().len() > DIRECTORY_MAX {
            let what = format!(
                "the state directory's path is too long for unix sockets ({} characters): {}",
                absolute.as_os_str().len(),
                absolute.display()
            );
            let help = format!("set `state_dir` to a path of at most {DIRECTORY_MAX} characters");
            return Err(Fault::environment(what).help(help));
        }
        Ok(Self { directory: absolute })
    }

    /// Creates what is missing, closed to other users, and shows that it can be written.
    pub(crate) fn prepare(&self) -> Result<(), Fault> {
        for directory in [self.directory.clone(), self.logs(), self.directory.join("runs")] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(|e| unwritable(&directory, &e))?;
        }
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&self.directory, mode).map_err(|e| unwritable(&self.directory, &e))
    }

    /// Takes the lock, or says who holds it.
    pub(crate) fn lock(&self) -> Result<StateLock, Fault> {
        let path = self.directory.join("lock");
        let open = File::options().create(true).truncate(false).write(true).read(true).open(&path);
        let mut file = open.map_err(|e| unwritable(&path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                let what = format!(
                    "another `cutover up` (pid {}) is running on {}",
                    holder.trim(),
                    self.directory.display()
                );
                return Err(Fault::new(Kind::Conflict, what)
                    .help("use it, end it with `cutover down`, or set another `state_dir`"));
            }
            Err(TryLockError::Error(e)) => return Err(unwritable(&path, &e)),
        }
        let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(|e| unwritable(&path, &e))?;
        Ok(StateLock(file))
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The controller's API.
    pub(crate) fn api_socket(&self) -> PathBuf {
        self.directory.join("api.sock")
    }

    /// The proxy's admin socket.
    pub(crate) fn proxy_socket(&self) -> PathBuf {
        self.directory.join("proxy.sock")
    }

    /// The control socket of a run's prober.
    pub(crate) fn probe_socket(&self, run: &str) -> PathBuf {
        self.directory.join(format!("probe-{run}.sock"))
    }

    /// Output of instances and of Cutover's own processes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// What a run leaves behind.
    pub(crate) fn run_directory(&self, run: &str) -> PathBuf {
        self.directory.join("runs").join(run)
    }

    /// The samples of a run's prober.
    pub(crate) fn samples(&self, run: &str) -> PathBuf {
        self.run_directory(run).join("samples.ndjson.gz")
    }

    /// A run's report; `extension` is `json` or `html`.
    pub(crate) fn report(&self, run: &str, extension: &str) -> PathBuf {
        self.run_directory(run).join(format!("report.{extension}"))
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::environment(format!("the state directory cannot be used: {}: {error}", path.display()))
        .help("set `state_dir` in cutover.toml to a directory that you can write")
}
