//! Which release a retry or a rollback ships: one that the store has, exactly as it ran.
//!
//! Reads the store alone. Whether it may be shipped now, `standing` says.

use model::{AppName, Fault, Kind, Outcome, Release, ReleaseId, Version};
use rollout::{Aim, Named};

use crate::store::Store;

/// The release that the last rollout did not bring to its end, and what it was to the app.
pub(super) fn retry(
    store: &Store,
    app: &AppName,
    stable: Option<&Release>,
) -> Result<(Release, Aim), Fault> {
    let nothing = |why: String| Fault::new(Kind::Conflict, format!("nothing to retry: {why}"));
    let Some(run) = store.last_run(app)? else {
        return Err(nothing(format!("{app} was never deployed")));
    };
    let candidate = &run.start.candidate;
    let version = &candidate.version;
    if !matches!(run.outcome, Some(Outcome::Aborted | Outcome::Stuck)) {
        let why = format!("the last rollout of {app} ended well, users are on {version}");
        return Err(nothing(why));
    }
    if stable.is_some_and(|stable| stable.id == candidate.id) {
        let help = format!("`cutover deploy {app} {version}` ships it anew");
        return Err(nothing(format!("users of {app} are on {version}")).help(help));
    }
    let rollback = run.start.settings.aim == Aim::Rollback;
    let aim = if rollback { Aim::Rollback } else { Aim::Retry };
    Ok((kept(store, app, candidate)?, aim))
}

/// The release to return to: the one that users were on before, or the newest one of that version
/// that they were ever on.
pub(super) fn rollback(
    store: &Store,
    app: &AppName,
    stable: Option<&Release>,
    to: Option<&Version>,
) -> Result<Release, Fault> {
    let refused = |why: String| Fault::new(Kind::Conflict, why);
    let Some(stable) = stable else {
        return Err(refused(format!("nothing to roll back: {app} was never deployed")));
    };
    let served = served(store, app)?;
    let Some(to) = to else {
        let before = before(store, app, stable.id)?;
        let nothing = || {
            let what = format!("nothing to roll back to: no release of {app} is known that served");
            refused(format!("{what} before {}", stable.version)).help(known(&served, stable))
        };
        return kept(store, app, &before.ok_or_else(nothing)?);
    };
    if stable.version == *to && !served.iter().any(|one| one.version == *to && one.id != stable.id)
    {
        return Err(refused(format!("users of {app} are on {to} already")));
    }
    let found = served.iter().find(|one| one.version == *to && one.id != stable.id);
    let missing = || {
        let what =
            format!("{to} of {app} never served, or is no longer known: nothing to roll back to");
        Fault::new(Kind::Usage, what).help(known(&served, stable))
    };
    kept(store, app, found.ok_or_else(missing)?)
}

fn known(served: &[Named], stable: &Release) -> String {
    let mut versions: Vec<&str> = Vec::new();
    for one in served.iter().filter(|one| one.id != stable.id) {
        if !versions.contains(&one.version.as_str()) {
            versions.push(one.version.as_str());
        }
    }
    if versions.is_empty() {
        return "deploy the version that you want".to_owned();
    }
    format!("served before: {}", versions.join(", "))
}

/// The release that users were on before they got this one.
fn before(store: &Store, app: &AppName, stable: ReleaseId) -> Result<Option<Named>, Fault> {
    let mut starts = store.past_starts(app)?.into_iter().map(|(start, _)| start);
    Ok(starts.find(|start| start.candidate.id == stable).and_then(|start| start.stable))
}

/// Every release that users were on, the newest first.
fn served(store: &Store, app: &AppName) -> Result<Vec<Named>, Fault> {
    let mut served: Vec<Named> = Vec::new();
    for (start, outcome) in store.past_starts(app)? {
        let promoted = (outcome == Outcome::Promoted).then_some(start.candidate);
        for named in promoted.into_iter().chain(start.stable) {
            if served.iter().all(|one| one.id != named.id) {
                served.push(named);
            }
        }
    }
    Ok(served)
}

/// The frozen release.
fn kept(store: &Store, app: &AppName, named: &Named) -> Result<Release, Fault> {
    let missing = |_| {
        let what =
            format!("the record of {} of {app} is gone: it cannot be run again", named.version);
        let help = format!("`cutover deploy {app} {}` makes a new one", named.version);
        Fault::new(Kind::Conflict, what).help(help)
    };
    let release = store.release(app, named.id).map_err(missing)?;
    drivers::platform::process::find_program(&release)?;
    Ok(release)
}
