//! Removes what is old: the files of runs beyond those that are kept, and the front of logs that grow.
//!
//! The journal and the releases stay, so `cutover history` knows every run, and a rollback needs nothing
//! that is removed here. A run that is under way is left alone, however old.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drivers::ballast;
use drivers::platform::process::{rotate, rotated};
use model::AppName;

use super::layout::Layout;
use crate::config::HistoryConfig;
use crate::store::Store;

/// How often the sizes of logs are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Removes files of old runs of an app, in the background: nobody waits for it.
pub(super) fn prune(store: &Arc<Store>, layout: &Layout, (app, keep): (&AppName, u32)) {
    let (store, layout, app) = (Arc::clone(store), layout.clone(), app.clone());
    tokio::task::spawn_blocking(move || match store.older(&app, keep) {
        Ok(runs) => runs.iter().for_each(|run| forget(&layout, run)),
        Err(fault) => tracing::warn!("old runs of {app} were not removed: {fault}"),
    });
}

/// Removes all files of a run.
fn forget(layout: &Layout, run: &str) {
    // It becomes part of a path.
    if run.is_empty() || !run.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    let log = layout.logs().join(format!("probe-{run}.log"));
    let beside = rotated(&log);
    let removed = [
        std::fs::remove_dir_all(layout.run_directory(run)),
        std::fs::remove_file(log),
        std::fs::remove_file(beside),
    ];
    for error in removed.into_iter().filter_map(Result::err) {
        if error.kind() != ErrorKind::NotFound {
            tracing::warn!(run, %error, "files of an old run could not be removed");
        }
    }
}

/// Rotates the logs of instances and of our own processes, for ever, and sets space aside for records.
pub(super) async fn watch_logs(layout: Layout, history: HistoryConfig) {
    let mut complained = BTreeSet::new();
    loop {
        let state = layout.directory().to_owned();
        // Where that cannot be written either, the next record says so.
        let _held = tokio::task::spawn_blocking(move || ballast::hold(&state)).await;
        tokio::time::sleep(LOOK_EVERY).await;
        let logs = layout.logs();
        let looked = tokio::task::spawn_blocking(move || look(&logs, history.log_bytes));
        for (path, error) in looked.await.unwrap_or_default() {
            if complained.insert(path.clone()) {
                tracing::warn!(path = %path.display(), %error, "a log cannot be rotated, it grows on");
            }
        }
    }
}

/// Looks at all logs once; answers those that could not be rotated.
fn look(logs: &Path, longest: u64) -> Vec<(PathBuf, std::io::Error)> {
    let entries = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let logs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.filter_map(|path| rotate(&path, longest).err().map(|error| (path, error))).collect()
}

#[cfg(test)]
mod tests {
    use super::{forget, look};
    use crate::server::layout::Layout;
    use drivers::platform::process::rotated;

    #[test]
    fn all_files_of_a_run_go_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::at(directory.path()).unwrap();
        layout.prepare().unwrap();
        for run in ["aaaaaaaa", "bbbbbbbb"] {
            std::fs::create_dir_all(layout.run_directory(run)).unwrap();
            std::fs::write(layout.samples(run), "x").unwrap();
            std::fs::write(layout.logs().join(format!("probe-{run}.log")), "x").unwrap();
        }
        forget(&layout, "aaaaaaaa");
        forget(&layout, "../bbbbbbbb");
        forget(&layout, "");
        assert!(!layout.run_directory("aaaaaaaa").exists() && layout.samples("bbbbbbbb").exists());
        let left: Vec<_> = std::fs::read_dir(layout.logs()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn logs_that_grow_are_rotated_each_once() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("a-1-1.log");
        std::fs::write(&long, "x".repeat(10_000)).unwrap();
        std::fs::write(directory.path().join("proxy.log"), "short").unwrap();
        for _ in 0..3 {
            assert!(look(directory.path(), 8_192).is_empty());
        }
        assert!(rotated(&long).exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }
}
