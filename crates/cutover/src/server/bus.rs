//! What a server says while it works, to whoever listens.
//!
//! One bus per app. A listener first gets what the present rollout has said so far (without live
//! figures, notes, changes and hooks) and how those before it ended, then what follows; one that is too slow is cut off and gets it all anew when it asks
//! again.

use std::sync::{Mutex, PoisonError};

use model::{Entered, Outcome, Verdict};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// One thing said about an app's rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub(crate) enum Notice {
    /// A rollout began.
    Began {
        /// Its id.
        run: String,
        /// Version users are on, if any.
        from: Option<String>,
        /// Version being shipped.
        to: String,
        /// Wall clock at its begin, ms since 1970.
        began_unix_ms: u64,
    },
    /// A phase was entered.
    Phase(Entered),
    /// Figures of the moment, a few times a second.
    Live(Live),
    /// Something a person should know.
    Note {
        /// When, ms since the rollout began.
        at_ms: u64,
        /// The text.
        text: String,
    },
    /// A driver makes a change: starts, tells or ends an instance, moves routes.
    Change(Act),
    /// A hook is called.
    Hook(Act),
    /// The rollout ended.
    Ended(Ended),
}

/// Something that is done, told when it begins and when it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Act {
    /// When, ms since the rollout began; 0 while none is under way.
    pub(crate) at_ms: u64,
    /// How far it is.
    pub(crate) stage: Stage,
    /// What is done, in the words of the journal; where it failed, why.
    pub(crate) text: String,
}

/// How far something is that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Begins,
    Done,
    Failed,
}

/// Figures of the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Live {
    /// When, ms since the rollout began.
    pub(crate) at_ms: u64,
    /// Answers per second by version, over the last interval.
    pub(crate) per_version: Vec<(String, f64)>,
    /// Attempts ended so far.
    pub(crate) sent: u64,
    /// Of those, failed.
    pub(crate) failed: u64,
    /// Median TTLB of the last interval, us.
    pub(crate) p50_us: Option<u64>,
    /// How late the prober itself sent at worst in the last interval, us.
    pub(crate) late_us: Option<u64>,
    /// Requests and tunnels open on the old release, while it is being left.
    pub(crate) open_old: Option<(u64, u64)>,
    /// What the phase waits for although its time is over: "until …".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<String>,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// The run.
    pub(crate) run: String,
    /// When, ms since the rollout began.
    pub(crate) at_ms: u64,
    /// Outcome of the rollout.
    pub(crate) outcome: Outcome,
    /// What the traffic saw; `None` when nothing was to be probed.
    pub(crate) verdict: Option<Verdict>,
    /// Why it ended like this, in words.
    pub(crate) why: String,
    /// The version users are on now, if any.
    pub(crate) users_on: Option<String>,
    /// True when a report was written.
    pub(crate) report: bool,
}

/// So many ends of earlier rollouts are told to a new listener.
const ENDS_KEPT: usize = 8;

/// The bus of one app.
#[derive(Debug)]
pub(crate) struct Bus {
    history: Mutex<Vec<Notice>>,
    sender: broadcast::Sender<Notice>,
}

impl Bus {
    /// A silent bus.
    pub(crate) fn new() -> Self {
        Self { history: Mutex::new(Vec::new()), sender: broadcast::channel(256).0 }
    }

    /// Says something. A beginning forgets what an earlier rollout said, but for its end: one may follow
    /// another so soon that whoever watches the first would miss that.
    pub(crate) fn say(&self, notice: Notice) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        match &notice {
            Notice::Began { .. } => {
                history.retain(|said| matches!(said, Notice::Ended(_)));
                let old = history.len().saturating_sub(ENDS_KEPT);
                history.drain(..old);
                history.push(notice.clone());
            }
            Notice::Phase(_) | Notice::Ended(_) => history.push(notice.clone()),
            Notice::Live(_) | Notice::Note { .. } | Notice::Change(_) | Notice::Hook(_) => {}
        }
        // Nobody listening is fine.
        drop(self.sender.send(notice));
    }

    /// What was said so far, and what follows, without a gap between them.
    pub(crate) fn listen(&self) -> (Vec<Notice>, broadcast::Receiver<Notice>) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        (history.clone(), self.sender.subscribe())
    }
}
