//! The files of the process platform: records, numbers, the newest epoch, logs' places.
//!
//! Files are the truth; nothing of them is kept in memory. Every write is a new file, synced and
//! renamed over the old one. What the records mean is `record`'s affair.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::{AppName, Fault, InstanceId, Kind, ReleaseId};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::Record;
use crate::ballast;

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
            made.map_err(|error| unwritable(path, &error))
        };
        make(state)?;
        let state = state.canonicalize().map_err(|error| unwritable(state, &error))?;
        let store = Self { instances: state.join("instances"), logs: state.join("logs"), state };
        make(&store.instances)?;
        make(&store.logs)?;
        let lock = store.instances.join("lock");
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&lock);
        opened.map_err(|error| unwritable(&lock, &error))?;
        Ok(store)
    }

    /// Keeps other processes from changing records until the file is dropped.
    pub(super) fn lock(&self) -> Result<File, Fault> {
        let path = self.instances.join("lock");
        let taken = OpenOptions::new().append(true).open(&path).and_then(|file| {
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        });
        taken.map_err(|error| unwritable(&path, &error))
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
        let Some(record) = read::<Record>(&path)? else {
            return Ok(None);
        };
        if record.release.app == *app && record.release.id == id {
            return Ok(Some(record));
        }
        Err(damaged(&path, "it speaks of another release"))
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
        Ok(paths.filter_map(|path| read::<Record>(&path).ok().flatten()).collect())
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
        fs::remove_file(&path).map_err(|error| unwritable(&path, &error))
    }

    /// The last numbers given by forgotten releases.
    pub(super) fn numbers(&self, app: &AppName) -> Result<BTreeMap<ReleaseId, u32>, Fault> {
        Ok(read(&self.numbers_path(app))?.unwrap_or_default())
    }

    /// Refuses an epoch older than the newest seen, and remembers a newer one.
    pub(super) fn admit(&self, epoch: u64) -> Result<(), Fault> {
        let path = self.instances.join("epoch");
        let newest = read::<u64>(&path)?.unwrap_or_default();
        if epoch < newest {
            let what = format!(
                "a controller of epoch {epoch} may not act any more: epoch {newest} is in charge"
            );
            return Err(Fault::new(Kind::Conflict, what).help("end the older controller"));
        }
        if epoch > newest { replace(&path, &epoch) } else { Ok(()) }
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
        let entries = entries.map_err(|error| unwritable(&self.instances, &error))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn record_path(&self, app: &AppName, id: ReleaseId) -> PathBuf {
        self.instances.join(format!("{app}-{}.json", id.0))
    }

    fn numbers_path(&self, app: &AppName) -> PathBuf {
        self.instances.join(format!("{app}.numbers"))
    }
}

fn release_in(app: &AppName, name: &str) -> Option<ReleaseId> {
    let digits = name.strip_prefix(app.as_str())?.strip_prefix('-')?.strip_suffix(".json")?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).map(ReleaseId)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Fault> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(damaged(path, &error.to_string())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unwritable(path, &error)),
    }
}

/// Writes beside, syncs, renames, syncs the folder: after a crash there is the old or the new file.
fn replace(path: &Path, value: &impl Serialize) -> Result<(), Fault> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| {
        Fault::internal(format!("{} cannot be written: {error}", path.display()))
    })?;
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    let state = path.parent().and_then(Path::parent);
    let again = |error: &io::Error| ballast::is_full(error) && state.is_some_and(ballast::release);
    let done = match written() {
        Err(error) if again(&error) => written(),
        done => done,
    };
    done.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let what = format!("`{}` in the state directory cannot be used: {error}", path.display());
    Fault::environment(what).help("give Cutover a state directory it may write to")
}

fn damaged(path: &Path, why: &str) -> Fault {
    let what = format!("the record `{}` is damaged: {why}", path.display());
    Fault::environment(what).help(
        "move it away; processes it speaks of go on running and can be found by the variable \
         CUTOVER_INSTANCE in their environment",
    )
}
