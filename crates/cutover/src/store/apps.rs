//! Releases, the stable pointer and the committed routes of each app.
//!
//! A release is written once and never changed, so that a rollback runs exactly what ran.

use model::{AppName, Fault, Release, ReleaseId, Routes};
use rusqlite::{OptionalExtension as _, params};

use super::{Store, broken, from_json, to_json};

impl Store {
    /// The number the app's next release will have.
    pub(crate) fn next_release_id(&self, app: &AppName) -> Result<ReleaseId, Fault> {
        let sql = "SELECT COALESCE(MAX(id), 0) + 1 FROM release WHERE app = ?1";
        self.lock()
            .query_row(sql, params![app.as_str()], |row| row.get(0))
            .map(ReleaseId)
            .map_err(|e| broken("the release numbers", &e))
    }

    /// Freezes a release.
    pub(crate) fn add_release(&self, release: &Release, unix_ms: u64) -> Result<(), Fault> {
        let sql = "INSERT INTO release (app, id, spec, created_unix_ms) VALUES (?1, ?2, ?3, ?4)";
        let spec = to_json(release)?;
        self.lock()
            .execute(sql, params![release.app.as_str(), release.id.0, spec, unix_ms])
            .map(|_| ())
            .map_err(|e| broken("a new release", &e))
    }

    /// One release.
    pub(crate) fn release(&self, app: &AppName, id: ReleaseId) -> Result<Release, Fault> {
        let sql = "SELECT spec FROM release WHERE app = ?1 AND id = ?2";
        let spec: Option<String> = self
            .lock()
            .query_row(sql, params![app.as_str(), id.0], |row| row.get(0))
            .optional()
            .map_err(|e| broken("a release", &e))?;
        let missing = || Fault::internal(format!("release {id} of {app} is not in the database"));
        from_json(&format!("release {id} of {app}"), &spec.ok_or_else(missing)?)
    }

    /// The release users are on, if the app was ever deployed.
    pub(crate) fn stable(&self, app: &AppName) -> Result<Option<Release>, Fault> {
        let sql = "SELECT stable FROM app WHERE name = ?1";
        let id: Option<Option<u32>> = self
            .lock()
            .query_row(sql, params![app.as_str()], |row| row.get(0))
            .optional()
            .map_err(|e| broken("the stable release", &e))?;
        id.flatten().map(|id| self.release(app, ReleaseId(id))).transpose()
    }

    /// Remembers the routes that were last committed, so that a restart keeps routing.
    pub(crate) fn commit_routes(&self, routes: &Routes) -> Result<(), Fault> {
        let sql = "INSERT INTO routes (app, slice) VALUES (?1, ?2)
            ON CONFLICT (app) DO UPDATE SET slice = ?2";
        let slice = to_json(routes)?;
        let app = routes.app.as_str();
        self.write(|connection| connection.execute(sql, params![app, slice]))
            .map(|_| ())
            .map_err(|e| broken("the routes", &e))
    }

    /// The routes that were last committed.
    pub(crate) fn committed_routes(&self, app: &AppName) -> Result<Option<Routes>, Fault> {
        let sql = "SELECT slice FROM routes WHERE app = ?1";
        let slice: Option<String> = self
            .lock()
            .query_row(sql, params![app.as_str()], |row| row.get(0))
            .optional()
            .map_err(|e| broken("the routes", &e))?;
        slice.map(|slice| from_json("the routes", &slice)).transpose()
    }
}
