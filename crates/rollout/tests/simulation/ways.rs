//! The ways of a rollout: each strategy's phases, and those that may follow each. A table that is written down,
//! so that a way that is new, or that nothing takes any more, is seen.

use std::collections::BTreeSet;

use model::Phase;
use model::Phase::{
    Aborted, Arming, Baking, Draining, DrainingCandidate, HandingOver, Previewing, Promoted,
    RollingBack, Shifting, Starting, Stopping, StoppingCandidate, Stuck,
};
use rollout::Rollout;

/// A strategy, a phase and the one that followed it.
pub(crate) type Way = (&'static str, Phase, Phase);

/// Each phase of each strategy, and what follows it.
const TABLE: [(&str, Phase, &[Phase]); 44] = [
    ("blue-green", Starting, &[Previewing, Arming, Shifting, StoppingCandidate, Promoted]),
    ("blue-green", Previewing, &[Arming, Shifting, StoppingCandidate]),
    ("blue-green", Arming, &[Shifting, StoppingCandidate]),
    ("blue-green", Shifting, &[Baking, Draining, RollingBack, DrainingCandidate, Promoted, Stuck]),
    ("blue-green", Baking, &[Draining, RollingBack, DrainingCandidate, Promoted, Stuck]),
    ("blue-green", Draining, &[HandingOver, Stopping, Promoted, Stuck]),
    ("blue-green", HandingOver, &[Stopping, Promoted]),
    ("blue-green", Stopping, &[Starting, Promoted]),
    ("blue-green", RollingBack, &[DrainingCandidate, Stuck]),
    ("blue-green", DrainingCandidate, &[StoppingCandidate, Stuck]),
    ("blue-green", StoppingCandidate, &[Aborted]),
    (
        "canary",
        Starting,
        &[Previewing, Arming, Shifting, RollingBack, StoppingCandidate, Promoted, Stuck],
    ),
    ("canary", Previewing, &[Starting, Arming, Shifting, StoppingCandidate]),
    ("canary", Arming, &[Starting, Shifting, StoppingCandidate]),
    ("canary", Shifting, &[Shifting, Baking, Draining, RollingBack, Promoted, Stuck]),
    ("canary", Baking, &[Starting, Shifting, Draining, RollingBack, Stuck]),
    ("canary", Draining, &[HandingOver, Stopping, Promoted, Stuck]),
    ("canary", HandingOver, &[Stopping, Promoted]),
    ("canary", Stopping, &[Starting, Promoted]),
    ("canary", RollingBack, &[DrainingCandidate, Stuck]),
    ("canary", DrainingCandidate, &[StoppingCandidate, Stuck]),
    ("canary", StoppingCandidate, &[Aborted]),
    (
        "rolling",
        Starting,
        &[Previewing, Arming, Shifting, Draining, RollingBack, StoppingCandidate, Stuck],
    ),
    ("rolling", Previewing, &[Arming, Shifting, RollingBack, StoppingCandidate]),
    ("rolling", Arming, &[Shifting, RollingBack, StoppingCandidate]),
    ("rolling", Shifting, &[Baking, RollingBack, Stuck]),
    ("rolling", Baking, &[Draining, RollingBack, Promoted, Stuck]),
    ("rolling", Draining, &[HandingOver, Stopping, RollingBack, Stuck]),
    ("rolling", HandingOver, &[Stopping]),
    ("rolling", Stopping, &[Starting, RollingBack]),
    ("rolling", RollingBack, &[DrainingCandidate, StoppingCandidate, Stuck]),
    ("rolling", DrainingCandidate, &[StoppingCandidate, Stuck]),
    ("rolling", StoppingCandidate, &[RollingBack, Aborted]),
    ("recreate", Starting, &[Previewing, Arming, Shifting, Draining, StoppingCandidate]),
    ("recreate", Previewing, &[Shifting, StoppingCandidate]),
    ("recreate", Arming, &[Draining, StoppingCandidate]),
    ("recreate", Shifting, &[Baking, DrainingCandidate, Stuck]),
    ("recreate", Baking, &[DrainingCandidate, Promoted, Stuck]),
    ("recreate", Draining, &[HandingOver, Stopping, RollingBack]),
    ("recreate", HandingOver, &[Stopping]),
    ("recreate", Stopping, &[Starting, RollingBack, Stuck]),
    ("recreate", RollingBack, &[Aborted, Stuck]),
    ("recreate", DrainingCandidate, &[StoppingCandidate, Stuck]),
    ("recreate", StoppingCandidate, &[RollingBack, Aborted, Stuck]),
];

/// Ways that one of some ten thousand worlds takes, and that no run is asked to show: the candidate falls while
/// the last tunnels are handed over, and does not come back in time. (The story is `handing-over-stuck`.)
const RARE: [Way; 2] = [("blue-green", HandingOver, Stuck), ("canary", HandingOver, Stuck)];

/// The ways that a rollout took.
pub(crate) fn of(kind: &'static str, machine: &Rollout) -> impl Iterator<Item = Way> {
    machine.entered().windows(2).map(move |two| (kind, two[0].phase, two[1].phase))
}

fn table() -> BTreeSet<Way> {
    let ways = |(kind, from, all): &(&'static str, Phase, &[Phase])| {
        let (kind, from) = (*kind, *from);
        all.iter().map(move |to| (kind, from, *to)).collect::<Vec<_>>()
    };
    TABLE.iter().flat_map(ways).collect()
}

/// None of them is missing in the table.
pub(crate) fn expect_known(taken: &BTreeSet<Way>) {
    let known = &table() | &BTreeSet::from(RARE);
    let new: Vec<_> = taken.difference(&known).copied().collect();
    assert!(new.is_empty(), "ways that are not in the table: {new:?}");
}

/// They are those of the table, and no others.
pub(crate) fn expect_all(taken: &BTreeSet<Way>) {
    expect_known(taken);
    let missing: Vec<_> = table().difference(taken).copied().collect();
    assert!(missing.is_empty(), "nothing takes these ways any more: {missing:?}");
}
