//! Slow start: who joins others gets little at first, and where all are new nobody is held back.
//!
//! How much a whole release gets is not tried here.

use std::time::{Duration, Instant};

use model::Spread;

use crate::backend::Backend;
use crate::stage::{Stage, pool};

const LENGTH: Duration = Duration::from_secs(1);

/// How many of 300 requests the backend of that name answers.
fn answered(stage: &Stage, name: &str) -> usize {
    let mut client = stage.client();
    (0..300).filter(|_| client.get("/").unwrap().body == name).count()
}

/// Answers requests until that time: what the proxy waits for is time itself.
fn until(stage: &Stage, time: Instant) {
    let mut client = stage.client();
    while Instant::now() < time {
        assert_eq!(client.get("/").unwrap().status, 200);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_instance_that_joins_others_grows_into_its_share() {
    let names = ["one", "two", "three"];
    let [one, two, three] = names.map(Backend::named);
    let mut stage = Stage::bare();
    let slow = || Spread { slow_start_ms: 1_000, ..Spread::default() };
    stage.publish_spread(vec![pool(1, 10_000, &[&one, &two])], Vec::new(), slow());
    let first = answered(&stage, "one");
    assert!((90..210).contains(&first), "both are new: {first} of 300");
    until(&stage, Instant::now() + LENGTH);
    let joined = Instant::now();
    stage.publish_spread(vec![pool(1, 10_000, &[&one, &two, &three])], Vec::new(), slow());
    let at_first = answered(&stage, "three");
    // A debug build on a busy machine may have taken its time.
    if joined.elapsed() < LENGTH / 2 {
        assert!(at_first < 70, "{at_first} of 300, a third is 100");
    }
    until(&stage, joined + LENGTH);
    let at_last = answered(&stage, "three");
    assert!((60..140).contains(&at_last), "{at_last} of 300, a third is 100");
}
