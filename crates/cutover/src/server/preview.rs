//! Asks the candidate's instances directly, before any user does.
//!
//! Requests go past the router, one after the other over the instances in turn. Answers later than
//! the probe's limit are not held against a candidate here: it may still be warming up.

use std::time::Duration;

use model::{Class, Instance, Tally};

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Previewed {
    /// By class.
    pub(super) tally: Tally,
    /// The first failures, in words.
    pub(super) failures: Vec<String>,
}

const FAILURES_SHOWN: usize = 3;

/// Sends `requests` requests for `path` to `instances` in turn.
pub(super) async fn preview(
    instances: Vec<Instance>,
    requests: u32,
    host: String,
    path: String,
    timeout: Duration,
) -> Previewed {
    let mut previewed = Previewed::default();
    for instance in instances.iter().cycle().take(requests as usize) {
        let failure = match drivers::check::ask(instance.address, &host, &path, timeout).await {
            Ok(answer) if answer.status < 400 => None,
            Ok(answer) => Some((
                Class::BadStatus,
                format!("{} answered {}: {}", instance.id, answer.status, answer.body_head),
            )),
            Err(none) => Some((none.class, format!("{}: {}", instance.id, none.words))),
        };
        previewed.tally.count(failure.as_ref().map_or(Class::Ok, |(class, _)| *class));
        if let Some((_, words)) = failure
            && previewed.failures.len() < FAILURES_SHOWN
        {
            previewed.failures.push(words);
        }
    }
    previewed
}
