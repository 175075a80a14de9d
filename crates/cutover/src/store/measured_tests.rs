//! What the journal keeps of measurements, and that it does not grow with how often one was made.
//!
//! What a measurement means to a rollout is not asked here.

use model::{AppName, Event, Measured, Outcome};

use super::tests::{begin, start};
use super::{Entry, NewRun, Run, Store, to_json};

fn measured(metric: &str, found: Measured, words: &str) -> Event {
    Event::Measured { metric: metric.to_owned(), found, words: words.to_owned() }
}

/// Appends many at once: a test need not wait for each to be durable.
fn append_all(store: &Store, run: &Run, events: &[Event]) {
    let mut connection = store.lock();
    let transaction = connection.transaction().unwrap();
    let sql = "INSERT INTO event (rollout, seq, at_ms, kind, body)
        SELECT ?1, COALESCE(MAX(seq), 0) + 1, COALESCE(MAX(at_ms), 0) + 100, 'event', ?2 FROM event WHERE rollout = ?1";
    for event in events {
        transaction.execute(sql, (run.id, to_json(event).unwrap())).unwrap();
    }
    transaction.commit().unwrap();
}

fn keep(store: &Store, run: &Run) {
    store.append(run.id, 1_000_000, &Entry::Event(&Event::Tick)).unwrap();
    store.freeze(run.id, 1_000_000, &rollout::Rollout::new(start()).snapshot()).unwrap();
}

/// The measurements of a run, in order: the metric, and the words.
fn told(store: &Store, run: &Run) -> Vec<String> {
    let events = store.events(run.id, 0).unwrap().into_iter();
    let words = events.filter_map(|(_, event)| match event {
        Event::Measured { metric, words, .. } => Some(format!("{metric} {words}")),
        _ => None,
    });
    words.collect()
}

#[test]
fn of_measurements_those_with_which_something_changed_stay_when_a_rollout_has_ended() {
    use Measured::{Beyond, Unknown, Within};
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let run = begin(&store, "one").unwrap();
    let found = [Within, Within, Within, Within, Beyond, Within, Within, Unknown, Unknown, Unknown];
    let mut events = Vec::new();
    for (n, found) in found.into_iter().enumerate() {
        events.push(measured("queue", found, &n.to_string()));
        // Another one in between, of which each is like the one before.
        events.push(measured("errors", Within, &n.to_string()));
    }
    append_all(&store, &run, &events);
    keep(&store, &run);
    // The machine as it was kept does not know these.
    append_all(&store, &run, &[3, 4, 5].map(|n| measured("errors", Within, &format!("late {n}"))));
    let (seq, all) = (store.frozen(run.id).unwrap().unwrap().seq, told(&store, &run).len());
    let after = store.events(run.id, seq).unwrap();
    assert_eq!((all, after.len()), (23, 3));
    store.end(&run, Outcome::Promoted, None).unwrap();
    let mut left = told(&store, &run);
    left.sort_unstable();
    let wanted = [
        "errors 0",
        "errors late 3",
        "errors late 4",
        "errors late 5",
        "queue 0",
        "queue 3",
        "queue 4",
        "queue 5",
        "queue 6",
        "queue 7",
        "queue 9",
    ];
    assert_eq!(left, wanted);
    // What a machine is made of again is whole.
    assert_eq!(store.frozen(run.id).unwrap().unwrap().seq, seq);
    assert_eq!(store.events(run.id, seq).unwrap(), after);
    assert_eq!(store.past(None, 1).unwrap()[0].took_ms, 1_000_300);
}

/// Whoever comes back to a rollout that has not ended finds all of it, whatever else has.
#[test]
fn no_measurement_of_a_rollout_under_way_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let many = vec![measured("queue", Measured::Within, "3"); 100];
    let open = begin(&store, "open").unwrap();
    let mut other = start();
    other.app = AppName::new("other").unwrap();
    let new = |run| NewRun {
        run,
        start: &other,
        original_routes: None,
        boot_id: "boot",
        began_mono_ns: 5,
        began_unix_ms: 6,
        epoch: 1,
    };
    append_all(&store, &open, &many);
    keep(&store, &open);
    for name in ["a", "b"] {
        let ended = store.begin(&new(name)).unwrap();
        append_all(&store, &ended, &many);
        keep(&store, &ended);
        store.end(&ended, Outcome::Aborted, None).unwrap();
        assert_eq!(told(&store, &ended).len(), 2);
    }
    assert_eq!(told(&store, &open).len(), 100);
    // One that was never kept is made anew from all of its rows, also when it has ended.
    let short = store.begin(&new("c")).unwrap();
    append_all(&store, &short, &many);
    store.end(&short, Outcome::Aborted, None).unwrap();
    assert_eq!(told(&store, &short).len(), 100);
}

#[test]
fn fifty_deploys_that_were_measured_for_minutes_leave_little() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let size = |store: &Store| -> u64 {
        let pragma = |name| store.lock().pragma_query_value(None, name, |row| row.get(0)).unwrap();
        let [pages, free, each]: [u64; 3] =
            ["page_count", "freelist_count", "page_size"].map(pragma);
        (pages - free) * each
    };
    let mut many = vec![measured("queue", Measured::Within, "queue is 3, at most 100"); 1_200];
    many[700] = measured("queue", Measured::Beyond, "queue is 300, at most 100");
    let mut ten = 0;
    for number in 1..=50 {
        let run = begin(&store, &format!("run{number}")).unwrap();
        append_all(&store, &run, &many);
        keep(&store, &run);
        store.end(&run, Outcome::Promoted, None).unwrap();
        assert_eq!(told(&store, &run).len(), 5, "{number}");
        if number == 10 {
            ten = size(&store);
        }
    }
    let each = (size(&store) - ten) / 40;
    assert!(each < 16_384, "{each} bytes for each deploy");
    assert_eq!(store.past(None, 100).unwrap().len(), 50);
}
