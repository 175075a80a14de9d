//! The records of releases that are followed: whom the source named last, so that a controller that comes
//! back while the source is away still knows them. What they mean is `followed`'s affair.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use model::{AppName, Fault, Release, ReleaseId};
use serde::{Deserialize, Serialize};

use super::followed::Followed;
use crate::platform::files::{self, damaged, release_in, replace, unusable};
use crate::platform::health::Past;

/// What to do with a record that is damaged.
const FIX: &str = "move it away; the instances are found again where they were";

/// One release on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) release: Release,
    pub(super) let_go: bool,
    pub(super) known: Vec<Entry>,
}

/// One instance on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) address: SocketAddr,
    pub(super) ready_before: bool,
    /// When it was last judged, it was not: it has to pass again first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unready: bool,
}

impl Record {
    /// What is to be remembered of it.
    pub(super) fn of(followed: &Followed) -> Self {
        let entry = |(address, past)| Entry {
            address,
            ready_before: past != Past::Unknown,
            unready: past == Past::Unready,
        };
        Self {
            release: followed.release.clone(),
            let_go: followed.let_go,
            known: followed.known().map(entry).collect(),
        }
    }

    /// What is known then.
    pub(super) fn followed(self) -> Followed {
        let known = self.known.iter().map(|e| (e.address, Past::of(e.ready_before, e.unready)));
        Followed::new((self.release, self.let_go), known)
    }
}

/// Where they lie: in `discovered/` of the state directory.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the folder (mode 0700).
    pub(super) fn open(state: &Path) -> Result<Self, Fault> {
        let folder = state.join("discovered");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| unusable(&folder, &error))?;
        Ok(Self { folder })
    }

    /// Every release of an app that is on record.
    pub(super) fn records(&self, app: &AppName) -> Result<Vec<Record>, Fault> {
        let entries = fs::read_dir(&self.folder).map_err(|error| unusable(&self.folder, &error))?;
        let mut records = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if release_in(app, &name).is_none() {
                continue;
            }
            if let Some(record) = files::read::<Record>(&entry.path(), FIX)? {
                let said = self.path(&record.release.app, record.release.id);
                if said != entry.path() {
                    return Err(damaged(&entry.path(), "it speaks of another release", FIX));
                }
                records.push(record);
            }
        }
        records.sort_by_key(|record| record.release.id);
        Ok(records)
    }

    /// Writes one; after a crash there is the old or the new one.
    pub(super) fn write(&self, record: &Record) -> Result<(), Fault> {
        replace(&self.path(&record.release.app, record.release.id), record)
    }

    /// Forgets one.
    pub(super) fn forget(&self, app: &AppName, release: ReleaseId) -> Result<(), Fault> {
        let path = self.path(app, release);
        fs::remove_file(&path).map_err(|error| unusable(&path, &error))
    }

    /// Refuses an epoch older than the newest seen, and remembers a newer one.
    pub(super) fn admit(&self, epoch: u64) -> Result<(), Fault> {
        files::admit(&self.folder, epoch, FIX)
    }

    fn path(&self, app: &AppName, release: ReleaseId) -> PathBuf {
        self.folder.join(format!("{app}-{}.json", release.0))
    }
}
