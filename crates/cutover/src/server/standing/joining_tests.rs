//! What one app does between its offer to go together with others and the word: a real journal, nothing that
//! runs.

use std::task::Poll;
use std::time::Duration;

use model::{AppName, Fault, Outcome, Version};
use rollout::{Aim, Other, Start, Together};
use tokio::sync::oneshot;

use super::super::Standing;
use crate::clock;
use crate::config::example_app;
use crate::server::orders::{Again, Shipping};
use crate::server::sample_tools;
use crate::server::tools::Tools;
use crate::store::{Kept, NewRun, Run};

/// A server's state directory, and what its controllers work with.
struct Bed {
    _directory: tempfile::TempDir,
    tools: Tools,
}

fn version(name: &str) -> Version {
    Version::new(name).unwrap()
}

impl Bed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tools = sample_tools::tools(directory.path());
        Self { _directory: directory, tools }
    }

    /// The app, as a server finds it that begins now.
    fn app(&self) -> Standing {
        let mut config = example_app();
        config.command = vec!["/bin/sh".to_owned()];
        Standing::load(config.name.clone(), config, self.tools.clone()).unwrap()
    }

    fn begins(&self, start: &Start, run: &str) -> Run {
        let new = NewRun {
            run,
            start,
            original_routes: None,
            boot_id: &clock::boot_id().unwrap(),
            began_mono_ns: clock::mono_ns(),
            began_unix_ms: clock::unix_ms(),
            epoch: 1,
        };
        self.tools.store.begin_all(&[new]).unwrap().remove(0)
    }

    /// Users are on that version from now on; the one before is kept for so long.
    fn promoted(&self, name: &str, keep: Option<Duration>) {
        let (offer, _) = self.app().offer(&ship(name), Vec::new()).unwrap();
        let run = self.begins(&offer.start, &format!("run-{name}"));
        let candidate = offer.start.candidate.id;
        let Some((stable, keep)) = offer.start.stable.zip(keep) else {
            return self.tools.store.end(&run, Outcome::Promoted, Some(candidate)).unwrap();
        };
        let until = clock::mono_ns() + u64::try_from(keep.as_nanos()).unwrap();
        let boot_id = clock::boot_id().unwrap();
        let kept = Kept { release: stable.id, boot_id, until_mono_ns: until };
        self.tools.store.end_keeping(&run, &kept).unwrap();
    }
}

fn ship(name: &str) -> Shipping {
    Shipping::Version(version(name))
}

/// It offers to ship that, and stands by it.
fn promises(standing: &mut Standing, what: &Shipping) -> (Start, oneshot::Sender<Run>) {
    let (offer, release) = standing.offer(what, Vec::new()).unwrap();
    let (go, word) = oneshot::channel();
    standing.promise(release, word);
    assert!(matches!(standing.word_now(), Poll::Pending), "nobody has spoken");
    (offer.start, go)
}

/// What it answers to whoever wants something else of it.
fn refusals(standing: &mut Standing) -> Vec<String> {
    let configured = standing.config.clone();
    let refused = [
        standing.deploy(&version("v9"), "run-v9").err(),
        standing.again(&Again::Retry, "run-again").err(),
        standing.offer(&ship("v9"), Vec::new()).err(),
        standing.configure(configured).err(),
    ];
    let what = |fault: Option<Fault>| fault.expect("it is refused").what;
    refused.map(what).into()
}

