//! Which steps people see, and how each ended: the words of the terminal's left column.
//!
//! Several phases can be one step (getting ready and switching are "switch"). Pure. It draws nothing.

use model::{Outcome, Phase};

/// The word for an outcome.
pub(crate) const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "promoted",
        Outcome::Aborted => "aborted",
        Outcome::Stuck => "stuck",
        Outcome::None => "done",
    }
}

/// Which release a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The one being shipped.
    Candidate,
    /// The one users were on.
    Stable,
    /// Both.
    Both,
}

/// Verb and release of a phase's step; `None` when the rollout is over.
pub(crate) const fn row(phase: Phase) -> Option<(&'static str, About)> {
    Some(match phase {
        Phase::Starting => ("start", About::Candidate),
        Phase::Previewing => ("check", About::Candidate),
        Phase::Arming | Phase::Shifting => ("switch", About::Both),
        Phase::Baking => ("bake", About::Candidate),
        Phase::Draining => ("drain", About::Stable),
        Phase::HandingOver => ("hand-over", About::Stable),
        Phase::Stopping => ("stop", About::Stable),
        Phase::RollingBack => ("roll back", About::Both),
        Phase::DrainingCandidate => ("drain", About::Candidate),
        Phase::StoppingCandidate => ("stop", About::Candidate),
        Phase::Promoted | Phase::Aborted | Phase::Stuck => return None,
    })
}

/// What is waited for in a phase, for the line of the step under way.
pub(crate) const fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "until its health checks pass",
        Phase::Previewing => "asking it directly, before users do",
        Phase::Arming => "until the prober is ready to watch",
        Phase::Shifting => "until the switch is seen in effect",
        Phase::Baking => "watching what users get",
        Phase::Draining | Phase::DrainingCandidate => "until its open requests have ended",
        Phase::HandingOver => "until its tunnels have moved",
        Phase::Stopping | Phase::StoppingCandidate => "until its instances have ended",
        Phase::RollingBack => "until users are seen to be back",
        Phase::Promoted | Phase::Aborted | Phase::Stuck => "",
    }
}

/// Whether a step that was left for `next` had done what it should.
pub(crate) const fn went_well(phase: Phase, next: Phase) -> bool {
    !matches!(next, Phase::Stuck) && (forward(next) || !forward(phase))
}

const fn forward(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Starting
            | Phase::Previewing
            | Phase::Arming
            | Phase::Shifting
            | Phase::Baking
            | Phase::Draining
            | Phase::HandingOver
            | Phase::Stopping
            | Phase::Promoted
    )
}
