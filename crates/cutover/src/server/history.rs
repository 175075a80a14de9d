//! What the API and `cutover history` tell of rollouts, the newest first.
//!
//! The journal knows all but the verdict, which stands in the report as long as that is kept. Nothing is
//! removed here: that is `retention`'s.

use std::fmt;
use std::fs::File;
use std::io::BufReader;

use model::{AppName, Fault, Outcome, Verdict};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::store::{Past, Store};

/// One rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastRun {
    /// Its id.
    pub(crate) run: String,
    /// Its app.
    pub(crate) app: String,
    /// Version that users were on, if any.
    pub(crate) from: Option<String>,
    /// Version that was shipped.
    pub(crate) to: String,
    /// What the apps are called that it went together with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) together: Option<String>,
    /// How it ended; `None` while it is under way.
    pub(crate) outcome: Option<Outcome>,
    /// What the traffic saw, if somebody looked and the report is still there.
    pub(crate) verdict: Option<Verdict>,
    /// Wall clock at its begin, ms since 1970.
    pub(crate) began_unix_ms: u64,
    /// How long it took, or has taken, ms.
    pub(crate) took_ms: u64,
    /// The report's page, while it is kept.
    pub(crate) report: Option<String>,
}

/// The newest rollouts of an app, or of all.
pub(crate) fn history(
    store: &Store,
    layout: &Layout,
    (app, limit): (Option<&AppName>, u32),
) -> Result<Vec<PastRun>, Fault> {
    let past = store.past(app, limit)?;
    Ok(past.into_iter().map(|one| told(layout, one)).collect())
}

fn told(layout: &Layout, past: Past) -> PastRun {
    let Past { run, app, from, to, together, outcome, began_unix_ms, took_ms } = past;
    let page = layout.report(&run, "html");
    let report = page.exists().then(|| page.display().to_string());
    let verdict = verdict(layout, &run);
    PastRun { run, app, from, to, together, outcome, verdict, began_unix_ms, took_ms, report }
}

/// The verdict of a report, which is among the first things in it; the rest is not read.
fn verdict(layout: &Layout, run: &str) -> Option<Verdict> {
    let file = File::open(layout.report(run, "json")).ok()?;
    let mut found = None;
    // It ends with an error when it was found, too: nothing else is wanted.
    let _rest = serde_json::Deserializer::from_reader(BufReader::new(file))
        .deserialize_map(Search { found: &mut found });
    found
}

/// Looks for the verdict, and stops there.
struct Search<'a> {
    found: &'a mut Option<Verdict>,
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "verdict" {
                *self.found = Some(map.next_value()?);
                return Err(serde::de::Error::custom("that is enough"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use model::{AppName, Event, Outcome, ReleaseId, Verdict, Version};
    use rollout::{Named, Settings, Start};

    use super::{Layout, history};
    use crate::store::{Entry, NewRun, Run, Store};

    fn begin(store: &Store, app: &str, number: u32) -> Run {
        let named =
            |id: u32| Named { id: ReleaseId(id), version: Version::new(format!("v{id}")).unwrap() };
        let start = Start {
            app: AppName::new(app).unwrap(),
            stable: (number > 1).then(|| named(number - 1)),
            candidate: named(number),
            instances: 1,
            settings: Settings::default(),
        };
        let run = NewRun {
            run: &format!("{app}run{number:04}"),
            start: &start,
            original_routes: None,
            boot_id: "boot",
            began_mono_ns: 5,
            began_unix_ms: u64::from(number),
            epoch: 1,
        };
        store.begin(&run).unwrap()
    }

    /// What a report of a real run is like: the verdict among much else.
    fn report() -> String {
        let rest = vec![serde_json::json!({ "at_us": 1_234_567, "class": "ok" }); 5_000];
        let head = "{\"run_id\":\"x\",\"more\":{\"verdict\":1},\"verdict\":\"PASS\",\"attempts\":";
        [head, &serde_json::to_string(&rest).unwrap(), "}"].concat()
    }

    #[test]
    fn a_long_history_is_told_quickly_the_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::at(directory.path()).unwrap();
        layout.prepare().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for number in 1..=60 {
            let run = begin(&store, "shop", number);
            for at_ms in [10, 20, 900] {
                store.append(run.id, at_ms, &Entry::Event(&Event::Tick)).unwrap();
            }
            std::fs::create_dir_all(layout.run_directory(&run.name)).unwrap();
            std::fs::write(layout.report(&run.name, "json"), report()).unwrap();
            std::fs::write(layout.report(&run.name, "html"), "x").unwrap();
            store.end(&run, Outcome::Promoted, Some(ReleaseId(number))).unwrap();
        }
        let open = begin(&store, "other", 1);
        // Also while the server has it open.
        let read = Store::open_to_read(directory.path()).unwrap();
        let begun = Instant::now();
        let all = history(&read, &layout, (None, 50)).unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!((all.len(), all[0].run.as_str(), all[0].outcome), (50, "otherrun0001", None));
        let shop = AppName::new("shop").unwrap();
        let runs = history(&read, &layout, (Some(&shop), 2)).unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].from.as_deref(), runs[0].to.as_str()), (Some("v59"), "v60"));
        assert_eq!((runs[0].verdict, runs[0].took_ms), (Some(Verdict::Pass), 900));
        assert!(runs[0].report.as_ref().unwrap().ends_with("shoprun0060/report.html"));
        // The one under way is never too old.
        assert_eq!(store.older(&shop, 58).unwrap(), ["shoprun0002", "shoprun0001"]);
        assert!(store.older(&open.start.app, 0).unwrap().is_empty());
        assert_eq!(store.versions(&shop).unwrap(), []);
    }
}