#[test]
fn whoever_has_offered_refuses_everything_else_until_the_word_comes_and_then_takes_it_up() {
    let bed = Bed::new();
    bed.promoted("v1", None);
    let mut standing = bed.app();
    let (mut start, go) = promises(&mut standing, &ship("v2"));
    assert_eq!((&start.candidate.version, start.settings.aim), (&version("v2"), Aim::Deploy));
    assert_eq!(start.stable.as_ref().map(|stable| &stable.version), Some(&version("v1")));
    let said = "web is about to go to v2 together with others";
    assert_eq!(refusals(&mut standing), [said; 4]);
    assert!(
        standing.active.is_none() && bed.tools.store.open_run(&standing.app).unwrap().is_none()
    );

    let credit = AppName::new("credit").unwrap();
    let other = Other { app: credit, version: version("v2"), run: "run2".to_owned() };
    let name = AppName::new("both").unwrap();
    start.settings.together = Some(Together { name, others: vec![other], wait_ms: 1 });
    go.send(bed.begins(&start, "run1")).unwrap();
    let Poll::Ready(word) = standing.word_now() else { panic!("the word has come") };
    standing.join(word);
    let begun = standing.active.as_ref().expect("it has begun");
    assert_eq!((&*begun.run().name, &begun.run().start), ("run1", &start));
    assert_eq!(standing.candidate().map(|release| release.id), Some(start.candidate.id));
    let said = "web is being rolled out together with credit (both)";
    let refused = refusals(&mut standing);
    assert_eq!((&*refused[0], &*refused[1], &*refused[2]), (said, said, said));
    assert!(matches!(standing.word_now(), Poll::Pending), "nothing is promised any more");
}

#[tokio::test]
async fn without_a_word_nothing_has_begun_and_it_is_free_again() {
    let bed = Bed::new();
    let mut standing = bed.app();
    let soon = Duration::from_millis(20);
    let promised_nothing = tokio::time::timeout(soon, standing.word()).await;
    assert!(promised_nothing.is_err(), "who promised nothing waits for no word");
    let (_, go) = promises(&mut standing, &ship("v1"));
    drop(go);
    assert!(matches!(standing.word_now(), Poll::Ready(None)));
    standing.join(None);
    let (_, go) = promises(&mut standing, &ship("v1"));
    drop(go);
    let word = standing.word().await;
    assert!(word.is_none());
    standing.join(word);
    assert!(standing.active.is_none() && standing.candidate().is_none());
    standing.deploy(&version("v2"), "run-v2").unwrap();
    assert_eq!(standing.active.as_ref().map(|active| &*active.run().name), Some("run-v2"));
}

/// What was offered counts on instances that still run.
#[test]
fn what_is_kept_stays_until_the_word_comes() {
    let bed = Bed::new();
    bed.promoted("v1", None);
    // On a machine that is too busy a short time may be over before anybody looks.
    let kept = |(name, ms)| {
        bed.promoted(name, Some(Duration::from_millis(ms)));
        Some(bed.app()).filter(|standing| standing.kept.is_some())
    };
    let times = [("v2", 200), ("v3", 2_000), ("v4", 20_000)];
    let mut standing = times.into_iter().find_map(kept).expect("it is kept");
    let before = standing.kept.as_ref().unwrap().release.version.clone();
    let back = Shipping::Again(Again::Rollback(None));
    let (start, go) = promises(&mut standing, &back);
    assert_eq!((start.candidate.version, start.settings.aim), (before, Aim::Rollback));
    assert!(start.settings.warm, "it still runs");
    while !standing.kept.as_ref().expect("it is kept").left().is_zero() {
        std::thread::sleep(Duration::from_millis(5));
    }
    standing.look_at_the_clock();
    assert!(standing.kept.is_some(), "its time is over, and it was offered");
    drop(go);
    standing.join(None);
    standing.look_at_the_clock();
    assert!(standing.kept.is_none());
}

#[test]
fn a_server_that_stops_stands_by_nothing() {
    let bed = Bed::new();
    let mut standing = bed.app();
    let (_, go) = promises(&mut standing, &ship("v1"));
    assert!(!go.is_closed());
    assert!(standing.halt().unwrap().is_none());
    assert!(go.is_closed(), "whoever asked finds that nobody waits");
    let refused = standing.offer(&ship("v2"), Vec::new()).err();
    assert_eq!(refused.expect("it stops").what, "the server is stopping");
}
