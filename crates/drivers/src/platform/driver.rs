//! The trait that every platform implements, and what one can be asked beforehand.
//!
//! The shape is that of a router: look, plan (pure), act. Nothing here knows a driver.

use std::fmt;

use async_trait::async_trait;
use model::{AppName, Change, Fault, Plan};

use super::fleet::{FleetHave, FleetWant};

/// A driver of something that runs instances.
#[async_trait]
pub trait Platform: fmt::Debug + Send + Sync {
    /// What is there of one app. Instances that outlived their controller are adopted by this: from
    /// then on they are watched and checked.
    async fn look(&self, app: &AppName) -> Result<FleetHave, Fault>;

    /// What stands between `have` and `want`: pure, and the same for the same arguments. Releases of
    /// the app that `want` does not name are wanted gone; other apps are left alone.
    ///
    /// Nobody of a release that is to run is picked here: with a `leave`, its named instances are
    /// told to end (and killed when their time is over, if they are to be gone); whoever else is
    /// beyond the wanted number is left alone, neither ended nor replaced nor waited for.
    fn plan(&self, want: &FleetWant, have: &FleetHave) -> Plan;

    /// What a look would find after a change of a plan, once it has led to what it is for: whoever was
    /// started is ready, whoever was told is told. Pure, and nothing else is as it was not in `have`.
    /// Whoever is not started yet has port 0 and no process. `None` where that is for somebody else to
    /// say, such as who is found.
    fn foretell(&self, _change: &Change, _have: &FleetHave) -> Option<FleetHave> {
        None
    }

    /// Takes one step of a plan. Refused without effect when `epoch` is older than the newest seen
    /// or when what the change relies on no longer holds.
    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault>;

    /// What this platform can do.
    fn can(&self) -> PlatformCapabilities;

    /// Resolves when something may have changed since a look whose [`FleetHave::change`] was
    /// `since` (an exit, a check's result, a deadline of a plan's `waiting`). Nothing that happens
    /// between that look and this call is missed. Any number of callers may wait.
    async fn changed(&self, since: u64);
}

/// What a platform can do; asked before anything starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformCapabilities {
    /// Two releases of an app may run side by side.
    pub side_by_side: bool,
    /// Instances outlive the controller and are adopted by the next one.
    pub outlives_controller: bool,
    /// An instance can be told to end without being killed later.
    pub tell_only: bool,
}
