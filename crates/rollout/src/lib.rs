//! The rollout machine: decides, purely.
//!
//! [`Rollout`] is level-triggered. It never says "do X": [`Rollout::wants`] says what should be true
//! in the present phase, [`Rollout::advance`] takes one observation and moves on when observations
//! show that it *is* true, and [`Rollout::wake`] names the deadline at which it will move on without.
//! So a restart, a retry and a rollback are one path: replay the journal, look at the world, go on.
//!
//! What this crate does not do: no clock, files, threads, network or randomness. Time comes in as
//! milliseconds since the rollout began. It does not know how instances are started or how a router
//! is told; the controller brings the world towards `wants` and reports what it sees, in the order
//! in which it saw it.
//!
//! Each phase is entered at most once (for each share of a canary, for each batch of a rolling
//! replacement, there and back, and once more on a way home) and has a deadline, so every rollout ends.
//!
//! # Strategies
//! *Blue-green* is the short way: one switch, a bake, then the promotion is final and stable leaves.
//! A *canary* goes through `Shifting` and `Baking` once for each share; what follows the last one, all
//! traffic, is blue-green. Abort leads from any share to stable by the one way back. *Rolling* replaces
//! instances, without a surge without one more than usual:
//!
//! ```text
//! Starting ─► Draining ─► (HandingOver) ─► Stopping ─► Starting ─► (Previewing ─► Arming, once)
//!                ▲                                                      │
//!                └───────── Baking ◄─ Shifting ◄────────────────────────┘      last Baking ─► Promoted
//! back: RollingBack ─► DrainingCandidate ─► StoppingCandidate ─► RollingBack … ─► Aborted
//! ```
//!
//! A batch leaves only if as many as usual but a batch still serve, or if those that leave serve
//! nobody. The same holds on the way back, where stable first takes the room there is and the
//! candidate keeps its share until its turn, or until none of it is ready. What was told to end is waited for before anything turns.
//!
//! With a *surge* the circle begins with starting: so many of the candidate run beside all of stable, and
//! are judged, before the first batch leaves; as many follow each time as left, as long as some are missing,
//! and what is left after the last batch is judged once more. So many fewer are ever missing, there and
//! back: none where the surge is as large as the batch.
//!
//! With [`Settings::return_home`], blue-green and canary put the candidate in the place of stable at
//! the end; without it the places swap their roles with each rollout. The promotion is final by then:
//! from here no abort and no crash turns back, and a deadline ends in `Promoted`, whose reason says so.
//!
//! ```text
//! … ─► Draining ─► (HandingOver) ─► Stopping ─► Starting ─► Shifting ─► Draining ─► Promoted
//!                                   stable is   as many     the first   until no request
//!                                   gone        once more   leave       is open on them
//! ```
//!
//! Those that were started first, and leave, are the spare: running, out of the routes and not
//! replaced, also once promoted; tunnels may stay on them. They are picked as below and never named, so
//! where one of the others dies or is not ready, one of the spare is back in the routes. Where
//! stable did not go its place is not free, and where the candidate was not ready twice it stays where
//! it is: the surplus that started is nobody's to keep.
//!
//! *Recreate* is for an app that can run only one copy. Nothing is started beside it; from the drain on
//! its requests wait ([`Wants::hold`]) until one release serves again:
//!
//! ```text
//! Starting ─► (Arming) ─► Draining ─► (HandingOver) ─► Stopping ─► Starting ─► (Previewing) ─► Shifting
//! requests wait:          └──────────────────────────────────────────────────────────────────┘
//!                  ─► Baking ─► Promoted
//! back: (DrainingCandidate) ─► StoppingCandidate ─► RollingBack ─► Aborted
//! requests wait:  └──────────────────────────────┘  until stable is ready
//! ```
//!
//! A drain that lasts too long ends nothing: the rollout is undone, and requests go on to stable. What
//! was told to end is waited for before anything starts, also before stable starts again.
//!
//! # Operators
//! Wishes are events like any other: `wish` answers each of them in each place of a rollout. A *pause*
//! ([`Rollout::paused`]) is orthogonal to the phases: users are taken no further (no first switch, no
//! further share or batch, no promotion that is final) until somebody resumes, promotes or turns back,
//! or its deadline undoes the rollout. What runs is looked after meanwhile, and what speaks against the
//! candidate turns it back as always. Abort is sticky; what is to *follow* ([`Rollout::successor`]) is
//! begun by the controller when this rollout is over. A rollback that users are on is not taken back by
//! itself: it pauses, or is stuck where it serves nobody.
//!
//! # Hooks
//! [`Wants::hook`] names the hook of [`Settings::hooks`] that is to be called now; [`Event::HookEnded`] says how
//! that ended. Until then the rollout is taken no further, and what speaks against the candidate turns it back as
//! always: then it is no longer wanted. Those *after* the end are wanted in the final phase, which waits for nobody.
//! Those of the steps of a canary are put there by [`hooks_of_steps`], one for each step.
//! A hook is wanted again after a crash, since nobody can say what became of it; five crashes in a row while it
//! is wanted count as its failure.
//!
//! # Together
//! With [`Settings::together`] the rollouts of several apps go on as one: each waits at its barriers until all
//! have come there, and turns back when another one has, as long as no promotion is final. Each tells how far it
//! is ([`Rollout::stage`]); [`Rollout::ruling`] answers what it is to be told, given the stages of the others. What
//! is told lasts and stages only grow, so whoever asks may ask at any time, for each app alone, and again after
//! a crash: nobody who leads is needed. Once all promotions are final each goes its own way to the end.
//!
//! # Comparing
//! With [`Settings::analysis`], candidate and stable are compared while both have a share ([`analysis`]):
//! [`Event::Thresholds`] begins it, each [`Event::Units`] is one tick; of a router that tells nothing of single
//! requests, what [`Event::Counters`] have grown by. A candidate that is worse is undone;
//! with `early`, one that is shown not to be goes on before its time; else the step ends when its time is
//! over, as [`Inconclusive`] says. What is counted is told late: the last step, after which nothing is taken back,
//! lasts until [`Event::Surveyed`] says that all until its end was told. Where *both* fail more than the candidate may, the rollout is paused
//! ([`OnIncident`]): it neither goes on nor is it undone by a limit, until a person looked, or both are
//! well again. Whoever resumes before that has the step held for half an hour at most.
//!
//! # Measuring
//! [`Settings::metrics`] have limits of their own. While the candidate serves on trial, [`Event::Measured`]
//! says of each that [`Rollout::measures`] names whether it is within its limit. Beyond it so many times
//! in a row undoes the rollout; a step does not end before each was measured in it, and what becomes of one
//! that cannot be is said by [`Unmeasured`].
//!
//! # Leaving: what the machine asks of controller and platform
//! While [`Wants::leave`] is there, `FleetWant::instances` of that release counts those that stay. Of
//! the instances that live, were not told to end and are not named, the others are *picked* to leave:
//! never more than [`LeaveWant::instances`], first those that are not ready, then the lowest number.
//! Which they are may change from look to look until they are named.
//!
//! 1. The routes carry neither picked nor named instances: they are in no pool at all, and no
//!    fallback ("none is ready, so take any") brings a named one back.
//! 2. After a look at the router in which no pool that serves has one of them, [`Event::Leaving`] says
//!    which of them exist and what is open on *them*, also when nobody is left. Picks come from the
//!    look at the platform that the machine was told of; none are told while a process is found that is
//!    not in the records. Whatever is not told twice is told again after each phase and each
//!    [`Event::RoutesSettled`].
//! 3. The platform starts instances only when fewer than `instances` live that are not named. With
//!    `state` `Running` it leaves the surplus alone (it neither ends nor replaces it); `Terminating`
//!    tells the named ones to end; `Gone` also kills them when their stop timeout is over. An exit of an
//!    instance that was told is no crash.
//! 4. While the router cannot be looked at, nobody is told to end who has not been.
//!
//! The machine names those that leave when they are out of the routes and their requests have ended, or
//! the drain deadline has passed; names come from the last `Leaving` and stay until the batch is over,
//! so a crash between the naming and the deed changes nobody's fate.
//!
//! [`Event::HookEnded`]: model::Event::HookEnded
//! [`Event::Leaving`]: model::Event::Leaving
//! [`Event::Thresholds`]: model::Event::Thresholds
//! [`Event::Units`]: model::Event::Units
//! [`Event::Counters`]: model::Event::Counters
//! [`Event::Surveyed`]: model::Event::Surveyed
//! [`Event::Measured`]: model::Event::Measured
//! [`Event::RoutesSettled`]: model::Event::RoutesSettled

