//! Refuses to serve where a rollout of several apps is under way and one of them is configured no more: nobody would
//! look after that one, and the others would wait for it.
//!
//! Reads the journal alone; whether instances of it still run is another question.

use std::collections::BTreeMap;
use std::path::Path;

use model::{AppName, Fault, Kind};

use crate::store::Store;

/// Refuses an open rollout of an app of the file that goes together with the open one of an app that it lacks.
pub(super) fn refuse_torn<T>(
    store: &Store,
    apps: &BTreeMap<AppName, T>,
    file: &Path,
) -> Result<(), Fault> {
    for app in apps.keys() {
        let Some(run) = store.open_run(app)? else { continue };
        let Some(together) = run.start.settings.together else { continue };
        let gone = together.others.iter().filter(|other| !apps.contains_key(&other.app));
        for other in gone {
            // One that has ended is what it is: the others find how it did.
            if store.run_named(&other.run)?.is_some_and(|run| run.outcome.is_none()) {
                let (name, gone, file) = (&together.name, &other.app, file.display());
                let what = format!(
                    "`{app}` is being rolled out together with `{gone}` ({name}), and {file} names \
                     no app `{gone}` any more"
                );
                let help = format!(
                    "put [app.{gone}] back into the file; to take it out, let that rollout end \
                     first, or `cutover abort {name}`"
                );
                return Err(Fault::new(Kind::Conflict, what).help(help));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use model::{AppName, Outcome, ReleaseId, Version};
    use rollout::{Named, Other, Settings, Start, Together};

    use super::refuse_torn;
    use crate::store::{NewRun, Run, Store};

    fn app(name: &str) -> AppName {
        AppName::new(name).unwrap()
    }

    /// Rollouts of both, as the one writes them that begins them.
    fn begun(store: &Store) -> Vec<Run> {
        let version = Version::new("v2").unwrap();
        let start = |me: &str, other: &str| {
            let other = Other { app: app(other), version: version.clone(), run: other.to_owned() };
            let together = Together { name: app("both"), others: vec![other], wait_ms: 1 };
            let settings = Settings { together: Some(together), ..Settings::default() };
            let candidate = Named { id: ReleaseId(2), version: version.clone() };
            Start { app: app(me), stable: None, candidate, instances: 1, settings }
        };
        let starts = [("shop", start("shop", "credit")), ("credit", start("credit", "shop"))];
        let new = starts.iter().map(|(run, start)| NewRun {
            run,
            start,
            original_routes: None,
            boot_id: "boot",
            began_mono_ns: 0,
            began_unix_ms: 0,
            epoch: 1,
        });
        store.begin_all(&new.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn one_that_is_under_way_and_not_configured_is_named_with_its_group_and_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let file = Path::new("/etc/cutover.toml");
        let refused = |names: &[&str]| {
            let apps: BTreeMap<_, _> = names.iter().map(|name| (app(name), *name)).collect();
            refuse_torn(&store, &apps, file).err().map(|fault| (fault.what, fault.help.unwrap()))
        };
        assert_eq!(refused(&["shop"]), None, "nothing is under way");
        let runs = begun(&store);
        assert_eq!(refused(&["credit", "shop"]), None);
        let (what, help) = refused(&["other", "shop"]).unwrap();
        assert_eq!(
            what,
            "`shop` is being rolled out together with `credit` (both), and /etc/cutover.toml names \
             no app `credit` any more"
        );
        assert!(help.starts_with("put [app.credit] back into the file"), "{help}");
        store.end(&runs[1], Outcome::Promoted, None).unwrap();
        assert_eq!(refused(&["shop"]), None, "credit has ended");
    }
}
