//! Where things lie in the state directory.
//!
//! ```text
//! STATE/lock  cutover.db  api.sock  proxy.sock  proxy-ID.sock  probe-RUN.sock  cohort.key  controller.id
//! STATE/upgrade/…  (the upgrade's)
//! STATE/instances/…  (the process platform's)   STATE/logs/…
//! STATE/runs/RUN/samples.ndjson.gz  report.json  report.html  hooks.log
//! ```
//! Paths only: nobody's content is known here.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Fault, Kind};

use super::children;

/// Longest path a unix socket can have, less the longest name used here: a proxy binds its own under
/// another name at first.
const DIRECTORY_MAX: usize = 107 - "/proxy-xxxxxxxx.sock.4194304".len();

/// How long the lock of a process that has ended may still be held.
const RELEASE_DEADLINE: Duration = Duration::from_secs(5);

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
        // One that was there keeps its mode, it may be more than ours: what is private in it has a
        // mode of its own.
        let trial = self.directory.join("lock");
        let open = File::options().create(true).append(true).mode(0o600).open(&trial);
        open.map(|_| ()).map_err(|e| unwritable(&self.directory, &e))
    }

    /// Takes the lock, or says who holds it.
    pub(crate) fn lock(&self) -> Result<StateLock, Fault> {
        let path = self.directory.join("lock");
        let open = File::options().read(true).write(true).open(&path);
        let mut file = open.map_err(|e| unwritable(&path, &e))?;
        let deadline = Instant::now() + RELEASE_DEADLINE;
        while let Err(error) = file.try_lock() {
            if let TryLockError::Error(e) = error {
                return Err(unwritable(&path, &e));
            }
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            if Holder::read(&holder).is_some_and(|holder| holder.lives())
                || Instant::now() > deadline
            {
                let pid = holder.split_whitespace().next().unwrap_or("unknown");
                let at = self.directory.display();
                let what = format!("another `cutover up` (pid {pid}) is running on {at}");
                return Err(Fault::new(Kind::Conflict, what)
                    .help("use it, end it with `cutover down`, or set another `state_dir`"));
            }
            // It was killed while it started a child, which has the lock until it has become the
            // program it is to be.
            std::thread::sleep(Duration::from_millis(5));
        }
        let own = Holder::own();
        let written = file.set_len(0).and_then(|()| write!(file, "{} {}", own.pid, own.started));
        written.map_err(|e| unwritable(&path, &e))?;
        Ok(StateLock(file))
    }

    /// Process id of who has the lock.
    pub(crate) fn holder(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.directory.join("lock")).ok()?;
        Holder::read(&text).filter(Holder::lives).map(|holder| holder.pid)
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

    /// The admin socket of a proxy beside it, while one takes over from another.
    pub(crate) fn other_proxy_socket(&self, id: &str) -> PathBuf {
        self.directory.join(format!("proxy-{id}.sock"))
    }

    /// All such sockets, served or left over.
    pub(crate) fn other_proxy_sockets(&self) -> Vec<PathBuf> {
        let other = |name: &str| {
            name.strip_prefix("proxy-").is_some_and(|rest| rest.strip_suffix(".sock").is_some())
        };
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(other));
        named.map(|entry| entry.path()).collect()
    }

    /// The control socket of a run's prober.
    pub(crate) fn probe_socket(&self, run: &str) -> PathBuf {
        self.directory.join(format!("probe-{run}.sock"))
    }

    /// The key that cohorts are signed with.
    pub(crate) fn cohort_key(&self) -> PathBuf {
        self.directory.join("cohort.key")
    }

    /// Output of instances and of Cutover's own processes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// What the hooks of a run wrote.
    pub(crate) fn hooks_log(&self, run: &str) -> PathBuf {
        self.run_directory(run).join("hooks.log")
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

/// Who has the lock, as its file says.
struct Holder {
    pid: u32,
    started: u64,
}

impl Holder {
    fn own() -> Self {
        let pid = std::process::id();
        Self { pid, started: children::started(pid).unwrap_or_default() }
    }

    fn read(text: &str) -> Option<Self> {
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    fn lives(&self) -> bool {
        children::started(self.pid) == Some(self.started)
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    // The nearest one that is there is what stands in the way.
    let there = path.ancestors().find_map(|at| Some((at, std::fs::metadata(at).ok()?)));
    if let Some((at, _)) = there.filter(|(_, found)| !found.is_dir() && !path.ends_with("lock")) {
        let what =
            format!("the state directory cannot be used: {} is not a directory", at.display());
        let help = "set `state_dir` in cutover.toml to a directory, or move that file away";
        return Fault::environment(what).help(help);
    }
    Fault::environment(format!("the state directory cannot be used: {}: {error}", path.display()))
        .help("set `state_dir` in cutover.toml to a directory that you can write")
}

#[cfg(test)]
mod tests {
    use super::Layout;
    use crate::server::children::started;
    use std::fs::File;
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn a_file_in_the_place_of_a_directory_is_named_and_may_go() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state");
        std::fs::write(&file, "").unwrap();
        let says = |state: &std::path::Path| {
            let fault = Layout::at(state).unwrap().prepare().unwrap_err();
            assert!(fault.help.unwrap().ends_with("to a directory, or move that file away"));
            fault.what
        };
        let words = |at: &std::path::Path| {
            format!("the state directory cannot be used: {} is not a directory", at.display())
        };
        assert_eq!(says(&file), words(&file));
        assert_eq!(says(&file.join("deeper")), words(&file));
        // One of those that it holds.
        let state = directory.path().join("other");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("runs"), "").unwrap();
        assert_eq!(says(&state), words(&state.join("runs")));
    }

    fn held(directory: &tempfile::TempDir, holder: u32, started: u64) -> (Layout, File) {
        let path = directory.path().join("lock");
        std::fs::write(&path, format!("{holder} {started}")).unwrap();
        let file = File::open(&path).unwrap();
        file.lock().unwrap();
        (Layout::at(directory.path()).unwrap(), file)
    }

    #[test]
    fn the_lock_of_a_living_server_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (layout, _file) =
            held(&directory, std::process::id(), started(std::process::id()).unwrap());
        let before = Instant::now();
        let fault = layout.lock().unwrap_err();
        assert!(fault.what.contains(&format!("pid {}", std::process::id())), "{fault}");
        assert!(before.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn the_lock_of_a_dead_server_is_waited_for() {
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        assert_eq!(started(ended.id()), None);
        assert_waited_for(ended.id(), 1);
    }

    #[test]
    fn who_has_the_number_of_a_dead_server_is_not_taken_for_it() {
        let own = std::process::id();
        assert_waited_for(own, started(own).unwrap() - 1);
    }

    fn assert_waited_for(holder: u32, since: u64) {
        let directory = tempfile::tempdir().unwrap();
        let (layout, file) = held(&directory, holder, since);
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(file);
        });
        layout.lock().unwrap();
        other.join().unwrap();
    }
}