mod alone;
pub mod analysis;
mod awaited;
mod back;
mod barrier;
mod compare;
mod comparing;
mod course;
mod covered;
mod deadline;
mod drained;
mod foresee;
mod forward;
mod gate;
mod handover;
mod hear;
mod home;
mod homeward;
mod hooked;
mod hooking;
mod hooks;
mod incident;
mod invariant;
mod judge;
mod keep;
mod leave;
mod machine;
mod measure;
mod metric;
mod pause;
mod recreate;
mod roll;
mod rolling;
mod seen;
mod settings;
mod state;
mod step;
mod strategy;
mod target;
mod together;
mod trouble;
mod unroll;
mod untold;
mod waiting;
mod wants;
mod wish;
mod words;

pub use comparing::{Analysis, Inconclusive, OnIncident};
pub use deadline::Due;
pub use foresee::{Foreseen, foresee};
pub use hooked::hooks_of_steps;
pub use machine::{Rollout, Snapshot};
pub use metric::{Metric, Unmeasured};
pub use pause::{Cause, Pause};
pub use settings::{Aim, MACHINE_VERSION, Named, Settings, Start};
pub use state::{Note, Share};
pub use strategy::Strategy;
pub use together::{Other, Stage, Together};
pub use wants::{FleetWant, HandOverWant, LeaveWant, ProbeWant, Wants};
