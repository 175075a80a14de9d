//! A kernel timer that wakes a task at an absolute instant, to the nanosecond.
//!
//! The runtime's own timer rounds up to the next millisecond, which would clump sends; it is used
//! for timeouts only, never for pacing.

use std::io;
use std::os::fd::OwnedFd;

use model::Fault;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::monotonic_ns;

/// An absolute timer on CLOCK_MONOTONIC.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// A timer that is not set yet.
    pub(crate) fn new() -> Result<Self, Fault> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(io::Error::from)
            .and_then(readable)
            .map_err(|error| no_timer(&error))?;
        Ok(Self { timer })
    }

    /// Waits until CLOCK_MONOTONIC shows `mono_ns`; returns at once when it already does.
    pub(crate) async fn until(&self, mono_ns: u64) -> Result<(), Fault> {
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        let due = Timespec {
            tv_sec: i64::try_from(mono_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(mono_ns % 1_000_000_000).unwrap_or(0),
        };
        let setting = Itimerspec { it_interval: nothing, it_value: due };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &setting)
            .map_err(|error| no_timer(&error.into()))?;
        loop {
            // The clock says whether it was this time or one before; setting the timer takes back what
            // it had to tell, so that nothing needs to be read: two calls to the kernel less per send.
            self.timer.readable().await.map_err(|error| no_timer(&error))?.clear_ready();
            if monotonic_ns() >= mono_ns {
                return Ok(());
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is an unsafe function, and unsafe code is forbidden here; what it asks \
              for, a descriptor that stays open and the same, an OwnedFd is"
)]
fn readable(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

fn no_timer(error: &io::Error) -> Fault {
    Fault::environment(format!("the prober cannot use a kernel timer: {error}"))
}
