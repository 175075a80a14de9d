//! The files of the process platform: records, numbers, the newest epoch, logs' places.
//!
//! Files are the truth; nothing of them is kept in memory. How they are written is `platform::files`'. What the records mean is `record`'s affair.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::{AppName, Fault, InstanceId, ReleaseId};
use rustix::fs::{FlockOperation, flock};

use super::record::Record;
use crate::platform::files::{self, damaged, release_in, replace, unusable};

/// What to do with a record that is damaged.
const FIX: &str = "move it away; processes it speaks of go on running and can be found by the variable \
                   CUTOVER_INSTANCE in their environment";

/// Where everything lies.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// The state directory, canonical.
    pub(super) state: PathBuf,
    instances: PathBuf,
    logs: PathBuf,
}

impl Store {
    /// Opens the state directory and makes its folders (mode 0700).
    pub(super) fn open(state: &Path) -> Result<Self, Fault> {
        let make = |path: &Path| {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|error| unusable(path, &error))
        };
        make(state)?;
        let state = state.canonicalize().map_err(|error| unusable(state, &error))?;
        let store = Self { instances: state.join("instances"), logs: state.join("logs"), state };
        make(&store.instances)?;
        make(&store.logs)?;
        let lock = store.instances.join("lock");
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&lock);
        opened.map_err(|error| unusable(&lock, &error))?;
        Ok(store)
    }

    /// Keeps other processes from changing records until the file is dropped.
    pub(super) fn lock(&self) -> Result<File, Fault> {
        let path = self.instances.join("lock");
        let taken = OpenOptions::new().append(true).open(&path).and_then(|file| {
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        });
        taken.map_err(|error| unusable(&path, &error))
    }

    /// Every release of an app that is on record, in the order of its number.
    pub(super) fn records(&self, app: &AppName) -> Result<Vec<Record>, Fault> {
        let mut ids: Vec<_> =
            self.names()?.iter().filter_map(|name| release_in(app, name)).collect();
        ids.sort_unstable();
        let mut records = Vec::new();
        for id in ids {
            records.extend(self.record(app, id)?);
        }
        Ok(records)
    }

    /// One release on record.
    pub(super) fn record(&self, app: &AppName, id: ReleaseId) -> Result<Option<Record>, Fault> {
        let path = self.record_path(app, id);
        let Some(record) = files::read::<Record>(&path, FIX)? else {
            return Ok(None);
        };
        if record.release.app == *app && record.release.id == id {
            return Ok(Some(record));
        }
        Err(damaged(&path, "it speaks of another release", FIX))
    }

    /// Ports on record, of every app.
    pub(super) fn ports(&self) -> Result<Vec<u16>, Fault> {
        let entries = self.readable()?.into_iter().flat_map(|record| record.instances);
        Ok(entries.map(|entry| entry.port).collect())
    }

    /// Apps on record.
    pub(super) fn apps(&self) -> Result<Vec<AppName>, Fault> {
        let mut apps: Vec<_> = self.readable()?.into_iter().map(|r| r.release.app).collect();
        apps.sort_unstable();
        apps.dedup();
        Ok(apps)
    }

    /// The records of every app. One that cannot be read is its own app's trouble.
    fn readable(&self) -> Result<Vec<Record>, Fault> {
        let names = self.names()?.into_iter();
        let records = names.filter(|name| name.strip_suffix(".json").is_some());
        let paths = records.map(|name| self.instances.join(name));
        Ok(paths.filter_map(|path| files::read::<Record>(&path, FIX).ok().flatten()).collect())
    }

    /// Writes one release.
    pub(super) fn write(&self, record: &Record) -> Result<(), Fault> {
        replace(&self.record_path(&record.release.app, record.release.id), record)
    }

    /// Forgets one release but for the last number it gave.
    pub(super) fn forget(&self, record: &Record) -> Result<(), Fault> {
        let mut numbers = self.numbers(&record.release.app)?;
        numbers.insert(record.release.id, record.last_number);
        replace(&self.numbers_path(&record.release.app), &numbers)?;
        let path = self.record_path(&record.release.app, record.release.id);
        fs::remove_file(&path).map_err(|error| unusable(&path, &error))
    }

    /// The last numbers given by forgotten releases.
    pub(super) fn numbers(&self, app: &AppName) -> Result<BTreeMap<ReleaseId, u32>, Fault> {
        Ok(files::read(&self.numbers_path(app), FIX)?.unwrap_or_default())
    }

    /// Refuses an epoch older than the newest seen, and remembers a newer one.
    pub(super) fn admit(&self, epoch: u64) -> Result<(), Fault> {
        files::admit(&self.instances, epoch, FIX)
    }

    /// Where an instance's output goes.
    pub(super) fn log(&self, id: &InstanceId) -> PathBuf {
        self.logs.join(format!("{id}.log"))
    }

    /// The folder of all logs.
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    fn names(&self) -> Result<Vec<String>, Fault> {
        let entries = fs::read_dir(&self.instances);
        let entries = entries.map_err(|error| unusable(&self.instances, &error))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn record_path(&self, app: &AppName, id: ReleaseId) -> PathBuf {
        self.instances.join(format!("{app}-{}.json", id.0))
    }

    fn numbers_path(&self, app: &AppName) -> PathBuf {
        self.instances.join(format!("{app}.numbers"))
    }
}
