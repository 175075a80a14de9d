//! Which release a retry or a rollback ships: one that the store has, exactly as it ran.
//!
//! Only the store is read. Whether it may be shipped now, `standing` says.

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

#[cfg(test)]
mod tests {
    use model::{AppName, Outcome, Release, Version};
    use rollout::{Aim, Named, Settings, Start};

    use super::super::sample_release;
    use super::{retry, rollback};
    use crate::store::{NewRun, Store};

    fn app() -> AppName {
        AppName::new("shop").unwrap()
    }

    fn release(id: u32) -> Release {
        let command = vec!["/bin/sh".to_owned()];
        Release { command, ..sample_release::release("shop", id) }
    }

    /// From, to, and how it ended; 0 is no release.
    type Past = (u32, u32, Outcome);

    /// A store in which that happened; release 9 has no record.
    fn store(past: &[Past]) -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let named = |id: u32| {
            let Release { id, version, .. } = release(id);
            Named { id, version }
        };
        for (place, (from, to, outcome)) in past.iter().enumerate() {
            let known = past[..place].iter().any(|(_, before, _)| before == to);
            if !known && *to != 9 {
                store.add_release(&release(*to), 0).unwrap();
            }
            let stable = (*from > 0).then(|| named(*from));
            let candidate = named(*to);
            let settings = Settings::default();
            let start = Start { app: app(), stable, candidate, instances: 1, settings };
            let run = format!("run{place}");
            let new = NewRun {
                run: &run,
                start: &start,
                original_routes: None,
                boot_id: "boot",
                began_mono_ns: 0,
                began_unix_ms: 0,
                epoch: 1,
            };
            let run = store.begin(&new).unwrap();
            store.end(&run, *outcome, None).unwrap();
        }
        (directory, store)
    }

    /// The version that is returned to, or why not.
    fn back(past: &[Past], stable: u32, to: Option<&str>) -> String {
        let (_directory, store) = store(past);
        let to = to.map(|to| Version::new(to).unwrap());
        match rollback(&store, &app(), Some(&release(stable)), to.as_ref()) {
            Ok(release) => release.version.to_string(),
            Err(fault) => format!("{}; {}", fault.what, fault.help.unwrap_or_default()),
        }
    }

    #[test]
    fn the_release_before_or_the_named_one() {
        use Outcome::{Aborted, Promoted};
        let past = [(0, 1, Promoted), (1, 2, Promoted), (2, 3, Aborted), (2, 4, Promoted)];
        assert_eq!(back(&past, 4, None), "v2");
        assert_eq!(back(&past, 4, Some("v1")), "v1");
        let never = back(&past, 4, Some("v3"));
        assert!(never.starts_with("v3 of shop never served"), "{never}");
        assert!(never.ends_with("served before: v2, v1"), "{never}");
        assert_eq!(back(&past, 4, Some("v4")), "users of shop are on v4 already; ");
        // Back and forth.
        let again = [&past[..], &[(4, 2, Promoted)]].concat();
        assert_eq!(back(&again, 2, None), "v4");
    }

    #[test]
    fn what_is_not_there_is_said() {
        use Outcome::Promoted;
        let first = back(&[(0, 1, Promoted)], 1, None);
        assert!(first.starts_with("nothing to roll back to"), "{first}");
        let gone = back(&[(0, 9, Promoted), (9, 2, Promoted)], 2, None);
        assert!(gone.starts_with("the record of v9 of shop is gone"), "{gone}");
        let (_directory, store) = store(&[]);
        assert!(rollback(&store, &app(), None, None).is_err());
    }

    #[test]
    fn only_what_did_not_come_to_its_end_is_tried_again() {
        use Outcome::{Aborted, Promoted, Stuck};
        let tried = |past: &[Past], stable: u32| {
            let (_directory, store) = store(past);
            let found = retry(&store, &app(), Some(&release(stable)));
            found.map(|(release, aim)| (release.id.0, aim)).map_err(|fault| fault.what)
        };
        let past = [(0, 1, Promoted), (1, 2, Aborted)];
        assert_eq!(tried(&past, 1), Ok((2, Aim::Retry)));
        assert!(tried(&past[..1], 1).unwrap_err().contains("ended well, users are on v1"));
        // It got stuck with users on it.
        assert!(tried(&[(1, 2, Stuck)], 2).unwrap_err().contains("users of shop are on v2"));
        assert!(tried(&[], 1).unwrap_err().contains("was never deployed"));
    }
}
