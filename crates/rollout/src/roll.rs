//! The books of a rolling replacement: how many instances of each release run, how many of them are
//! in the routes, and who leaves.
//!
//! Arithmetic only: every method answers with the next books. When a page is turned is decided by
//! `rolling` (forward) and `unroll` (back).

use model::{InstanceId, RunState, Weight};
use serde::{Deserialize, Serialize};

use crate::drained::Drained;

/// One of the two releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    Stable,
    Candidate,
}

/// Instances of both releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Crew {
    pub stable: u16,
    pub candidate: u16,
}

impl Crew {
    pub(crate) const fn of(self, side: Side) -> u16 {
        match side {
            Side::Stable => self.stable,
            Side::Candidate => self.candidate,
        }
    }

    pub(crate) const fn all(self) -> u16 {
        self.stable.saturating_add(self.candidate)
    }

    const fn with(self, side: Side, instances: u16) -> Self {
        match side {
            Side::Stable => Self { stable: instances, ..self },
            Side::Candidate => Self { candidate: instances, ..self },
        }
    }

    /// Never more of a release than `most` has.
    fn within(self, most: Self) -> Self {
        let (stable, candidate) =
            (self.stable.min(most.stable), self.candidate.min(most.candidate));
        Self { stable, candidate }
    }
}

/// Instances that make room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leave {
    pub side: Side,
    /// How many, at most.
    pub instances: u16,
    /// How many of that side were in the routes before.
    pub routed: u16,
    /// Which; empty while `state` is `Running`.
    pub named: Vec<InstanceId>,
    pub state: RunState,
    /// How their drain ended; it has when they are named.
    pub drained: Option<Drained>,
}

/// The books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roll {
    /// Wanted running, and to stay.
    pub running: Crew,
    /// Those whose number the weights follow.
    pub routed: Crew,
    pub leave: Option<Leave>,
    /// Why it turns back once those that are ending are gone.
    pub turning: Option<String>,
}

impl Roll {
    /// Everything on stable, and the first of the candidate beside it where there is a surge.
    pub(crate) const fn new(instances: u16, surge: u16) -> Self {
        let routed = Crew { stable: instances, candidate: 0 };
        let running = Crew { candidate: surge, ..routed };
        Self { running, routed, leave: None, turning: None }
    }

    /// The candidate's share, in proportion to the instances; a side with an instance has at least
    /// one basis point.
    pub(crate) fn share(&self) -> Weight {
        let (mine, all) = (u32::from(self.routed.candidate), u32::from(self.routed.all()));
        if mine == 0 || all == 0 {
            return Weight::NONE;
        }
        if mine == all {
            return Weight::ALL;
        }
        let points = (mine * 10_000 / all).clamp(1, 9_999);
        u16::try_from(points).ok().and_then(|points| Weight::new(points).ok()).unwrap_or_default()
    }

    /// The release whose instances make room now.
    pub(crate) fn leaver(&self) -> Option<Side> {
        self.leave.as_ref().map(|leave| leave.side)
    }

    /// `instances` of one side leave the routes.
    pub(crate) fn make_room(&self, side: Side, instances: u16) -> Self {
        let left = self.running.of(side).saturating_sub(instances);
        let running = self.running.with(side, left);
        let leave = Leave {
            side,
            instances,
            routed: self.routed.of(side),
            named: Vec::new(),
            state: RunState::Running,
            drained: None,
        };
        Self { running, routed: self.routed.within(running), leave: Some(leave), turning: None }
    }

    /// Those that leave are known, drained, and are to end.
    pub(crate) fn name(&self, named: &[InstanceId], drained: Drained, state: RunState) -> Self {
        let leave = self.leave.as_ref().map(|leave| Leave {
            named: named.to_vec(),
            drained: Some(drained),
            state,
            ..leave.clone()
        });
        Self { leave, ..self.clone() }
    }

    /// Those that leave are to be gone.
    pub(crate) fn stop(&self) -> Self {
        let leave =
            self.leave.as_ref().map(|leave| Leave { state: RunState::Gone, ..leave.clone() });
        Self { leave, ..self.clone() }
    }

    /// The room that was made is given to one side: as many as usual at most, and of both together so
    /// many more as the surge says. An instance that was picked and not named stays.
    pub(crate) fn fill(&self, side: Side, (usual, surge): (u16, u16)) -> Self {
        let other = match side {
            Side::Stable => self.running.candidate,
            Side::Candidate => self.running.stable,
        };
        let room = usual.saturating_add(surge).saturating_sub(other);
        let running = self.running.with(side, room.min(usual));
        Self { running, leave: None, ..self.clone() }
    }

    /// The weights follow what runs.
    pub(crate) fn route(&self) -> Self {
        Self { routed: self.running, ..self.clone() }
    }

    /// The weight of stable follows what runs of it.
    pub(crate) fn route_stable(&self) -> Self {
        let routed = self.routed.with(Side::Stable, self.running.stable);
        Self { routed, ..self.clone() }
    }

    /// The candidate gets nothing more.
    pub(crate) fn unroute_candidate(&self) -> Self {
        Self { routed: self.routed.with(Side::Candidate, 0), ..self.clone() }
    }

    /// Nobody who was not named yet leaves; with their weight again, if they serve.
    pub(crate) fn stay(&self, serves: impl Fn(Side) -> bool) -> Self {
        let Some(leave) = self.leave.as_ref().filter(|leave| leave.state == RunState::Running)
        else {
            return self.clone();
        };
        let all = self.running.of(leave.side).saturating_add(leave.instances);
        let running = self.running.with(leave.side, all);
        let routed = if serves(leave.side) { leave.routed } else { self.routed.of(leave.side) };
        let routed = self.routed.with(leave.side, routed);
        Self { running, routed, leave: None, turning: None }
    }

    /// It turns back once those that are ending are gone.
    pub(crate) fn turn(&self, why: String) -> Self {
        Self { turning: Some(why), ..self.clone() }
    }
}
