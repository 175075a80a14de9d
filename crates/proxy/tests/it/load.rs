//! Users who ask without a pause while a test does something; none of them may fail.
//!
//! What they must be answered, and what has to come of it, is the test's affair.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::client::{Answer, Client};

/// How many there are. Every other one posts.
pub(crate) const USERS: usize = 6;

/// Has them ask until `work`, which is told how many answers there were so far, is done; `check` sees each answer, and
/// by which user. Some come on a new connection each time, if `fresh` says so. Gives the number of answers.
pub(crate) fn under_load(
    address: SocketAddr,
    fresh: impl Fn(usize) -> bool + Sync,
    check: impl Fn(usize, &Answer) + Sync,
    work: impl FnOnce(&AtomicU64),
) -> u64 {
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..USERS {
            let (over, sent, fresh, check) = (&over, &sent, &fresh, &check);
            scope.spawn(move || {
                let mut client = Client::to(address);
                while !over.load(Ordering::Relaxed) {
                    if fresh(number) {
                        client = Client::to(address);
                    }
                    let posts = number % 2 == 0;
                    let answer = if posts { client.post("/p", "body") } else { client.get("/g") };
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    check(number, &answer);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        work(&sent);
        over.store(true, Ordering::Relaxed);
    });
    sent.into_inner()
}
